"""What the loops and the agent count on of their bus, on a real NATS and on the seeded world's alike."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest
import pytest_asyncio

from agents.bus import NatsBus as NatsAgentBus
from agents.ports import Bus as AgentBus
from agents.ports import BusUnavailable, Delivery, PublishRefused
from controlplane.bus import Credentials, Session
from controlplane.bus.streams import order_consumer
from controlplane.identity import accounts
from controlplane.loops.ports import Bus, NewerStored, StreamBatch, StreamMessage
from schemas.wire.subjects import Subjects
from tests.installation import NatsInstallation
from tests.simulation.memory_bus import MemoryNats

BOUND_SECONDS = 15.0
SHORT_ACK_WAIT_SECONDS = 0.5
ALERT_MIB = 16
"""The bound of ALERTS in both worlds."""


class BusWorld(Protocol):
    """One installation with its centre; clusters join it."""

    @property
    def subjects(self) -> Subjects: ...

    @property
    def centre(self) -> Bus: ...

    async def join(self) -> tuple[str, AgentBus]:
        """A cluster's id and its agent's bus."""
        ...

    async def wipe(self) -> None:
        """All streams are deleted and made anew."""
        ...

    async def renew_impatient_consumer(self, cluster: str) -> None:
        """As `renew_consumer`, with an ack wait that a test can wait for."""
        ...


class MemoryWorld:
    def __init__(self) -> None:
        self.subjects = Subjects("conformance")
        self._nats = MemoryNats(self.subjects, time.time, ack_wait_seconds=SHORT_ACK_WAIT_SECONDS)
        self._centre = self._nats.connect_centre()
        self._joined = 0

    @property
    def centre(self) -> Bus:
        return self._centre

    async def join(self) -> tuple[str, AgentBus]:
        self._joined += 1
        cluster = f"C{self._joined}"
        return cluster, self._nats.connect_agent(cluster)

    async def wipe(self) -> None:
        for stream in self._nats.streams:
            self._nats.wipe(stream)

    async def renew_impatient_consumer(self, cluster: str) -> None:
        await self._centre.renew_consumer(cluster)


@dataclass
class NatsWorld:
    installation: NatsInstallation
    _agents: list[NatsAgentBus] = field(default_factory=list[NatsAgentBus])

    @property
    def subjects(self) -> Subjects:
        return self.installation.subjects

    @property
    def centre(self) -> Bus:
        return self.installation.bus

    async def join(self) -> tuple[str, AgentBus]:
        joined = await self.installation.join()
        self._agents.append(self.installation.agent_bus(joined))
        return joined.id, self._agents[-1]

    async def wipe(self) -> None:
        await self.installation.bus.delete_streams()
        await self.installation.bus.open()

    async def renew_impatient_consumer(self, cluster: str) -> None:
        await self.centre.drop_consumer(cluster)
        keys = self.installation.keys
        user_jwt = accounts.service_user_jwt(keys.centre_account, keys.centre_user, "test", int(time.time()))
        session = Session([self.installation.url], Credentials(user_jwt, keys.centre_user), "test")
        config = replace(order_consumer(self.subjects, cluster), ack_wait=SHORT_ACK_WAIT_SECONDS)
        await (await session.client()).jetstream().add_consumer(self.subjects.orders_stream, config)
        await session.close()

    async def close(self) -> None:
        for agent in self._agents:
            await agent.close()


@pytest_asyncio.fixture
async def nats_world(nats_installation: NatsInstallation) -> AsyncGenerator[NatsWorld, None]:
    world = NatsWorld(nats_installation)
    yield world
    await world.close()


@pytest.fixture(params=["memory", "nats"])
def world(request: pytest.FixtureRequest) -> BusWorld:
    if request.param == "memory":
        return MemoryWorld()
    real: NatsWorld = request.getfixturevalue("nats_world")
    return real


async def read_until(
    batches: AsyncIterator[StreamBatch], enough: Callable[[Sequence[StreamMessage], bool], bool]
) -> list[StreamMessage]:
    messages: list[StreamMessage] = []
    async with asyncio.timeout(BOUND_SECONDS):
        async for batch in batches:
            messages += batch.messages
            if enough(messages, batch.caught_up):
                return messages
    raise AssertionError("the stream ended")


async def replayed(batches: AsyncIterator[StreamBatch]) -> list[tuple[str, bytes]]:
    messages = await read_until(batches, lambda _, caught_up: caught_up)
    return [(message.subject, message.body) for message in messages]


async def pulled(agent: AgentBus, count: int, *, acknowledge: bool = True) -> list[bytes]:
    """`count` orders, as they come."""
    found: list[Delivery] = []
    async with asyncio.timeout(BOUND_SECONDS):
        while len(found) < count:
            for delivery in await agent.next_orders(limit=10, timeout_seconds=1.0):
                found.append(delivery)
                if acknowledge:
                    await delivery.acknowledge()
    return [delivery.body for delivery in found]


class TestReports:
    async def test_the_last_value_of_a_subject_replaces_the_one_before(self, world: BusWorld) -> None:
        cluster, agent = await world.join()
        facts, shard = world.subjects.facts(cluster), world.subjects.inventory(cluster, "1-0")
        await agent.publish([(facts, b"old"), (shard, b"shard")])
        await agent.publish([(facts, b"new")])
        reports = await replayed(world.centre.follow_reports(usage=False))
        assert reports == [(shard, b"shard"), (facts, b"new")]

    @pytest.mark.parametrize("stream", ["state", "usage", "alerts"])
    async def test_an_empty_stream_is_caught_up_at_once_and_then_live(
        self, world: BusWorld, stream: str
    ) -> None:
        cluster, agent = await world.join()
        subject, batches = {
            "state": (world.subjects.facts(cluster), world.centre.follow_reports(usage=False)),
            "usage": (world.subjects.usage(cluster, "1-0"), world.centre.follow_reports(usage=True)),
            "alerts": (world.subjects.alert(cluster), world.centre.follow_alerts()),
        }[stream]
        first = await asyncio.wait_for(anext(batches), BOUND_SECONDS)
        assert (first.caught_up, list(first.messages)) == (True, [])
        await agent.publish([(subject, b"live")])
        live = await read_until(batches, lambda messages, _: bool(messages))
        assert [(message.subject, message.body) for message in live] == [(subject, b"live")]

    async def test_a_purged_report_is_not_replayed(self, world: BusWorld) -> None:
        cluster, agent = await world.join()
        gone, kept = world.subjects.profile(cluster, "a"), world.subjects.profile(cluster, "b")
        await agent.publish([(gone, b"1"), (kept, b"2")])
        await world.centre.purge_report(gone)
        assert await replayed(world.centre.follow_reports(usage=False)) == [(kept, b"2")]

    async def test_a_stream_made_anew_is_read_from_its_start_by_who_follows_it(self, world: BusWorld) -> None:
        cluster, agent = await world.join()
        facts, profile = world.subjects.facts(cluster), world.subjects.profile(cluster, "a")
        batches = world.centre.follow_reports(usage=False)
        await agent.publish([(facts, b"one"), (facts, b"two"), (facts, b"three")])
        before = await asyncio.wait_for(anext(batches), BOUND_SECONDS)
        await world.wipe()
        await agent.publish([(profile, b"anew")])
        created: set[float] = set()
        async with asyncio.timeout(BOUND_SECONDS):
            async for batch in batches:
                created.add(batch.stream_created)
                if any(message.body == b"anew" for message in batch.messages):
                    assert batch.messages[-1].sequence == 1
                    break
        assert created - {before.stream_created}

    @pytest.mark.parametrize("size", [600 * 1024, 4 * 1024 * 1024 // 5])
    async def test_a_report_above_the_bound_is_refused_and_the_next_one_taken(
        self, world: BusWorld, size: int
    ) -> None:
        cluster, agent = await world.join()
        facts = world.subjects.facts(cluster)
        with pytest.raises(PublishRefused, match="exceeds maximum"):
            await agent.publish([(facts, b"x" * size)])
        await agent.publish([(facts, b"small")])
        assert await replayed(world.centre.follow_reports(usage=False)) == [(facts, b"small")]


class TestAlerts:
    async def test_a_full_log_refuses_and_keeps_what_it_has(self, world: BusWorld) -> None:
        cluster, agent = await world.join()
        alert = world.subjects.alert(cluster)
        body = b"x" * 500 * 1024
        await agent.publish([(alert, body)] * (ALERT_MIB * 1024 // 500 - 1))
        with pytest.raises(PublishRefused, match="maximum bytes"):
            await agent.publish([(alert, body)] * 3)
        kept = await replayed(world.centre.follow_alerts())
        assert len(kept) >= ALERT_MIB * 1024 // 500 - 1
        assert set(kept) == {(alert, body)}

    async def test_purged_up_to_a_sequence_of_that_cluster_only(self, world: BusWorld) -> None:
        cluster, agent = await world.join()
        other, other_agent = await world.join()
        mine, theirs = world.subjects.alert(cluster), world.subjects.alert(other)
        await agent.publish([(mine, b"1")])
        await other_agent.publish([(theirs, b"t")])
        await agent.publish([(mine, b"2"), (mine, b"3")])
        messages = await read_until(world.centre.follow_alerts(), lambda _, caught_up: caught_up)
        second = next(message for message in messages if message.body == b"2")
        await world.centre.purge_alerts(cluster, second.sequence)
        assert await replayed(world.centre.follow_alerts()) == [(theirs, b"t"), (mine, b"3")]


class TestOrders:
    async def test_another_sequence_than_expected_raises_newer_stored_with_it(self, world: BusWorld) -> None:
        cluster, _ = await world.join()
        stored = await world.centre.publish_order(cluster, "w", b"newer", expected_sequence=0)
        with pytest.raises(NewerStored) as moved_on:
            await world.centre.publish_order(cluster, "w", b"older", expected_sequence=0)
        assert moved_on.value.sequence == stored
        last = await world.centre.last_order(cluster, "w")
        assert last is not None
        assert (last.sequence, last.body) == (stored, b"newer")

    async def test_expecting_one_where_none_lies_raises_newer_stored_with_zero(self, world: BusWorld) -> None:
        cluster, _ = await world.join()
        with pytest.raises(NewerStored) as moved_on:
            await world.centre.publish_order(cluster, "w", b"order", expected_sequence=7)
        assert moved_on.value.sequence == 0
        assert await world.centre.last_order(cluster, "w") is None

    async def test_the_expected_sequence_is_that_of_the_subject(self, world: BusWorld) -> None:
        cluster, _ = await world.join()
        first = await world.centre.publish_order(cluster, "a", b"a1", expected_sequence=0)
        await world.centre.publish_order(cluster, "b", b"b1", expected_sequence=0)
        assert await world.centre.publish_order(cluster, "a", b"a2", expected_sequence=first) > first

    async def test_an_agent_gets_its_own_orders_and_each_once_where_acknowledged(
        self, world: BusWorld
    ) -> None:
        cluster, agent = await world.join()
        other, _ = await world.join()
        await world.renew_impatient_consumer(cluster)
        await world.centre.publish_order(other, "w", b"theirs", expected_sequence=0)
        await world.centre.publish_order(cluster, "w", b"ours", expected_sequence=0)
        assert await pulled(agent, 1) == [b"ours"]
        assert await agent.next_orders(limit=10, timeout_seconds=2 * SHORT_ACK_WAIT_SECONDS) == []

    async def test_an_order_that_is_not_acknowledged_is_given_again(self, world: BusWorld) -> None:
        cluster, agent = await world.join()
        await world.renew_impatient_consumer(cluster)
        await world.centre.publish_order(cluster, "w", b"order", expected_sequence=0)
        assert await pulled(agent, 3, acknowledge=False) == [b"order"] * 3

    async def test_one_that_was_replaced_before_its_acknowledgement_is_not_given_again(
        self, world: BusWorld
    ) -> None:
        cluster, agent = await world.join()
        await world.renew_impatient_consumer(cluster)
        first = await world.centre.publish_order(cluster, "w", b"old", expected_sequence=0)
        assert await pulled(agent, 1, acknowledge=False) == [b"old"]
        await world.centre.publish_order(cluster, "w", b"new", expected_sequence=first)
        assert await pulled(agent, 3, acknowledge=False) == [b"new"] * 3

    async def test_a_renewed_consumer_gives_every_last_order_again(self, world: BusWorld) -> None:
        cluster, agent = await world.join()
        await world.centre.renew_consumer(cluster)
        first = await world.centre.publish_order(cluster, "a", b"a1", expected_sequence=0)
        await world.centre.publish_order(cluster, "b", b"b1", expected_sequence=0)
        await world.centre.publish_order(cluster, "a", b"a2", expected_sequence=first)
        for _ in range(2):
            await world.centre.renew_consumer(cluster)
            given: list[bytes] = []
            while set(given) != {b"a2", b"b1"}:
                given += await pulled(agent, 1)

    async def test_without_a_consumer_there_are_no_orders_and_no_error(self, world: BusWorld) -> None:
        _, agent = await world.join()
        assert await agent.next_orders(limit=10, timeout_seconds=0.2) == []

    async def test_consumers_are_listed_by_cluster_until_they_are_dropped(self, world: BusWorld) -> None:
        assert set(await world.centre.order_consumers()) == set()
        clusters = [(await world.join())[0] for _ in range(2)]
        for cluster in clusters:
            await world.centre.renew_consumer(cluster)
        assert set(await world.centre.order_consumers()) == set(clusters)
        await world.centre.drop_consumer(clusters[0])
        assert set(await world.centre.order_consumers()) == {clusters[1]}

    async def test_a_wiped_stream_of_orders_has_no_consumer_until_it_is_renewed(
        self, world: BusWorld
    ) -> None:
        cluster, agent = await world.join()
        await world.centre.renew_consumer(cluster)
        await world.centre.publish_order(cluster, "w", b"before", expected_sequence=0)
        await world.wipe()
        await world.centre.publish_order(cluster, "w", b"after", expected_sequence=0)
        assert await agent.next_orders(limit=10, timeout_seconds=0.5) == []
        await world.centre.renew_consumer(cluster)
        assert await pulled(agent, 1) == [b"after"]

    async def test_the_state_of_orders_tells_of_what_is_published_and_of_a_wipe(
        self, world: BusWorld
    ) -> None:
        cluster, _ = await world.join()
        before = await world.centre.orders_state()
        sequence = await world.centre.publish_order(cluster, "w", b"first", expected_sequence=0)
        after = await world.centre.orders_state()
        assert (after.created, after.last_sequence) == (before.created, sequence)
        await world.centre.purge_order(cluster, "w", sequence)
        assert await world.centre.orders_state() == after, "what is purged was there"
        await world.wipe()
        wiped = await world.centre.orders_state()
        assert wiped.created > after.created
        assert wiped.last_sequence == 0

    async def test_a_purge_up_to_a_sequence_keeps_what_is_newer(self, world: BusWorld) -> None:
        cluster, _ = await world.join()
        first = await world.centre.publish_order(cluster, "w", b"withdraw", expected_sequence=0)
        second = await world.centre.publish_order(cluster, "w", b"apply", expected_sequence=first)
        await world.centre.purge_order(cluster, "w", first)
        last = await world.centre.last_order(cluster, "w")
        assert last is not None
        assert last.sequence == second
        await world.centre.purge_order(cluster, "w", second)
        assert await world.centre.last_order(cluster, "w") is None
        third = await world.centre.publish_order(cluster, "w", b"again", expected_sequence=0)
        assert third > second


class TestBeats:
    async def test_without_a_centre_it_is_unavailable(self, world: BusWorld) -> None:
        _, agent = await world.join()
        with pytest.raises(BusUnavailable):
            await agent.beat(b"alive", timeout_seconds=0.5)

    async def test_answered_under_the_cluster_that_spoke(self, world: BusWorld) -> None:
        async def answer(cluster: str, body: bytes) -> bytes:
            return cluster.encode() + b" said " + body

        cluster, agent = await world.join()
        await world.centre.serve_beats(answer)
        assert await agent.beat(b"alive", timeout_seconds=5) == f"{cluster} said alive".encode()

    async def test_one_that_cannot_be_answered_ends_nothing(self, world: BusWorld) -> None:
        async def answer(_: str, body: bytes) -> bytes:
            if body == b"bad":
                raise ValueError("malformed")
            return b"ok"

        _, agent = await world.join()
        await world.centre.serve_beats(answer)
        with pytest.raises(BusUnavailable):
            await agent.beat(b"bad", timeout_seconds=0.2)
        assert await agent.beat(b"good", timeout_seconds=5) == b"ok"
