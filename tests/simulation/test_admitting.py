"""The deciding loop with quota: who is charged for what, who waits, who gives way. Promise 2."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from controlplane.intent import Taken
from controlplane.known.charging import lines_of
from controlplane.known.known import Known
from controlplane.known.records import BalanceRecord, Cause, Lease
from controlplane.loops.place import RETRY_SECONDS, Place
from controlplane.loops.ports import NewDecision
from schemas.reasons import Reason
from schemas.wire.reports import Work, WorkState
from tests.conformance.store_worlds import ME, draft, lead
from tests.simulation.test_reschedule import DYNAMIC, Fleet, deployment

pytestmark = pytest.mark.promise(2)


def quota(
    cohort: str = "", *, cpu: int, preemption: Mapping[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    amounts = {"name": "cpu", "nominalQuota": cpu, **more}
    spec: dict[str, Any] = {"flavors": [{"name": "default", "resources": [amounts]}]}
    if cohort:
        spec["cohort"] = cohort
    if preemption is not None:
        spec["preemption"] = preemption
    return {"quota": spec}


class Centre:
    """One cluster of 100 cores; `decide` is one pass of a leader that goes on."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.place: Place

    async def begin(
        self, *, cores: int = 100, clusters: Sequence[str] = "a", **tenants: Mapping[str, Any]
    ) -> None:
        store = self.fleet.around.store
        await store.submit_document("Flavor", "default", {}, ME)
        for name, spec in tenants.items():
            await store.submit_document("Tenant", name, {"namespaces": [name], **spec}, ME)
        await self.fleet.join(**dict.fromkeys(clusters, cores))
        self.place = await self.fleet.begin()

    async def change(self, name: str, spec: Mapping[str, Any]) -> None:
        await self.fleet.around.store.submit_document("Tenant", name, {"namespaces": [name], **spec}, ME)

    async def submit(self, name: str, tenant: str, cpu: int, **spec: Any) -> None:
        manifests = [deployment(cpu) | {"metadata": {"name": name, "namespace": tenant}}]
        await self.send(name, tenant, manifests, placement={"replicaScheduling": DYNAMIC}, **spec)

    async def send(self, name: str, tenant: str, manifests: list[dict[str, Any]], **spec: Any) -> None:
        made = draft(manifests=manifests, **spec)
        await self.fleet.around.store.submit_workload(replace(made, name=name, tenant=tenant), ME)

    async def delete(self, name: str) -> None:
        await self.fleet.around.store.delete_workload(name, ME)

    async def decide(self, *, silent: str = "", after_seconds: float = RETRY_SECONDS) -> None:
        self.fleet.around.clock.seconds += after_seconds
        for name in self.fleet.ids:
            if name != silent:
                self.fleet.hear(name)
        await lead(self.fleet.around.store)
        await self.place.run_pass()

    async def lead_anew(self, unheard: str = "") -> None:
        self.place = await self.fleet.begin(unheard)

    @property
    def known(self) -> Known:
        return self.fleet.around.known

    def said(self, name: str) -> str:
        record = self.known.workload(name)
        assert record is not None
        return self.known.decisions[record.uid].reason

    def message(self, name: str) -> str:
        record = self.known.workload(name)
        assert record is not None
        return self.known.decisions[record.uid].message

    async def charged(self) -> dict[str, int]:
        """cpu in cores by tenant, as it is stored; and what is in memory is the same."""
        stored = (await self.fleet.around.store.load()).balances
        assert sorted(self.known.quotas.charges.balances(), key=_key) == sorted(stored, key=_key)
        found: dict[str, int] = {}
        for each in stored:
            found[each.tenant] = found.get(each.tenant, 0) + each.amount // 1000
        return found

    async def gone(self, name: str) -> None:
        """Its pods are reported gone."""
        charges = self.known.quotas.charges
        (uid,) = [uid for uid, record in self.known.workloads.items() if record.name == name]
        lines = [
            replace(line, amount=-line.amount)
            for cluster in list(charges.clusters_of(uid))
            for tenant in charges.tenants_of(uid, cluster)
            for line in lines_of(tenant, uid, cluster, charges.of(uid, cluster, tenant), Cause.RELEASED)
        ]
        lease = self.place._lease  # pyright: ignore[reportPrivateUsage]
        await self.fleet.around.store.commit_lines(lease, lines)
        self.known.quotas.enter(lines)


