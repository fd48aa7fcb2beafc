"""Alerts that the agent makes itself: each trouble is said when it begins, and once when it ends."""

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

import structlog

from agents.alerts.writing import SpoolWriter
from agents.local_notices import labels_key
from agents.ports import Clock
from agents.spool import BatchTooLarge, SpoolFull
from schemas.wire.alerts import Alert

SOURCE = "muster-agent"
AT_ONCE = 200
MOST_FIRING = 5_000
LASTS_SECONDS = 3600.0
"""What fires is said to last so long, and said again when half of that is over: an agent that is away for a
while leaves its cluster's troubles standing, and one that never comes back does not leave them for ever."""
_TEXT_LONGEST = 1000
_log = structlog.get_logger()


@dataclass(frozen=True)
class Trouble:
    """What is wrong with one thing. labels: what it is about, with `alertname` and `severity`.

    for_seconds: it is said once it has lasted so long. keep_seconds: it is over once it was gone so long, or
    once none of `pods`, (namespace, name), is there any more.
    """

    labels: Mapping[str, str]
    summary: str
    details: Mapping[str, str] = field(default_factory=dict[str, str])
    for_seconds: float = 0.0
    keep_seconds: float = 0.0
    pods: frozenset[tuple[str, str]] = frozenset()

    @property
    def key(self) -> bytes:
        return labels_key({**self.labels, "source": SOURCE})


def trouble(
    alertname: str,
    severity: str,
    summary: str,
    about: Mapping[str, str],
    description: str = "",
    *,
    for_seconds: float = 0.0,
    keep_seconds: float = 0.0,
    pods: frozenset[tuple[str, str]] = frozenset(),
) -> Trouble:
    """about: further labels; those without a value are left out."""
    labels = {"alertname": alertname, "severity": severity, **{k: v for k, v in about.items() if v}}
    said = {"description": description[:_TEXT_LONGEST]} if description else {}
    return Trouble(labels, summary[:_TEXT_LONGEST], said, for_seconds, keep_seconds, pods)


def nothing_unknown(_: Mapping[str, str]) -> bool:
    """Everything can be seen."""
    return False


class ClusterAlerts:
    """For one term: made when it starts.

    A trouble that could not be spooled is tried again at the next look: nothing is taken as said before it is
    on the disk. What fires is kept on the disk too, so that its end is said whoever died meanwhile. In a new
    term what still hurts is said again, since another agent may have said its end; the centre merges.
    """

    def __init__(self, writer: SpoolWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._firing = {labels_key(alert.labels): alert for alert in writer.spool.firing()}
        self._said: dict[bytes, float] = {}
        self._since: dict[bytes, float] = {}
        self._seen: dict[bytes, tuple[Trouble, float]] = {}
        self._overflowed = False

    @property
    def firing(self) -> Mapping[bytes, Alert]:
        """By the key of the trouble."""
        return self._firing

    async def look(
        self,
        troubles: Mapping[bytes, Trouble],
        unknown: Callable[[Mapping[str, str]], bool] = nothing_unknown,
        pods: Container[tuple[str, str]] = (),
    ) -> None:
        """Spool what began or ended since the last look. troubles: all there are now, by their keys.

        unknown: whether, of what has such labels, nothing can be seen now: what fires of it goes on.
        pods: all that are there.
        """
        now = self._clock.now()
        steady = self._steady(troubles, pods, now)
        began = {
            key: _firing(each, self._firing.get(key), now)
            for key, each in self._bounded(steady).items()
            if now - self._said.get(key, -math.inf) >= LASTS_SECONDS / 2
        }
        ended = {
            key: _resolved(alert, now)
            for key, alert in self._firing.items()
            if key not in steady and not unknown(alert.labels)
        }
        changes = sorted((began | ended).items(), key=lambda pair: (pair[0] in began, pair[0]))
        for start in range(0, len(changes), AT_ONCE):
            batch = changes[start : start + AT_ONCE]
            try:
                await self._writer.write([alert for _, alert in batch], keep_firing=True)
            except (SpoolFull, BatchTooLarge) as error:
                _log.error("alerts_not_spooled", alerts=len(batch), detail=str(error))
                return
            for key, alert in batch:
                if key in began:
                    self._firing[key] = alert
                    self._said[key] = now
                else:
                    del self._firing[key]
                    self._said.pop(key, None)

    def _steady(
        self, troubles: Mapping[bytes, Trouble], pods: Container[tuple[str, str]], now: float
    ) -> dict[bytes, Trouble]:
        """Without what has not lasted long enough, with what has not been gone for long enough."""
        self._since = {key: self._since.get(key, now) for key in troubles}
        steady = {
            key: each
            for key, each in troubles.items()
            if key in self._firing or now - self._since[key] >= each.for_seconds
        }
        for key, each in steady.items():
            if each.keep_seconds:
                self._seen[key] = each, now
        for key, (each, seen_at) in list(self._seen.items()):
            is_there = not each.pods or any(pod in pods for pod in each.pods)
            if key in self._firing and is_there and now - seen_at < each.keep_seconds:
                steady.setdefault(key, each)
            elif key not in steady:
                del self._seen[key]
        return steady

    def _bounded(self, troubles: Mapping[bytes, Trouble]) -> Mapping[bytes, Trouble]:
        """What fires already goes on; of what is new, as much as there is room for."""
        room = MOST_FIRING - len(self._firing)
        new = [key for key in troubles if key not in self._firing]
        if len(new) <= room:
            self._overflowed = False
            return troubles
        if not self._overflowed:
            self._overflowed = True
            _log.error("too_many_troubles", found=len(troubles), most=MOST_FIRING)
        left_out = set(new[max(0, room) :])
        return {key: each for key, each in troubles.items() if key not in left_out}


def _firing(found: Trouble, before: Alert | None, now: float) -> Alert:
    return Alert(
        labels={**found.labels, "source": SOURCE},
        annotations={"summary": found.summary, **found.details},
        starts_at=before.starts_at if before is not None else now,
        ends_at=now + LASTS_SECONDS,
    )


def _resolved(alert: Alert, now: float) -> Alert:
    return Alert(
        labels=alert.labels,
        annotations=alert.annotations,
        starts_at=alert.starts_at,
        ends_at=max(now, alert.starts_at),
    )


def by_key(*troubles: Trouble) -> dict[bytes, Trouble]:
    """The first of each key."""
    found: dict[bytes, Trouble] = {}
    for each in troubles:
        found.setdefault(each.key, each)
    return found
