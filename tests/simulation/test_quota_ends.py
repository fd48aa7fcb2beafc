"""The loops that end charges and enter drift, on the store of the seeded world. Promise 2."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from controlplane.known.finished import finished_in, is_finished
from controlplane.known.records import Cause, Standing
from controlplane.loops.drifting import FOREIGN_SECONDS, WORKLOAD_SECONDS, Drifting
from controlplane.loops.ports import LeaseLost
from controlplane.loops.releasing import UNORDERED_SECONDS, Releasing
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Bound, Facts, Foreign, Namespace, Namespaces, ObjectStatus, Work, WorkState
from tests.conformance.store_worlds import ME, draft
from tests.simulation.network import Fate
from tests.simulation.test_admitting import Centre, quota
from tests.simulation.test_reschedule import DYNAMIC, deployment
from tests.unit import reports

pytestmark = pytest.mark.promise(2)
CPU = {"cpu": 1000}


class Watching(Centre):
    """With the loops that go on beside the deciding one, and reports of its cluster."""

    def __init__(self) -> None:
        super().__init__()
        self._sequence = 1

    async def begin(self, *, cores: int = 100, **tenants: Any) -> None:
        await super().begin(cores=cores, **tenants)
        served = ["apps/v1/Deployment", "autoscaling/v2/HorizontalPodAutoscaler"]
        facts = Facts(incarnation=1, sequence=2, layout=1, kubernetes_version="v1.34.1", served=served)
        reports.apply(self.known.fleet, self.cluster, "facts", facts)
        self.watch()

    def watch(self) -> None:
        lease = self.place._lease  # pyright: ignore[reportPrivateUsage]
        ledger = asyncio.Lock()
        store, clock = self.fleet.around.store, self.fleet.around.clock
        self.releasing = Releasing(store, self.known, clock, lease, ledger)
        self.drifting = Drifting(store, self.known, clock, lease)

    async def submit_scaled(self, name: str, tenant: str, cpu: int, *, most: int) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        where = {"name": name, "namespace": tenant}
        scaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": where,
            "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": most},
        }
        manifests = [deployment(cpu) | {"metadata": where}, scaler]
        made = draft(manifests=manifests, placement={"replicaScheduling": DYNAMIC})
        await self.fleet.around.store.submit_workload(replace(made, name=name, tenant=tenant), ME)

    @property
    def cluster(self) -> str:
        return self.fleet.ids["a"]

    def uid(self, name: str) -> str:
        (uid,) = [uid for uid, record in self.known.workloads.items() if record.name == name]
        return uid

    def order(self, name: str) -> tuple[Verb, Version]:
        order = self.known.order(self.cluster, self.uid(name))
        assert order is not None
        return order.verb, order.version

    def template(self, name: str) -> str:
        return self.known.fleet.promises(self.cluster)[self.uid(name)].parts[0].template

    async def reported(self, name: str, living: int, **fields: Any) -> None:
        """What the agent says of the order that stands; then one pass."""
        uid, (verb, version) = self.uid(name), self.order(name)
        state = WorkState.APPLIED if verb is Verb.APPLY else WorkState.WITHDRAWN
        self._sequence += 1
        known: dict[str, Any] = {"version": version, "carried_out": version, "state": state, "living": {}}
        if living:
            known |= {"living": {self.template(name): living}, "pods": living}
        work = Work(incarnation=1, sequence=self._sequence, **(known | fields))
        self.known.work.setdefault(uid, {})[self.cluster] = work
        self.releasing.offer(self.cluster, uid)
        await self.releasing.run_pass()

    def bound(self, pods: Sequence[tuple[str, int]]) -> None:
        """What stands on its node: (workload, how many)."""
        self._sequence += 1
        rows = [Bound(self.uid(name) if name in self._names() else name, "t", 0, n, 0) for name, n in pods]
        usage = reports.usage(1, self._sequence, requests=[CPU], bound=rows)
        reports.apply(self.known.fleet, self.cluster, "usage.1-0", usage)

    def _names(self) -> set[str]:
        return {record.name for record in self.known.workloads.values()}

    def foreign(self, **cores: int) -> None:
        """Pods that are nobody's: by namespace, all on the one node."""
        self._sequence += 1
        rows = [Namespace(name, [Foreign(0, n, [n * 1000])]) for name, n in cores.items() if n]
        self.known.namespaces[self.cluster] = Namespaces(
            incarnation=1,
            sequence=self._sequence,
            profiles=[reports.PLAIN],
            resources=["cpu"],
            namespaces=rows,
        )

    async def look(self, seconds: float = 0.0) -> dict[tuple[str, str, str], int]:
        """cpu in cores of drift by (tenant, workload, flavor) after a look now, and after `seconds`."""
        await self.drifting.run_pass()
        if seconds:
            self.fleet.around.clock.seconds += seconds
            await self.drifting.run_pass()
        stored = (await self.fleet.around.store.load()).balances
        await self.charged()
        names = {record.uid: record.name for record in self.known.workloads.values()}
        return {
            (each.tenant, names.get(each.workload, each.workload), each.flavor): each.amount // 1000
            for each in stored
            if each.drift
        }


