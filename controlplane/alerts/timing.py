"""When a route is silent by its intervals, and when that changes."""

from collections.abc import Mapping, Sequence
from math import inf

from controlplane.alerts.configuration import Route
from controlplane.alerts.intervals import Interval, any_contains, next_change
from controlplane.alerts.notice import What

_MINUTE = 60


class Timing:
    """Remembers the answers of the minute it was last asked for: many groups ask in the same one."""

    def __init__(self, intervals: Mapping[str, Sequence[Interval]]) -> None:
        self._intervals = intervals
        self._minute = -1
        self._known: dict[str, bool] = {}

    def silent(self, route: Route, at: float) -> tuple[What, str] | None:
        """Outside of all its active intervals, else within one that mutes it; and their names."""
        if route.active and not any(self._within(name, at) for name in route.active):
            return What.INACTIVE, ",".join(route.active)
        muting = [name for name in route.mute if self._within(name, at)]
        return (What.MUTED, ",".join(muting)) if muting else None

    def changes_at(self, route: Route, at: float) -> float:
        """The next moment at which one of its intervals begins or ends; inf: not within a year."""
        found = (next_change(self._intervals.get(name, ()), at) for name in (*route.active, *route.mute))
        return min((each for each in found if each is not None), default=inf)

    def _within(self, name: str, at: float) -> bool:
        minute = int(at // _MINUTE)
        if minute != self._minute:
            self._minute = minute
            self._known.clear()
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = any_contains(self._intervals.get(name, ()), at)
        return known
