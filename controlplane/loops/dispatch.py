"""Orders out: ORDERS becomes the shadow of the outbox.

1. Take the orders that are not published, the oldest version first.
2. Leave out clusters that may not be sent to: not heard in this epoch, ahead of this database, cut off; and
   orders that have to wait for limits that let their pods in, or until their agent says that it may carry
   them out.
3. Publish each onto the sequence its subject is known to be at. Where the subject has moved on, read it:
   ours already (a crash between publish and mark) is marked; a newer one is never replaced; an older is.
4. Mark what was published, in one statement.
5. What was published long ago and is not carried out is looked up again, and published again where it is
   gone: streams can lose acknowledged messages. Where it was not even recorded, and the agent has not said
   why not, its consumer is made anew as well: it may have gone with the stream, or stand above it. Seldom
   where what the agent said does not tell of which order it was. A stream that shows that it lost some has
   all of them looked up at once (`lost_orders.py`).
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from heapq import merge
from itertools import islice

import structlog

from controlplane import tracing
from controlplane.failpoints import reached
from controlplane.known.known import Known
from controlplane.known.records import Lease, OutboxRecord, Standing
from controlplane.known.withholding import refused_unrecorded
from controlplane.loops.lost_orders import LostOrders
from controlplane.loops.ports import Bus, Clock, LeaseLost, NewerStored, OrderMark, Store
from controlplane.loops.running import LoopMetrics
from controlplane.loops.withheld import Withheld
from schemas.wire.codec import Malformed, decode, encode
from schemas.wire.orders import Order, Version
from schemas.wire.reports import WorkState

log = structlog.get_logger()

IN_FLIGHT = 128
AT_ONCE = 1_000
LOOKED_AT_ONCE = 2_000
SLICE_SECONDS = 0.004
OVERDUE_SECONDS = 30.0
REFUSED_OVERDUE_SECONDS = 600.0
"""Between two renewals of a consumer where its agent refused something, of which version is not told."""


def _never(_order: OutboxRecord) -> bool:
    return False


def _always() -> bool:
    return True


class Dispatch:
    """Publishes for one epoch. waits: whether an order is not to be published yet.

    holds: whether this process may still lead, as far as it can tell: one that was stopped, and wakes up, may
    find a subject purged, which nothing fences.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        known: Known,
        clock: Clock,
        lease: Lease,
        metrics: LoopMetrics,
        waits: Callable[[OutboxRecord], bool] = _never,
        *,
        holds: Callable[[], bool] = _always,
    ) -> None:
        self._holds = holds
        self._store = store
        self._bus = bus
        self._known = known
        self._clock = clock
        self._lease = lease
        self._metrics = metrics
        self._waits = waits
        self._sequences: dict[tuple[str, str], int] = {}
        self._lost = LostOrders(bus, known, clock, self._look_up)
        self._window = asyncio.Semaphore(IN_FLIGHT)
        self._withheld = Withheld(known, metrics)
        self._renewed_at: dict[str, float] = {}
        # What an earlier leader has published is watched from now on.
        self._published_at = {
            (order.cluster, order.workload): clock.now()
            for orders in known.orders.values()
            for order in orders.values()
            if order.published_sequence is not None and not self._is_done(order)
        }

    async def run_pass(self) -> None:
        """Publish and mark what can be published now."""
        await self._lost.run_pass()
        await self._look_up_overdue()
        was_one_published = True
        while was_one_published:
            was_one_published = False
            due = merge(*await self._due(), key=_version)
            while records := list(islice(due, AT_ONCE)):
                # What was due when it was looked for may have been replaced, or its cluster cut off, since.
                still = [record for record in records if self._is_still_due(record)]
                was_one_published |= await self._publish_some(still)

    async def _publish_some(self, records: Iterable[OutboxRecord]) -> bool:
        """Whether any was published, or found to be."""
        outcomes = await asyncio.gather(
            *(self._publish(record) for record in records), return_exceptions=True
        )
        marks = [outcome for outcome in outcomes if isinstance(outcome, OrderMark)]
        reached("centre.after_publish")
        await self._mark(marks)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return bool(marks)

    def may_send(self, cluster: str) -> bool:
        """Whether orders may go to this cluster in this epoch."""
        record = self._known.clusters.get(cluster)
        heard = self._known.heard.get(cluster)
        return (
            record is not None
            and record.standing is Standing.JOINED
            and heard is not None
            and heard.epoch == self._lease.epoch
            and not self._known.ahead(cluster)
            and cluster not in self._known.newer_stored
        )

    async def _due(self) -> list[list[OutboxRecord]]:
        """In slices, each with its oldest versions first: 50,000 in one go stop the loop for 0.1 s."""
        slices: list[list[OutboxRecord]] = []
        unpublished = list(self._known.unpublished)
        for start in range(0, len(unpublished), LOOKED_AT_ONCE):
            due = await self._due_of(unpublished[start : start + LOOKED_AT_ONCE])
            slices.append(sorted(due, key=_version))
            await asyncio.sleep(0)
        self._withheld.looked()
        return slices

    async def _due_of(self, keys: Sequence[tuple[str, str]]) -> list[OutboxRecord]:
        """Rights are judged by whole bodies, each of them once: thousands in one go stop the loop."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        sendable = {cluster for cluster in {cluster for cluster, _ in keys} if self.may_send(cluster)}
        due: list[OutboxRecord] = []
        for key in keys:
            record = self._known.order(*key) if key[0] in sendable else None
            if record is None or self._known.below_floor(record):
                continue
            if not self._withheld.is_held(record) and not self._waits(record):
                due.append(record)
            if loop.time() - began > SLICE_SECONDS:
                await asyncio.sleep(0)
                began = loop.time()
        return due

    def _is_still_due(self, record: OutboxRecord) -> bool:
        return self._known.order(record.cluster, record.workload) is record and self.may_send(record.cluster)

    async def _publish(self, record: OutboxRecord) -> OrderMark | None:
        if not record.trace or not tracing.is_on():
            return await self._publish_order(record)
        version = f"{record.version.epoch}.{record.version.generation}"
        with tracing.span(
            "publish order",
            parent=record.trace,
            kind="producer",
            cluster=record.cluster,
            workload_uid=record.workload,
            verb=record.verb.value,
            version=version,
        ) as span:
            mark = await self._publish_order(record)
            if mark is None:
                span.failed("superseded")
            return mark

    async def _publish_order(self, record: OutboxRecord) -> OrderMark | None:
        body = encode(
            Order(
                workload=record.workload,
                verb=record.verb,
                version=record.version,
                body=record.body,
                signature=record.signature,
            )
        )
        key = record.cluster, record.workload
        async with self._window:
            if not self._holds():
                raise LeaseLost("the time of the lease is over: another may lead")
            try:
                sequence = await self._bus.publish_order(
                    *key, body, expected_sequence=self._sequences.get(key, 0)
                )
            except NewerStored:
                found = await self._publish_onto_what_lies_there(record, body)
                if found is None:
                    return None
                sequence = found
        self._sequences[key] = sequence
        self._lost.published(sequence)
        self._published_at[key] = self._clock.now()
        self._metrics.orders.labels("published").inc()
        self._known.traffic[record.cluster].orders_sent += 1
        return OrderMark(*key, record.version, sequence)

    async def _publish_onto_what_lies_there(self, record: OutboxRecord, body: bytes) -> int | None:
        try:
            return await self._publish_onto_stored(record, body)
        except NewerStored:
            # It moved between reading and publishing (the stream was made anew): the next pass reads again.
            return None

    async def _publish_onto_stored(self, record: OutboxRecord, body: bytes) -> int | None:
        key = record.cluster, record.workload
        stored = await self._bus.last_order(*key)
        if stored is None:
            return await self._bus.publish_order(*key, body, expected_sequence=0)
        lying = _version_of(stored.body)
        if lying is None:
            log.error("stored_order_malformed", cluster=record.cluster, workload=record.workload)
            return await self._bus.publish_order(*key, body, expected_sequence=stored.sequence)
        if lying == record.version:
            return stored.sequence
        if lying > record.version:
            if self._known.issued(lying):
                # An order of a leader that was stopped and has woken up: its own outbox row is newer too.
                log.info("order_superseded", cluster=record.cluster, workload=record.workload)
                return None
            self._known.newer_stored.add(record.cluster)
            log.error("orders_newer_than_database", cluster=record.cluster, workload=record.workload)
            return None
        return await self._bus.publish_order(*key, body, expected_sequence=stored.sequence)

    async def _mark(self, marks: Iterable[OrderMark]) -> None:
        marks = list(marks)
        if not marks:
            return
        await self._store.mark_published(self._lease, marks)
        for mark in marks:
            self._known.put_published(mark.cluster, mark.workload, mark.version, mark.sequence)

    async def _look_up_overdue(self) -> None:
        now = self._clock.now()
        overdue: list[OutboxRecord] = []
        for key, at in list(self._published_at.items()):
            record = self._known.order(*key)
            if record is None or self._is_done(record):
                del self._published_at[key]
                if record is None:
                    self._sequences.pop(key, None)
            elif now - at > OVERDUE_SECONDS and len(overdue) < AT_ONCE:
                self._published_at[key] = now
                overdue.append(record)
        await asyncio.gather(*(self._look_up(record) for record in overdue))
        for cluster in sorted({each.cluster for each in overdue if self._is_lost_on_its_way(each, now)}):
            self._renewed_at[cluster] = now
            await self._bus.renew_consumer(cluster)

    def _is_lost_on_its_way(self, record: OutboxRecord, now: float) -> bool:
        """As far as can be told: its agent is there, and says nothing of it."""
        if record.acknowledged == record.version or not self._is_heard(record.cluster, now):
            return False
        said = refused_unrecorded(record, self._known.work.get(record.workload, {}).get(record.cluster))
        if not said or any(each.version is not None for each in said):
            return not said
        return now - self._renewed_at.setdefault(record.cluster, now) > REFUSED_OVERDUE_SECONDS

    async def _look_up(self, record: OutboxRecord) -> None:
        key = record.cluster, record.workload
        async with self._window:
            stored = await self._bus.last_order(*key)
        if stored is None or _version_of(stored.body) != record.version:
            self._sequences.pop(key, None)
            self._known.publish_again(*key)

    def _is_done(self, record: OutboxRecord) -> bool:
        """Until it is carried out, an agent that starts again needs the order once more."""
        work = self._known.work.get(record.workload, {}).get(record.cluster)
        return (
            record.acknowledged == record.version
            and work is not None
            and work.version == record.version
            and (work.carried_out == record.version or work.state is WorkState.REFUSED)
        )

    def _is_heard(self, cluster: str, now: float) -> bool:
        heard = self._known.heard.get(cluster)
        return heard is not None and now - heard.at <= self._known.loss_rules.lost_seconds


def _version(record: OutboxRecord) -> Version:
    return record.version


def _version_of(body: bytes) -> Version | None:
    """None where it is no order."""
    try:
        return decode(Order, body).version
    except Malformed:
        return None
