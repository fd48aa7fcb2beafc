"""What a template and a webhook see of a notice."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.alert import Alert, Owned
from controlplane.alerts.go_time import ZERO, Duration, Time, humanize_duration
from controlplane.alerts.notice import Notice, Why
from controlplane.alerts.rendering import KV, data_of, webhook_body

NOW = 1_700_000_100.0


def alert(number: int, annotations: dict[str, str] | None = None, **labels: str) -> Alert:
    return Alert(
        f"{number:016x}",
        {"alertname": "Down", **labels},
        annotations or {},
        NOW - 100.5,
        NOW + 200,
        NOW,
        generator_url="http://prometheus/graph",
    )


def notice(firing: list[Alert], resolved: list[Alert] | None = None, receiver: str = "team") -> Notice:
    ended = resolved or []
    return Notice(
        "key",
        '{}/{team="a"}:{alertname="Down"}',
        receiver,
        "webhook[0]",
        Why.FIRST,
        NOW,
        NOW + 300,
        {"alertname": "Down"},
        (*firing, *ended),
        frozenset(each.fingerprint for each in firing),
        frozenset(each.fingerprint for each in ended),
    )


def test_the_webhook_body_is_that_of_version_4() -> None:
    fires, ended = alert(1, {"summary": "s"}, zone="b", pod="x"), alert(2, {"summary": "s"}, zone="b")
    body = webhook_body(data_of(notice([fires], [ended]), "http://am:9093", NOW))
    assert json.dumps(body) == json.dumps(
        {
            "receiver": "team",
            "status": "firing",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": "Down", "pod": "x", "zone": "b"},
                    "annotations": {"summary": "s"},
                    "startsAt": "2023-11-14T22:13:19.5Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://prometheus/graph",
                    "fingerprint": "0000000000000001",
                },
                {
                    "status": "resolved",
                    "labels": {"alertname": "Down", "zone": "b"},
                    "annotations": {"summary": "s"},
                    "startsAt": "2023-11-14T22:13:19.5Z",
                    "endsAt": "2023-11-14T22:18:20Z",
                    "generatorURL": "http://prometheus/graph",
                    "fingerprint": "0000000000000002",
                },
            ],
            "groupLabels": {"alertname": "Down"},
            "commonLabels": {"alertname": "Down", "zone": "b"},
            "commonAnnotations": {"summary": "s"},
            "externalURL": "http://am:9093",
            "version": "4",
            "groupKey": '{}/{team="a"}:{alertname="Down"}',
            "truncatedAlerts": 0,
        }
    )


def test_all_that_is_over_is_resolved() -> None:
    assert data_of(notice([], [alert(1)]), "", NOW).Status == "resolved"


def test_whose_an_alert_is_stands_in_its_labels_and_annotations() -> None:
    owned = Owned({"tenant": "t"}, {"placement": "eu-1", "summary": "of ours"})
    mine = Alert("1" * 16, {"alertname": "Down"}, {"summary": "s"}, NOW, NOW, NOW, owned=owned)
    [shown] = data_of(notice([mine]), "", NOW).Alerts
    assert shown.Labels.plain() == {"alertname": "Down", "tenant": "t"}
    assert shown.Annotations.plain() == {"placement": "eu-1", "summary": "s"}


def test_the_receiver_is_quoted_as_in_a_regular_expression() -> None:
    assert data_of(notice([alert(1)], receiver="team.a (eu)"), "", NOW).Receiver == "team\\.a \\(eu\\)"


def test_fewer_alerts_keep_what_is_common_to_all_and_count_the_others() -> None:
    data = data_of(notice([alert(1, zone="a"), alert(2, zone="b"), alert(3, zone="a")]), "", NOW)
    few = data.first(1)
    assert (len(few.Alerts), few.TruncatedAlerts, few.NumFiring) == (1, 2, 3)
    assert few.CommonLabels.plain() == {"alertname": "Down"}
    assert few.first(0).TruncatedAlerts == 3
    assert data.first(3) is data


def test_a_missing_label_reads_as_empty_and_a_method_comes_before_a_label() -> None:
    labels = KV({"Names": "n", "b": "2", "alertname": "A"})
    assert labels["nothing"] == ""
    assert "nothing" not in labels
    assert labels.look("b") == "2"
    assert tuple(labels.look("Names")) == ("alertname", "Names", "b")


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=6), st.lists(st.text(max_size=5)))
def test_removing_and_sorting_lose_nothing_else(values: dict[str, str], gone: list[str]) -> None:
    kept = KV(values).Remove(gone)
    assert kept.plain() == {name: value for name, value in values.items() if name not in gone}
    names = [pair.Name for pair in kept.SortedPairs]
    assert names == sorted(kept, key=lambda name: (name != "alertname", name))


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("2006-01-02T15:04:05Z07:00", "2023-11-14T22:13:20Z"),
        ("Mon, 02 Jan 2006 15:04:05 MST", "Tue, 14 Nov 2023 22:13:20 UTC"),
        ("Monday, January _2 3:04pm", "Tuesday, November 14 10:13pm"),
        ("05.000 .999 -0700 06", "20.250 .25 +0000 23"),
        ("", ""),
        ("plain", "plain"),
    ],
)
def test_times_are_written_by_layouts_of_go(layout: str, text: str) -> None:
    assert Time.at(1_700_000_000.25).Format(layout) == text


def test_zones_and_zero() -> None:
    assert Time.at(1_700_000_000).within("Asia/Shanghai").rfc3339() == "2023-11-15T06:13:20+08:00"
    assert ZERO.rfc3339() == "0001-01-01T00:00:00Z"
    assert Time.at(1e300).rfc3339() == ZERO.rfc3339()
    with pytest.raises(ValueError, match="is no time zone"):
        Time.at(0).within("Mars/Base")
    with pytest.raises(ValueError, match="up to 200"):
        Time.at(0).Format("2" * 201)


@pytest.mark.parametrize(
    ("seconds", "humane", "plain"),
    [
        (0, "0s", "0s"),
        (0.012, "12ms", "12ms"),
        (5.5, "5.5s", "5.5s"),
        (61, "1m 1s", "1m1s"),
        (-3_661, "-1h 1m 1s", "-1h1m1s"),
        (90_061.5, "1d 1h 1m 1s", "25h1m1.5s"),
    ],
)
def test_durations_are_written_as_prometheus_and_go_do(seconds: float, humane: str, plain: str) -> None:
    assert humanize_duration(Duration(seconds)) == humanize_duration(seconds) == humane
    assert str(Duration(seconds)) == plain
