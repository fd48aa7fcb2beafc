"""Alerts that the agent makes itself: of nodes that are not ready or under pressure."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from agents.observe.rows import NodeRow
from agents.ports import Clock
from agents.spool import BatchTooLarge, Spool, SpoolFull
from schemas.wire.alerts import Alert

_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
AT_ONCE = 200
_log = structlog.get_logger()


@dataclass(frozen=True)
class Trouble:
    """What is wrong with one node."""

    node: str
    alertname: str
    severity: str
    summary: str


def troubles_of(nodes: Mapping[str, NodeRow]) -> dict[tuple[str, str], Trouble]:
    """What hurts now, by (node, alert name)."""
    found: dict[tuple[str, str], Trouble] = {}
    for name, node in nodes.items():
        if "Ready" not in node.conditions:
            trouble = Trouble(name, "NodeNotReady", "critical", f"Node {name} is not ready")
            found[name, trouble.alertname] = trouble
        for pressure in _PRESSURES:
            if pressure in node.conditions:
                trouble = Trouble(name, f"Node{pressure}", "warning", f"Node {name} reports {pressure}")
                found[name, trouble.alertname] = trouble
    return found


class NodeAlerts:
    """Says each trouble when it begins and once when it ends. For one term: made when it starts.

    A trouble that could not be spooled is tried again at the next look: nothing is taken as said before it is
    on the disk. What fires is kept on the disk too, so that its end is said whoever died meanwhile. In a new
    term what still hurts is said again, since another agent may have said its end; the centre merges.
    """

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._firing = {_key(alert): alert for alert in spool.firing()}
        self._said: set[tuple[str, str]] = set()

    def look(self, nodes: Mapping[str, NodeRow]) -> None:
        """Spool what began or ended since the last look. nodes: all there are; the others have vanished."""
        now = self._clock.now()
        troubles = troubles_of(nodes)
        began = {
            key: self._firing.get(key) or _firing(trouble, now)
            for key, trouble in troubles.items()
            if key not in self._said
        }
        ended = {key: _resolved(alert, now) for key, alert in self._firing.items() if key not in troubles}
        changes = sorted((began | ended).items())
        for start in range(0, len(changes), AT_ONCE):
            batch = changes[start : start + AT_ONCE]
            try:
                self._spool.append([alert for _, alert in batch], received_at=now, keep_firing=True)
            except (SpoolFull, BatchTooLarge) as error:
                _log.error("alerts_not_spooled", alerts=len(batch), detail=str(error))
                return
            for key, alert in batch:
                if key in began:
                    self._firing[key] = alert
                    self._said.add(key)
                else:
                    del self._firing[key]
                    self._said.discard(key)


def _key(alert: Alert) -> tuple[str, str]:
    return alert.labels["node"], alert.labels["alertname"]


def _firing(trouble: Trouble, now: float) -> Alert:
    labels = {"alertname": trouble.alertname, "node": trouble.node, "severity": trouble.severity}
    return Alert(
        labels={**labels, "source": "muster-agent"}, annotations={"summary": trouble.summary}, starts_at=now
    )


def _resolved(alert: Alert, now: float) -> Alert:
    return Alert(labels=alert.labels, annotations=alert.annotations, starts_at=alert.starts_at, ends_at=now)