def _key(each: BalanceRecord) -> tuple[str, ...]:
    return each.tenant, each.workload, each.cluster, each.flavor, each.resource, str(each.drift)


async def test_what_fits_is_charged_and_what_does_not_holds_nothing() -> None:
    centre = Centre()
    await centre.begin(shop=quota(cpu=10))
    await centre.submit("web", "shop", 6)
    await centre.submit("api", "shop", 6)
    await centre.decide()
    assert (centre.said("web"), centre.said("api")) == ("Placed", Reason.QUOTA_EXCEEDED)
    assert await centre.charged() == {"shop": 6}
    assert "cpu" in centre.message("api")
    assert "default" in centre.message("api")


async def test_what_cannot_be_placed_holds_no_quota() -> None:
    centre = Centre()
    await centre.begin(cores=4, shop=quota(cpu=10))
    await centre.submit("web", "shop", 8)
    await centre.decide()
    assert centre.said("web") == Reason.INSUFFICIENT_CAPACITY
    assert await centre.charged() == {}


async def test_what_waits_is_admitted_once_pods_are_gone_and_not_when_that_was_decided() -> None:
    centre = Centre()
    await centre.begin(shop=quota(cpu=10))
    await centre.submit("web", "shop", 6)
    await centre.decide()
    await centre.submit("api", "shop", 6)
    await centre.delete("web")
    await centre.decide()
    assert centre.said("api") in (Reason.QUOTA_EXCEEDED, Reason.QUOTA_AWAITED)
    assert await centre.charged() == {"shop": 6}
    await centre.gone("web")
    await centre.decide()
    assert centre.said("api") == "Placed"
    assert await centre.charged() == {"shop": 6}


async def test_of_a_resource_that_nobody_granted_nothing_is_given() -> None:
    centre = Centre()
    spec = quota(cpu=10)
    spec["quota"]["flavors"][0]["resources"][0]["name"] = "memory"
    await centre.begin(shop=spec)
    await centre.submit("web", "shop", 1)
    await centre.decide()
    assert centre.said("web") == Reason.QUOTA_NOT_GRANTED
    assert "cpu" in centre.message("web")


async def test_a_tenant_without_quota_is_charged_and_not_bounded() -> None:
    centre = Centre()
    await centre.begin(shop={})
    await centre.submit("web", "shop", 60)
    await centre.decide()
    assert centre.said("web") == "Placed"
    assert await centre.charged() == {"shop": 60}


async def test_growing_is_charged_at_once_and_shrinking_when_it_is_reported() -> None:
    centre = Centre()
    await centre.begin(shop=quota(cpu=10))
    for cpu, said, charged in (
        (4, "Placed", 4),
        (8, "Placed", 8),
        (2, "Placed", 8),
        (11, Reason.QUOTA_EXCEEDED, 8),
    ):
        await centre.submit("web", "shop", cpu)
        await centre.decide()
        assert (centre.said("web"), await centre.charged()) == (said, {"shop": charged}), cpu


async def test_the_next_leader_knows_what_is_charged_and_what_is_on_its_way_out() -> None:
    centre = Centre()
    await centre.begin(shop=quota(cpu=10))
    await centre.submit("web", "shop", 8)
    await centre.decide()
    await centre.submit("web", "shop", 2)
    await centre.submit("api", "shop", 6)
    await centre.decide()
    await centre.lead_anew()
    await centre.decide()
    assert await centre.charged() == {"shop": 8}
    assert centre.said("api") == Reason.QUOTA_AWAITED


async def test_the_one_with_the_smaller_share_is_next_then_priority_then_age() -> None:
    centre = Centre()
    await centre.begin(
        one=quota("all", cpu=4), two=quota("all", cpu=4), spare=quota("all", cpu=12, preemption={})
    )
    await centre.submit("one-runs", "one", 8)
    await centre.decide()
    await centre.submit("one-more", "one", 8, priority=100)
    await centre.submit("two-late", "two", 8)
    await centre.submit("two-first", "two", 8, priority=5)
    await centre.decide()
    assert {name: centre.said(name) == "Placed" for name in ("one-more", "two-late", "two-first")} == {
        "one-more": False,
        "two-late": False,
        "two-first": True,
    }


