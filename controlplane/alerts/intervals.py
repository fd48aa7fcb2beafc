"""Time intervals as Alertmanager has them: when a route is muted, or active."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

Range = tuple[int, int]
_MINUTE = 60
_MOST_DAYS = 366


@dataclass(frozen=True, slots=True)
class Interval:
    """One entry of `time_intervals`; its fields AND, the ranges of a field OR; an empty field is all.

    times: minutes of the day, [start, end), 1440 is its end. weekdays: 0 is Sunday. days_of_month: negative
    ones count from the end, -1 is the last. All but times include both ends.
    """

    location: str = "UTC"
    times: tuple[Range, ...] = ()
    weekdays: tuple[Range, ...] = ()
    days_of_month: tuple[Range, ...] = ()
    months: tuple[Range, ...] = ()
    years: tuple[Range, ...] = ()

    def contains(self, at: float) -> bool:
        """at: Unix seconds."""
        moment = datetime.fromtimestamp(at, _zone(self.location))
        minute = moment.hour * 60 + moment.minute
        if self.times and not any(start <= minute < end for start, end in self.times):
            return False
        return self._has_day(moment)

    def _has_day(self, moment: datetime) -> bool:
        if self.days_of_month and not any(_in_month(moment, days) for days in self.days_of_month):
            return False
        return (
            _within(self.months, moment.month)
            and _within(self.weekdays, moment.isoweekday() % 7)
            and _within(self.years, moment.year)
        )


def any_contains(intervals: Sequence[Interval], at: float) -> bool:
    return any(interval.contains(at) for interval in intervals)


def next_change(intervals: Sequence[Interval], at: float) -> float | None:
    """When any_contains is next another than it is at `at`, Unix seconds; None: not within a year.

    To the minute; a group whose mute ends is flushed then. Remembered: many groups ask in the same minute.
    """
    return _next_change(tuple(intervals), int(at // _MINUTE))


@lru_cache(maxsize=1_024)
def _next_change(intervals: tuple[Interval, ...], minute: int) -> float | None:
    at = float(minute * _MINUTE)
    now = any_contains(intervals, at)
    moments = _candidates(intervals, at)
    return next((moment for moment in moments if any_contains(intervals, moment) != now), None)


def _candidates(intervals: Sequence[Interval], at: float) -> list[float]:
    """Every moment within a year at which one of them can begin or end, the soonest first.

    An hour that clocks repeat counts both times; one that they leave out is where they jump.
    """
    moments: set[float] = set()
    for interval in intervals:
        zone = _zone(interval.location)
        first = datetime.fromtimestamp(at, zone).replace(hour=0, minute=0, second=0, microsecond=0)
        minutes = {0} | {minute for times in interval.times for minute in times}
        for day in range(_MOST_DAYS + 1):
            midnight = first + timedelta(days=day)
            for minute in minutes:
                moment = midnight + timedelta(minutes=minute)
                moments |= {moment.timestamp(), moment.replace(fold=1).timestamp()}
    return sorted(moment for moment in moments if moment > at)


def _within(ranges: tuple[Range, ...], value: int) -> bool:
    return not ranges or any(start <= value <= end for start, end in ranges)


def _in_month(moment: datetime, days: Range) -> bool:
    """A range that begins after the end of a short month has no day there; one that ends after it is cut."""
    following = (moment.replace(day=28, hour=12) + timedelta(days=4)).replace(day=1)
    length = (following - timedelta(days=1)).day
    start, end = (day + length + 1 if day < 0 else day for day in days)
    return start <= length and max(start, -length) <= moment.day <= min(end, length)


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
