"""Alerts of clusters that are not heard from: that nobody says them again is no sign that they ended.

1. Which clusters are silent: joined, and no beat for SILENT_SECONDS.
2. What fires of theirs and is about to run out is said to go on, a little further than the next look.
What the agent brings on catching up is younger, and holds. Alertmanager, which hears Prometheus directly,
resolves such alerts after resolve_timeout, and tells people so.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import structlog

from controlplane.alerts.alert import Alert
from controlplane.alerts.entry import Arrived, Entry
from controlplane.known.known import Known
from controlplane.known.records import Standing
from controlplane.loops.ports import Clock

log = structlog.get_logger()

PASS_SECONDS = 15.0
SILENT_SECONDS = 30.0
"""Three beats."""
AHEAD_SECONDS = 60.0
HOLDS_SECONDS = 300.0
AT_ONCE = 200


class Holding:
    """For one epoch. alerts: of the board, as they are now."""

    def __init__(
        self,
        known: Known,
        alerts: Callable[[], Mapping[str, Alert]],
        append: Callable[[Sequence[Entry]], Awaitable[Sequence[int]]],
        clock: Clock,
    ) -> None:
        self._known, self._alerts, self._append, self._clock = known, alerts, append, clock
        self._silent: frozenset[str] = frozenset()
        self._began_at = clock.now()

    async def run_pass(self) -> None:
        now = self._clock.now()
        silent = self._silent_clusters(now)
        for cluster in sorted(silent - self._silent):
            name = self._known.clusters[cluster].name
            log.warning("alerts_held", cluster=name, detail="not heard from: what fires there goes on")
        self._silent = silent
        held = _running_out(self._alerts().values(), silent, now) if silent else []
        for start in range(0, len(held), AT_ONCE):
            await self._append([Arrived(now, held[start : start + AT_ONCE])])

    def _silent_clusters(self, now: float) -> frozenset[str]:
        """Who was not heard at all since this epoch began is missed from then on."""
        heard = self._known.heard
        return frozenset(
            record.id
            for record in self._known.clusters.values()
            if record.standing is Standing.JOINED
            and now - (heard[record.id].at if record.id in heard else self._began_at) > SILENT_SECONDS
        )


def _running_out(alerts: Iterable[Alert], silent: frozenset[str], now: float) -> list[Alert]:
    """When it was last heard of stays: what comes later is younger."""
    return [
        replace(alert, ends_at=now + HOLDS_SECONDS, timed=True)
        for alert in alerts
        if alert.source in silent and now < alert.ends_at < now + AHEAD_SECONDS
    ]
