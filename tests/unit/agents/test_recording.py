"""Orders recorded and acknowledged beside what is being carried out, and told in few words."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.fence import Entry, to_manifest
from agents.observe.cache import Cache
from agents.observe.facts import Given
from agents.observe.reporting import COUNTS_EVERY, Reporting
from agents.ports import Resource
from agents.records import Records
from agents.simulated import SimulatedCluster
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import ObjectStatus, Report, Work, WorkState
from tests.unit.agents.world import AgentWorld, apply_order, config_map

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True)
WAITING = 30
ENTRY = Entry("w1", Version(1, 2), Verb.APPLY, "d")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AgentWorld]:
    world = AgentWorld(tmp_path)
    yield world
    await world.close()


@pytest.mark.promise(3)
async def test_a_record_in_another_namespace_is_none(tmp_path: Path) -> None:
    """Whoever may write there shall neither set the fence nor bring it down."""
    cluster = SimulatedCluster(tmp_path / "cluster.sqlite", "edge", 1)
    try:
        ours, forged = Records(cluster), to_manifest(ENTRY)
        forged["metadata"]["namespace"] = "kube-system"
        await cluster.create(forged)
        await ours.load()
        assert not ours.entries
        await ours.write(ENTRY)
        await ours.load()
        assert list(ours.entries) == [ENTRY.workload]
    finally:
        cluster.close()


@pytest.mark.promise(3)
async def test_what_is_being_carried_out_keeps_no_order_from_being_recorded(world: AgentWorld) -> None:
    world.start()
    await world.until(lambda: len(world.centre.beats) > 1, "the agent to have begun")
    opened = asyncio.Event()

    async def hold(operation: str) -> None:
        # Only what is carried out looks at objects; a record is written without reading it again.
        if operation == "get":
            await opened.wait()

    world.cluster.faults.hook = hold
    names = [f"w{number}" for number in range(WAITING)]
    for number, name in enumerate(names):
        world.centre.order(apply_order(name, number + 1, config_map(name, name)))
    versions = {name: Version(1, number + 1) for number, name in enumerate(names)}

    def told() -> dict[str, Version]:
        return {name: version for beat in world.centre.beats for name, version in beat.recorded.items()}

    await world.until(lambda: told() == versions, "every order to be told as recorded")
    assert set(world.centre.acknowledged) == set(versions.values())
    assert not any((work := world.centre.work(name)) and work.carried_out for name in names)
    opened.set()
    await world.until(
        lambda: all((work := world.centre.work(name)) and work.carried_out for name in names), "all of it"
    )


async def test_what_is_recorded_is_told_until_a_beat_is_answered_and_no_more_than_once(
    world: AgentWorld,
) -> None:
    world.start()
    await world.until(lambda: len(world.centre.beats) > 1, "the agent to have begun")
    world.centre.order(apply_order("w1", 1, config_map("w1")))
    await world.until(lambda: any(beat.recorded for beat in world.centre.beats), "it to be told")
    seen = len(world.centre.beats)
    await world.until(lambda: len(world.centre.beats) > seen + 3, "more beats")
    assert sum("w1" in beat.recorded for beat in world.centre.beats) == 1


async def test_an_order_that_waits_to_be_carried_out_is_reported_as_recorded(world: AgentWorld) -> None:
    world.start()
    await world.until(lambda: len(world.centre.beats) > 1, "the agent to have begun")
    opened = asyncio.Event()

    async def hold(operation: str) -> None:
        if operation == "get":
            await opened.wait()

    world.cluster.faults.hook = hold
    world.centre.order(apply_order("w1", 1, config_map("w1")))
    await world.until(lambda: world.centre.work("w1") is not None, "a report")
    work = world.centre.work("w1")
    assert work
    assert work.state is WorkState.RECORDED
    opened.set()
    await world.until(lambda: bool((w := world.centre.work("w1")) and w.carried_out), "carried out")


def stored(path: Path) -> set[str]:
    """Names in the file, as another process sees them."""
    with sqlite3.connect(path) as database:
        return {name for (name,) in database.execute("select name from object where plural = 'configmaps'")}


async def test_a_simulated_cluster_answers_when_it_is_written_down_and_shows_nothing_before(
    tmp_path: Path,
) -> None:
    path = tmp_path / "cluster.sqlite"
    cluster = SimulatedCluster(path, nodes=1)
    seen: list[str] = []

    async def watch() -> None:
        async for line in cluster.watch(CONFIG_MAPS, "0"):
            name = line.decode().partition('"name":"')[2].partition('"')[0]
            if name.startswith("made-"):
                assert name in stored(path)
                seen.append(name)
            if len(seen) == 20:
                return

    async def make(number: int) -> None:
        name = f"made-{number}"
        manifest = config_map("w1", name)
        manifest["metadata"]["namespace"] = "default"
        await cluster.create(manifest)
        assert name in stored(path)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(make(number) for number in range(20)))
    async with asyncio.timeout(5):
        await watching
    assert len(seen) == 20
    cluster.close()


async def test_a_write_that_nobody_awaits_to_the_end_is_kept_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "cluster.sqlite"
    cluster = SimulatedCluster(path, nodes=1)
    manifest = config_map("w1", "given-up")
    manifest["metadata"]["namespace"] = "default"
    making = asyncio.create_task(cluster.create(manifest))
    await asyncio.sleep(0)
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    cluster.tick(1000.0)
    assert "given-up" in stored(path)
    cluster.close()


class Outlet:
    def __init__(self) -> None:
        self.offered: list[Report] = []

    def offer(self, tail: str, report: Report) -> None:
        if tail.startswith("work."):
            self.offered.append(report)

    def forget(self, tail: str) -> None: ...

    def tails(self, kind: str) -> list[str]:
        return []


def test_counts_alone_wait_for_what_is_worth_more_and_are_told_in_the_end() -> None:
    cache, outlet = Cache(), Outlet()
    pods, healthy = 0, False

    def work_of(workload: str) -> Work:
        status = ObjectStatus(
            api_version="v1", kind="Pod", namespace="shop", name=workload, healthy=healthy, ready=pods
        )
        return Work(
            incarnation=0,
            sequence=0,
            version=Version(1, 1),
            state=WorkState.APPLIED,
            objects=[status],
            pods=pods,
        )

    reporting = Reporting(cache, outlet, Given(), work_of)

    def report() -> int:
        cache.touch_workloads(("w1",))
        before = len(outlet.offered)
        reporting.report_workloads()
        reporting.report()
        return len(outlet.offered) - before

    assert report() == 1
    for count in range(2, COUNTS_EVERY):
        pods = count
        assert report() == 0
    pods = 7
    assert report() == 1
    healthy = True
    assert report() == 1
