"""Both ports of the bus over one memory: what NATS does between agents and centre, and may do to them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from agents.ports import BusUnavailable as AgentBusUnavailable
from agents.ports import PublishRefused
from controlplane.loops.ports import (
    BusUnavailable,
    NewerStored,
    OrdersState,
    StoredOrder,
    StreamBatch,
    StreamMessage,
)
from schemas.wire.subjects import Subjects
from tests.simulation.memory_jetstream import (
    ACK_WAIT_SECONDS,
    OrderConsumer,
    StoreRefused,
    Stream,
    WrongLastSequence,
)
from tests.simulation.network import CENTRE, Fate, Interrupted, Network

T = TypeVar("T")
Answer = Callable[[str, bytes], Awaitable[bytes | None]]
CONFIRM_SECONDS = 5.0
NO_CONSUMER_PAUSE_SECONDS = 0.5
RECONNECT_SECONDS = 2.0
BATCH_MESSAGES = 500
MIB = 1024 * 1024


class MemoryNats:
    """The server: streams, consumers, who answers beats. It outlives agents and centres."""

    def __init__(
        self,
        subjects: Subjects,
        now: Callable[[], float],
        network: Network | None = None,
        *,
        ack_wait_seconds: float = ACK_WAIT_SECONDS,
        alert_bytes: int = 16 * MIB,
    ) -> None:
        self.subjects = subjects
        self.now = now
        self.network = network or Network()
        self.ack_wait_seconds = ack_wait_seconds
        self.state = Stream(subjects.state_stream, True, now())
        self.usage = Stream(subjects.usage_stream, True, now())
        self.alerts = Stream(subjects.alerts_stream, False, now(), max_bytes=alert_bytes)
        self.meter = Stream(subjects.meter_stream, False, now())
        self.orders = Stream(subjects.orders_stream, True, now())
        self.consumers: dict[str, OrderConsumer] = {}
        self.centres: list[CentreBus] = []
        self.cut_off: set[str] = set()
        self.beats_answered: dict[str, float] = {}
        self.trespasses: list[str] = []
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def streams(self) -> tuple[Stream, ...]:
        return self.state, self.usage, self.alerts, self.meter, self.orders

    def stream_of(self, subject: str) -> Stream:
        kind = subject.split(".")[1]
        return {"state": self.state, "usage": self.usage, "alert": self.alerts, "meter": self.meter}[kind]

    def store(
        self, stream: Stream, subject: str, body: bytes, *, expected_sequence: int | None = None
    ) -> int:
        sequence = stream.store(subject, body, expected_sequence)
        self.wake()
        return sequence

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def changed(self, timeout_seconds: float | None = None) -> None:
        """After the next change of any stream, or the timeout."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout(timeout_seconds):
                await future
        except TimeoutError:
            pass

    def power_cut(self, stream: Stream, lost: int) -> list[str]:
        """The newest acknowledged messages of a stream are gone; what they replaced may lie there again."""
        subjects = stream.lose_newest(lost, lambda _: self.network.random.random() < 0.5)
        self.wake()
        return subjects

    def purge_cluster(self, cluster: str) -> None:
        """Everything that this cluster has published."""
        for stream in (self.state, self.usage, self.alerts, self.meter):
            for subject in stream.subjects():
                if subject.split(".")[2] == cluster:
                    stream.purge(subject, None)

    def wipe(self, stream: Stream) -> None:
        """The stream is made anew, without its consumers."""
        stream.wipe(self.now())
        if stream is self.orders:
            self.consumers.clear()
        self.wake()

    def connect_centre(self) -> "CentreBus":
        return CentreBus(self)

    def connect_agent(self, cluster: str) -> "AgentBus":
        return AgentBus(self, cluster)


