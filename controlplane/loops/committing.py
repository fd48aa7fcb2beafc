"""What was decided, on its way to Postgres: one transaction under way while the next is decided.

What is under way counts as it was promised and charged when it was decided. Once it is committed it is known;
what was skipped, or could not be written, is taken back exactly as it was counted, and decided again.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from types import TracebackType

import structlog

from controlplane.failpoints import reached
from controlplane.known.compiling import Compiler
from controlplane.known.known import Known
from controlplane.known.records import DecisionRecord, Lease, OutboxRecord, PlacementRecord
from controlplane.loops.decision_spans import DecisionSpans
from controlplane.loops.due import Due
from controlplane.loops.made import Made
from controlplane.loops.ports import Clock, LeaseLost, NewOrder, Store, StoreUnavailable
from controlplane.loops.promises import Promises
from controlplane.loops.running import LoopMetrics
from schemas.reasons import Reason
from schemas.wire.orders import Verb

DECISIONS_AT_ONCE = 256
log = structlog.get_logger()


class Committing:
    """Of one epoch. As a context: nothing is under way after it.

    at_once: how many to write together; fewer after a failure, and the one that cannot be written is alone in
    the end.
    """

    def __init__(
        self,
        store: Store,
        known: Known,
        compiler: Compiler,
        clock: Clock,
        lease: Lease,
        metrics: LoopMetrics,
        promises: Promises,
        spans: DecisionSpans,
        due: Due,
        orders_committed: Callable[[], None],
    ) -> None:
        self._store = store
        self._known = known
        self._compiler = compiler
        self._clock = clock
        self._lease = lease
        self._metrics = metrics
        self._promises = promises
        self._spans = spans
        self._due = due
        self._orders_committed = orders_committed
        self._under_way: asyncio.Task[None] | None = None
        self.at_once = DECISIONS_AT_ONCE

    async def __aenter__(self) -> None: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError) and self._under_way is not None:
            self._under_way.cancel()
        await self.settle()

    @property
    def is_idle(self) -> bool:
        """Whether what is begun now would be written at once."""
        return self._under_way is None or self._under_way.done()

    async def begin(self, made: Sequence[Made], quota_version: int) -> None:
        """Write these, decided on that version of the quota, after what is under way.

        Raises what that comes to: then these are not written either.
        """
        try:
            await self.settle()
        except LeaseLost:
            raise
        except Exception:
            self._take_back(made)
            for one in made:
                self._due.skipped(one)
            raise
        if made:
            self._under_way = asyncio.create_task(self._commit(made, quota_version))

    async def settle(self) -> None:
        """Wait for what is under way. Raises LeaseLost, or whatever kept it from being written."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            await under_way

    async def _commit(self, made: Sequence[Made], quota_version: int) -> None:
        reached("centre.before_commit")
        try:
            skipped = await self._store.commit_decisions(
                self._lease, [one.new for one in made], quota_version
            )
        except StoreUnavailable as error:
            # It may be committed or not: only a leader that loads everything anew knows which.
            raise LeaseLost(f"the outcome of a commit is unknown: {error}") from error
        except LeaseLost:
            raise
        except Exception:
            self.give_up(made)
            raise
        self.at_once = min(DECISIONS_AT_ONCE, 2 * self.at_once)
        reached("centre.after_commit")
        try:
            self._take_in(made, skipped)
        except Exception as error:
            # Stored and half known: whoever goes on with that decides on what is not so.
            log.exception("committed_not_known")
            raise LeaseLost(f"what was committed could not be taken in: {error}") from error
        self._orders_committed()

    def _take_in(self, made: Sequence[Made], skipped: Collection[str]) -> None:
        behind = [one for one in made if one.record.uid in skipped]
        self._take_back(behind)
        for one in behind:
            self._due.skipped(one)
        for one in made:
            if one.record.uid not in skipped:
                self._enter(one)
                self._metrics.decisions.labels(one.new.reason).inc()

    def give_up(self, made: Sequence[Made]) -> None:
        """One of them cannot be written, so none was: fewer at once, and that one alone in the end."""
        self._take_back(made)
        self._due.failed(made)
        self.at_once = max(1, len(made) // 2)

    def _take_back(self, made: Sequence[Made]) -> None:
        quotas = self._known.quotas
        for one in reversed(made):
            self._spans.ended(one, "not committed")
            quotas.enter([replace(line, amount=-line.amount) for line in one.new.lines])
            for cluster, (tenant, asked) in one.asked.items():
                quotas.charges.ask(one.record.uid, cluster, tenant, asked)
            if one.new.reason == Reason.PREEMPTED:
                # Who waits for it waits for what will not leave.
                quotas.usage.free(quotas.tree.root(one.record.tenant))
            for cluster in one.promises:
                self._promises.restore(cluster, one.record.uid)

    def _enter(self, one: Made) -> None:
        known, uid, new = self._known, one.record.uid, one.new
        self._spans.ended(one)
        decision = known.decisions[uid] = DecisionRecord(
            uid,
            new.resource_version,
            new.revision,
            new.placed,
            new.reason,
            new.message,
            new.explanation,
            self._clock.now(),
        )
        for order in new.orders:
            self._enter_order(one, order)
        for cluster, promise in one.promises.items():
            # Its earlier revision may have been reported finished meanwhile: that took the promise away.
            known.fleet.promise(cluster, uid, promise)
        self._due.written(one, decision)
        if one.record.deleted:
            self._compiler.forget(uid)
            if not known.orders.get(uid):
                known.forget_workload(uid)

    def _enter_order(self, one: Made, order: NewOrder) -> None:
        known, uid = self._known, one.record.uid
        placements, before = known.placements.setdefault(uid, {}), known.order(order.cluster, uid)
        known.put_order(
            OutboxRecord(
                order.cluster,
                uid,
                order.verb,
                order.version,
                order.body,
                order.signature,
                acknowledged=before.acknowledged if before else None,
                trace=one.new.trace,
            )
        )
        if order.verb is Verb.APPLY:
            placements[order.cluster] = PlacementRecord(
                uid, order.cluster, order.replicas, order.revision, order.version, order.template
            )
        else:
            placements.pop(order.cluster, None)
            # What a lost cluster may still run counts until its agent reports that it is gone.
            if order.cluster not in known.losses.unreachable:
                known.fleet.unpromise(order.cluster, uid)