async def test_what_was_lent_is_reclaimed_and_nobody_takes_it_meanwhile() -> None:
    centre = Centre()
    await centre.begin(lender=quota("all", cpu=10), borrower=quota("all", cpu=0), third=quota("all", cpu=0))
    await centre.submit("batch", "borrower", 10)
    await centre.decide()
    assert await centre.charged() == {"borrower": 10}
    await centre.submit("shop", "lender", 6)
    await centre.decide()
    assert (centre.said("batch"), centre.said("shop")) == (Reason.PREEMPTED, Reason.QUOTA_AWAITED)
    assert await centre.charged() == {"borrower": 10}, "until its pods are gone"
    await centre.submit("thief", "third", 10)
    await centre.decide()
    await centre.gone("batch")
    await centre.decide()
    assert centre.said("shop") == "Placed"
    assert await centre.charged() == {"lender": 6}
    for name in ("batch", "thief"):
        assert centre.said(name) != "Placed"


async def test_a_full_cluster_is_made_room_in_by_who_gives_way() -> None:
    centre = Centre()
    await centre.begin(cores=10, lender=quota("all", cpu=10), borrower=quota("all", cpu=0))
    await centre.submit("batch", "borrower", 10)
    await centre.decide()
    await centre.submit("shop", "lender", 10)
    await centre.decide()
    assert (centre.said("batch"), centre.said("shop")) == (Reason.PREEMPTED, Reason.QUOTA_AWAITED)


async def test_nobody_gives_way_to_what_could_not_be_placed_either() -> None:
    centre = Centre()
    await centre.begin(cores=8, lender=quota("all", cpu=10), borrower=quota("all", cpu=0))
    await centre.submit("batch", "borrower", 8)
    await centre.decide()
    await centre.submit("shop", "lender", 10)
    await centre.decide()
    assert (centre.said("batch"), centre.said("shop")) == ("Placed", Reason.INSUFFICIENT_CAPACITY)


async def test_a_decision_on_a_quota_that_has_changed_is_skipped_and_made_again() -> None:
    centre = Centre()
    await centre.begin(shop=quota(cpu=10))
    await centre.decide()
    await centre.submit("web", "shop", 8)
    store = centre.fleet.around.store
    commit = store.commit_decisions
    changed: list[bool] = []

    async def lowered_just_before(*args: Any) -> Any:
        if not changed:
            changed.append(True)
            await centre.change("shop", quota(cpu=5))
        return await commit(*args)

    store.commit_decisions = lowered_just_before  # type: ignore[method-assign]
    await centre.decide()
    await centre.decide()
    assert changed
    assert centre.said("web") == Reason.QUOTA_EXCEEDED
    assert await centre.charged() == {}


async def test_a_flavor_puts_the_pods_on_its_nodes_and_the_next_is_tried_where_the_first_is_full() -> None:
    centre = Centre()
    store = centre.fleet.around.store
    await store.submit_document("Flavor", "arm", {"nodeLabels": {"arch": "arm64"}}, ME)
    await store.submit_document("Flavor", "amd", {"nodeLabels": {"arch": "amd64"}}, ME)
    cpu = [{"name": "cpu", "nominalQuota": 10}]
    spec = {
        "quota": {"flavors": [{"name": "arm", "resources": cpu}, {"name": "amd", "resources": cpu}]},
    }
    await centre.begin(shop=spec)
    await centre.submit("web", "shop", 4)
    await centre.decide()
    balances = (await store.load()).balances
    assert [(each.flavor, each.amount) for each in balances] == [("amd", 4000)]
    (order,) = (await store.load()).outbox
    assert b'"key":"arch","operator":"In","values":["amd64"]' in order.body


async def test_what_ran_before_its_tenant_had_a_quota_counts_from_then_on() -> None:
    centre = Centre()
    await centre.begin(shop={})
    await centre.submit("web", "shop", 6)
    await centre.decide()
    await centre.change("shop", quota(cpu=10))
    await centre.decide()
    await centre.submit("api", "shop", 6)
    await centre.decide()
    assert (centre.said("web"), centre.said("api")) == ("Placed", Reason.QUOTA_EXCEEDED)
    (order,) = (await centre.fleet.around.store.load()).outbox
    assert order.version.generation == 1, "it goes on as it was ordered"