class CentreBus:
    """`controlplane.loops.ports.Bus`: one process's connection. `close` is what its death does to it."""

    def __init__(self, nats: MemoryNats) -> None:
        self._nats = nats
        self._subjects = nats.subjects
        self._network = nats.network
        self._answer: Answer | None = None
        self._answering: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        if self in self._nats.centres:
            self._nats.centres.remove(self)
        for task in sorted(self._answering, key=hash):
            task.cancel()

    def follow_reports(self, *, usage: bool) -> AsyncIterator[StreamBatch]:
        return self._follow(self._nats.usage if usage else self._nats.state)

    def follow_alerts(self) -> AsyncIterator[StreamBatch]:
        return self._follow(self._nats.alerts)

    async def _follow(self, stream: Stream) -> AsyncGenerator[StreamBatch, None]:
        """Where the real one reconnects, this one looks for a new life of the stream, some time after it."""
        created, position, restarts, caught_up = 0.0, 0, -1, False
        while True:
            await self._network.reachable(CENTRE)
            if restarts != stream.restarts:
                if restarts >= 0:
                    await asyncio.sleep(self._network.random.uniform(0.0, RECONNECT_SECONDS))
                if created != stream.created or stream.last_sequence < position:
                    created, position, caught_up = stream.created, 0, False
                restarts = stream.restarts
            await self._network.latency()
            found = stream.after(position, self._batch_size())
            if found:
                position = found[-1].sequence
            newly_caught_up = not caught_up and not stream.after(position, 1)
            caught_up = caught_up or newly_caught_up
            if found or newly_caught_up:
                messages = [StreamMessage(each.subject, each.body, each.sequence) for each in found]
                yield StreamBatch(messages, caught_up=caught_up, stream_created=created)
            else:
                await self._nats.changed()

    def _batch_size(self) -> int:
        return self._network.random.choice((1, 3, 20, BATCH_MESSAGES))

    async def purge_alerts(self, cluster: str, up_to_sequence: int) -> None:
        await self._carry(lambda: self._nats.alerts.purge(self._subjects.alert(cluster), up_to_sequence))

    async def purge_report(self, subject: str) -> None:
        """Raises ValueError for a subject that is no report's."""
        prefix = self._subjects.prefix
        if not subject.startswith((f"{prefix}.state.", f"{prefix}.usage.")) or set(subject) & {"*", ">"}:
            raise ValueError(f"{subject!r} is no report's subject")
        await self._carry(lambda: self._nats.stream_of(subject).purge(subject, None))

    async def purge_cluster(self, cluster: str) -> None:
        await self._carry(lambda: self._nats.purge_cluster(cluster))

    async def orders_state(self) -> OrdersState:
        orders = self._nats.orders
        return await self._carry(lambda: OrdersState(orders.created, orders.last_sequence))

    async def last_order(self, cluster: str, workload: str) -> StoredOrder | None:
        stored = await self._carry(lambda: self._nats.orders.last(self._subjects.order(cluster, workload)))
        return StoredOrder(stored.sequence, stored.body) if stored else None

    async def publish_order(self, cluster: str, workload: str, body: bytes, *, expected_sequence: int) -> int:
        subject = self._subjects.order(cluster, workload)
        try:
            return await self._carry(
                lambda: self._nats.store(
                    self._nats.orders, subject, body, expected_sequence=expected_sequence
                ),
                WrongLastSequence,
                StoreRefused,
            )
        except WrongLastSequence:
            stored = await self.last_order(cluster, workload)
            raise NewerStored(stored.sequence if stored else 0) from None
        except StoreRefused as error:
            raise BusUnavailable(str(error)) from error

    async def purge_order(self, cluster: str, workload: str, up_to_sequence: int) -> None:
        subject = self._subjects.order(cluster, workload)
        await self._carry(lambda: self._nats.orders.purge(subject, up_to_sequence))

    async def renew_consumer(self, cluster: str) -> None:
        await self.drop_consumer(cluster)
        await self._carry(lambda: self._make_consumer(cluster))

    def _make_consumer(self, cluster: str) -> None:
        prefix = f"{self._subjects.prefix}.order.{cluster}."
        consumer = OrderConsumer(self._nats.orders, prefix, self._nats.ack_wait_seconds)
        self._nats.consumers.setdefault(cluster, consumer)
        self._nats.wake()

    async def drop_consumer(self, cluster: str) -> None:
        await self._carry(lambda: self._nats.consumers.pop(cluster, None))

    async def order_consumers(self) -> Collection[str]:
        return await self._carry(lambda: frozenset(self._nats.consumers))

    async def serve_beats(self, answer: Answer) -> None:
        """A second call replaces the first."""
        self._answer = answer
        if self not in self._nats.centres:
            self._nats.centres.append(self)

    async def cut_off(self, cluster: str) -> None:
        await self._carry(lambda: self._nats.cut_off.add(cluster))

    async def admit(self, cluster: str) -> None:
        """Let a cluster speak again after `cut_off`."""
        await self._carry(lambda: self._nats.cut_off.discard(cluster))

    async def _carry(self, effect: Callable[[], T], *errors: type[Exception]) -> T:
        try:
            return await self._network.carry(CENTRE, effect, *errors)
        except Interrupted as error:
            raise BusUnavailable(str(error)) from error

    def ask(self, cluster: str, body: bytes, reply: asyncio.Future[bytes]) -> None:
        """A beat arrives; every centre that is subscribed hears it, and the first answer counts."""
        task = asyncio.ensure_future(self._reply(cluster, body, reply))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _reply(self, cluster: str, body: bytes, reply: asyncio.Future[bytes]) -> None:
        if self._answer is None:
            return
        try:
            answer = await self._answer(cluster, body)
        except Exception:
            # As the real one: the agent's request times out, and one bad beat ends nothing.
            return
        if answer is None:
            return
        self._nats.beats_answered[cluster] = self._nats.now()
        if not reply.done():
            reply.set_result(answer)


