"""Silences that return: a cron expression says when one begins, a duration how long it holds.

Cron as Debian's (cronsim): five fields, also across changes of daylight saving time in the zone it names.
"""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

LONGEST_SECONDS = 7 * 86_400.0
MOST_EXPRESSION = 128
_MINUTE_SECONDS = 60


def check_recurrence(cron: str, duration_seconds: float, timezone: str) -> None:
    """Raises ValueError, naming what of it is wrong and what would be right."""
    if len(cron) > MOST_EXPRESSION or len(cron.split()) != 5:
        raise ValueError(f"cron {cron[:MOST_EXPRESSION]!r}: five fields, as `0 22 * * SAT`")
    if not 60 <= duration_seconds <= LONGEST_SECONDS:
        raise ValueError(f"duration {duration_seconds:g} s: from a minute to a week")
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"timezone {timezone!r} is not known; as Europe/Berlin, or UTC") from error
    try:
        next(CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"cron {cron!r}: {str(error) or 'never comes'}") from error


@lru_cache(maxsize=1_024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def window_at(cron: str, duration_seconds: float, timezone: str, now: float) -> tuple[float, float] | None:
    """The window [start, end) that `now` lies in, None outside. Unix seconds.

    Windows that overlap count as one after the other: the latest that has begun.
    """
    begun = _begun(cron, timezone, int(now // _MINUTE_SECONDS))
    if begun is None or now >= begun + duration_seconds:
        return None
    return begun, begun + duration_seconds


def next_start(cron: str, timezone: str, now: float) -> float | None:
    """When it begins the next time, after `now`; None: never."""
    return _next(cron, timezone, int(now // _MINUTE_SECONDS))


@lru_cache(maxsize=8_192)
def _begun(cron: str, timezone: str, minute: int) -> float | None:
    # Cron knows minutes: all moments of one have the same answer, and many alerts ask within one. Backwards
    # the library goes by whole seconds, and leaves out the moment itself.
    at = datetime.fromtimestamp(minute * _MINUTE_SECONDS + 1, _zone(timezone))
    return _moment(CronSim(cron, at, reverse=True))


@lru_cache(maxsize=8_192)
def _next(cron: str, timezone: str, minute: int) -> float | None:
    return _moment(CronSim(cron, datetime.fromtimestamp(minute * _MINUTE_SECONDS, _zone(timezone))))


def _moment(times: CronSim) -> float | None:
    try:
        return next(times).timestamp()
    except StopIteration:
        return None