async def test_a_quota_below_what_runs_already_is_not_taken() -> None:
    centre = Centre()
    await centre.begin(shop={})
    await centre.submit("web", "shop", 6)
    await centre.decide()
    with pytest.raises(Taken, match="tenant shop uses 6 cpu of flavor default"):
        await centre.change("shop", quota(cpu=5))


JOB = {
    "apiVersion": "kubeflow.org/v1",
    "kind": "PyTorchJob",
    "metadata": {"name": "train", "namespace": "shop"},
    "spec": {
        "pytorchReplicaSpecs": {
            kind: {
                "replicas": replicas,
                "template": {
                    "spec": {
                        "containers": [
                            {"name": "pytorch", "image": "x", "resources": {"requests": {"cpu": str(cpu)}}}
                        ]
                    }
                },
            }
            for kind, replicas, cpu in (("Master", 1, 1), ("Worker", 3, 2))
        }
    },
}


@pytest.mark.parametrize(("granted", "charged"), [(6, {}), (7, {"shop": 7})])
async def test_a_gang_is_admitted_whole_or_not_at_all(granted: int, charged: dict[str, int]) -> None:
    centre = Centre()
    centre.fleet.served = ["kubeflow.org/v1/PyTorchJob"]
    await centre.begin(shop=quota(cpu=granted))
    await centre.send("train", "shop", [JOB])
    await centre.decide()
    assert centre.said("train") == ("Placed" if charged else Reason.QUOTA_EXCEEDED)
    assert await centre.charged() == charged


async def test_under_an_autoscaler_the_reserve_is_for_as_far_as_it_may_go() -> None:
    centre = Centre()
    centre.fleet.served = ["apps/v1/Deployment", "autoscaling/v2/HorizontalPodAutoscaler"]
    await centre.begin(shop=quota(cpu=10))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 8},
    }
    web = deployment(2) | {"metadata": {"name": "web", "namespace": "shop"}}
    await centre.send("web", "shop", [web, scaler])
    await centre.decide()
    assert (centre.said("web"), await centre.charged()) == ("Placed", {"shop": 8})


@pytest.mark.parametrize(("granted", "charged", "said"), [(12, 12, "Placed"), (11, 6, Reason.QUOTA_EXCEEDED)])
async def test_both_copies_are_charged_until_the_lost_one_is_known_gone(
    granted: int, charged: int, said: str
) -> None:
    centre = Centre()
    await centre.begin(cores=8, clusters=["a", "b"], shop=quota(cpu=granted))
    only_a = {"clusterAffinities": [{"affinityName": each, "clusterNames": [each]} for each in "ab"]}
    web = deployment(6) | {"metadata": {"name": "web", "namespace": "shop"}}
    await centre.send("web", "shop", [web], placement={"replicaScheduling": DYNAMIC, **only_a})
    await centre.decide()
    assert await centre.charged() == {"shop": 6}
    for _ in range(60):
        await centre.decide(silent="a", after_seconds=20.0)
    assert (centre.said("web"), await centre.charged()) == (said, {"shop": charged}), centre.message("web")
    record = centre.known.workload("web")
    assert record is not None
    assert list(centre.known.placements_of(record.uid)) == [
        centre.fleet.ids["b" if said == "Placed" else "a"]
    ]


async def test_what_it_left_elsewhere_stays_charged_beside_the_new_also_while_others_wait() -> None:
    centre = Centre()
    lending = {"lender": quota("all", cpu=10), "borrower": quota("all", cpu=0)}
    await centre.begin(cores=20, clusters="abc", shop=quota(cpu=10), **lending)
    await centre.submit("batch", "borrower", 10)
    await centre.decide()
    await centre.submit("own", "lender", 6)
    await centre.decide()
    assert centre.said("own") == Reason.QUOTA_AWAITED
    web = deployment(4) | {"metadata": {"name": "web", "namespace": "shop"}}
    for cluster, said, charged in (("a", "Placed", 4), ("b", "Placed", 8), ("c", Reason.QUOTA_EXCEEDED, 8)):
        where = {"replicaScheduling": DYNAMIC, "clusterAffinity": {"clusterNames": [cluster]}}
        await centre.send("web", "shop", [web], placement=where)
        await centre.decide()
        assert (centre.said("web"), (await centre.charged())["shop"]) == (said, charged), cluster