async def begun(cpu: int = 20, **tenants: Any) -> Watching:
    """`web` of tenant shop runs with six pods; its quota is `cpu` cores."""
    centre = Watching()
    await centre.begin(shop=quota(cpu=cpu), **tenants)
    await centre.submit("web", "shop", 6)
    await centre.decide()
    assert await centre.charged() == {"shop": 6}
    return centre


class TestTheEndOfACharge:
    async def test_what_is_reported_while_another_end_is_written_is_looked_at_in_the_same_pass(self) -> None:
        centre = await begun()
        await centre.submit("api", "shop", 1)
        await centre.submit("web", "shop", 2)
        await centre.decide()
        await centre.reported("web", 6)
        await centre.delete("api")
        await centre.decide()
        store, web, cluster = centre.fleet.around.store, centre.uid("web"), centre.cluster
        commit, scaled = store.commit_lines, centre.known.work[web][cluster]

        async def scaled_meanwhile(*args: Any) -> None:
            await commit(*args)
            living = {centre.template("web"): 2}
            centre.known.work[web][cluster] = structs.replace(scaled, living=living, pods=2)
            centre.releasing.offer(cluster, web)

        store.commit_lines = scaled_meanwhile  # type: ignore[method-assign]
        centre.releasing.offer(cluster, web)
        await centre.reported("api", 0)
        assert await centre.charged() == {"shop": 2}

    async def test_of_what_is_another_tenants_by_now_and_not_decided_on_it_outlives_the_leader(self) -> None:
        centre = await begun(other=quota(cpu=1))
        await centre.submit("web", "other", 6)
        await centre.decide()
        await centre.reported("web", 6)
        await centre.lead_anew()
        centre.watch()
        await centre.decide()
        await centre.reported("web", 6)
        assert await centre.charged() == {"shop": 6}

    async def test_scaled_down_it_is_released_once_the_pods_are_gone(self) -> None:
        centre = await begun()
        await centre.submit("web", "shop", 2)
        await centre.decide()
        assert await centre.charged() == {"shop": 6}, "not because it was decided"
        await centre.reported("web", 6)
        assert await centre.charged() == {"shop": 6}
        await centre.reported("web", 3)
        assert await centre.charged() == {"shop": 6}
        await centre.reported("web", 2)
        assert await centre.charged() == {"shop": 2}

    async def test_a_report_of_the_order_before_says_nothing(self) -> None:
        centre = await begun()
        before = centre.order("web")[1]
        await centre.submit("web", "shop", 2)
        await centre.decide()
        await centre.reported("web", 2, version=before, carried_out=before)
        assert await centre.charged() == {"shop": 6}

    async def test_fewer_pods_than_placed_are_no_reason(self) -> None:
        centre = await begun()
        await centre.reported("web", 1)
        await centre.reported("web", 0)
        assert await centre.charged() == {"shop": 6}

    async def test_withdrawn_it_is_released_once_the_agent_reports_it_gone(self) -> None:
        centre = await begun()
        await centre.delete("web")
        await centre.decide()
        await centre.reported("web", 0, state=WorkState.WITHDRAWING, pods=6)
        assert await centre.charged() == {"shop": 6}
        await centre.reported("web", 0, pods=1)
        assert await centre.charged() == {"shop": 6}
        await centre.reported("web", 0)
        assert await centre.charged() == {}
        assert (await centre.fleet.around.store.load()).balances == ()

    async def test_what_a_crash_left_charged_is_released_by_who_leads_next(self) -> None:
        centre = await begun()
        await centre.delete("web")
        await centre.decide()
        known, uid = centre.known, centre.uid("web")
        # The row went, and the process died before the charge did.
        known.forget_order(centre.cluster, uid)
        centre.fleet.around.clock.seconds += UNORDERED_SECONDS
        await centre.releasing.run_pass()
        assert await centre.charged() == {}

    async def test_a_cluster_that_an_operator_removed_holds_nothing(self) -> None:
        centre = await begun()
        record = centre.known.clusters[centre.cluster]
        centre.known.put_cluster(replace(record, standing=Standing.REMOVED))
        centre.fleet.around.clock.seconds += UNORDERED_SECONDS
        await centre.releasing.run_pass()
        assert await centre.charged() == {}

    async def test_a_silent_cluster_holds_all(self) -> None:
        centre = await begun()
        centre.fleet.around.clock.seconds += 3600
        await centre.releasing.run_pass()
        assert await centre.charged() == {"shop": 6}

    async def test_of_a_tenant_that_it_was_taken_from_once_it_stands_as_ordered(self) -> None:
        centre = await begun(yard=quota(cpu=20))
        await centre.submit("web", "yard", 6)
        await centre.decide()
        assert await centre.charged() == {"shop": 6, "yard": 6}
        await centre.reported("web", 6)
        assert await centre.charged() == {"yard": 6}

    async def test_what_was_not_told_whether_it_was_committed_ends_the_lead(self) -> None:
        centre = await begun()
        await centre.submit("web", "shop", 2)
        await centre.decide()
        centre.fleet.around.fates.append(Fate.ANSWER_LOST)
        with pytest.raises(LeaseLost):
            await centre.reported("web", 2)

    async def test_it_waits_while_something_is_being_decided(self) -> None:
        centre = await begun()
        await centre.submit("web", "shop", 2)
        await centre.decide()
        await centre.releasing._ledger.acquire()  # pyright: ignore[reportPrivateUsage]
        released = asyncio.create_task(centre.reported("web", 2))
        for _ in range(20):
            await asyncio.sleep(0)
        assert await centre.charged() == {"shop": 6}
        centre.releasing._ledger.release()  # pyright: ignore[reportPrivateUsage]
        await released
        assert await centre.charged() == {"shop": 2}


