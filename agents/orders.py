"""Orders taken: verified, fenced, recorded, acknowledged; then carried out, and held to.

1. Decode and verify. What is not signed for this cluster is acknowledged, refused and reported.
2. Serial per workload: look at the record. Older, or the same version with other words: refused.
3. Record, with the resource version that was read as precondition; then acknowledge: to the stream, and to
   the centre with the next beat. What waits to be brought about holds nobody up here: orders of other
   workloads are recorded meanwhile, up to IN_FLIGHT.
4. Have it brought about, a few at a time.
5. On a period: again what failed, what somebody changed, what is still being removed, what a release let go;
   what is being removed also as soon as the watches show nothing of it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random

import structlog

from agents import tracing
from agents.acting import Acting
from agents.carry_out import CarryOut
from agents.failpoints import reached
from agents.fence import BadRecord, Entry, Verdict, joined, judge, order_digest
from agents.intake import NotTaken, Prepared, prepared, verified
from agents.keys import OrderKeys
from agents.lanes import Lanes
from agents.ports import Bus, BusAway, BusUnavailable, Clock, Conflict, Delivery, KubeError
from agents.records import Records
from agents.removals import may_remove
from agents.standing import Standings, kinds_of
from agents.timing import Backoff, Retrying, signalled
from agents.troubles import Trouble
from schemas.reasons import Reason
from schemas.wire.orders import Order, Verb, Version
from schemas.wire.reports import Refusal
from schemas.wire.subjects import RELEASE, token

AT_ONCE = 64
IN_FLIGHT = 512
RECORDED_AT_ONCE = 64
PULL_SECONDS = 5.0
LONGEST_PULL_PAUSE_SECONDS = 2.0
WRITE_ATTEMPTS = 6
REPAIR_SECONDS = 2.0
_log = structlog.get_logger()


class Orders:
    """The orders of one incarnation."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        random: Random,
        keys: OrderKeys,
        records: Records,
        carry_out: CarryOut,
        standings: Standings,
        want: Callable[[set[tuple[str, str]]], None],
        recorded: Callable[[str, Version], None],
        *,
        parallel: int = 8,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._random = random
        self._keys = keys
        self._records = records
        self._standings = standings
        self._want = want
        self._recorded = recorded
        self._fresh: set[str] = set()
        self._aging: set[str] = set()
        self._recording = asyncio.Semaphore(RECORDED_AT_ONCE)
        self._bringing_about = asyncio.Semaphore(parallel)
        self._removing = asyncio.Lock()
        self._newest: dict[str, Version] = {}
        self.repeated = 0
        self.outcomes: Counter[str] = Counter()
        """Of orders that came: `recorded`, or the reason why not."""
        self._acting = Acting(clock, random, records, carry_out, standings, self._newest.get)

    @property
    def holding(self) -> bool:
        """Whether removals wait for a release."""
        return any(entry.held for entry in self._records.entries.values())

    async def run(self) -> None:
        """Until cancelled."""
        for workload, entry in self._records.entries.items():
            self._want(kinds_of(entry.objects))
            self._standings.touch(workload)
        async with asyncio.TaskGroup() as group:
            lanes = Lanes(group, in_flight=IN_FLIGHT)
            group.create_task(self._repair(lanes))
            await self._pull(lanes)

    async def _pull(self, lanes: Lanes) -> None:
        # While NATS is away asking costs nothing, and orders shall not wait long once it is back.
        retrying = Retrying(
            self._bus.returns, self._clock, self._random, longest_seconds=LONGEST_PULL_PAUSE_SECONDS
        )
        trouble = Trouble("orders_not_pulled", "orders_pulled_again", self._clock.now)
        while True:
            try:
                deliveries = await self._bus.next_orders(limit=AT_ONCE, timeout_seconds=PULL_SECONDS)
            except BusUnavailable as error:
                if not isinstance(error, BusAway):
                    trouble.met(detail=str(error))
                await retrying.failed()
                continue
            retrying.succeeded()
            trouble.over()
            for delivery in deliveries:
                await self._admit(lanes, delivery)

    async def _admit(self, lanes: Lanes, delivery: Delivery) -> None:
        workload = delivery.subject.rpartition(".")[2]
        try:
            order = verified(self._keys, workload, delivery.body)
        except NotTaken as why:
            _log.warning("order_refused", workload=workload[:64], reason=why.refusal.reason)
            self._say(workload, why.refusal)
            with tracing.span("take order", parent=_trace(delivery), reason=why.refusal.reason) as span:
                span.failed(why.refusal.reason)
                await _acknowledge(delivery)
            return
        came = f"{order.version.epoch}.{order.version.generation}"
        _log.debug("order_delivered", workload=workload, verb=order.verb.value, version=came)
        self._newest[workload] = max(self._newest.get(workload, order.version), order.version)
        await lanes.put(workload, lambda: self._take(order, delivery))

    async def _take(self, order: Order, delivery: Delivery) -> None:
        """Fence, record, acknowledge, act."""
        trace = _trace(delivery)
        async with self._recording:
            with _span("take order", order, trace, "consumer") as span:
                taken = await self._take_down(order, delivery)
                span.say(recorded=taken)
        if not taken:
            return
        if order.verb is Verb.RELEASE:
            await self._acting.release()
            return
        with _span("carry out", order, trace, "internal") as span:
            standing = self._standings.of(order.workload)
            standing.trace, standing.traced_at = span.traceparent, self._clock.now()
            await self._act(order.workload)
            if standing.refusals:
                span.failed(standing.refusals[0].reason)

    async def _act(self, workload: str) -> None:
        async with self._bringing_about:
            await self._acting.act(workload)

    async def _take_down(self, order: Order, delivery: Delivery) -> bool:
        """Whether it is recorded, acknowledged, and to be acted on."""
        backoff = Backoff(self._random)
        for _ in range(WRITE_ATTEMPTS):
            try:
                if not await self._record(order):
                    await _acknowledge(delivery)
                    return False
                break
            except Conflict:
                await self._reread(order.workload)
            except (KubeError, BadRecord) as error:
                # Not recorded, so not acknowledged: it comes again.
                _log.warning("order_not_recorded", workload=order.workload, detail=str(error))
                await self._clock.sleep(backoff.failed())
        else:
            return False
        reached("agent.after_record")
        await _acknowledge(delivery)
        self.outcomes["recorded"] += 1
        self._recorded(order.workload, order.version)
        reached("agent.after_acknowledge")
        if self._standings.of(order.workload).fresh:
            # In a moment there is more to say of it.
            self._fresh.add(order.workload)
        else:
            self._standings.touch(order.workload)
        return True

    async def _reread(self, workload: str) -> None:
        try:
            await self._records.reread(workload)
        except (KubeError, BadRecord) as error:
            _log.warning("record_not_read", workload=workload, detail=str(error))

    async def _record(self, order: Order) -> bool:
        """Whether this order is now the recorded one and is to be acted on. Raises Conflict and KubeError."""
        workload = order.workload
        entry = self._records.entries.get(workload)
        verdict = judge(entry, order)
        if verdict in (Verdict.OLDER, Verdict.DIFFERS):
            self._refuse_beside(order, verdict, entry)
            return False
        standing = self._standings.of(workload)
        if verdict is Verdict.SAME and standing.is_for(order.version):
            return False
        ready = prepared(self._keys, order)
        if verdict is Verdict.NEW:
            # Where nothing of it was ever here, there is nothing to remove.
            if ready.removes and entry is not None and entry.objects:
                # One at a time: two removals must not both be the last that is allowed.
                async with self._removing:
                    allowed = self._may_remove(workload, order.version)
                    await self._records.write(self._entry(ready, entry, removes=True, held=not allowed))
            else:
                await self._records.write(self._entry(ready, entry))
            standing.begin_anew()
            self._want(kinds_of(self._records.entries[workload].objects))
        standing.prepared = ready
        entry = self._records.entries[workload]
        # Recorded and carried out by an earlier process or term: doing it again is safe, and is told.
        self.repeated += verdict is Verdict.SAME and entry.is_carried_out
        return True

    def _entry(
        self, ready: Prepared, before: Entry | None, *, removes: bool = False, held: bool = False
    ) -> Entry:
        order = ready.order
        return Entry(
            workload=order.workload,
            version=order.version,
            verb=order.verb,
            digest=order_digest(order),
            objects=joined(before.objects if before else (), ready.ordered, ready.dropped),
            removes=removes,
            held=held,
            preserve=ready.preserve,
            decided_at=self._clock.now(),
            carried_out=before.carried_out if before else None,
        )

    def _may_remove(self, workload: str, version: Version) -> bool:
        release = self._records.entries.get(RELEASE)
        return may_remove(
            version,
            self._records.entries.values(),
            released=release.version if release else None,
            workload=workload,
            now=self._clock.now(),
        )

    def _refuse_beside(self, order: Order, verdict: Verdict, entry: Entry | None) -> None:
        reason = Reason.ORDER_OLDER if verdict is Verdict.OLDER else Reason.ORDER_DIFFERS
        held = "" if entry is None else f"{entry.version.epoch}.{entry.version.generation}"
        came = f"{order.version.epoch}.{order.version.generation}"
        _log.warning("order_refused", workload=order.workload, reason=reason, recorded=held, came=came)
        message = f"{came} came, {held} is recorded"
        self._say(order.workload, Refusal(reason=reason, message=message, version=order.version))

    def _say(self, workload: str, refusal: Refusal) -> None:
        self.outcomes[refusal.reason.value] += 1
        try:
            token(workload)
        except ValueError:
            return
        self._standings.of(workload).said = [refusal]
        self._standings.touch(workload)

    async def _again(self, lanes: Lanes, workload: str) -> None:
        if not lanes.busy(workload):
            await lanes.put(workload, lambda: self._act(workload))

    async def _repair(self, lanes: Lanes) -> None:
        while True:
            until = self._clock.now() + REPAIR_SECONDS
            while (left := until - self._clock.now()) > 0:
                if await signalled(self._clock, self._standings.something_emptied, left):
                    await self._look_again(lanes, self._standings.take_emptied())
            self._tell_of_waiting()
            await self._look_again(lanes, list(self._records.entries))

    async def _look_again(self, lanes: Lanes, workloads: Iterable[str]) -> None:
        for workload in workloads:
            if self._acting.is_due(workload):
                await self._again(lanes, workload)

    def _tell_of_waiting(self) -> None:
        """What waits for longer than a moment to be carried out is reported as recorded."""
        for workload in self._aging:
            self._standings.age(workload)
        self._aging, self._fresh = self._fresh, set()


def _trace(delivery: Delivery) -> str | None:
    """None: the order came without one, so that its spans begin one."""
    return (delivery.trace or None) if tracing.is_on() else None


def _span(name: str, order: Order, parent: str | None, kind: tracing.Kind) -> tracing.Span:
    version = f"{order.version.epoch}.{order.version.generation}"
    return tracing.span(
        name, parent=parent, kind=kind, workload_uid=order.workload, verb=order.verb.value, version=version
    )


async def _acknowledge(delivery: Delivery) -> None:
    try:
        await delivery.acknowledge()
    except BusUnavailable:
        # It comes again and is known then.
        pass
