"""A cluster is lost, in virtual time: the real loops and agents, one story each.

Here a cluster is lost after 12 s of silence, and what says nothing of it is placed again 10 s later.
"""

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord
from controlplane.queries.clusters import get_cluster
from controlplane.queries.explain import explain
from controlplane.queries.rows import PlacementRow, WorkloadRow
from controlplane.queries.workloads import placement_rows, workload_row
from schemas.reasons import Reason
from schemas.wire.orders import Verb
from tests.simulation.convergence import differences
from tests.simulation.drafts import Wish
from tests.simulation.processes import LOSS_RULES
from tests.simulation.trace import Trace
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.world import WRITE, MemberCluster, World

Story = Callable[["Stage"], Awaitable[None]]
LOOKS_SECONDS = 4.0
"""Lost clusters are looked through every two seconds, beats come every five."""
MOVED_SECONDS = LOSS_RULES.lost_seconds + LOSS_RULES.toleration_seconds + LOOKS_SECONDS + 5.0
STATELESS = Wish("web", marker=1, replicas=6, cpu_millis=50)
BIG = replace(STATELESS, replicas=8, cpu_millis=1_000, clusters=("cluster-1", "cluster-2"))
"""The second of these has no room for all of it, but for one more node."""

pytestmark = pytest.mark.promise(9)


class Stage:
    """A world in which all is well until the story says otherwise."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def known(self) -> Known:
        centre = next(each.centre for each in self.world.centres if each.centre and each.centre.leads)
        return centre.known

    async def submit(self, wish: Wish) -> WorkloadRecord:
        record = await self.world.store.submit_workload(wish.draft(), WRITE)
        self.world.promises.intents[record.uid] = record
        await self.settled()
        return record

    async def settled(self) -> None:
        """Within a bound, nothing differs any more."""
        for _ in range(30):
            await self.world.step(2.0)
            if not differences(self.world):
                return
        raise AssertionError(differences(self.world))

    async def lose(self, *members: MemberCluster) -> None:
        for member in members:
            self.world.network.split(member.id)

    async def find(self, *members: MemberCluster) -> None:
        for member in members:
            self.world.network.join(member.id)

    def replicas(self, record: WorkloadRecord) -> dict[str, int]:
        """As committed, by the clusters' names."""
        names = {member.id: member.name for member in self.world.members}
        return {names[id_]: count for id_, count in self.world.store.tables.replicas(record.uid).items()}

    def verbs(self, record: WorkloadRecord) -> dict[str, Verb]:
        names = {member.id: member.name for member in self.world.members}
        orders = self.world.store.tables.outbox.items()
        return {names[cluster]: order.verb for (cluster, uid), order in orders if uid == record.uid}

    def row(self, record: WorkloadRecord) -> WorkloadRow:
        return workload_row(self.known, self.known.workloads[record.uid])

    def placement(self, record: WorkloadRecord, member: MemberCluster) -> PlacementRow:
        rows = placement_rows(self.known, self.known.workloads[record.uid])
        return next(row for row in rows if row.cluster == member.name)

    def reasons(self, record: WorkloadRecord, member: MemberCluster) -> dict[str, str]:
        """What `explain` says of that cluster."""
        said = explain(self.known, self.known.workloads[record.uid], self.world.clock.now())
        verdict = next(each for each in said.clusters if each.cluster == member.name)
        assert len({each.reason for each in verdict.reasons}) == len(verdict.reasons)
        return {each.reason: each.message for each in verdict.reasons}

    def add_node(self, member: MemberCluster) -> None:
        node = member.cluster.objects("Node")[0]
        metadata = {"name": "added", "labels": node["metadata"]["labels"]}
        status = {**node["status"], "conditions": [{"type": "Ready", "status": "True"}]}
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
        member.cluster.put_as("kubelet", body | {"spec": {}, "status": status})


def live(story: Story) -> None:
    trace, loop = Trace(), VirtualLoop()

    async def run(folder: Path) -> None:
        world = World(1, trace, folder)
        try:
            await world.begin()
            await world.step(10.0)
            await story(Stage(world))
        finally:
            await world.close()

    with trace.capture_logs(), tempfile.TemporaryDirectory() as folder:
        loop.run_to_end(run(Path(folder)))