class TestUnderAnAutoscaler:
    """It is charged for as many pods as it may come to."""

    async def begun(self) -> Watching:
        centre = Watching()
        await centre.begin(shop=quota(cpu=20))
        await centre.submit_scaled("web", "shop", 6, most=9)
        await centre.decide()
        assert await centre.charged() == {"shop": 9}
        return centre

    async def test_fewer_pods_release_nothing_and_more_are_no_drift(self) -> None:
        centre = await self.begun()
        await centre.reported("web", 2)
        assert await centre.charged() == {"shop": 9}
        centre.bound([("web", 9)])
        await centre.reported("web", 9)
        assert await centre.look(WORKLOAD_SECONDS) == {}
        assert await centre.charged() == {"shop": 9}

    async def test_a_lower_ceiling_is_released_once_there_are_no_more_pods_than_that(self) -> None:
        centre = await self.begun()
        await centre.submit_scaled("web", "shop", 6, most=4)
        await centre.decide()
        await centre.reported("web", 7)
        assert await centre.charged() == {"shop": 9}
        await centre.reported("web", 3)
        assert await centre.charged() == {"shop": 4}


class TestWhatRanToItsEnd:
    async def test_it_holds_nothing_and_is_not_charged_again(self) -> None:
        centre = await begun()
        uid = centre.uid("web")
        assert not is_finished(centre.known, uid, centre.cluster)
        await centre.reported("web", 0, finished=True, pods=6)
        assert await centre.charged() == {}
        revision = centre.known.workloads[uid].revision
        assert finished_in(centre.known, uid, revision) == {centre.cluster}
        await centre.decide()
        assert await centre.charged() == {}

    async def test_a_new_revision_is_charged(self) -> None:
        centre = await begun()
        await centre.reported("web", 0, finished=True, pods=6)
        await centre.submit("web", "shop", 5)
        await centre.decide()
        assert (
            finished_in(centre.known, centre.uid("web"), centre.known.workloads[centre.uid("web")].revision)
            == frozenset()
        )
        assert await centre.charged() == {"shop": 5}


