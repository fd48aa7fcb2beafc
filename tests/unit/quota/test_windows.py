"""When windows of quota are open: by time zone, over midnight, over a clock that is put forward or back."""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.quota.windows import WEEKDAYS, faults, instant, is_open, next_change, overlap
from schemas.manifests.quota import Window

BERLIN = "Europe/Berlin"
APIA = "Pacific/Apia"


def window(name: str = "night", **fields: Any) -> Window:
    return Window.model_validate({"name": name, "nominalQuota": "1", **fields})


def at(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


NIGHT = {"opens": "22:00", "closes": "06:00", "timezone": BERLIN}
# 2026-11-23 is a Monday; clocks there go forward on 2026-03-29 at 02:00, back on 2026-10-25 at 03:00.
OPEN: dict[str, tuple[dict[str, Any], float, bool]] = {
    "all day, when nothing is said": ({}, at("2026-11-23T12:00"), True),
    "the moment at which it opens": ({"opens": "08:00"}, at("2026-11-23T08:00"), True),
    "just before": ({"opens": "08:00"}, at("2026-11-23T08:00") - 0.001, False),
    "the moment at which it closes": ({"closes": "18:00"}, at("2026-11-23T18:00"), False),
    "on the clock of its zone": ({"opens": "08:00", "timezone": BERLIN}, at("2026-11-23T07:00"), True),
    "over midnight, before": (NIGHT, at("2026-11-23T23:00", BERLIN), True),
    "over midnight, after": (NIGHT, at("2026-11-24T05:59", BERLIN), True),
    "over midnight, by day": (NIGHT, at("2026-11-24T06:00", BERLIN), False),
    "a whole day, from hour to same hour": (
        {"opens": "06:00", "closes": "06:00"},
        at("2026-11-23T05:00"),
        True,
    ),
    "on its weekday": ({"weekdays": ["Monday"]}, at("2026-11-23T12:00"), True),
    "on another": ({"weekdays": ["Tuesday"]}, at("2026-11-23T12:00"), False),
    "Friday's night is Friday's on Saturday": (
        {**NIGHT, "weekdays": ["Friday"]},
        at("2026-11-28T05:00", BERLIN),
        True,
    ),
    "and not on Friday morning": ({**NIGHT, "weekdays": ["Friday"]}, at("2026-11-27T05:00", BERLIN), False),
    "on its first day": ({"firstDay": "2026-11-23"}, at("2026-11-23T00:00"), True),
    "before it": ({"firstDay": "2026-11-24"}, at("2026-11-23T23:59"), False),
    "on its last day": ({"lastDay": "2026-11-23"}, at("2026-11-23T23:59"), True),
    "after it": ({"lastDay": "2026-11-22"}, at("2026-11-23T00:00"), False),
    "the last night ends on the day after": (
        {**NIGHT, "lastDay": "2026-11-23"},
        at("2026-11-24T05:00", BERLIN),
        True,
    ),
    "it opens at a time that is skipped: at the skip": (
        {"opens": "02:30", "closes": "04:00", "timezone": BERLIN},
        at("2026-03-29T03:00", BERLIN),
        True,
    ),
    "not before the skip": (
        {"opens": "02:30", "closes": "04:00", "timezone": BERLIN},
        at("2026-03-29T01:59", BERLIN),
        False,
    ),
    "it closes at a time that comes twice: at the first": (
        {"opens": "00:00", "closes": "02:30", "timezone": BERLIN},
        at("2026-10-25T02:10", BERLIN, fold=1),
        False,
    ),
    "a day that the calendar skips": (
        {"firstDay": "2011-12-30", "lastDay": "2011-12-30", "timezone": APIA},
        at("2011-12-31T00:00", APIA),
        False,
    ),
}


@pytest.mark.parametrize(("fields", "moment", "expected"), OPEN.values(), ids=OPEN.keys())
def test_when_it_is_open(fields: dict[str, Any], moment: float, expected: bool) -> None:
    assert is_open(window(**fields), moment) is expected


CHANGES: dict[str, tuple[dict[str, Any], float, float | None]] = {
    "it opens": (NIGHT, at("2026-11-23T12:00", BERLIN), at("2026-11-23T22:00", BERLIN)),
    "it closes": (NIGHT, at("2026-11-23T22:00", BERLIN), at("2026-11-24T06:00", BERLIN)),
    "a night that is an hour short": (
        NIGHT,
        at("2026-03-28T22:00", BERLIN),
        at("2026-03-28T22:00", BERLIN) + 7 * 3600,
    ),
    "a night that is an hour long": (
        NIGHT,
        at("2026-10-24T22:00", BERLIN),
        at("2026-10-24T22:00", BERLIN) + 9 * 3600,
    ),
    "over the days that it skips": (
        {"weekdays": ["Monday"]},
        at("2026-11-24T12:00"),
        at("2026-11-30T00:00"),
    ),
    "days that follow each other are one": (
        {"weekdays": ["Saturday", "Sunday"]},
        at("2026-11-28T00:00"),
        at("2026-11-30T00:00"),
    ),
    "one that is always open": ({}, at("2026-11-23T12:00"), None),
    "its last end, weeks away": ({"lastDay": "2027-06-30"}, at("2026-11-23T12:00"), at("2027-07-01T00:00")),
    "its beginning, years away": ({"firstDay": "2031-01-01"}, at("2026-11-23T12:00"), at("2031-01-01T00:00")),
    "one that is over": ({"lastDay": "2026-11-22"}, at("2026-11-23T12:00"), None),
    "the end of the calendar": ({"lastDay": "9999-12-31"}, at("2026-11-23T12:00"), at("9999-12-30T00:00")),
}


@pytest.mark.parametrize(("fields", "moment", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_the_next_change(fields: dict[str, Any], moment: float, expected: float | None) -> None:
    assert next_change(window(**fields), moment) == expected


TIMES = st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda each: f"{each[0]:02}:{each[1]:02}")
DAYS = st.lists(st.sampled_from(WEEKDAYS), unique=True, max_size=3)
ZONES = st.sampled_from([BERLIN, "UTC", "America/New_York", "Australia/Lord_Howe", APIA])
MOMENTS = st.floats(at("2026-01-01T00:00"), at("2027-12-31T00:00"))


@given(TIMES, TIMES, DAYS, ZONES, MOMENTS)
def test_until_the_next_change_nothing_changes(
    opens: str, closes: str, weekdays: list[str], zone: str, moment: float
) -> None:
    some = window(opens=opens, closes=closes, weekdays=weekdays, timezone=zone)
    changes = next_change(some, moment)
    now = is_open(some, moment)
    if changes is None:
        assert now
        return
    assert changes > moment
    assert is_open(some, changes) != now
    for part in range(1, 50):
        between = moment + (changes - moment) * part / 50
        assert is_open(some, between) == now or between == changes


@given(TIMES, TIMES, DAYS, TIMES, TIMES, DAYS, ZONES, MOMENTS)
def test_windows_that_do_not_overlap_are_never_open_together(
    a: str, b: str, these: list[str], c: str, d: str, those: list[str], zone: str, moment: float
) -> None:
    one = window("one", opens=a, closes=b, weekdays=these, timezone=zone)
    other = window("other", opens=c, closes=d, weekdays=those, timezone=zone)
    assert bool(overlap(one, other)) == bool(overlap(other, one))
    if not overlap(one, other):
        assert not (is_open(one, moment) and is_open(other, moment))


OVERLAPS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "one after the other": ({"closes": "12:00"}, {"opens": "12:00"}, ""),
    "by a minute": ({"closes": "12:01"}, {"opens": "12:00"}, "12:00"),
    "other weekdays": ({"weekdays": ["Monday"]}, {"weekdays": ["Tuesday"]}, ""),
    "a night reaches into the next day": (
        {"weekdays": ["Monday"], "opens": "22:00", "closes": "06:00"},
        {"weekdays": ["Tuesday"], "opens": "05:00"},
        "Tuesday",
    ),
    "the day after that night": (
        {"weekdays": ["Monday"], "opens": "22:00", "closes": "06:00"},
        {"weekdays": ["Tuesday"], "opens": "06:00"},
        "",
    ),
    "other days of the calendar": ({"lastDay": "2026-11-23"}, {"firstDay": "2026-11-24"}, ""),
    "a shared day": ({"lastDay": "2026-11-24"}, {"firstDay": "2026-11-24"}, "Tuesday 2026-11-24 00:00"),
    "no Sunday among the shared days": (
        {"weekdays": ["Sunday"], "lastDay": "2026-11-28"},
        {"firstDay": "2026-11-23"},
        "",
    ),
}


@pytest.mark.parametrize(("one", "other", "when"), OVERLAPS.values(), ids=OVERLAPS.keys())
def test_an_overlap_is_said_with_an_example(one: dict[str, Any], other: dict[str, Any], when: str) -> None:
    said = overlap(window("one", **one), window("other", **other))
    assert bool(said) == bool(when)
    assert when in said


@pytest.mark.parametrize(
    ("windows", "field", "said"),
    [
        ([window(opens="24:00")], "opens", "00:00 of the next day"),
        ([window(firstDay="2026-11-24", lastDay="2026-11-23")], "lastDay", "before firstDay"),
        ([window(closes="12:00"), window(opens="12:00")], "name", "two windows are called night"),
        ([window("a"), window("b", timezone=BERLIN)], "timezone", "one time zone for all"),
        (
            [window("a"), window("b", weekdays=["Tuesday"], opens="08:00")],
            "",
            "windows a and b are both open on Tuesday 08:00: one",
        ),
        (
            [window("a"), window("b", firstDay="2026-12-24")],
            "",
            "windows a and b are both open on Thursday 2026-12-24",
        ),
    ],
)
def test_what_is_wrong_is_said_by_window_and_field(windows: list[Window], field: str, said: str) -> None:
    ((index, where, message),) = faults(windows)
    assert (index, where) == (len(windows) - 1, field)
    assert said in message


def test_a_time_of_day_is_its_first_moment() -> None:
    day = date(2026, 10, 25).toordinal()
    assert instant(BERLIN, day, 150) == at("2026-10-25T02:30", BERLIN, fold=0)
    day = date(2026, 3, 29).toordinal()
    assert instant(BERLIN, day, 150) == at("2026-03-29T03:00", BERLIN)
