"""Both sides of the bus on a real server: what their ports promise."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from nats.errors import Error as NatsError

from agents.bus import NatsBus as AgentBus
from agents.ports import BusUnavailable, PublishRefused
from controlplane.bus import Credentials
from controlplane.bus.session import Session
from controlplane.identity import accounts
from controlplane.loops.ports import NewerStored, StreamBatch, StreamMessage
from tests.crash.proxy import Way
from tests.installation import JoinedCluster, NatsInstallation

BOUND_SECONDS = 15.0


async def read_until(
    batches: AsyncIterator[StreamBatch], enough: Callable[[list[StreamMessage], bool], bool]
) -> list[StreamMessage]:
    messages: list[StreamMessage] = []
    async with asyncio.timeout(BOUND_SECONDS):
        async for batch in batches:
            messages += batch.messages
            if enough(messages, batch.caught_up):
                return messages
    raise AssertionError("the stream ended")


async def read_all(batches: AsyncIterator[StreamBatch]) -> dict[str, bytes]:
    return {m.subject: m.body for m in await read_until(batches, lambda _, caught_up: caught_up)}


async def eventually(attempt: Callable[[], Awaitable[object]], *errors: type[Exception]) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while True:
        try:
            await attempt()
        except errors:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
        else:
            return


@pytest_asyncio.fixture
async def cluster(nats_installation: NatsInstallation) -> JoinedCluster:
    return await nats_installation.join()


@pytest_asyncio.fixture
async def agent(
    nats_installation: NatsInstallation, cluster: JoinedCluster
) -> AsyncGenerator[AgentBus, None]:
    bus = nats_installation.agent_bus(cluster)
    yield bus
    await bus.close()


class TestReports:
    async def test_the_last_report_of_each_subject_is_replayed_in_order(
        self, nats_installation: NatsInstallation, cluster: JoinedCluster, agent: AgentBus
    ) -> None:
        subjects = nats_installation.subjects
        shards = [subjects.inventory(cluster.id, f"3000-{i}") for i in range(3000)]
        await agent.publish(
            [(subjects.facts(cluster.id), b"old"), *((shard, b"x" * 200) for shard in shards)]
        )
        await agent.publish([(subjects.facts(cluster.id), b"new")])
        reports = nats_installation.bus.follow_reports(usage=False)
        messages = await read_until(reports, lambda _, caught_up: caught_up)
        assert [m.subject for m in messages] == [*shards, subjects.facts(cluster.id)]
        assert messages[-1].body == b"new"

    async def test_an_empty_stream_is_caught_up_at_once_and_then_live(
        self, nats_installation: NatsInstallation, cluster: JoinedCluster, agent: AgentBus
    ) -> None:
        reports = nats_installation.bus.follow_reports(usage=True)
        first = await anext(reports)
        assert (first.caught_up, list(first.messages)) == (True, [])
        subject = nats_installation.subjects.usage(cluster.id, "1-0")
        await agent.publish([(subject, b"live")])
        second = await asyncio.wait_for(anext(reports), BOUND_SECONDS)
        assert [(m.subject, m.body) for m in second.messages] == [(subject, b"live")]
        assert second.caught_up

    async def test_a_purged_report_is_not_replayed(
        self, nats_installation: NatsInstallation, cluster: JoinedCluster, agent: AgentBus
    ) -> None:
        subjects = nats_installation.subjects
        gone, kept = subjects.profile(cluster.id, "a"), subjects.profile(cluster.id, "b")
        await agent.publish([(gone, b"1"), (kept, b"2")])
        await nats_installation.bus.purge_report(gone)
        assert await read_all(nats_installation.bus.follow_reports(usage=False)) == {kept: b"2"}

    async def test_a_purge_that_would_reach_further_is_refused(
        self, nats_installation: NatsInstallation
    ) -> None:
        for subject in (f"{nats_installation.subjects.prefix}.state.>", "elsewhere.state.a.facts"):
            with pytest.raises(ValueError, match="no report"):
                await nats_installation.bus.purge_report(subject)

    async def test_a_report_above_the_bound_is_refused_by_name_and_the_next_one_taken(
        self, nats_installation: NatsInstallation, cluster: JoinedCluster, agent: AgentBus
    ) -> None:
        facts = nats_installation.subjects.facts(cluster.id)
        with pytest.raises(PublishRefused, match="exceeds maximum"):
            await agent.publish([(facts, b"x" * 600 * 1024)])
        await agent.publish([(facts, b"small")])


class TestOrders:
    async def test_published_at_the_expected_sequence_pulled_and_acknowledged(
        self, nats_installation: NatsInstallation, cluster: JoinedCluster, agent: AgentBus
    ) -> None:
        bus = nats_installation.bus
        await bus.renew_consumer(cluster.id)
        first = await bus.publish_order(cluster.id, "w", b"one", expected_sequence=0)
        (delivery,) = await agent.next_orders(limit=10, timeout_seconds=5)
        assert delivery.body == b"one"
        await delivery.acknowledge()
        assert await bus.publish_order(cluster.id, "w", b"two", expected_sequence=first) > first
        (delivery,) = await agent.next_orders(limit=10, timeout_seconds=5)
        assert delivery.body == b"two"

    async def test_a_newer_order_is_never_replaced(
        self, nats_installation: NatsInstallation, cluster: JoinedCluster
    ) -> None:
        bus = nats_installation.bus
        stored = await bus.publish_order(cluster.id, "w", b"newer", expected_sequence=0)
        with pytest.raises(NewerStored) as moved_on:
            await bus.publish_order(cluster.id, "w", b"older", expected_sequence=0)
        assert moved_on.value.sequence == stored
        last = await bus.last_order(cluster.id, "w")
        assert last is not None
        assert (last.sequence, last.body) == (stored, b"newer")

    async def test_a_renewed_consumer_gives_every_last_order_again(
        self, nats_installation: NatsInstallation, cluster: JoinedCluster, agent: AgentBus
    ) -> None:
        bus = nats_installation.bus
        await bus.renew_consumer(cluster.id)
        for workload in ("a", "b"):
            await bus.publish_order(cluster.id, workload, workload.encode(), expected_sequence=0)
        for _ in range(2):
            bodies: set[bytes] = set()
            while len(bodies) < 2:
                for delivery in await agent.next_orders(limit=10, timeout_seconds=5):
                    bodies.add(delivery.body)
                    await delivery.acknowledge()
            assert bodies == {b"a", b"b"}
            await bus.renew_consumer(cluster.id)

    async def test_without_a_consumer_there_are_no_orders_and_no_error(self, agent: AgentBus) -> None:
        assert await agent.next_orders(limit=10, timeout_seconds=0.2) == []

    async def test_a_purged_withdrawal_spares_what_was_ordered_after_it(
        self, nats_installation: NatsInstallation, cluster: JoinedCluster
    ) -> None:
        bus = nats_installation.bus
        first = await bus.publish_order(cluster.id, "w", b"withdraw", expected_sequence=0)
        second = await bus.publish_order(cluster.id, "w", b"apply", expected_sequence=first)
        await bus.purge_order(cluster.id, "w", first)
        last = await bus.last_order(cluster.id, "w")
        assert last is not None
        assert last.sequence == second
        await bus.purge_order(cluster.id, "w", second)
        assert await bus.last_order(cluster.id, "w") is None


class TestAlerts:
    async def test_purged_up_to_the_committed_one_of_that_cluster_only(
        self, nats_installation: NatsInstallation, cluster: JoinedCluster, agent: AgentBus
    ) -> None:
        other = await nats_installation.join()
        other_agent = nats_installation.agent_bus(other)
        alert = nats_installation.subjects.alert
        await agent.publish([(alert(cluster.id), b"1"), (alert(cluster.id), b"2")])
        await other_agent.publish([(alert(other.id), b"theirs")])
        alerts = nats_installation.bus.follow_alerts()
        messages = await read_until(alerts, lambda _, caught_up: caught_up)
        assert [m.body for m in messages] == [b"1", b"2", b"theirs"]
        await nats_installation.bus.purge_alerts(cluster.id, messages[0].sequence)
        left = await read_until(nats_installation.bus.follow_alerts(), lambda _, caught_up: caught_up)
        assert [m.body for m in left] == [b"2", b"theirs"]
        await other_agent.close()


class TestBeats:
    async def test_answered_under_the_name_that_nats_let_the_sender_use(
        self, nats_installation: NatsInstallation, cluster: JoinedCluster, agent: AgentBus
    ) -> None:
        async def answer(speaker: str, body: bytes) -> bytes:
            return speaker.encode() + b" said " + body

        await nats_installation.bus.serve_beats(answer)
        assert await agent.beat(b"alive", timeout_seconds=5) == f"{cluster.id} said alive".encode()

    async def test_one_that_cannot_be_answered_ends_nothing(
        self, nats_installation: NatsInstallation, agent: AgentBus
    ) -> None:
        async def answer(speaker: str, body: bytes) -> bytes:
            if body == b"bad":
                raise ValueError("malformed")
            return b"ok"

        await nats_installation.bus.serve_beats(answer)
        with pytest.raises(BusUnavailable):
            await agent.beat(b"bad", timeout_seconds=0.2)
        assert await agent.beat(b"good", timeout_seconds=5) == b"ok"

    async def test_without_a_centre_it_says_so(self, agent: AgentBus) -> None:
        with pytest.raises(BusUnavailable):
            await agent.beat(b"alive", timeout_seconds=1)


class TestASlowServer:
    async def test_whose_answer_comes_late_is_not_gone(self, nats_installation: NatsInstallation) -> None:
        way = Way(int(nats_installation.url.rpartition(":")[2]))
        await way.open()
        own, returned = nats_installation.keys, list[None]()
        user_jwt = accounts.service_user_jwt(own.centre_account, own.centre_user, "slow", int(time.time()))
        credentials = Credentials(user_jwt, own.centre_user)
        session = Session([f"nats://127.0.0.1:{way.port}"], credentials, "slow")

        async def is_back() -> None:
            returned.append(None)

        session.on_return.append(is_back)
        client = await session.client()
        way.cut()
        with pytest.raises(NatsError):
            await client.flush(timeout=1)
        way.mend()
        await client.flush(timeout=5)
        assert await session.client() is client
        assert returned == []
        await session.close()
        await way.close()
