"""A cluster that floods is cut off and said so; the others go on, and get the room back (promise 5)."""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from agents.bus import Identity
from agents.bus import NatsBus as AgentBus
from agents.ports import BusUnavailable, PublishRefused
from controlplane.app import WallClock
from controlplane.identity.order_keys import OrderKeys
from controlplane.intent import Write
from controlplane.joining import Registrar
from controlplane.known.records import Request, Standing
from controlplane.loops.centre import Centre
from controlplane.loops.centre_ports import Ports
from controlplane.loops.footprint import MIB, ClusterBounds
from controlplane.loops.running import LoopMetrics
from controlplane.store.store import PostgresStore
from schemas.wire.codec import encode
from schemas.wire.reports import Facts
from tests.installation import NatsInstallation
from tests.integration.test_joining import invited, new_agent, request

pytestmark = pytest.mark.promise(5)
BOUNDS = ClusterBounds(subjects=1_000, stored_bytes=4 * MIB, bytes_a_minute=16 * MIB)
OPERATOR = Write("operator")
REPORTS = 40
SLOWER, SLOWER_SECONDS = 10, 0.5


@dataclass
class Member:
    id: str
    bus: AgentBus
    installation: NatsInstallation

    async def report(self, sequence: int) -> None:
        facts = Facts(incarnation=1, sequence=sequence, layout=1, kubernetes_version="v1.36.3")
        await self.bus.publish([(self.installation.subjects.facts(self.id), encode(facts))])


@dataclass
class World:
    centre: Centre
    store: PostgresStore
    registrar: Registrar
    installation: NatsInstallation

    async def join(self, name: str) -> Member:
        agent = new_agent()
        joined = await self.registrar.join(request(await invited(self.store, name), agent, f"uid-{name}"))
        identity = Identity(joined.cluster_id, joined.user_jwt, agent.seed)
        bus = AgentBus(joined.nats_urls, identity, self.installation.subjects)
        return Member(joined.cluster_id, bus, self.installation)


@pytest_asyncio.fixture
async def world(database: str, nats_installation: NatsInstallation) -> AsyncGenerator[World, None]:
    async with PostgresStore(database) as store:
        registrar = Registrar(
            keys=nats_installation.keys,
            subjects=nats_installation.subjects,
            intent=store,
            seeds=store,
            admission=nats_installation.bus,
            nats_urls=(nats_installation.url,),
            random_bytes=os.urandom,
            now=time.time,
        )
        centre = Centre(
            Ports(
                store=store,
                bus=nats_installation.bus,
                clock=WallClock(),
                signer=OrderKeys(nats_installation.keys),
                subjects=nats_installation.subjects,
                metrics=LoopMetrics(CollectorRegistry()),
                holder="only",
                bounds=BOUNDS,
            )
        )
        running = asyncio.create_task(centre.run())
        await eventually(lambda: centre.leads, "the centre to lead")
        yield World(centre, store, registrar, nats_installation)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def eventually(holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.02)


async def many_subjects(member: Member) -> None:
    subjects = member.installation.subjects
    await member.bus.publish([(subjects.work(member.id, f"w{n}"), b"{}") for n in range(1_500)])


async def large_bodies(member: Member) -> None:
    subjects = member.installation.subjects
    await member.bus.publish([(subjects.usage(member.id, f"16-{n}"), b"x" * 400_000) for n in range(16)])


async def one_subject_again_and_again(member: Member) -> None:
    subject = member.installation.subjects.facts(member.id)
    for _ in range(50):
        await member.bus.publish([(subject, b"x" * 400_000)])


async def cut_off(world: World, member: Member, flood: Callable[[Member], Awaitable[None]]) -> None:
    """A busy machine may refuse a part of a flood: it comes again, as it would."""
    deadline = time.monotonic() + 60.0
    while _standing(world, member) is not Standing.CUT_OFF:
        assert time.monotonic() < deadline, "it is not cut off"
        with suppress(BusUnavailable, PublishRefused):
            await flood(member)
        with suppress(AssertionError):
            await eventually(lambda: _standing(world, member) is Standing.CUT_OFF, "it to be cut off", 10.0)


