"""Where work runs: the loop that decides.

1. Take in what changed in Postgres since the last pass; re-read what the changes name.
2. List what is to be decided: workloads written since their last decision, those that wait for room, those
   of which a cluster was removed, or recovered (its orders are issued anew, above what its agent held), or
   lost (they are placed again without it; where that cannot be, they stay and wait).
3. Decide one after the other, each on what the ones before it were promised.
4. Commit many decisions in one transaction: placements, outbox, decision and change rows.
5. A decision whose workload moved on meanwhile was skipped: take its promise back, decide again.
6. What was committed is known from now on; wake dispatch.
"""

import asyncio
from collections.abc import Callable

from controlplane.failpoints import reached
from controlplane.known.compiling import Compiler
from controlplane.known.known import Known
from controlplane.known.losing import is_stranded
from controlplane.known.records import DecisionRecord, Lease, OutboxRecord, PlacementRecord
from controlplane.known.views import Views
from controlplane.loops.deciding import Deciding, Made, decided
from controlplane.loops.failover import Failover
from controlplane.loops.follow import Follow
from controlplane.loops.orders import Signer
from controlplane.loops.ports import Clock, LeaseLost, Store, StoreUnavailable
from controlplane.loops.promises import Promises
from controlplane.loops.running import LoopMetrics
from controlplane.loops.versions import Versions
from schemas.wire.orders import Verb

DECISIONS_AT_ONCE = 256
SECONDS_AT_ONCE = 0.05
RETRY_SECONDS = 2.0


class Place:
    """Decides for one epoch."""

    def __init__(
        self,
        store: Store,
        known: Known,
        follow: Follow,
        signer: Signer,
        clock: Clock,
        lease: Lease,
        metrics: LoopMetrics,
        *,
        orders_committed: Callable[[], None],
        ledger: asyncio.Lock | None = None,
    ) -> None:
        """ledger: held from what is decided until it is committed: meanwhile nothing else is released."""
        self._ledger = ledger or asyncio.Lock()
        self._store = store
        self._known = known
        self._follow = follow
        self._clock = clock
        self._lease = lease
        self._metrics = metrics
        self._orders_committed = orders_committed
        self._views = Views(known)
        self._compiler = Compiler(known)
        self._failover = Failover(known, self._compiler, clock, metrics)
        self._versions = Versions(store, known, lease)
        self._promises = Promises(known, self._views, clock)
        self._deciding = Deciding(known, self._views, self._compiler, signer, clock, self._versions)
        self._due: dict[str, None] = {}
        self._skipped: set[str] = set()
        self._retried_at = 0.0
        for uid in known.workloads:
            self._offer(uid)
        self._promised_all = False

    async def run_pass(self) -> None:
        """Decide all that is due."""
        self._failover.look()
        if not self._promised_all:
            await self._promises.restore_all()
            self._promised_all = True
        for uid in [*await self._follow.take_changes(), *self._skipped]:
            if uid in self._known.workloads:
                self._due[uid] = None
        self._skipped.clear()
        await self._offer_waiting()
        while self._due:
            await self._versions.reserve()
            async with self._ledger:
                made = self._decide_some()
                if made:
                    await self._commit(made)
            await asyncio.sleep(0)

    def _offer(self, uid: str) -> None:
        record = self._known.workloads.get(uid)
        if record is not None and decided(self._known, record) is None:
            self._due[uid] = None

    async def _offer_waiting(self) -> None:
        """Those without a place, or in a lost one, try again, but not with every report that comes in."""
        now = self._clock.now()
        if now - self._retried_at < RETRY_SECONDS:
            return
        self._retried_at = now
        for uid, decision in self._known.decisions.items():
            if (not decision.placed or is_stranded(decision)) and uid in self._known.workloads:
                self._due[uid] = None
        self._due |= dict.fromkeys(await self._failover.due())
        self._due |= dict.fromkeys(uid for uid in self._deciding.postponed if uid in self._known.workloads)
        self._deciding.postponed.clear()

    def _decide_some(self) -> list[Made]:
        """Up to a bound of decisions, of time, and of the generations at hand."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SECONDS_AT_ONCE
        self._failover.look()
        views = self._views.all(self._clock.now())
        made: list[Made] = []
        while self._due and len(made) < DECISIONS_AT_ONCE and loop.time() < until:
            if len(self._versions) <= len(self._known.clusters):
                break
            uid = next(iter(self._due))
            del self._due[uid]
            record = self._known.workloads.get(uid)
            one = self._deciding.decide(record, views) if record is not None else None
            if one is not None:
                made.append(one)
        return made

    async def _commit(self, made: list[Made]) -> None:
        try:
            skipped = await self._store.commit_decisions(self._lease, [one.new for one in made])
        except StoreUnavailable as error:
            # It may be committed or not: only a leader that loads everything anew knows which.
            raise LeaseLost(f"the outcome of a commit is unknown: {error}") from error
        reached("centre.after_commit")
        for one in made:
            if one.record.uid in skipped:
                self._take_back(one)
                self._skipped.add(one.record.uid)
                continue
            self._enter(one)
            self._metrics.decisions.labels(one.new.reason).inc()
        self._orders_committed()

    def _take_back(self, one: Made) -> None:
        for cluster in one.promises:
            self._promises.restore(cluster, one.record.uid)

    def _enter(self, one: Made) -> None:
        known, uid, new = self._known, one.record.uid, one.new
        known.decisions[uid] = DecisionRecord(
            uid,
            new.resource_version,
            new.revision,
            new.placed,
            new.reason,
            new.message,
            new.explanation,
            self._clock.now(),
        )
        placements = known.placements.setdefault(uid, {})
        for order in new.orders:
            before = known.order(order.cluster, uid)
            known.put_order(
                OutboxRecord(
                    order.cluster,
                    uid,
                    order.verb,
                    order.version,
                    order.body,
                    order.signature,
                    acknowledged=before.acknowledged if before else None,
                )
            )
            if order.verb is Verb.APPLY:
                placements[order.cluster] = PlacementRecord(
                    uid, order.cluster, order.replicas, new.revision, order.version, order.template
                )
            else:
                placements.pop(order.cluster, None)
                # What a lost cluster may still run counts until its agent reports that it is gone.
                if order.cluster not in known.losses.unreachable:
                    known.fleet.unpromise(order.cluster, uid)
        if one.record.deleted:
            self._compiler.forget(uid)
            if not known.orders.get(uid):
                known.forget_workload(uid)
