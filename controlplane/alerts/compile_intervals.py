"""`time_intervals` of the file as intervals."""

import re
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from controlplane.alerts.intervals import Interval, Range
from controlplane.alerts.problems import Problems
from schemas.manifests.alertmanager import IntervalSection, TimeRange
from schemas.manifests.alertmanager_yaml import Path

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)


def compile_interval(section: IntervalSection, path: Path, problems: Problems) -> Interval:
    """What is wrong goes to `problems`; such a field is left out of what is returned."""

    def ranges(field: str, texts: Sequence[str], read: Callable[[str], Range]) -> tuple[Range, ...]:
        found: list[Range] = []
        for place, text in enumerate(texts):
            try:
                found.append(read(text.lower()))
            except ValueError as error:
                problems.add((*path, field, place), str(error))
        return tuple(found)

    return Interval(
        location=_location(section.location, path, problems),
        times=_times(section.times, path, problems),
        weekdays=ranges("weekdays", section.weekdays, _weekdays),
        days_of_month=ranges("days_of_month", section.days_of_month, _days),
        months=ranges("months", section.months, _months),
        years=ranges("years", section.years, _years),
    )


def _times(times: Sequence[TimeRange], path: Path, problems: Problems) -> tuple[Range, ...]:
    found: list[Range] = []
    for place, each in enumerate(times):
        minutes: list[int] = []
        for field, text in (("start_time", each.start_time), ("end_time", each.end_time)):
            if _CLOCK.fullmatch(text):
                minutes.append(int(text[:2]) * 60 + int(text[3:]))
            else:
                problems.add((*path, "times", place, field), f"{text!r}: HH:MM is needed, 00:00 to 24:00")
        if len(minutes) == 2 and minutes[0] >= minutes[1]:
            right = "must be after start_time; a range over midnight is written as two"
            problems.add((*path, "times", place, "end_time"), right)
        elif len(minutes) == 2:
            found.append((minutes[0], minutes[1]))
    return tuple(found)


def _location(name: str, path: Path, problems: Problems) -> str:
    if name in ("", "UTC"):
        return "UTC"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems.add((*path, "location"), f"{name!r} is no time zone: a name as Europe/Berlin is needed")
        return "UTC"
    return name


def _range(text: str, read: Callable[[str], int], right: str) -> Range:
    start, colon, end = text.partition(":")
    try:
        first = read(start)
        return first, read(end) if colon else first
    except (ValueError, KeyError):
        raise ValueError(f"{text!r}: {right}") from None


def _in_order(span: Range, text: str) -> Range:
    if span[0] > span[1]:
        raise ValueError(f"{text!r}: the first must not be after the last")
    return span


def _weekdays(text: str) -> Range:
    right = "a day or a range of days is needed, as saturday or monday:friday"
    return _in_order(_range(text, _WEEKDAYS.index, right), text)


def _months(text: str) -> Range:
    def read(month: str) -> int:
        number = _MONTHS.index(month) + 1 if month in _MONTHS else int(month)
        if not 1 <= number <= 12:
            raise ValueError
        return number

    return _in_order(_range(text, read, "a month or a range is needed, as may, 5 or january:march"), text)


def _years(text: str) -> Range:
    return _in_order(_range(text, int, "a year or a range is needed, as 2026 or 2026:2028"), text)


def _days(text: str) -> Range:
    def read(day: str) -> int:
        number = int(day)
        if number == 0 or abs(number) > 31:
            raise ValueError
        return number

    start, end = _range(text, read, "days 1 to 31, or -31 to -1 from the end, as 1:7 or -3:-1")
    if start < 0 < end:
        raise ValueError(f"{text!r}: where the first counts from the end, the last does too")
    # No month is shorter than 28 days; what is in order there is in order in every month.
    shortest = tuple(28 + day if day < 0 else day for day in (start, end))
    _in_order((shortest[0], shortest[1]), text)
    return start, end