class TestDrift:
    async def test_more_pods_than_charged_are_entered_after_a_while_and_go_at_once(self) -> None:
        centre = await begun()
        centre.bound([("web", 8)])
        assert await centre.look() == {}
        assert await centre.look(WORKLOAD_SECONDS) == {("shop", "web", "default"): 2}
        assert centre.known.quotas.usage.of("shop")["default", "cpu"] == 8_000
        centre.bound([("web", 7)])
        assert await centre.look() == {("shop", "web", "default"): 1}
        centre.bound([("web", 6)])
        assert await centre.look() == {}

    async def test_the_surge_of_an_update_is_not_entered(self) -> None:
        centre = await begun()
        centre.bound([("web", 8)])
        assert await centre.look(WORKLOAD_SECONDS / 2) == {}
        centre.bound([("web", 6)])
        assert await centre.look(WORKLOAD_SECONDS) == {}

    async def test_fewer_pods_than_charged_change_nothing(self) -> None:
        centre = await begun()
        centre.bound([("web", 1)])
        assert await centre.look(WORKLOAD_SECONDS) == {}
        assert await centre.charged() == {"shop": 6}

    async def test_what_drifts_keeps_others_out(self) -> None:
        centre = await begun(cpu=10)
        centre.bound([("web", 9)])
        await centre.look(WORKLOAD_SECONDS)
        await centre.submit("api", "shop", 3)
        await centre.decide()
        assert centre.said("api").startswith("Quota")
        centre.bound([("web", 6)])
        await centre.look()
        await centre.decide()
        assert centre.said("api") == "Placed"

    async def test_pods_of_nobody_count_for_the_tenant_of_their_namespace(self) -> None:
        centre = await begun(other={})
        centre.foreign(shop=4, other=5, nobodys=6)
        assert await centre.look(FOREIGN_SECONDS) == {("shop", "", "default"): 4}, "of tenants with quota"
        centre.foreign(shop=1)
        assert await centre.look() == {("shop", "", "default"): 1}

    async def test_of_a_cluster_that_the_tenant_may_not_use_nothing_counts_for_it(self) -> None:
        centre = await begun()
        elsewhere = quota(cpu=20) | {"clusters": {"clusterNames": ["other"]}}
        await centre.change("shop", elsewhere)
        await centre.decide()
        centre.foreign(shop=4)
        assert await centre.look(FOREIGN_SECONDS) == {}

    async def test_what_an_agent_does_not_tell_any_more_stands(self) -> None:
        centre = await begun()
        centre.foreign(shop=4)
        await centre.look(FOREIGN_SECONDS)
        del centre.known.namespaces[centre.cluster]
        assert await centre.look(FOREIGN_SECONDS) == {("shop", "", "default"): 4}

    async def test_it_outlives_the_leader(self) -> None:
        centre = await begun()
        centre.bound([("web", 8)])
        await centre.look(WORKLOAD_SECONDS)
        await centre.lead_anew()
        centre.watch()
        assert centre.known.quotas.usage.of("shop")["default", "cpu"] == 8_000
        assert await centre.look() == {}, "nobody reports it any more"

    async def test_of_a_removed_cluster_it_ends(self) -> None:
        centre = await begun()
        centre.foreign(shop=4)
        await centre.look(FOREIGN_SECONDS)
        record = centre.known.clusters[centre.cluster]
        centre.known.put_cluster(replace(record, standing=Standing.REMOVED))
        assert await centre.look() == {}

    async def test_a_name_that_the_ledger_cannot_hold_is_no_drift(self) -> None:
        centre = await begun()
        nul = reports.usage(
            1, 9, requests=[CPU | {"a\0b": 5}], bound=[Bound(centre.uid("web"), "t", 0, 7, 0)]
        )
        reports.apply(centre.known.fleet, centre.cluster, "usage.1-0", nul)
        assert await centre.look(WORKLOAD_SECONDS) == {("shop", "web", "default"): 1}

    async def test_what_a_restored_database_does_not_know_counts_for_the_tenant_of_its_namespace(
        self,
    ) -> None:
        centre = await begun()
        version = Version(9, 9)
        status = ObjectStatus(
            api_version="apps/v1", kind="Deployment", namespace="shop", name="x", healthy=True
        )
        centre.known.work["unknown"] = {
            centre.cluster: Work(
                incarnation=1,
                sequence=9,
                version=version,
                carried_out=version,
                state=WorkState.APPLIED,
                objects=[status],
                pods=3,
            )
        }
        centre.bound([("web", 6), ("unknown", 3)])
        assert await centre.look(WORKLOAD_SECONDS) == {("shop", "unknown", "default"): 3}

    async def test_pods_that_the_agent_counts_as_nobodys_are_not_counted_twice(self) -> None:
        centre = await begun()
        centre.bound([("web", 6), ("forged", 3)])
        centre.foreign(shop=3)
        assert await centre.look(WORKLOAD_SECONDS) == {("shop", "", "default"): 3}

    async def test_every_line_says_why(self) -> None:
        centre = await begun()
        centre.bound([("web", 8)])
        await centre.look(WORKLOAD_SECONDS)
        centre.bound([("web", 6)])
        await centre.look()
        ledger = [line for _, line in centre.fleet.around.store.tables.ledger]
        drifted = [line for line in ledger if line.cause is Cause.DRIFTED]
        assert [(line.tenant, line.amount) for line in drifted] == [("shop", 2000), ("shop", -2000)]
