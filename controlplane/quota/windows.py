"""When a window of quota is open: on the clock of its time zone, exactly, also where that clock is set anew.

A time of day is the first moment of its day at which the clock shows it or a later one. So a time that is
skipped is the moment of the skip, and one that comes twice is its first: windows that share no minute on the
clock are never open together.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.manifests.quota import Window

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DAY_MINUTES = 24 * 60
_FIRST = date(1970, 1, 1).toordinal()
_LAST = date.max.toordinal() - 2
_EVERY_WEEKDAY_WITHIN_DAYS = 10


def is_open(window: Window, at: float) -> bool:
    """at: Unix seconds. The moment at which it closes is no longer part of it."""
    return _standing(window, at)[1]


def next_change(window: Window, at: float) -> float | None:
    """The first moment after `at` at which it opens or closes; None where it never does again."""
    return _standing(window, at)[2]


_Standing = tuple[float, bool, float | None]
"""From when on, whether it is open, until when."""
_REMEMBERED = 65_536
_standings: dict[tuple[object, ...], _Standing] = {}


def _standing(window: Window, at: float) -> _Standing:
    """Worked out once from one change to the next, however many tenants have the same window."""
    weekdays = tuple(window.weekdays)
    key = (window.timezone, window.opens, window.closes, weekdays, window.first_day, window.last_day)
    held = _standings.get(key)
    if held is None or at < held[0] or (held[2] is not None and at >= held[2]):
        if len(_standings) >= _REMEMBERED:
            _standings.clear()
        held = _standings[key] = at, _is_open(window, at), _next_change(window, at)
    return held


def _is_open(window: Window, at: float) -> bool:
    day = local_day(window.timezone, at)
    return any(
        begins <= at < ends
        for each in range(day - 2, day + 2)
        if _opens_on(window, each)
        for begins, ends in [_occurrence(window, each)]
    )


def _next_change(window: Window, at: float) -> float | None:
    now_open = _is_open(window, at)
    for moment in _boundaries(window, at):
        if _is_open(window, moment) != now_open:
            return moment
    return _last_end(window) if now_open and window.last_day is not None else None


def _boundaries(window: Window, at: float) -> Iterator[float]:
    """Those after `at`, over so many days that every weekday was among them."""
    start = max(local_day(window.timezone, at) - 2, _first(window))
    moments: set[float] = set()
    for day in range(start, min(start + _EVERY_WEEKDAY_WITHIN_DAYS, _LAST)):
        if _opens_on(window, day):
            moments.update(_occurrence(window, day))
    yield from sorted(each for each in moments if each > at)


def _last_end(window: Window) -> float | None:
    """When it has closed for the last time."""
    last = _last(window)
    for day in range(last, max(last - 7, _FIRST), -1):
        if _opens_on(window, day):
            return _occurrence(window, day)[1]
    return None


def overlap(one: Window, other: Window) -> str:
    """When both are open, as `Monday 22:00`; "" for never. Both are of the same time zone.

    The day of the calendar is told where one of them is bound to it.
    """
    dated = one.first_day or other.first_day
    for days in (-1, 0, 1):
        minute = max(_opens(one), _opens(other) + days * _DAY_MINUTES)
        if minute >= min(_closes(one), _closes(other) + days * _DAY_MINUTES):
            continue
        first = max(_first(one), _first(other) - days)
        last = min(_last(one), _last(other) - days, first + 6)
        for day in range(first, last + 1):
            if _opens_on(one, day) and _opens_on(other, day + days):
                shown = date.fromordinal(day + minute // _DAY_MINUTES)
                clock = f"{minute % _DAY_MINUTES // 60:02}:{minute % 60:02}"
                return (
                    f"{WEEKDAYS[shown.weekday()]} {shown} {clock}"
                    if dated
                    else f"{WEEKDAYS[shown.weekday()]} {clock}"
                )
    return ""


def faults(windows: Sequence[Window]) -> Iterator[tuple[int, str, str]]:
    """(index of the window, field of it or "", what is wrong and what would be right)."""
    for index, each in enumerate(windows):
        if each.opens == "24:00":
            yield index, "opens", "24:00 is 00:00 of the next day: say that"
        if each.first_day and each.last_day and each.last_day < each.first_day:
            yield index, "lastDay", f"{each.last_day} is before firstDay, {each.first_day}"
        for other in windows[:index]:
            if other.name == each.name:
                yield index, "name", f"two windows are called {each.name}: each by its own name"
            elif other.timezone != each.timezone:
                said = f"{each.timezone}, but window {other.name} has {other.timezone}"
                yield index, "timezone", f"{said}: one time zone for all windows of a resource"
            elif both := overlap(other, each):
                yield (
                    index,
                    "",
                    f"windows {other.name} and {each.name} are both open on {both}: one at a time",
                )


def opened(windows: Iterable[Window], at: float) -> Window | None:
    """The one that is open."""
    return next((each for each in windows if is_open(each, at)), None)


def _occurrence(window: Window, day: int) -> tuple[float, float]:
    return instant(window.timezone, day, _opens(window)), instant(window.timezone, day, _closes(window))


def _opens_on(window: Window, day: int) -> bool:
    if not _first(window) <= day <= _last(window):
        return False
    return not window.weekdays or WEEKDAYS[(day - 1) % 7] in window.weekdays


def _opens(window: Window) -> int:
    return _minute(window.opens)


def _closes(window: Window) -> int:
    """Minutes after midnight of the day on which it opens."""
    closes = _minute(window.closes)
    return closes if closes > _opens(window) else closes + _DAY_MINUTES


def _minute(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _first(window: Window) -> int:
    return max(date.fromisoformat(window.first_day).toordinal(), _FIRST) if window.first_day else _FIRST


def _last(window: Window) -> int:
    return min(date.fromisoformat(window.last_day).toordinal(), _LAST) if window.last_day else _LAST


def local_day(timezone: str, at: float) -> int:
    """The day, counted from 1 January of the year 1, that the calendar of the zone shows."""
    return datetime.fromtimestamp(at, ZoneInfo(timezone)).toordinal()


@lru_cache(maxsize=65_536)
def instant(timezone: str, day: int, minute: int = 0) -> float:
    """Unix seconds of the first moment at which the clock shows that minute of the day, or a later one."""
    zone = ZoneInfo(timezone)
    wanted = datetime.fromordinal(day) + timedelta(minutes=minute)
    found = wanted.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == wanted:
        return found.timestamp()
    return float(_skip(zone, wanted))


def _skip(zone: ZoneInfo, wanted: datetime) -> int:
    """The second at which the clock goes over `wanted` without showing it."""
    late = int(wanted.replace(tzinfo=zone).timestamp())
    early = int(wanted.replace(tzinfo=zone, fold=1).timestamp())
    while late - early > 1:
        middle = (early + late) // 2
        if datetime.fromtimestamp(middle, zone).replace(tzinfo=None) < wanted:
            early = middle
        else:
            late = middle
    return late
