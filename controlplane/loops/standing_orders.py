"""Orders at or below the floor of a recovered cluster that no decision has replaced.

Who is refused something else, or waits for it, keeps what it has: its orders are issued anew as they were,
above the floor. Else what its agent did by the lost history would stay.
"""

from collections.abc import Iterable

from controlplane.known.known import Known
from controlplane.known.records import DecisionRecord, OutboxRecord
from controlplane.loops.committing import Committing
from controlplane.loops.made import Made
from controlplane.loops.orders import Signer
from controlplane.loops.ports import NewDecision, NewOrder
from controlplane.loops.versions import Versions


class StandingOrders:
    """Of one epoch."""

    def __init__(self, known: Known, signer: Signer, versions: Versions, committing: Committing) -> None:
        self._known = known
        self._signer = signer
        self._versions = versions
        self._committing = committing
        self._uids = self._below_floor(known.workloads)

    @property
    def depth(self) -> int:
        """Workloads with such orders, when last looked at."""
        return len(self._uids)

    def look_at(self, uids: Iterable[str]) -> None:
        """Also at these: a cluster of theirs may have been recovered."""
        self._uids |= self._below_floor(uids)

    async def issue_anew(self) -> None:
        """What is below a floor still, once all that is due is decided on. The decisions stay as they are."""
        self._uids = self._below_floor(self._uids)
        made: list[Made] = []
        for uid in self._uids:
            record, decision = self._known.workloads.get(uid), self._known.decisions.get(uid)
            if record is None or decision is None or decision.resource_version != record.resource_version:
                continue
            await self._versions.reserve()
            made.append(Made(record, self._anew(decision), {}))
            if len(made) >= self._committing.at_once:
                await self._committing.begin(made, self._known.quotas.version)
                made = []
        await self._committing.begin(made, self._known.quotas.version)

    def _below_floor(self, uids: Iterable[str]) -> dict[str, None]:
        return {uid: None for uid in uids if uid in self._known.workloads and self._orders_of(uid)}

    def _orders_of(self, uid: str) -> list[OutboxRecord]:
        return [order for order in self._known.orders.get(uid, {}).values() if self._known.below_floor(order)]

    def _anew(self, held: DecisionRecord) -> NewDecision:
        return NewDecision(
            held.workload,
            held.resource_version,
            held.revision,
            held.placed,
            held.reason,
            held.message,
            held.explanation,
            tuple(self._order(order) for order in self._orders_of(held.workload)),
        )

    def _order(self, order: OutboxRecord) -> NewOrder:
        cluster, uid, verb, version = order.cluster, order.workload, order.verb, self._versions.next()
        signature = self._signer.sign(cluster, uid, verb, version, order.body)
        placed = self._known.placements_of(uid).get(cluster)
        replicas, template, revision = (
            (placed.replicas, placed.template, placed.revision) if placed is not None else (0, "", 0)
        )
        return NewOrder(cluster, verb, version, order.body, signature, replicas, template, revision)
