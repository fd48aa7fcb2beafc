"""The promises of the world, held against everything that is seen: 1, 3 and 9."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.fence import RECORD_LABEL, from_manifest
from controlplane.alerts.alert import Alert as CommittedAlert
from controlplane.alerts.entry import Arrived
from controlplane.known.records import WorkloadRecord
from schemas.wire.alerts import Alert
from schemas.wire.orders import WORKLOAD_LABEL, ObjectRef, Version
from tests.simulation.ledger import Ledger, ref_of
from tests.simulation.memory_tables import Tables

AlertKey = tuple[str, str, float, float]
"""(cluster, labels, starts_at, ends_at): 0 for one that fires, whose end moves with the time it was held."""


class PromiseBroken(AssertionError):
    """A promise does not hold; the text names it."""


@dataclass
class Promises:
    """`broken` is raised at the next step, with the trace. Cluster ids throughout."""

    ledger: Ledger
    say: Callable[[str], None]
    broken: list[str] = field(default_factory=list[str])
    highest: dict[tuple[str, str], Version] = field(default_factory=dict[tuple[str, str], Version])
    removed: dict[str, set[ObjectRef]] = field(default_factory=dict[str, set[ObjectRef]])
    alerts: set[AlertKey] = field(default_factory=set[AlertKey])
    intents: dict[str, WorkloadRecord] = field(default_factory=dict[str, WorkloadRecord])

    def accuse(self, promise: int, text: str) -> None:
        self.say(f"PROMISE {promise} BROKEN: {text}")
        self.broken.append(f"promise {promise}: {text}")

    def wrote(self, cluster: str, agent: str, manifest: Mapping[str, Any]) -> None:
        """An agent has created, applied or replaced this."""
        labels: Mapping[str, str] = manifest["metadata"].get("labels") or {}
        if RECORD_LABEL in labels:
            self._recorded(cluster, agent, dict(manifest))
        elif WORKLOAD_LABEL in labels:
            self._carried_out(cluster, agent, labels[WORKLOAD_LABEL], manifest)

    def _recorded(self, cluster: str, agent: str, manifest: dict[str, Any]) -> None:
        entry = from_manifest(manifest)
        key = cluster, entry.workload
        highest = self.highest.get(key)
        if highest is not None and entry.version < highest:
            self.accuse(3, f"{agent} recorded {entry.version} of {entry.workload} below {highest}")
        self.highest[key] = max(highest or entry.version, entry.version)

    def _carried_out(self, cluster: str, agent: str, workload: str, manifest: Mapping[str, Any]) -> None:
        ref = ref_of(manifest)
        versions = self.ledger.versions_of(cluster, workload, ref, manifest)
        highest = self.highest.get((cluster, workload))
        if not versions:
            self.accuse(3, f"{agent} wrote {ref} of {workload} as nobody ordered it")
        elif highest is None or highest < min(versions):
            self.accuse(3, f"{agent} wrote {ref} of {workload} at {min(versions)}, recorded is {highest}")
        elif highest not in versions and max(versions) < highest:
            self.accuse(3, f"{agent} wrote {ref} of {workload} at {max(versions)}, recorded is {highest}")

    def deleted(self, cluster: str, agent: str, ref: ObjectRef, live: Mapping[str, Any] | None) -> None:
        """An agent has deleted what was `live` there."""
        labels: Mapping[str, str] = (live or {}).get("metadata", {}).get("labels") or {}
        workload = labels.get(WORKLOAD_LABEL)
        self.removed.setdefault(cluster, set()).add(ref)
        if live is None or workload is None:
            if live is not None:
                self.accuse(9, f"{agent} deleted {ref}, which is no workload's")
            return
        highest = self.highest.get((cluster, workload))
        order = self.ledger.order(cluster, workload, highest) if highest else None
        if order is None or not order.removes(ref):
            self.accuse(
                9, f"{agent} deleted {ref} of {workload}; recorded is {order and order.verb} {highest}"
            )

    def stood(self, cluster: str, before: set[ObjectRef], after: set[ObjectRef]) -> None:
        """What was there at the last step, and is now."""
        gone = before - after - self.removed.pop(cluster, set())
        for ref in sorted(gone):
            self.accuse(9, f"{ref} vanished from {cluster}, and no agent deleted it")

    def took_alerts(self, cluster: str, alerts: list[Alert], received_at: float) -> None:
        """The spool has returned: these are accepted."""
        self.alerts |= {alert_key(cluster, alert, received_at) for alert in alerts}

    def kept(self, tables: Tables, spooled: set[AlertKey]) -> None:
        """Promise 1: what was accepted is committed, or still spooled."""
        committed = {
            key
            for link in tables.alerts.values()
            for entry in link.entries
            if isinstance(entry, Arrived)
            for alert in entry.alerts
            for key in _committed_keys(alert)
        }
        for key in sorted(self.alerts - committed - spooled):
            self.accuse(1, f"an accepted alert is neither committed nor spooled: {key}")
        self.alerts -= committed
        for uid, accepted in self.intents.items():
            stored = tables.workloads.get(uid)
            if stored is None or stored.resource_version < accepted.resource_version:
                self.accuse(
                    1, f"{accepted.name} was accepted at {accepted.resource_version}, stored: {stored}"
                )

    def raise_if_broken(self) -> None:
        if self.broken:
            raise PromiseBroken("; ".join(self.broken))


def alert_key(cluster: str, alert: Alert, received_at: float) -> AlertKey:
    labels = ",".join(f"{name}={value}" for name, value in sorted(alert.labels.items()))
    return cluster, labels, alert.starts_at, alert.ends_at if alert.ends_at <= received_at else 0.0


def _committed_keys(alert: CommittedAlert) -> list[AlertKey]:
    """As `alert_key`: without what the centre adds, the cluster's name and an end that nobody said.

    By the centre's clock, one that ended just now by the agent's may fire still.
    """
    labels = ",".join(f"{name}={value}" for name, value in alert.identity.items() if name != "cluster")
    fires = alert.timed or not alert.resolved(alert.updated_at)
    ends = [*([0.0] if fires else []), *([] if alert.timed else [alert.ends_at])]
    return [(alert.source, labels, alert.starts_at, each) for each in ends]