def test_stateless_replicas_are_placed_again_and_the_old_ones_go_when_the_cluster_is_back() -> None:
    async def story(stage: Stage) -> None:
        record = await stage.submit(STATELESS)
        lost, *rest = stage.world.members
        before = stage.replicas(record)
        assert set(before) == {member.name for member in stage.world.members}

        await stage.lose(lost)
        await stage.world.step(LOSS_RULES.lost_seconds + 1.0)
        cluster = get_cluster(stage.known, lost.name, stage.world.clock.now())
        assert cluster is not None
        (taint,) = cluster.effective_taints
        assert (taint.key, taint.effect) == ("muster.dev/unreachable", "NoExecute")
        assert stage.world.clock.now() - 10.0 < taint.since < stage.world.clock.now()
        assert "will be placed again in" in stage.reasons(record, lost)[Reason.CLUSTER_UNKNOWN]
        assert stage.placement(record, lost).state == "Unreachable"
        assert stage.replicas(record) == before

        await stage.world.step(MOVED_SECONDS)
        after = stage.replicas(record)
        assert set(after) == {member.name for member in rest}
        assert sum(after.values()) == sum(before.values())
        assert all(after[name] >= before[name] for name in after)
        going = stage.placement(record, lost)
        assert (going.state, going.verb) == ("Withdrawing", "withdraw")
        assert "counted until its agent reports that it is gone" in going.message
        assert "withdrawn" in stage.reasons(record, lost)[Reason.CLUSTER_UNKNOWN]
        row = stage.row(record)
        assert (row.state, row.ready, row.replicas) == ("Running", 6, 6)
        assert "placed again: cluster-1 is lost" in row.message
        assert record.uid in stage.known.fleet.promises(lost.id), "the old copy counts until it is gone"
        assert len([pod for pod in lost.cluster.objects("Pod") if pod["metadata"]["namespace"] == "apps"])

        await stage.world.step(120.0)
        assert stage.verbs(record)[lost.name] is Verb.WITHDRAW
        assert stage.world.failovers.moved == ["web"]

        await stage.find(lost)
        await stage.settled()
        assert stage.replicas(record) == after
        assert lost.name not in stage.verbs(record)
        assert record.uid not in stage.known.fleet.promises(lost.id)
        assert stage.world.failovers.moved == ["web"]

    live(story)


def test_what_is_back_in_time_keeps_what_it_has() -> None:
    async def story(stage: Stage) -> None:
        record = await stage.submit(replace(STATELESS, tolerated_seconds=40))
        before, lost = stage.verbs(record), stage.world.members[0]
        await stage.lose(lost)
        await stage.world.step(LOSS_RULES.lost_seconds + 1.0)
        assert lost.id in stage.known.losses.unreachable
        await stage.find(lost)
        await stage.world.step(60.0)
        await stage.settled()
        assert stage.verbs(record) == before
        assert stage.world.failovers.moved == []

    live(story)


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (replace(STATELESS, replicas=1), Reason.SINGLETON),
        (replace(STATELESS, holds_data=True), Reason.HOLDS_DATA),
        (replace(STATELESS, duplicated=True), Reason.DUPLICATED),
        (replace(STATELESS, tolerated_seconds=-1), Reason.TAINT_TOLERATED),
        (replace(STATELESS, clusters=("cluster-1",)), Reason.NO_CLUSTER_FITS),
        (
            BIG,
            Reason.INSUFFICIENT_CAPACITY,
        ),
    ],
)
def test_what_stays_says_why_and_nothing_of_it_is_withdrawn(wish: Wish, reason: Reason) -> None:
    async def story(stage: Stage) -> None:
        record = await stage.submit(wish)
        before, orders = stage.replicas(record), stage.world.store.tables.generation
        lost = next(member for member in stage.world.members if member.name in before)
        await stage.lose(lost)
        await stage.world.step(MOVED_SECONDS + 30.0)
        assert stage.replicas(record) == before
        assert Verb.WITHDRAW not in stage.verbs(record).values()
        assert reason in stage.reasons(record, lost)
        placement = stage.placement(record, lost)
        assert placement.state == "Unreachable"
        assert reason in {each.reason for each in placement.refusals}
        assert stage.world.store.tables.generation == orders
        await stage.find(lost)
        await stage.world.step(20.0)
        await stage.settled()
        assert stage.replicas(record) == before
        assert stage.row(record).reason == "Placed"
        # Said once each: placed; that it stays, where it was tried; that all is well again.
        changes = [each for each in stage.world.store.tables.changes if each.uid == record.uid]
        assert len([each for each in changes if each.by == "muster"]) in (1, 3)

    live(story)


@pytest.mark.parametrize("wish", [replace(STATELESS, replicas=1), replace(STATELESS, holds_data=True)])
def test_what_is_declared_to_move_moves(wish: Wish) -> None:
    async def story(stage: Stage) -> None:
        record = await stage.submit(replace(wish, may_move=True))
        lost = next(member for member in stage.world.members if member.name in stage.replicas(record))
        await stage.lose(lost)
        await stage.world.step(MOVED_SECONDS)
        assert lost.name not in stage.replicas(record)
        assert sum(stage.replicas(record).values()) == wish.replicas

    live(story)


