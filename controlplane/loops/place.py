"""Where work runs: the loop that decides.

1. Take in what changed in Postgres since the last pass; re-read what the changes name.
2. List what is to be decided: workloads written since their last decision, those that wait for room, those
   of which a cluster was removed, or recovered (its orders are issued anew, above what its agent held), or
   lost (they are placed again without it; where that cannot be, they stay and wait).
3. Decide one after the other, each on what the ones before it were promised and charged. Those that need
   quota come by fair share; those that lack it wait until something of it is free again.
4. Commit many decisions in one transaction: placements, ledger, outbox, decision and change rows.
5. A decision whose workload, or the quota, moved on meanwhile was skipped: take its promise and its charge
   back, decide again.
6. What was committed is known from now on; wake dispatch.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from controlplane import tracing
from controlplane.failpoints import reached
from controlplane.known.admitting import QUOTA_REASONS
from controlplane.known.compiling import Compiler
from controlplane.known.known import Known
from controlplane.known.losing import is_stranded
from controlplane.known.records import (
    Cause,
    DecisionRecord,
    Lease,
    OutboxRecord,
    PlacementRecord,
    WorkloadRecord,
)
from controlplane.known.views import Views
from controlplane.loops.deciding import Deciding, Made, decided
from controlplane.loops.decision_spans import DecisionSpans
from controlplane.loops.failover import Failover
from controlplane.loops.follow import Follow
from controlplane.loops.orders import Signer
from controlplane.loops.ports import Clock, LeaseLost, Store, StoreUnavailable
from controlplane.loops.promises import Promises
from controlplane.loops.running import LoopMetrics
from controlplane.loops.versions import Versions
from controlplane.loops.waiting import Waiting
from controlplane.placement import ClusterView
from schemas.reasons import Reason
from schemas.wire.orders import Verb

log = structlog.get_logger()

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
        self._waiting = Waiting(known, self._compiler)
        self._promises = Promises(known, self._views, clock)
        self._deciding = Deciding(known, self._views, self._compiler, signer, clock, self._versions)
        self._spans = DecisionSpans(known, lease.epoch)
        self._due: dict[str, None] = {}
        self._adopting: dict[str, None] = {}
        self._is_behind = False
        self._claimed: dict[str, str] = {}
        self._skipped: set[str] = set()
        self._retried_at = 0.0
        self._at_once = DECISIONS_AT_ONCE
        self._unreachable = frozenset[str]()
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
        self._look_at_losses()
        self._waiting.wake()
        is_last = self._is_behind = False
        while not is_last and not self._is_behind:
            await self._versions.reserve()
            async with self._ledger:
                made: list[Made] = []
                try:
                    is_last = self._decide_some(made)
                except Exception:
                    self._give_up(made)
                    raise
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
            if uid in self._waiting:
                continue
            if (not decision.placed or is_stranded(decision)) and uid in self._known.workloads:
                self._due[uid] = None
        self._due |= dict.fromkeys(await self._failover.due())
        self._due |= dict.fromkeys(uid for uid in self._deciding.postponed if uid in self._known.workloads)
        self._deciding.postponed.clear()

    def _look_at_losses(self) -> None:
        """What leaves a cluster that is lost is nothing to wait for, until the cluster is back."""
        quotas, unreachable = self._known.quotas, frozenset(self._known.losses.unreachable)
        changed, self._unreachable = unreachable ^ self._unreachable, unreachable
        if not changed:
            return
        for tenant, places in quotas.charges.leaving().items():
            if any(cluster in changed for _, cluster in places):
                quotas.usage.free(quotas.tree.root(tenant))

    def _decide_some(self, made: list[Made]) -> bool:
        """Up to a bound of decisions, of time, and of the generations at hand; whether nothing is left."""
        loop = asyncio.get_running_loop()
        self._failover.look()
        now = self._clock.now()
        if self._known.quotas.refresh(self._known.documents, now):
            for (kind, name), fault in self._known.quotas.faults.items():
                log.error("quota_not_understood", kind=kind, name=name, detail=fault)
            self._adopt()
        views = self._views.all(now)
        # From here: however long it took to look at all clusters, something is decided.
        until = loop.time() + SECONDS_AT_ONCE
        self._deciding.uncommitted.clear()
        self._deciding.after_commit.clear()
        while len(made) < self._at_once and loop.time() < until:
            if len(self._versions) <= len(self._known.clusters):
                return False
            uid = self._next(until)
            if uid is None:
                for record, first in self._waiting.behind(self._at_once - len(made)):
                    made += self._deciding.waits_behind(record, first)
                # Out of time is not out of work: the next of what waits is not looked for then.
                return not self._due and not self._adopting and loop.time() <= until
            record = self._known.workloads.get(uid)
            if record is None:
                continue
            if uid in self._deciding.uncommitted:
                self._due[uid] = None
                return False
            more = self._decide(record, views)
            made += more
            self._deciding.uncommitted.update(one.record.uid for one in more)
            if self._deciding.after_commit:
                self._due |= dict.fromkeys(self._deciding.after_commit)
                return False
        return False

    def _adopt(self) -> None:
        """What runs counts before anything else is let in: what it takes is there for nobody else."""
        known = self._known
        for uid in known.quotas.to_adopt():
            record, decision = known.workloads.get(uid), known.decisions.get(uid)
            if record is None:
                continue
            runs = decision is not None and decision.placed and decision.revision == record.revision
            (self._adopting if runs else self._due)[uid] = None

    def _next(self, until: float) -> str | None:
        """What counts from now on is first; then what needs no quota, in its order; then by fair share."""
        loop = asyncio.get_running_loop()
        if self._adopting:
            uid = next(iter(self._adopting))
            del self._adopting[uid]
            self._due.pop(uid, None)
            return uid
        while self._due:
            uid = next(iter(self._due))
            del self._due[uid]
            record = self._known.workloads.get(uid)
            if record is None or not self._waiting.take(record):
                return uid
            if loop.time() > until:
                return None
        return self._waiting.next()

    def _decide(self, record: WorkloadRecord, views: list[ClusterView]) -> list[Made]:
        quotas = self._known.quotas
        claim = quotas.claims.get(record.uid)
        began_ns = tracing.now_ns() if tracing.is_on() else 0
        made = self._deciding.decide(record, views)
        if began_ns:
            made = self._spans.begun(made, began_ns)
        is_placed = bool(made) and made[-1].new.placed and not record.deleted
        self._claimed.pop(record.uid, None)
        if claim is not None and record.uid not in quotas.claims:
            if is_placed:
                self._claimed[record.uid] = claim.tenant
            else:
                # What was kept for it may be had by others.
                quotas.usage.free(quotas.tree.root(claim.tenant))
        held = self._known.decisions.get(record.uid)
        said = made[-1].new.reason if made else held.reason if held is not None else ""
        if said in QUOTA_REASONS:
            self._waiting.park(record)
        return made

    async def _commit(self, made: list[Made]) -> None:
        reached("centre.before_commit")
        try:
            skipped = await self._store.commit_decisions(
                self._lease, [one.new for one in made], self._known.quotas.version
            )
        except StoreUnavailable as error:
            # It may be committed or not: only a leader that loads everything anew knows which.
            raise LeaseLost(f"the outcome of a commit is unknown: {error}") from error
        except LeaseLost:
            raise
        except Exception:
            self._give_up(made)
            raise
        self._at_once = min(DECISIONS_AT_ONCE, 2 * self._at_once)
        reached("centre.after_commit")
        for one in reversed(made):
            if one.record.uid in skipped:
                self._take_back(one)
                self._decide_again(one)
        for one in made:
            if one.record.uid in skipped:
                continue
            self._enter(one)
            self._metrics.decisions.labels(one.new.reason).inc()
        self._orders_committed()

    def _decide_again(self, one: Made) -> None:
        if any(line.cause is Cause.MOVED for line in one.new.lines):
            # By what is read before the next pass; until then nobody else is let in either.
            self._adopting[one.record.uid] = None
            self._is_behind = True
        else:
            self._skipped.add(one.record.uid)

    def _give_up(self, made: Sequence[Made]) -> None:
        """Nothing was written, since one of them cannot be: fewer at once, and that one alone in the end."""
        for one in reversed(made):
            self._take_back(one)
        # Alone, it is tried again now and then only: it may stand before all the others.
        again = self._skipped if len(made) > 1 else self._deciding.postponed
        again.update(one.record.uid for one in made)
        self._at_once = max(1, len(made) // 2)

    def _take_back(self, one: Made) -> None:
        quotas = self._known.quotas
        self._spans.ended(one, "not committed")
        quotas.enter([replace(line, amount=-line.amount) for line in one.new.lines])
        for cluster, asked in one.asked.items():
            quotas.charges.ask(one.record.uid, cluster, one.record.tenant, asked)
        if one.new.reason == Reason.PREEMPTED:
            # Who waits for it waits for what will not leave.
            quotas.usage.free(quotas.tree.root(one.record.tenant))
        for cluster in one.promises:
            self._promises.restore(cluster, one.record.uid)

    def _enter(self, one: Made) -> None:
        known, uid, new = self._known, one.record.uid, one.new
        self._spans.ended(one)
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
                    trace=new.trace,
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
        for cluster, promise in one.promises.items():
            # Its earlier revision may have been reported finished meanwhile: that took the promise away.
            known.fleet.promise(cluster, uid, promise)
        if (claimant := self._claimed.pop(uid, None)) is not None:
            # Nobody can be made to give up a claim, but what runs can be made to give way.
            known.quotas.usage.free(known.quotas.tree.root(claimant))
        if new.reason == Reason.PREEMPTED:
            self._waiting.park(one.record)
        if one.record.deleted:
            self._waiting.leave(uid)
            self._compiler.forget(uid)
            if not known.orders.get(uid):
                known.forget_workload(uid)
