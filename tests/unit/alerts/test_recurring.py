"""Silences that return: when they hold, across changes of daylight saving time too."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.recurring import check_recurrence, next_start, window_at

HOUR = 3600.0
BERLIN = "Europe/Berlin"


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("cron", "hours", "zone", "now", "since"),
    [
        pytest.param("0 22 * * *", 2, "UTC", "2026-11-23T22:00", "2026-11-23T22:00", id="its first moment"),
        pytest.param("0 22 * * *", 2, "UTC", "2026-11-23T21:59:59", None, id="the second before"),
        pytest.param("0 22 * * *", 2, "UTC", "2026-11-23T23:59:59", "2026-11-23T22:00", id="its last second"),
        pytest.param("0 22 * * *", 2, "UTC", "2026-11-24T00:00", None, id="its end is not in it"),
        pytest.param("0 22 * * *", 4, "UTC", "2026-11-24T01:00", "2026-11-23T22:00", id="over midnight"),
        pytest.param("0 22 * * SAT", 2, "UTC", "2026-11-23T22:30", None, id="another weekday"),
        pytest.param("0 22 * * SAT", 2, "UTC", "2026-11-28T22:30", "2026-11-28T22:00", id="its weekday"),
        pytest.param("0 2 1 * *", 1, "UTC", "2026-12-01T02:59", "2026-12-01T02:00", id="first of a month"),
        pytest.param("*/30 * * * *", 1, "UTC", "2026-11-23T22:40", "2026-11-23T22:30", id="overlapping"),
        pytest.param("0 9 * * *", 1, BERLIN, "2026-07-01T09:30", "2026-07-01T09:00", id="summer, local"),
        pytest.param("0 9 * * *", 1, BERLIN, "2026-12-01T09:30", "2026-12-01T09:00", id="winter, local"),
        pytest.param("0 1 * * *", 3, BERLIN, "2026-03-29T04:30", "2026-03-29T01:00", id="an hour left out"),
    ],
)
def test_when_it_holds(cron: str, hours: float, zone: str, now: str, since: str | None) -> None:
    found = window_at(cron, hours * HOUR, zone, at(now, zone))
    assert found == (None if since is None else (at(since, zone), at(since, zone) + hours * HOUR))


@pytest.mark.parametrize(
    ("cron", "seconds", "zone", "named"),
    [
        pytest.param("0 22 * *", HOUR, "UTC", "five fields", id="four fields"),
        pytest.param("0 25 * * *", HOUR, "UTC", "hour", id="no such hour"),
        pytest.param("0 0 31 2 *", HOUR, "UTC", "day", id="a day that never comes"),
        pytest.param("0 22 * * *", 30.0, "UTC", "a minute", id="too short"),
        pytest.param("0 22 * * *", 8 * 86_400.0, "UTC", "a week", id="too long"),
        pytest.param("0 22 * * *", HOUR, "Mars/Olympus", "Europe/Berlin", id="no such zone"),
        pytest.param("0 22 * * *", HOUR, "../etc/passwd", "timezone", id="a path for a zone"),
        pytest.param("0 22 * * * " + "x" * 1000, HOUR, "UTC", "five fields", id="long"),
    ],
)
def test_what_is_refused(cron: str, seconds: float, zone: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        check_recurrence(cron, seconds, zone)


@given(
    now=st.integers(int(at("2026-01-01T00:00")), int(at("2027-01-01T00:00"))),
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    minutes=st.integers(1, 24 * 60),
    zone=st.sampled_from(["UTC", BERLIN, "America/New_York", "Asia/Shanghai"]),
)
def test_a_window_holds_now_and_begins_where_cron_says(
    now: int, minute: int, hour: int, minutes: int, zone: str
) -> None:
    cron = f"{minute} {hour} * * *"
    found = window_at(cron, minutes * 60.0, zone, float(now))
    if found is None:
        following = next_start(cron, zone, now - minutes * 60.0)
        assert following is not None
        assert following > now - minutes * 60.0
    else:
        start, end = found
        assert start <= now < end
        assert next_start(cron, zone, start - 1) == start
