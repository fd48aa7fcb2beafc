"""From bytes to alerts: times, labels, slices, and what is refused by name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.fingerprint import fingerprint
from controlplane.alerts.intake import Intake, Remembered, Slice
from controlplane.alerts.posted import MOST_ALERTS, SLICE_BYTES, Fault, Malformed, TooMany, read_time

NOW, TIMEOUT = 1_700_000_000.0, 300.0


def take(alerts: list[Any], intake: Intake | None = None) -> Slice:
    found = Slice()
    for part in (intake or Intake()).slices(json.dumps(alerts).encode(), NOW, TIMEOUT):
        found.alerts.extend(part.alerts)
        found.refused.extend(part.refused)
    return found


def iso(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [
        (None, None, (NOW, NOW + TIMEOUT, True)),
        (NOW - 60, None, (NOW - 60, NOW + TIMEOUT, True)),
        (None, NOW - 60, (NOW - 60, NOW - 60, False)),
        (None, NOW + 60, (NOW + 60, NOW + 60, False)),
        (NOW - 60, NOW - 30, (NOW - 60, NOW - 30, False)),
        (NOW, NOW, (NOW, NOW, False)),
    ],
)
def test_times_are_filled_in_as_alertmanager_does(
    starts: float | None, ends: float | None, expected: tuple[float, float, bool]
) -> None:
    times = {"startsAt": starts and iso(starts), "endsAt": ends and iso(ends)}
    (found,) = take([{"labels": {"a": "b"}, **times}]).alerts
    assert (found.starts_at, found.ends_at, found.timed) == expected
    assert found.updated_at == NOW


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.5z", 1.5),
        ("1970-01-01T00:00:01.123456789Z", 1.123456),
        ("1970-01-01T01:00:01+01:00", 1.0),
        ("1970-01-01 00:00:01", 1.0),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00.000Z", None),
    ],
)
def test_times_are_read(text: str, seconds: float | None) -> None:
    assert read_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["now", "2024-01-01", "2024-13-01T00:00:00Z", "2024-02-30T00:00:00Z", "9" * 99, "20240101T000000Z"],
)
def test_what_is_no_time_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"no RFC 3339 time|no time of a calendar"):
        read_time(text)


@pytest.mark.parametrize(
    ("bad", "fault", "said"),
    [
        (None, Fault.UNREADABLE, "object"),
        (7, Fault.UNREADABLE, "object"),
        ({}, Fault.INCOMPLETE, "labels in body is required"),
        ({"labels": None}, Fault.INCOMPLETE, "labels in body is required"),
        ({"labels": []}, Fault.UNREADABLE, "labels"),
        ({"labels": {"a": 1}}, Fault.UNREADABLE, "'a' is a number"),
        ({"labels": {"a": {}}}, Fault.UNREADABLE, "'a' is a list or an object"),
        ({"labels": {}}, Fault.INVALID, "at least one label pair required"),
        ({"labels": {"a": ""}}, Fault.INVALID, "at least one label pair required"),
        ({"labels": {"a": None}}, Fault.INVALID, "at least one label pair required"),
        ({"labels": {"": "x"}}, Fault.INVALID, 'invalid name ""'),
        ({"labels": {"a": "\0"}}, Fault.INVALID, "NUL"),
        ({"labels": {"a": "b"}, "annotations": {"": "x"}}, Fault.INVALID, "invalid annotations"),
        ({"labels": {"a": "b"}, "annotations": 1}, Fault.UNREADABLE, "annotations"),
        ({"labels": {"a": "b"}, "startsAt": "soon"}, Fault.UNREADABLE, "startsAt: 'soon'"),
        (
            {"labels": {"a": "b"}, "startsAt": iso(NOW), "endsAt": iso(NOW - 1)},
            Fault.INVALID,
            "start time must be",
        ),
        ({"labels": {"a": "b"}, "startsAt": iso(NOW + 301)}, Fault.INVALID, "resolve_timeout"),
        ({"labels": {"a": "b"}, "generatorURL": "no link"}, Fault.MISSHAPEN, "type uri"),
    ],
)
def test_a_bad_alert_is_named_and_the_others_are_taken(bad: Any, fault: Fault, said: str) -> None:
    found = take([{"labels": {"n": "1"}}, bad, {"labels": {"n": "2"}}])
    assert [alert.identity for alert in found.alerts] == [{"n": "1"}, {"n": "2"}]
    ((index, kind, message),) = [(each.index, each.fault, each.message) for each in found.refused]
    assert (index, kind) == (1, fault)
    assert said in message


def test_empty_labels_are_dropped_and_empty_annotations_are_kept() -> None:
    (found,) = take([{"labels": {"b": "1", "a": "2", "c": ""}, "annotations": {"x": ""}}]).alerts
    assert list(found.identity.items()) == [("a", "2"), ("b", "1")]
    assert found.annotations == {"x": ""}
    assert found.fingerprint == fingerprint({"a": "2", "b": "1"})


def test_the_same_labels_are_read_once() -> None:
    intake = Intake()
    first, second = (take([{"labels": {"a": "b"}}], intake).alerts[0] for _ in range(2))
    assert first.identity is second.identity


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "labels": st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=40), max_size=4),
                "annotations": st.dictionaries(st.text(max_size=3), st.text(max_size=2_000), max_size=3),
                "nested": st.lists(st.just({"x": "},{"}), max_size=3),
            }
        ),
        max_size=40,
    ),
    st.integers(1, 8),
)
def test_a_body_in_slices_says_what_each_alert_says_alone(alerts: list[Any], times: int) -> None:
    """Seams may look like one inside of texts, and inside of what nobody reads."""
    alerts = alerts * times
    together, alone = take(alerts), Slice()
    for index, each in enumerate(alerts):
        one = take([each])
        alone.alerts.extend(one.alerts)
        alone.refused.extend(type(r)(index, r.fault, r.message) for r in one.refused)
    assert together == alone


def test_a_large_body_comes_in_many_slices() -> None:
    alerts = [{"labels": {"n": str(number)}, "annotations": {"text": "x" * 500}} for number in range(2_000)]
    parts = list(Intake().slices(json.dumps(alerts).encode(), NOW, TIMEOUT))
    assert sum(len(part.alerts) for part in parts) == 2_000
    assert max(len(part.alerts) for part in parts) * 500 < 4 * SLICE_BYTES


def test_what_is_no_list_and_what_is_too_long_is_refused() -> None:
    for body in (b"{}", b"[", b"[{]", b'"x"', b"[1,2", b"x" * 200_000, b"[" * 200_000):
        with pytest.raises(Malformed):
            list(Intake().slices(body, NOW, TIMEOUT))
    with pytest.raises(TooMany, match="20,000"):
        take([{"labels": {"n": "1"}}] * (MOST_ALERTS + 1))
    assert take([]) == Slice()


def test_what_is_remembered_is_bounded_and_what_is_asked_for_stays() -> None:
    kept = Remembered[int](most=10)
    for number in range(100):
        kept.put(str(number), number)
        assert kept.get("0") == 0
    assert kept.get("50") is None
    assert kept.get("99") == 99