ON_EVERY_NODE = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "greedy", "namespace": "shop"},
    "spec": {
        "template": {
            "spec": {
                "containers": [
                    {"name": name, "resources": {"requests": {"example.com/card": "9E"}}} for name in "cd"
                ]
            }
        }
    },
}


async def test_more_than_can_be_counted_is_refused_and_keeps_nobody_up() -> None:
    centre = Centre()
    centre.fleet.served = ["apps/v1/DaemonSet", "apps/v1/Deployment"]
    await centre.begin(shop={})
    await centre.send("greedy", "shop", [ON_EVERY_NODE])
    await centre.submit("web", "shop", 6)
    await centre.decide()
    assert (centre.said("greedy"), centre.said("web")) == (Reason.INVALID, "Placed")
    assert "example.com/card" in centre.message("greedy")
    assert await centre.charged() == {"shop": 6}


async def test_a_decision_that_cannot_be_written_holds_nothing_and_does_not_hold_up_the_others() -> None:
    centre = Centre()
    await centre.begin(shop=quota(cpu=10))
    names = [f"web-{number}" for number in range(8)]
    for name in names:
        await centre.submit(name, "shop", 1)
    store = centre.fleet.around.store
    commit = store.commit_decisions

    async def refusing(lease: Lease, made: Sequence[NewDecision], version: int) -> Any:
        if any(centre.known.workloads[each.workload].name == "web-3" for each in made):
            raise ValueError("it fits no column")
        return await commit(lease, made, version)

    store.commit_decisions = refusing  # type: ignore[method-assign]
    for _ in range(8):
        with suppress(ValueError):
            await centre.decide(after_seconds=1.0)
        await centre.charged()
    assert await centre.charged() == {"shop": 7}
    decided = {centre.known.workloads[uid].name for uid in centre.known.decisions}
    assert decided == {*names} - {"web-3"}


async def test_who_waits_for_what_will_not_leave_after_all_asks_again() -> None:
    """Whoever was to give way was written meanwhile, so that decision was skipped."""
    centre = Centre()
    await centre.begin(lender=quota("all", cpu=10), borrower=quota("all", cpu=0))
    await centre.submit("batch", "borrower", 10)
    await centre.decide()
    await centre.submit("shop", "lender", 6)
    store = centre.fleet.around.store
    commit = store.commit_decisions
    written: list[bool] = []

    async def written_just_before(*args: Any) -> Any:
        if not written:
            written.append(True)
            await centre.submit("batch", "borrower", 10, priority=-1)
        return await commit(*args)

    store.commit_decisions = written_just_before  # type: ignore[method-assign]
    await centre.decide()
    assert written
    assert centre.said("batch") == "Placed"
    await centre.decide()
    assert (centre.said("batch"), centre.said("shop")) == (Reason.PREEMPTED, Reason.QUOTA_AWAITED)


BATCH = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "sums", "namespace": "shop"},
    "spec": {
        "parallelism": 8,
        "completions": 8,
        "template": {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}},
    },
}


@pytest.mark.parametrize(("granted", "charged", "said"), [(12, 12, "Placed"), (11, 8, Reason.QUOTA_EXCEEDED)])
async def test_more_of_it_where_it_has_run_to_its_end_is_charged(
    granted: int, charged: int, said: str
) -> None:
    centre = Centre()
    centre.fleet.served = ["batch/v1/Job"]
    await centre.begin(cores=16, clusters="ab", shop=quota(cpu=granted))
    await centre.send("sums", "shop", [BATCH], placement={"replicaScheduling": DYNAMIC})
    await centre.decide()
    record = centre.known.workload("sums")
    assert record is not None
    here = centre.fleet.ids["a"]
    order = centre.known.order(here, record.uid)
    assert order is not None
    centre.known.work[record.uid] = {
        here: Work(
            incarnation=1,
            sequence=1,
            version=order.version,
            carried_out=order.version,
            state=WorkState.APPLIED,
            finished=True,
        )
    }
    for _ in range(60):
        await centre.decide(silent="b", after_seconds=20.0)
    assert (centre.said("sums"), await centre.charged()) == (said, {"shop": charged})