@pytest.mark.parametrize(
    ("flood", "said"),
    [
        (many_subjects, "1,000 subjects"),
        (large_bodies, "4 MiB in the streams"),
        (one_subject_again_and_again, "16 MiB within a minute"),
    ],
)
async def test_it_is_cut_off_and_the_others_go_on(
    world: World, flood: Callable[[Member], Awaitable[None]], said: str
) -> None:
    flooding, steady = await world.join("flooding"), await world.join("steady")
    await steady.report(1)
    known = world.centre.known
    await cut_off(world, flooding, flood)
    assert said in known.clusters[flooding.id].standing_reason
    (stored,) = await world.store.read_clusters([flooding.id])
    assert (stored.standing, said in stored.standing_reason) == (Standing.CUT_OFF, True)
    with pytest.raises((BusUnavailable, PublishRefused)):
        await flooding.report(1)

    await steady.report(2)
    await eventually(lambda: known.stamps[steady.id]["facts"] == (1, 2), "the steady one to be heard")
    assert _standing(world, steady) is Standing.JOINED
    await flooding.bus.close()
    await steady.bus.close()


async def at_a_high_rate(flooding: Member) -> None:
    """Many small messages to one subject, each another one than the last."""
    subject = flooding.installation.subjects.facts(flooding.id)
    await flooding.bus.publish([(subject, b"x" * 100)] * 500)


async def with_large_bodies(flooding: Member) -> None:
    """Almost as large as the stream takes them."""
    subject = flooding.installation.subjects.facts(flooding.id)
    await flooding.bus.publish([(subject, b"x" * 500_000)] * 4)


@asynccontextmanager
async def floods(member: Member, how: Callable[[Member], Awaitable[None]]) -> AsyncGenerator[None]:
    """All the while, also after it was cut off."""

    async def flood() -> None:
        while True:
            with suppress(BusUnavailable, PublishRefused):
                await how(member)
            await asyncio.sleep(0)

    flooding = asyncio.create_task(flood())
    try:
        yield
    finally:
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)


async def latencies(world: World, steady: Member, first: int) -> list[float]:
    """From saying it until the centre has it, of REPORTS reports."""
    took: list[float] = []
    for sequence in range(first, first + REPORTS):
        began = time.monotonic()
        await steady.report(sequence)
        while world.centre.known.stamps.get(steady.id, {}).get("facts") != (1, sequence):
            assert time.monotonic() < began + 30, "the steady cluster is not heard any more"
            await asyncio.sleep(0.002)
        took.append(time.monotonic() - began)
    return took


@pytest.mark.parametrize("how", [at_a_high_rate, with_large_bodies])
async def test_it_slows_no_other(world: World, how: Callable[[Member], Awaitable[None]]) -> None:
    flooding, steady = await world.join("flooding"), await world.join("steady")
    quiet = statistics.median(await latencies(world, steady, 1))
    async with floods(flooding, how):
        beside = statistics.median(await latencies(world, steady, 1 + REPORTS))
    assert beside < SLOWER * quiet + SLOWER_SECONDS
    await flooding.bus.close()
    await steady.bus.close()


async def test_an_operator_lets_it_in_again(world: World) -> None:
    flooding = await world.join("flooding")
    await cut_off(world, flooding, large_bodies)
    await world.store.request("flooding", Request.READMISSION, OPERATOR)
    await eventually(lambda: _standing(world, flooding) is Standing.JOINED, "it to be readmitted")
    readmitting = asyncio.create_task(world.registrar.readmit_silent(world.centre.known))

    async def heard() -> bool:
        with suppress(BusUnavailable, PublishRefused):
            await flooding.report(7)
            return True
        return False

    deadline = time.monotonic() + 30
    while not await heard():
        assert time.monotonic() < deadline, "it is still not let in"
    await eventually(
        lambda: world.centre.known.stamps.get(flooding.id, {}).get("facts") == (1, 7), "its facts"
    )
    readmitting.cancel()
    await flooding.bus.close()


def _standing(world: World, member: Member) -> Standing | None:
    record = world.centre.known.clusters.get(member.id)
    return record.standing if record else None