@dataclass(frozen=True)
class MemoryDelivery:
    subject: str
    body: bytes
    sequence: int = field(compare=False)
    consumer: OrderConsumer = field(compare=False, repr=False)
    network: Network = field(compare=False, repr=False)
    party: str = field(compare=False, repr=False)
    trace: str = ""

    async def acknowledge(self) -> None:
        """Sent and not confirmed: it may be lost without a word."""
        if self.party in self.network.partitioned:
            raise AgentBusUnavailable("NATS is away; reconnecting")
        if self.network.fate() not in (Fate.LOST, Fate.LATE):
            self.consumer.acknowledge(self.sequence)


class AgentBus:
    """`agents.ports.Bus` of one cluster: it can speak under that cluster's name only."""

    def __init__(self, nats: MemoryNats, cluster: str) -> None:
        self._nats = nats
        self._network = nats.network
        self._cluster = cluster
        self.returns = nats.network.returns[cluster]

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """In order; an interruption leaves a beginning stored, and the rest lost, late, or stored unheard."""
        for subject, _ in messages:
            if self._nats.subjects.of_cluster(subject)[0] != self._cluster:
                self._nats.trespasses.append(f"{self._cluster} published {subject}")
                raise AgentBusUnavailable(f"not permitted: {subject}")
        await self._admitted(CONFIRM_SECONDS)
        await self._network.latency()
        fate = self._network.fate()
        if self._cluster in self._network.partitioned:
            fate = Fate.LOST
        whole = len(messages)
        stored = whole if fate in (Fate.DONE, Fate.TWICE) else self._network.random.randint(0, whole)
        refusal = self._store(messages[:stored])
        if fate is Fate.DONE or fate is Fate.TWICE:
            if fate is Fate.TWICE:
                self._network.later(lambda: self._store(messages))
            await self._network.latency()
            if refusal is not None:
                raise PublishRefused(str(refusal))
            return
        if fate is Fate.LATE:
            self._network.later(lambda: self._store(messages[stored:]))
        elif fate is Fate.ANSWER_LOST:
            self._store(messages[stored:])
        await asyncio.sleep(CONFIRM_SECONDS)
        raise AgentBusUnavailable(f"{whole - stored} publishes were not confirmed in time")

    def _store(self, messages: Sequence[tuple[str, bytes]]) -> StoreRefused | None:
        refusal = None
        for subject, body in messages:
            try:
                self._nats.store(self._nats.stream_of(subject), subject, body)
            except StoreRefused as error:
                refusal = error
        return refusal

    async def next_orders(self, *, limit: int, timeout_seconds: float) -> Sequence[MemoryDelivery]:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_seconds
        await self._admitted(timeout_seconds)
        while True:
            consumer = self._nats.consumers.get(self._cluster)
            if consumer is None:
                await asyncio.sleep(min(NO_CONSUMER_PAUSE_SECONDS, timeout_seconds))
                return []
            found = consumer.fetch(limit, self._nats.now())
            if found:
                break
            left = until - loop.time()
            if left <= 1e-6:
                return []
            redelivery = consumer.next_redelivery()
            if redelivery is not None:
                left = min(left, max(redelivery - self._nats.now(), 0.001))
            await self._nats.changed(left)
        await self._network.latency()
        if self._network.fate() in (Fate.LOST, Fate.LATE) or self._cluster in self._network.partitioned:
            # Delivered into nothing: it comes again when the acknowledgement is overdue.
            await asyncio.sleep(max(until - loop.time(), 0.0))
            return []
        return [
            MemoryDelivery(each.subject, each.body, each.sequence, consumer, self._network, self._cluster)
            for each in found
        ]

    async def beat(self, body: bytes, *, timeout_seconds: float) -> bytes:
        await self._admitted(timeout_seconds)
        await self._network.latency()
        fate = self._network.fate()
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self._cluster in self._network.partitioned or CENTRE in self._network.partitioned:
            fate = Fate.LOST
        elif not self._nats.centres:
            raise AgentBusUnavailable("no responders")
        if fate is Fate.LATE:
            self._network.later(lambda: self._ask(body, reply))
        elif fate is not Fate.LOST:
            self._ask(body, reply)
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await reply
                if fate in (Fate.LOST, Fate.LATE, Fate.ANSWER_LOST):
                    await asyncio.Event().wait()
        except TimeoutError:
            raise AgentBusUnavailable("nobody answered the beat") from None
        await self._network.latency()
        return answer

    def _ask(self, body: bytes, reply: asyncio.Future[bytes]) -> None:
        for centre in list(self._nats.centres):
            centre.ask(self._cluster, body, reply)

    async def _admitted(self, timeout_seconds: float) -> None:
        if self._cluster in self._network.partitioned or self._cluster in self._nats.cut_off:
            await asyncio.sleep(timeout_seconds)
            raise AgentBusUnavailable("NATS is away; reconnecting")
