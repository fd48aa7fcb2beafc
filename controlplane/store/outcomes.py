"""What decisions come to, given what is stored. Pure: the store reads, asks here, then writes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.known.records import (
    Cause,
    Change,
    DecisionRecord,
    LedgerLine,
    OutboxRecord,
    PlacementRecord,
)
from controlplane.loops.ports import NewDecision, NewOrder
from controlplane.store.settlement import changed
from schemas.wire.orders import Verb, Version

DECIDER = "muster"
"""Stands in changes where no person wrote."""
Place = tuple[str, str]
"""(cluster, workload)"""


def charges(decision: NewDecision) -> bool:
    """Whether it takes quota, and so stands on what bounds it."""
    return any(line.amount > 0 for line in decision.lines)


@dataclass(frozen=True)
class Subject:
    """What is decided on: the workload as its row is now, under lock."""

    name: str
    resource_version: int
    deleted: bool


@dataclass(frozen=True)
class Outcome:
    """What people see of a decision. replicas: by cluster, after it. A change is told when it differs."""

    placed: bool
    reason: str
    revision: int
    replicas: Mapping[str, int]


@dataclass
class Outcomes:
    """One transaction's decisions. removed: clusters that take no orders any more. names: of clusters, by id.

    orders: the newest version for each place. quota_moved: what is charged was decided on another quota than
    that which is there now. exhausted: tenants that may be charged nothing more, their budget is spent. The
    fields after it collect what is to be written.
    """

    subjects: Mapping[str, Subject]
    removed: Collection[str]
    names: Mapping[str, str]
    orders: dict[Place, Version]
    last: dict[str, Outcome]
    now: float
    quota_moved: bool = False
    exhausted: Collection[str] = ()
    skipped: set[str] = field(default_factory=set[str])
    decided: dict[str, DecisionRecord] = field(default_factory=dict[str, DecisionRecord])
    placements: dict[Place, PlacementRecord] = field(default_factory=dict[Place, PlacementRecord])
    withdrawn: set[Place] = field(default_factory=set[Place])
    outbox: dict[Place, OutboxRecord] = field(default_factory=dict[Place, OutboxRecord])
    lines: list[LedgerLine] = field(default_factory=list[LedgerLine])
    changes: list[Change] = field(default_factory=list[Change])

    def take(self, decisions: Sequence[NewDecision]) -> None:
        """Each whole, or not at all: then its workload is in `skipped`."""
        for decision in decisions:
            subject = self.subjects.get(decision.workload)
            if subject is None or not self._stands(decision, subject):
                self.skipped.add(decision.workload)
                continue
            for order in decision.orders:
                self._order(decision, order)
            self.lines += decision.lines
            self._tell(decision, subject)
            self.decided[decision.workload] = DecisionRecord(
                workload=decision.workload,
                resource_version=decision.resource_version,
                revision=decision.revision,
                placed=decision.placed,
                reason=decision.reason,
                message=decision.message,
                explanation=decision.explanation,
                decided_at=self.now,
            )

    def _stands(self, decision: NewDecision, subject: Subject) -> bool:
        """Whether it was decided on what is there now; also a removed cluster, or a newer order, is news."""
        if self.quota_moved and charges(decision):
            return False
        if any(self._costs_more(line) for line in decision.lines):
            return False
        return subject.resource_version == decision.resource_version and all(
            order.version > self.orders.get((order.cluster, decision.workload), Version(0, 0))
            and not (order.cluster in self.removed and order.verb is Verb.APPLY)
            for order in decision.orders
        )

    def _costs_more(self, line: LedgerLine) -> bool:
        """Than there is money for. What runs already costs what it costs: it is counted, and not let in."""
        return line.amount > 0 and line.cause is not Cause.MOVED and line.tenant in self.exhausted

    def _order(self, decision: NewDecision, order: NewOrder) -> None:
        place = order.cluster, decision.workload
        self.placements.pop(place, None)
        self.withdrawn.discard(place)
        if order.verb is Verb.APPLY:
            self.placements[place] = PlacementRecord(
                workload=decision.workload,
                cluster=order.cluster,
                replicas=order.replicas,
                revision=order.revision,
                version=order.version,
                template=order.template,
            )
        else:
            self.withdrawn.add(place)
        if order.cluster in self.removed:
            return
        self.orders[place] = order.version
        self.outbox[place] = OutboxRecord(
            cluster=order.cluster,
            workload=decision.workload,
            verb=order.verb,
            version=order.version,
            body=order.body,
            signature=order.signature,
            trace=decision.trace,
        )

    def _tell(self, decision: NewDecision, subject: Subject) -> None:
        before = self.last.get(decision.workload)
        replicas = dict(before.replicas) if before else {}
        for order in decision.orders:
            replicas.pop(order.cluster, None)
            if order.verb is Verb.APPLY:
                replicas[order.cluster] = order.replicas
        outcome = Outcome(decision.placed, decision.reason, decision.revision, replicas)
        self.last[decision.workload] = outcome
        if outcome == before:
            return
        what = "Refused" if not decision.placed else "Withdrawn" if subject.deleted else "Placed"
        detail: dict[str, Any] = {
            "clusters": {self.names.get(each, each): count for each, count in replicas.items()},
            "revision": decision.revision,
            "reason": decision.reason,
            "message": decision.message,
        }
        self.changes.append(changed("Workload", subject.name, decision.workload, what, DECIDER, **detail))