@pytest.mark.parametrize("end", ["the cluster is lost", "it is deleted"])
async def test_what_is_kept_for_one_that_waits_in_vain_is_had_by_others(end: str) -> None:
    centre = Centre()
    members = {name: quota("all", cpu=cpu) for name, cpu in (("lender", 10), ("borrower", 0), ("third", 0))}
    await centre.begin(cores=20, clusters="ab", **members)
    batch = deployment(6) | {"metadata": {"name": "batch", "namespace": "borrower"}}
    await centre.send("batch", "borrower", [batch], placement={"clusterAffinity": {"clusterNames": ["a"]}})
    await centre.decide()
    await centre.submit("shop", "lender", 8)
    await centre.decide()
    await centre.submit("small", "third", 3)
    await centre.decide()
    assert (centre.said("shop"), centre.said("small")) == (Reason.QUOTA_AWAITED, Reason.QUOTA_EXCEEDED)
    if end == "it is deleted":
        await centre.delete("shop")
        await centre.decide()
        await centre.decide()
    else:
        for _ in range(10):
            await centre.decide(silent="a", after_seconds=20.0)
        assert centre.said("shop") == Reason.QUOTA_EXCEEDED
    assert centre.said("small") == "Placed"
    assert await centre.charged() == {"borrower": 6, "third": 3}


async def test_once_a_lost_cluster_is_back_what_runs_there_gives_way_to_those_who_lacked_it() -> None:
    centre = Centre()
    members = {name: quota("all", cpu=cpu) for name, cpu in (("lender", 10), ("borrower", 0))}
    await centre.begin(cores=20, clusters="ab", **members)
    batch = deployment(6) | {"metadata": {"name": "batch", "namespace": "borrower"}}
    await centre.send("batch", "borrower", [batch], placement={"clusterAffinity": {"clusterNames": ["a"]}})
    await centre.decide()
    for _ in range(10):
        await centre.decide(silent="a", after_seconds=20.0)
    await centre.submit("shop", "lender", 8)
    await centre.decide(silent="a")
    assert centre.said("shop") == Reason.QUOTA_EXCEEDED
    await centre.decide()
    await centre.decide()
    assert (centre.said("shop"), centre.said("batch")) == (Reason.QUOTA_AWAITED, Reason.PREEMPTED)


async def test_what_has_just_been_given_another_place_gives_way_only_once_that_is_written() -> None:
    """Else it would go on there, and be told of as one that gave way."""
    centre = Centre()
    await centre.begin(cores=20, clusters="ab", lender=quota("all", cpu=10), borrower=quota("all", cpu=0))
    for number, (name, tenant, cluster) in enumerate(
        (("batch", "borrower", "a"), ("batch", "borrower", "b"), ("shop", "lender", "a"))
    ):
        made = deployment(5 if tenant == "borrower" else 8) | {
            "metadata": {"name": name, "namespace": tenant}
        }
        where = {"replicaScheduling": DYNAMIC, "clusterAffinity": {"clusterNames": [cluster]}}
        await centre.send(name, tenant, [made], placement=where)
        if not number:
            await centre.decide()
    await centre.decide()
    assert (centre.said("batch"), centre.said("shop")) == (Reason.PREEMPTED, Reason.QUOTA_AWAITED)
    loaded = await centre.fleet.around.store.load()
    placed = {each.workload for each in loaded.placements}
    for each in loaded.decisions:
        assert (each.workload in placed) == each.placed, each.reason
    await centre.charged()


async def test_who_lacks_quota_while_another_gets_its_place_is_judged_again_once_that_is_written() -> None:
    """A new leader knows no claim: who gave way is let in again before the one that it gave way to."""
    centre = Centre()
    await centre.begin(cores=20, lender=quota("all", cpu=10), borrower=quota("all", cpu=0))
    await centre.submit("batch", "borrower", 10)
    await centre.decide()
    await centre.submit("shop", "lender", 10)
    await centre.decide()
    assert (centre.said("batch"), centre.said("shop")) == (Reason.PREEMPTED, Reason.QUOTA_AWAITED)
    await centre.lead_anew()
    await centre.decide()
    await centre.decide()
    assert (centre.said("batch"), centre.said("shop")) == (Reason.PREEMPTED, Reason.QUOTA_AWAITED)


