"""What follows from a decision: its orders, what they promise, and what is charged for them.

What is promised and charged counts at once for the decisions that follow, also before it is committed.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controlplane.fleet import Promise
from controlplane.known.admitting import Admission
from controlplane.known.charges import Asking
from controlplane.known.charging import beyond, lines_of
from controlplane.known.compiling import Compiled
from controlplane.known.explained import explained, gave_way
from controlplane.known.known import Known
from controlplane.known.losing import DELETED, PLACED
from controlplane.known.records import LedgerLine, PlacementRecord, WorkloadRecord
from controlplane.known.views import Views, summary
from controlplane.loops.due import Due, decided
from controlplane.loops.failover import listed
from controlplane.loops.made import Made
from controlplane.loops.orders import OrderWriter, Signer, understood_anew
from controlplane.loops.ports import Clock, NewDecision, NewOrder
from controlplane.loops.promises import promise_of
from controlplane.loops.versions import Versions
from controlplane.placement import ClusterView, Refused
from controlplane.placement.filters import beyond_rights
from controlplane.placement.spelling import adaptions
from controlplane.placement.wording import counted
from controlplane.quota.problems import MOST
from controlplane.quota.quota import NOTHING, Amounts
from schemas.reasons import Reason
from schemas.wire.orders import Verb, Version


class BeyondCounting(ValueError):
    """More than a line of the ledger holds: of what runs on every node, no room is asked."""

    reason = Reason.INVALID


@dataclass
class _Issued:
    """kept: why it stays as it is in a cluster that lacks what it has there."""

    orders: list[NewOrder] = field(default_factory=list[NewOrder])
    promises: dict[str, Promise] = field(default_factory=dict[str, Promise])
    kept: list[str] = field(default_factory=list[str])


class Ordering:
    """Of one epoch."""

    def __init__(
        self, known: Known, views: Views, signer: Signer, clock: Clock, versions: Versions, due: Due
    ) -> None:
        self._known = known
        self._views = views
        self._signer = signer
        self._clock = clock
        self._versions = versions
        self._due = due

    def placed(self, admission: Admission, gone: Collection[str] = ()) -> Made | None:
        """None where it stays as it stands. gone: lost clusters from which it is placed again.

        Raises OrderTooLarge, BeyondCounting.
        """
        _check_countable(admission)
        record, assignments = admission.compiled.record, admission.decision.assignments
        issued = self._issued(admission)
        again = [f"placed again: {listed(self._known, gone)} is lost"] if gone else []
        message = ", ".join([summary(assignments), *again, *issued.kept])
        if issued.kept:
            self._due.postpone(record.uid)
            said = decided(self._known, record)
            if not issued.orders and said is not None and said.message == message:
                return None
        lines = self._charged(admission, {each.cluster: each.version for each in issued.orders})
        told = explained(self._known, record, admission)
        new = _decision(record, PLACED, message, told, issued.orders, lines)
        # Asked for before it is charged: so none of it looks as if it were on its way out.
        before = self._ask(record, admission.asked)
        self._known.quotas.enter(lines)
        for cluster, promise in issued.promises.items():
            self._known.fleet.promise(cluster, record.uid, promise)
        return Made(record, new, issued.promises, before)

    def withdrawn(self, compiled: Compiled) -> Made:
        """From everywhere: it was deleted."""
        record, writer = compiled.record, OrderWriter(self._signer, compiled)
        orders = [
            writer.withdraw(cluster, self._versions.next(), order)
            for cluster, order in self._known.orders.get(record.uid, {}).items()
            if order.verb is Verb.APPLY or self._known.below_floor(order)
        ]
        new = _decision(record, DELETED, f"withdrawn from {counted(len(orders), 'cluster')}", {}, orders)
        return Made(record, new, {}, self._ask(record, {}))

    def gives_way(self, victim: Compiled, to: WorkloadRecord) -> Made:
        """What it holds stays charged until its pods are reported gone."""
        record, writer, whom = (
            victim.record,
            OrderWriter(self._signer, victim),
            f"{to.name} of tenant {to.tenant}",
        )
        orders = [
            writer.withdraw(cluster, self._versions.next(), self._known.order(cluster, record.uid))
            for cluster in self._known.placements_of(record.uid)
        ]
        told = gave_way(self._known.decisions.get(record.uid), whom)
        new = _decision(record, Reason.PREEMPTED, f"gave way to {whom}", told, orders, placed=False)
        return Made(record, new, {}, self._ask(record, {}))

    def _issued(self, admission: Admission) -> _Issued:
        compiled, assignments = admission.compiled, admission.decision.assignments
        uid, writer, issued = compiled.record.uid, OrderWriter(self._signer, compiled), _Issued()
        placed = self._known.placements_of(uid)
        for cluster, replicas in assignments.items():
            self._apply(issued, compiled, writer, cluster, replicas, placed.get(cluster))
        issued.orders += [
            writer.withdraw(cluster, self._versions.next(), self._known.order(cluster, uid))
            for cluster in [*placed, *self._withdrawn_below_floor(uid)]
            if cluster not in assignments
        ]
        return issued

    def _apply(
        self,
        issued: _Issued,
        compiled: Compiled,
        writer: OrderWriter,
        cluster: str,
        replicas: int,
        held: PlacementRecord | None,
    ) -> None:
        record, before = compiled.record, self._known.order(cluster, compiled.record.uid)
        unchanged = held is not None and (held.replicas, held.revision) == (replicas, record.revision)
        stands = unchanged and before is not None and not self._known.below_floor(before)
        if stands and not self._known.interpreters.declares(record):
            return
        view = self._views.one(self._known.clusters[cluster], self._clock.now())
        found = _beyond(compiled, view) or compiled.asked_in(view)
        if isinstance(found, Refused):
            # It was there when this was placed: to order it anew without would undo what it is for.
            revision = held.revision if held is not None else 0
            issued.kept.append(f"stays at revision {revision} in {view.name}, which {found.message}")
            return
        variant, asked = found
        adapted = adaptions(self._known.fleet, cluster, variant.needs, asked)
        rendered = writer.rendered(replicas, adapted, variant)
        if stands and before is not None and not understood_anew(before, rendered):
            return
        version = self._versions.next()
        issued.orders.append(writer.apply(self._known.clusters[cluster], rendered, replicas, version, before))
        promise = promise_of(variant.interpretation, asked, replicas, rendered.templates)
        if promise is not None:
            issued.promises[cluster] = promise

    def _withdrawn_below_floor(self, uid: str) -> list[str]:
        return [
            cluster
            for cluster, order in self._known.orders.get(uid, {}).items()
            if order.verb is Verb.WITHDRAW and self._known.below_floor(order)
        ]

    def _charged(self, admission: Admission, versions: Mapping[str, Version]) -> tuple[LedgerLine, ...]:
        """What is asked for and not charged yet. What is charged beyond it is released by reports."""
        record, charges = admission.compiled.record, self._known.quotas.charges
        return tuple(
            line
            for cluster, asked in admission.asked.items()
            for line in lines_of(
                record.tenant,
                record.uid,
                cluster,
                beyond(asked, charges.of(record.uid, cluster, record.tenant)),
                admission.cause,
                versions.get(cluster),
            )
        )

    def _ask(self, record: WorkloadRecord, asked: Mapping[str, Amounts]) -> dict[str, Asking]:
        """Note what it comes to from now on; what it came to before, in each cluster of before or now."""
        charges, tenant = self._known.quotas.charges, record.tenant
        clusters = {*self._known.placements_of(record.uid), *asked}
        before = {cluster: charges.asking(record.uid, cluster) for cluster in clusters}
        for cluster in clusters:
            charges.ask(record.uid, cluster, tenant, asked.get(cluster, NOTHING))
        return before


def _decision(
    record: WorkloadRecord,
    reason: str,
    message: str,
    told: Mapping[str, Any],
    orders: Iterable[NewOrder],
    lines: tuple[LedgerLine, ...] = (),
    *,
    placed: bool = True,
) -> NewDecision:
    return NewDecision(
        record.uid,
        record.resource_version,
        record.revision,
        placed,
        reason,
        message,
        told,
        tuple(orders),
        lines,
    )


def _beyond(compiled: Compiled, view: ClusterView) -> Refused | None:
    """What runs there stays when its agent may do less than it did; an order for it is not even sent."""
    beyond = beyond_rights(compiled.request, view)
    return None if beyond is None else replace(beyond, message=f"says {beyond.reason}: {beyond.message}")


def _check_countable(admission: Admission) -> None:
    """Raises BeyondCounting."""
    for amounts in admission.asked.values():
        for (_, resource), amount in amounts.items():
            if amount >= MOST:
                raise BeyondCounting(f"{resource}: {amount} in one cluster: below 2^63 - 1 can be counted")
