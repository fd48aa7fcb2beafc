"""What the next decision begins with: the affinity group used last, and a request to place anew."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from controlplane.known.known import Heard, Known
from controlplane.loops.place import Place
from schemas.wire.beats import Beat
from schemas.wire.reports import Facts
from tests.conformance.store_worlds import ME, draft, joined, lead
from tests.simulation.test_centre_loops import Around
from tests.unit import reports

DYNAMIC = {
    "replicaDivisionPreference": "Weighted",
    "weightPreference": {"dynamicWeight": "AvailableReplicas"},
}


def deployment(replicas: int) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": {"cpu": "1"}}}
    template = {"spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "template": template},
    }


class Fleet:
    """Clusters `a` and `b`, one node each, and one workload; `decide` is a new leader with a new memory."""

    def __init__(self) -> None:
        self.served = ["apps/v1/Deployment"]
        self.around = Around()
        self.ids: dict[str, str] = {}
        self.cores: dict[str, int] = {}

    async def join(self, **cores: int) -> None:
        for name, count in cores.items():
            self.ids[name] = (await joined(self.around.store, name)).id
            self.cores[name] = count

    async def submit(self, replicas: int, **placement: Any) -> None:
        stanza = {"replicaScheduling": DYNAMIC, **placement}
        wanted = draft(manifests=[deployment(replicas)], placement=stanza)
        await self.around.store.submit_workload(replace(wanted, tenant=""), ME)

    async def decide(self, unheard: str = "") -> tuple[Mapping[str, int], Mapping[str, Any]]:
        """(replicas by cluster, what was stored with the decision)"""
        await (await self.begin(unheard)).run_pass()
        return await self.outcome()

    async def begin(self, unheard: str = "") -> Place:
        """A new leader; unheard: the cluster whose beat it misses."""
        self.around.known = Known()
        lease = await self.around.lead()
        for name, cluster in self.ids.items():
            self.report(name, cluster)
            if name != unheard:
                self.hear(name)
        return self.around.place(lease)

    async def outcome(self) -> tuple[Mapping[str, int], Mapping[str, Any]]:
        loaded = await self.around.store.load()
        names = {cluster: name for name, cluster in self.ids.items()}
        (decision,) = loaded.decisions
        return {names[each.cluster]: each.replicas for each in loaded.placements}, decision.explanation

    def report(self, name: str, cluster: str) -> None:
        known = self.around.known
        facts = Facts(incarnation=1, sequence=1, layout=1, kubernetes_version="v1.34.1", served=self.served)
        reports.apply(known.fleet, cluster, "facts", facts)
        reports.apply(known.fleet, cluster, f"profile.{reports.PLAIN}", reports.profile())
        made = reports.inventory("n", cpu=self.cores[name] * 1000, pods=100)
        reports.apply(known.fleet, cluster, "inventory.1-0", made)
        reports.apply(known.fleet, cluster, "usage.1-0", reports.usage(1))

    def hear(self, name: str) -> None:
        now = self.around.clock.now()
        beat = Beat(incarnation=1, sequence=1, clock=now, agent_version="1")
        self.around.known.heard[self.ids[name]] = Heard(now, 1, beat)


GROUPS = [{"affinityName": name, "clusterNames": [name]} for name in "ab"]


class TestTheGroupUsed:
    async def test_the_next_decision_starts_there(self) -> None:
        fleet = Fleet()
        await fleet.join(a=2, b=9)
        await fleet.submit(4, clusterAffinities=GROUPS)
        assert await fleet.decide() == ({"b": 4}, _Says(affinity="b"))
        await fleet.submit(2, clusterAffinities=GROUPS)
        assert await fleet.decide() == ({"b": 2}, _Says(affinity="b")), "though it would fit the first by now"

    async def test_a_refusal_does_not_forget_it(self) -> None:
        fleet = Fleet()
        await fleet.join(a=2, b=9)
        await fleet.submit(4, clusterAffinities=GROUPS)
        await fleet.decide()
        await fleet.submit(40, clusterAffinities=GROUPS)
        assert await fleet.decide() == ({"b": 4}, _Says(affinity="b"))
        await fleet.submit(2, clusterAffinities=GROUPS)
        assert await fleet.decide() == ({"b": 2}, _Says(affinity="b"))

    async def test_placed_anew_it_starts_at_the_first(self) -> None:
        fleet = Fleet()
        await fleet.join(a=2, b=9)
        await fleet.submit(4, clusterAffinities=GROUPS)
        await fleet.decide()
        await fleet.submit(2, clusterAffinities=GROUPS)
        await fleet.around.store.reschedule_workload("web", ME)
        assert await fleet.decide() == ({"a": 2}, _Says(affinity="a"))

    async def test_a_group_that_is_gone_is_forgotten(self) -> None:
        fleet = Fleet()
        await fleet.join(a=2, b=9)
        await fleet.submit(4, clusterAffinities=GROUPS)
        await fleet.decide()
        await fleet.submit(4)
        placed, told = await fleet.decide()
        assert placed == {"b": 4}
        assert "affinity" not in told


class TestPlacedAnew:
    @pytest.mark.promise(1)
    async def test_what_it_holds_counts_as_room_and_the_request_outlives_the_leader(self) -> None:
        fleet = Fleet()
        await fleet.join(a=8)
        await fleet.submit(8)
        assert (await fleet.decide())[0] == {"a": 8}
        await fleet.join(b=8)
        asked = await fleet.around.store.reschedule_workload("web", ME)
        # A leader that dies before it has decided leaves the request where it is.
        await fleet.around.lead()
        placed, told = await fleet.decide()
        assert placed == {"a": 4, "b": 4}
        assert told == _Says(rescheduled=asked.rescheduled)

    async def test_it_is_done_once(self) -> None:
        fleet = Fleet()
        await fleet.join(a=8)
        await fleet.submit(4)
        await fleet.decide()
        await fleet.around.store.reschedule_workload("web", ME)
        await fleet.decide()
        await fleet.join(b=8)
        await fleet.submit(5)
        assert (await fleet.decide())[0] == {"a": 4, "b": 1}, "only what is more is divided"

    async def test_it_stays_asked_while_it_cannot_be(self) -> None:
        fleet = Fleet()
        await fleet.join(a=8)
        await fleet.submit(4)
        await fleet.decide()
        await fleet.submit(40)
        asked = await fleet.around.store.reschedule_workload("web", ME)
        placed, told = await fleet.decide()
        assert (placed, told.get("rescheduled")) == ({"a": 4}, None)
        await fleet.join(b=8)
        await fleet.submit(8)
        placed, told = await fleet.decide()
        assert (placed, told) == ({"a": 4, "b": 4}, _Says(rescheduled=asked.rescheduled))


class TestALeaderThatHasJustBegun:
    async def test_it_waits_for_clusters_that_it_has_not_heard_and_not_for_ever(self) -> None:
        fleet = Fleet()
        await fleet.join(a=8)
        await fleet.submit(8)
        await fleet.decide()
        await fleet.join(b=8)
        await fleet.around.store.reschedule_workload("web", ME)
        assert (await fleet.decide(unheard="b"))[0] == {"a": 8}, "else it would be done, and nothing moved"
        assert (await fleet.decide())[0] == {"a": 4, "b": 4}

    async def test_what_goes_to_all_clusters_waits_for_all_of_them(self) -> None:
        fleet = Fleet()
        await fleet.join(a=8, b=8)
        await fleet.submit(4, replicaScheduling={"replicaSchedulingType": "Duplicated"})
        place = await fleet.begin(unheard="b")
        await place.run_pass()
        assert (await fleet.around.store.load()).placements == ()
        fleet.hear("b")
        await fleet.around.clock.sleep(2.0)
        await lead(fleet.around.store)
        await place.run_pass()
        assert (await fleet.outcome())[0] == {"a": 4, "b": 4}

    async def test_what_is_divided_waits_for_nobody(self) -> None:
        fleet = Fleet()
        await fleet.join(a=8, b=8)
        await fleet.submit(4)
        assert (await fleet.decide(unheard="b"))[0] == {"a": 4}

    async def test_it_goes_on_without_one_that_stays_silent(self) -> None:
        fleet = Fleet()
        await fleet.join(a=8, b=9)
        await fleet.submit(4, clusterAffinities=[GROUPS[1], GROUPS[0]])
        place = await fleet.begin(unheard="b")
        await place.run_pass()
        assert (await fleet.around.store.load()).placements == ()
        for _ in range(int(fleet.around.known.loss_rules.lost_seconds / 2) + 1):
            await fleet.around.clock.sleep(2.0)
            fleet.hear("a")
            await lead(fleet.around.store)
            await place.run_pass()
        assert await fleet.outcome() == ({"a": 4}, _Says(affinity="a"))


class _Says:
    """Equal to a mapping that has these entries, whatever else it has."""

    def __init__(self, **entries: Any) -> None:
        self.entries = entries

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and self.entries.items() <= other.items()

    def __repr__(self) -> str:
        return f"... {self.entries}"

    __hash__ = None  # pyright: ignore[reportAssignmentType]