async def test_what_ran_before_its_tenant_had_a_quota_counts_before_anything_else_is_let_in() -> None:
    centre = Centre()
    await centre.begin(lender=quota("all", cpu=10, preemption={"reclaimWithinCohort": "Never"}), shop={})
    await centre.submit("web", "shop", 6)
    await centre.decide()
    await centre.submit("batch", "lender", 10)
    await centre.change("shop", quota("all", cpu=4))
    await centre.decide()
    assert centre.said("batch") == Reason.QUOTA_EXCEEDED
    assert centre.known.quotas.usage.of("shop")["default", "cpu"] == 6_000
    assert await centre.charged() == {"shop": 6}


@pytest.mark.parametrize("anew", [False, True], ids=["the same leader", "the next leader"])
async def test_what_ran_before_its_tenant_had_a_quota_counts_also_where_what_it_is_to_become_is_refused(
    anew: bool,
) -> None:
    centre = Centre()
    await centre.begin(lender=quota("all", cpu=10), shop={})
    await centre.submit("web", "shop", 6)
    await centre.decide()
    made = deployment(6) | {"metadata": {"name": "web", "namespace": "shop"}}
    made["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["example.com/gpu"] = 1
    await centre.send("web", "shop", [made], placement={"replicaScheduling": DYNAMIC})
    await centre.change("shop", quota("all", cpu=4))
    if anew:
        await centre.lead_anew()
    await centre.decide()
    assert centre.said("web") == Reason.QUOTA_NOT_GRANTED
    assert centre.known.quotas.usage.of("shop") == {("default", "cpu"): 6_000}
    assert not centre.known.quotas.charges.leaving(), "it runs on as it was"
    await centre.submit("batch", "lender", 9)
    await centre.decide()
    assert (centre.said("batch"), centre.said("web")) == (Reason.QUOTA_AWAITED, Reason.PREEMPTED)
    assert await centre.charged() == {"shop": 6}


async def test_what_waited_for_quota_and_goes_to_all_clusters_waits_until_they_are_heard() -> None:
    centre = Centre()
    await centre.begin(clusters="ab", shop=quota(cpu=0))
    twin = deployment(2) | {"metadata": {"name": "twin", "namespace": "shop"}}
    await centre.send("twin", "shop", [twin])
    await centre.decide()
    assert centre.said("twin") == Reason.QUOTA_EXCEEDED
    await centre.change("shop", quota(cpu=10))
    await centre.lead_anew(unheard="b")
    await centre.decide(silent="b")
    await centre.decide(silent="b")
    assert centre.said("twin") == Reason.QUOTA_EXCEEDED, "it has been put off"
    await centre.decide()
    assert (centre.said("twin"), await centre.charged()) == ("Placed", {"shop": 4})


async def test_that_an_agent_holds_what_is_to_leave_is_said() -> None:
    centre = Centre()
    await centre.begin(lender=quota("all", cpu=10), borrower=quota("all", cpu=0))
    await centre.submit("batch", "borrower", 10)
    await centre.decide()
    await centre.submit("shop", "lender", 6)
    await centre.decide()
    cluster = centre.fleet.ids["a"]
    held = centre.known.heard[cluster]
    centre.known.heard[cluster] = replace(held, beat=msgspec.structs.replace(held.beat, holding=True))
    centre.known.quotas.usage.free(centre.known.quotas.tree.root("lender"))
    await centre.place.run_pass()
    assert centre.message("shop").endswith("; the agent of a holds: muster clusters release a")


async def test_who_stands_behind_another_of_a_strict_tenant_is_told_so_and_then_admitted() -> None:
    centre = Centre()
    spec = quota(cpu=10)
    spec["quota"]["queueing"] = "StrictFIFO"
    await centre.begin(shop=spec)
    await centre.submit("web", "shop", 6)
    await centre.decide()
    await centre.submit("large", "shop", 8)
    await centre.decide()
    await centre.submit("small", "shop", 1)
    await centre.decide()
    assert (centre.said("large"), centre.said("small")) == (Reason.QUOTA_EXCEEDED, Reason.QUOTA_EXCEEDED)
    assert centre.message("small") == "waits behind large, which is first in line of tenant shop (StrictFIFO)"
    await centre.delete("web")
    await centre.decide()
    await centre.gone("web")
    await centre.decide()
    assert (centre.said("large"), centre.said("small")) == ("Placed", "Placed")
    assert await centre.charged() == {"shop": 9}
