"""When a route is muted or active: tables over days, and the next change against looking at every minute."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.alerts.intervals import Interval, any_contains, next_change


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NIGHT = Interval(times=((0, 360), (1320, 1440)))
WEEKDAYS = Interval(weekdays=((1, 5),))
BERLIN = Interval(location="Europe/Berlin", times=((540, 1020),))
LAST_DAYS = Interval(days_of_month=((-3, -1),))


@pytest.mark.parametrize(
    ("interval", "moment", "contained"),
    [
        (Interval(), "2026-01-01T00:00", True),
        (NIGHT, "2026-01-01T05:59:59", True),
        (NIGHT, "2026-01-01T06:00", False),
        (NIGHT, "2026-01-01T22:00", True),
        (NIGHT, "2026-01-01T23:59:59", True),
        (WEEKDAYS, "2026-01-02T12:00", True),
        (WEEKDAYS, "2026-01-03T12:00", False),
        (Interval(weekdays=((0, 0),)), "2026-01-04T12:00", True),
        (BERLIN, "2026-01-05T08:30", True),
        (BERLIN, "2026-07-06T07:30", True),
        (BERLIN, "2026-01-05T07:30", False),
        (LAST_DAYS, "2026-02-26T12:00", True),
        (LAST_DAYS, "2026-02-25T12:00", False),
        (LAST_DAYS, "2024-02-26T12:00", False),
        (LAST_DAYS, "2024-02-29T12:00", True),
        (Interval(days_of_month=((31, 31),)), "2026-02-28T12:00", False),
        (Interval(days_of_month=((27, 31),)), "2026-02-28T12:00", True),
        (Interval(days_of_month=((1, -1),)), "2026-02-28T12:00", True),
        (Interval(days_of_month=((-31, -28),)), "2026-02-01T12:00", True),
        (Interval(months=((1, 3), (12, 12))), "2026-12-05T12:00", True),
        (Interval(months=((1, 3),)), "2026-04-01T00:00", False),
        (Interval(years=((2020, 2025),)), "2026-01-01T00:00", False),
        (Interval(times=((0, 360),), weekdays=((1, 5),)), "2026-01-03T03:00", False),
    ],
)
def test_fields_and_ranges_or(interval: Interval, moment: str, contained: bool):
    assert interval.contains(at(moment)) is contained


@pytest.mark.parametrize(
    ("intervals", "moment", "changes"),
    [
        ((NIGHT,), "2026-01-01T03:00", "2026-01-01T06:00"),
        ((NIGHT,), "2026-01-01T06:00", "2026-01-01T22:00"),
        ((WEEKDAYS,), "2026-01-02T23:30", "2026-01-03T00:00"),
        ((WEEKDAYS, NIGHT), "2026-01-02T23:30", "2026-01-03T06:00"),
        ((BERLIN,), "2026-01-05T08:30", "2026-01-05T16:00"),
        ((Interval(location="Europe/Berlin", times=((120, 180),)),), "2026-10-24T23:30", "2026-10-25T00:00"),
        ((Interval(years=((2027, 2027),)),), "2026-06-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_the_next_change_is_when_a_mute_begins_or_ends(
    intervals: tuple[Interval, ...], moment: str, changes: str
):
    assert next_change(intervals, at(moment)) == at(changes)


@pytest.mark.parametrize("intervals", [(), (Interval(),), (Interval(years=((1990, 1990),)),)])
def test_what_never_changes_says_so(intervals: tuple[Interval, ...]):
    assert next_change(intervals, at("2026-01-01T00:00")) is None


RANGES = st.tuples(st.integers(0, 1440), st.integers(0, 1440)).filter(lambda span: span[0] < span[1])
DAYS = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda days: (min(days), max(days)))
INTERVALS = st.builds(
    Interval,
    location=st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Berlin", "America/St_Johns"]),
    times=st.lists(RANGES, max_size=2).map(tuple),
    weekdays=st.lists(DAYS, max_size=2).map(tuple),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(INTERVALS, min_size=1, max_size=2).map(tuple), st.integers(0, 366 * 24 * 60))
def test_the_next_change_is_the_first_minute_that_is_another(intervals: tuple[Interval, ...], minute: int):
    """Over a whole year, changes of clocks and all."""
    start = at("2026-01-01T00:00") + minute * 60
    now = any_contains(intervals, start)
    minutes = range(1, 3 * 24 * 60)
    first = next((start + n * 60 for n in minutes if any_contains(intervals, start + n * 60) != now), None)
    found = next_change(intervals, start)
    if first is None:
        assert found is None or found >= start + 3 * 24 * 3600
    else:
        assert found == first