def test_what_found_no_room_moves_once_there_is_some() -> None:
    async def story(stage: Stage) -> None:
        record = await stage.submit(BIG)
        lost, other = stage.world.members[0], stage.world.members[1]
        await stage.lose(lost)
        await stage.world.step(MOVED_SECONDS)
        assert stage.row(record).reason == Reason.INSUFFICIENT_CAPACITY
        assert "stays in cluster-1, which is lost" in stage.row(record).message

        stage.add_node(other)
        await stage.world.step(15.0)
        assert stage.replicas(record) == {other.name: BIG.replicas}
        assert stage.world.failovers.moved == ["web"]

    live(story)


@pytest.mark.parametrize("lost", [slice(0, 2), slice(0, 3)])
def test_where_much_of_the_fleet_is_silent_at_once_nothing_moves(lost: slice) -> None:
    async def story(stage: Stage) -> None:
        record = await stage.submit(STATELESS)
        before, members = stage.verbs(record), stage.world.members[lost]
        await stage.lose(*members)
        await stage.world.step(MOVED_SECONDS + 60.0)
        assert stage.known.losses.suspected
        assert Reason.NETWORK_SUSPECTED in stage.reasons(record, members[0])
        # The last one to be heard again is not placed elsewhere just because the others were quicker.
        await stage.find(*members[1:])
        await stage.world.step(12.0)
        await stage.find(members[0])
        await stage.settled()
        assert stage.verbs(record) == before
        assert stage.world.failovers.moved == []

    live(story)


def test_a_new_leader_hears_its_clusters_before_any_of_them_is_lost() -> None:
    async def story(stage: Stage) -> None:
        record = await stage.submit(STATELESS)
        lost = stage.world.members[0]
        await stage.lose(lost)
        await stage.world.centres[0].crash()
        await stage.world.step(120.0)
        stage.world.start_centre(0)
        await stage.world.step(LOSS_RULES.lost_seconds - 1.0)
        assert dict(stage.known.losses.unreachable) == {}
        assert stage.world.failovers.moved == []
        await stage.world.step(MOVED_SECONDS)
        assert stage.world.failovers.moved == ["web"]
        assert lost.name not in stage.replicas(record)

    live(story)


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.02, 0.5])
def test_a_leader_that_dies_while_it_places_again_leaves_one_decision(seconds: float) -> None:
    async def story(stage: Stage) -> None:
        record = await stage.submit(STATELESS)
        lost = stage.world.members[0]
        await stage.lose(lost)
        await stage.world.step(LOSS_RULES.lost_seconds + LOSS_RULES.toleration_seconds - 2.0)
        assert stage.world.failovers.moved == []
        while not stage.world.failovers.moved:
            await stage.world.step(0.001)
        await stage.world.step(seconds)
        await stage.world.centres[0].crash()
        committed, verbs = stage.replicas(record), stage.verbs(record)
        assert verbs[lost.name] is Verb.WITHDRAW
        stage.world.start_centre(1)
        await stage.world.step(90.0)
        assert (stage.replicas(record), stage.verbs(record)) == (committed, verbs)
        await stage.find(lost)
        await stage.settled()
        assert stage.replicas(record) == committed
        assert stage.world.failovers.moved == ["web"]

    live(story)


def test_each_loss_moves_once() -> None:
    async def story(stage: Stage) -> None:
        record = await stage.submit(STATELESS)
        for losses, member in enumerate(stage.world.members[:2], start=1):
            await stage.lose(member)
            await stage.world.step(MOVED_SECONDS + 60.0)
            assert stage.world.failovers.moved == ["web"] * losses
            await stage.find(member)
            await stage.settled()
            assert member.name not in stage.replicas(record)
        assert sum(stage.replicas(record).values()) == 6

    live(story)


def test_somebody_may_write_meanwhile() -> None:
    async def story(stage: Stage) -> None:
        record = await stage.submit(STATELESS)
        lost = stage.world.members[0]
        await stage.lose(lost)
        await stage.world.step(LOSS_RULES.lost_seconds + 1.0)
        scaled = await stage.world.store.submit_workload(replace(STATELESS, replicas=9).draft(), WRITE)
        stage.world.promises.intents[record.uid] = scaled
        await stage.world.step(3.0)
        assert sum(stage.replicas(record).values()) == 9
        assert lost.name in stage.replicas(record)
        await stage.world.step(MOVED_SECONDS)
        assert sum(stage.replicas(record).values()) == 9
        assert lost.name not in stage.replicas(record)
        gone = await stage.world.store.delete_workload("web", WRITE)
        stage.world.promises.intents[record.uid] = gone
        await stage.find(lost)
        await stage.settled()
        assert stage.verbs(record) == {}

    live(story)
