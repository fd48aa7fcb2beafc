"""Where work runs: the loop that decides.

1. Take in what changed in Postgres since the last pass; re-read what the changes name.
2. List what is to be decided: workloads written since their last decision, those that wait for room, those
   of which a cluster was removed, or recovered (its orders are issued anew, above what its agent held), or
   lost (they are placed again without it; where that cannot be, they stay and wait).
3. Decide one after the other, each on what the ones before it were promised and charged. Those that need
   quota come by fair share; those that lack it wait until something of it is free again.
4. Commit many decisions in one transaction (placements, ledger, outbox, decision and change rows), while the
   next ones are decided.
5. A decision whose workload, or the quota, moved on meanwhile was skipped: take its promise and its charge
   back, decide again.
6. What was committed is known from now on; wake dispatch.
7. What was refused, or waits, keeps its orders: in a recovered cluster they are issued anew as they were.
"""

import asyncio
from collections.abc import Callable

import structlog

from controlplane import tracing
from controlplane.known.compiling import Compiler
from controlplane.known.known import Known
from controlplane.known.records import Lease
from controlplane.known.views import Views
from controlplane.loops.adopting import Adopting
from controlplane.loops.committing import Committing
from controlplane.loops.deciding import Deciding
from controlplane.loops.decision_spans import DecisionSpans
from controlplane.loops.due import Due
from controlplane.loops.failover import Failover
from controlplane.loops.follow import Follow
from controlplane.loops.made import Made
from controlplane.loops.ordering import Ordering
from controlplane.loops.orders import Signer
from controlplane.loops.ports import Clock, Store
from controlplane.loops.promises import Promises
from controlplane.loops.running import LoopMetrics
from controlplane.loops.standing_orders import StandingOrders
from controlplane.loops.turns import Turns
from controlplane.loops.versions import Versions
from controlplane.loops.waiting import Waiting
from controlplane.placement import ClusterView

log = structlog.get_logger()

SLICE_SECONDS = 0.01
"""How long all else on the event loop waits for decisions."""
DECIDING_OVER_LOOKING = 4
"""By how much deciding is longer than looking at all clusters before it."""
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
        ledger: Turns | None = None,
        promised: bool = False,
    ) -> None:
        """ledger: held from what is decided until it is committed: meanwhile nothing else is released.

        promised: whether the fleet has been promised what the placements take.
        """
        self._ledger = ledger or Turns()
        self._known = known
        self._follow = follow
        self._clock = clock
        self._lease = lease
        self._views = Views(known)
        compiler = Compiler(known)
        self._failover = Failover(known, compiler, clock, metrics)
        self._versions = Versions(store, known, lease)
        self._waiting = Waiting(known, compiler)
        self._promises = Promises(known, self._views, clock)
        self._due = Due(known, self._waiting)
        ordering = Ordering(known, self._views, signer, clock, self._versions, self._due)
        self._deciding = Deciding(known, self._views, compiler, clock, self._versions, self._due, ordering)
        self._spans = DecisionSpans(known, lease.epoch)
        self._committing = Committing(
            store,
            known,
            compiler,
            clock,
            lease,
            metrics,
            self._promises,
            self._spans,
            self._due,
            orders_committed,
        )
        self._moving = Adopting(store, known, lease)
        self._standing = StandingOrders(known, signer, self._versions, self._committing)
        self._retried_at = 0.0
        self._unreachable = frozenset[str]()
        self._promised_all = promised

    @property
    def depth(self) -> int:
        """Workloads to decide on."""
        return self._due.depth

    async def run_pass(self) -> None:
        """Decide all that is due."""
        self._failover.look()
        if not self._promised_all:
            await self._promises.restore_all()
            self._promised_all = True
        touched = await self._follow.take_changes()
        self._due.begin(touched)
        self._standing.look_at(touched)
        await self._retry()
        self._look_at_losses()
        self._waiting.wake()
        while not (self._due.is_exhausted or self._due.is_behind):
            async with self._ledger, self._committing:
                await self._decide_in_turn()
            await asyncio.sleep(0)
        if self._due.is_exhausted and self._standing.depth:
            async with self._ledger, self._committing:
                await self._standing.issue_anew()

    async def _retry(self) -> None:
        """Those without a place, or in a lost one, try again, but not with every report that comes in."""
        now = self._clock.now()
        if now - self._retried_at >= RETRY_SECONDS:
            self._retried_at = now
            self._due.retry(await self._failover.due())

    def _look_at_losses(self) -> None:
        """In a lost cluster nobody gives way, and what leaves it is nothing to wait for, until it is back."""
        quotas, unreachable = self._known.quotas, frozenset(self._known.losses.unreachable)
        changed, self._unreachable = unreachable ^ self._unreachable, unreachable
        if not changed:
            return
        charges = quotas.charges
        there = {
            tenant
            for uid, cluster in charges.places()
            if cluster in changed
            for tenant in charges.tenants_of(uid, cluster)
        }
        for tenant in there:
            quotas.usage.free(quotas.tree.root(tenant))

    async def _decide_in_turn(self) -> None:
        """Until nothing is left, or somebody else asks for the ledger."""
        while not (self._due.is_exhausted or self._due.is_behind):
            await self._versions.reserve()
            await self._refresh_quotas()
            if self._due.is_behind:
                return
            version = self._known.quotas.version
            await self._committing.begin(await self._decide_many(), version)
            if self._ledger.awaited:
                return

    async def _refresh_quotas(self) -> None:
        """What was decided on other bounds is written, or taken back, before."""
        quotas, documents, now = self._known.quotas, self._known.documents, self._clock.now()
        if not (quotas.is_stale(documents, now) or self._moving.is_unfinished):
            return
        await self._committing.settle()
        if quotas.refresh(documents, now):
            for (kind, name), fault in quotas.faults.items():
                log.error("quota_not_understood", kind=kind, name=name, detail=fault)
        self._due.adopt(await self._moving.adopt())
        self._due.is_behind |= self._moving.is_unfinished

    async def _decide_many(self) -> list[Made]:
        """For one transaction: a slice after the other, until the one before it is written."""
        made: list[Made] = []
        try:
            while self._decide_some(made) and not self._due.is_behind:
                if made and (self._committing.is_idle or self._ledger.awaited):
                    break
                await asyncio.sleep(0)
        except Exception:
            self._committing.give_up(made)
            raise
        return made

    def _decide_some(self, made: list[Made]) -> bool:
        """Up to a bound of decisions, of time, and of the generations at hand; whether more may follow."""
        loop = asyncio.get_running_loop()
        self._failover.look()
        views: list[ClusterView] = []
        until = loop.time() + SLICE_SECONDS
        at_once = self._committing.at_once
        while len(made) < at_once and loop.time() < until:
            if len(self._versions) <= len(self._known.clusters):
                return False
            record = self._due.next(until)
            if record is None:
                for one, first in self._due.behind(at_once - len(made)):
                    made += self._deciding.waits_behind(one, first)
                return loop.time() >= until
            if not views:
                # Not before somebody is due: beats of thousands of clusters wake this up all the time.
                began = loop.time()
                views = self._views.all(self._clock.now())
                until = loop.time() + max(SLICE_SECONDS, DECIDING_OVER_LOOKING * (loop.time() - began))
            claim = self._known.quotas.claims.get(record.uid)
            began_ns = tracing.now_ns() if tracing.is_on() else 0
            found = self._deciding.decide(record, views)
            if began_ns:
                found = self._spans.begun(found, began_ns)
            self._due.made(record, found, claim)
            made += found
        return len(made) < at_once
