"""The whole circle below the sum: what simulated clusters have there decides, is put in, and is kept to."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from agents.simulation.networks import NETWORKS
from agents.simulation.zones import HELD
from schemas.wire.codec import encode
from schemas.wire.hardware import Hardware
from tests.circle import Circle, Object, deployment, eventually, running_circle, workload

pytestmark = pytest.mark.asyncio(loop_scope="module")
MAKES = ("datacentre", "cloud")
POOL = "10.56.217.0-27"
BY_ROOM = {
    "replicaSchedulingType": "Divided",
    "replicaDivisionPreference": "Weighted",
    "weightPreference": {"dynamicWeight": "AvailableReplicas"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def circle() -> AsyncGenerator[Circle]:
    async with running_circle() as circle:
        for seed, make in enumerate(MAKES, start=1):
            await circle.join(make, ["--simulate", make, "--seed", str(seed)])
        yield circle


def stating(name: str, replicas: int, resources: Object | None = None, **spec: Any) -> Object:
    made = deployment(name, name, replicas)
    if resources is not None:
        made["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    wanted = workload(name, made, replicaScheduling=BY_ROOM)
    wanted["spec"] |= spec
    return wanted


async def pods_of(circle: Circle, name: str, cluster: str = "datacentre") -> list[Object]:
    await circle.until_running(name)
    return list(circle.objects(cluster, "pods", name).values())


async def left_out(circle: Circle, name: str) -> str:
    """Why it is placed nowhere."""
    found = await eventually(
        f"{name} is left out",
        partial(circle.workload, name),
        lambda seen: seen["status"]["state"] == "Unplaced",
    )
    return found["status"]["message"]


async def test_a_sandboxed_workload_runs_where_the_class_is(circle: Circle) -> None:
    circle.apply(stating("walled", 3, isolation="kata"))
    pods = await pods_of(circle, "walled")
    assert len(pods) == 3
    assert {pod["spec"]["runtimeClassName"] for pod in pods} == {"kata"}
    assert all(pod["spec"]["overhead"] == {"cpu": "250m", "memory": "320Mi"} for pod in pods)
    assert {pod["spec"]["nodeName"] for pod in pods} <= {f"amx-00{number}" for number in range(1, 5)}


async def test_a_feature_that_only_raw_features_tell_is_found(circle: Circle) -> None:
    rdt = {"feature": "cpu.rdt", "matchExpressions": {"RDTL3CA": {"op": "IsTrue"}}}
    circle.apply(stating("cache", 2, features=[rdt]))
    pods = await pods_of(circle, "cache")
    assert {pod["spec"]["nodeName"].partition("-")[0] for pod in pods} == {"amx"}


async def test_addresses_are_reserved_until_they_are_seen(circle: Circle) -> None:
    """Six of the pool are free: four go to the first, so that the second, which wants three, gets none."""
    networks = [{"attachment": "default/sriov-data"}]
    circle.apply(stating("fast", 4, networks=networks))
    pods = await pods_of(circle, "fast")
    assert {pod["metadata"]["annotations"][NETWORKS] for pod in pods} == {"default/sriov-data"}
    asked = [pod["spec"]["containers"][0]["resources"]["requests"] for pod in pods]
    assert {each["intel.com/sriov_data"] for each in asked} == {"1"}
    held = circle.objects("datacentre", "ippools", "kube-system")[POOL]["spec"]["allocations"]
    assert sum(each["podref"].startswith("fast/") for each in held.values()) == 4
    circle.apply(stating("slow", 3, networks=networks))
    assert await left_out(circle, "slow") == "3 replicas are wanted, 2 fit the cluster that passes"


async def test_pinned_replicas_fill_zones_and_none_is_refused_by_a_kubelet(circle: Circle) -> None:
    """Four nodes align, with two zones of 63 cores each: eight replicas of 40 fit, a ninth does not."""
    asks = {"cpu": "40", "memory": "8Gi"}
    topology = {"singleNUMA": True, "exclusiveCPUs": True}
    circle.apply(stating("pinned", 8, {"requests": asks, "limits": asks}, topology=topology))
    pods = await pods_of(circle, "pinned")
    places = {(pod["spec"]["nodeName"], pod["metadata"]["annotations"][HELD].split('"')[1]) for pod in pods}
    assert len(places) == 8
    circle.apply(stating("more", 1, {"requests": asks, "limits": asks}, topology=topology))
    assert await left_out(circle, "more") == "1 replica is wanted, 0 fit the 2 clusters that pass"


def clusters_of(circle: Circle, name: str) -> dict[str, int]:
    return circle.workload(name)["status"]["clusters"]


async def test_a_revision_that_asks_for_more_leaves_the_clusters_that_have_it_not(circle: Circle) -> None:
    circle.apply(stating("wish", 60))
    await circle.until_running("wish")
    assert set(clusters_of(circle, "wish")) == set(MAKES)
    amx = {"feature": "cpu.cpuid", "matchExpressions": {"AMXTILE": {"op": "Exists"}}}
    circle.apply(stating("wish", 60, features=[amx]))
    await circle.until_running("wish", revision=2)
    assert clusters_of(circle, "wish") == {"datacentre": 60}


async def test_a_revision_that_fits_nowhere_is_refused_and_nothing_moves(circle: Circle) -> None:
    circle.apply(stating("huge", 2))
    before = (await circle.until_running("huge"))["status"]["clusters"]
    asks = {"cpu": "900", "memory": "8Gi"}
    circle.apply(stating("huge", 2, {"requests": asks, "limits": asks}))
    assert "2 replicas are wanted, 0 fit" in await left_out(circle, "huge")
    seen = circle.workload("huge")["status"]
    assert (seen["clusters"], seen["ready"]) == (before, 2)


@pytest.mark.promise(9)
async def test_a_class_that_vanishes_takes_nothing_with_it(circle: Circle) -> None:
    """The last test of this file: the agent's own reports of its hardware are older than this one."""
    circle.apply(stating("kept", 2, isolation="kata"))
    before = {pod["metadata"]["uid"] for pod in await pods_of(circle, "kept")}
    cluster = circle.cluster_id("datacentre")
    async with circle.bus_of_agent("datacentre") as bus:
        gone = encode(Hardware(incarnation=10**9, sequence=1))
        await bus.publish([(circle.subjects.hardware(cluster), gone)])
    await eventually(
        "the class is gone",
        lambda: circle.client.get("/inventory/runtimes", cluster="datacentre").body["items"],
        lambda rows: not rows,
    )
    changed = stating("kept", 2, isolation="kata")
    changed["spec"]["manifests"][0]["spec"]["template"]["spec"]["containers"][0]["image"] = (
        "registry.example/web:2"
    )
    circle.apply(changed)
    seen = await eventually(
        "it is said that it stays",
        partial(circle.workload, "kept"),
        lambda seen: "stays at revision 1 in datacentre" in seen["status"]["message"],
    )
    assert "has no runtime class kata" in seen["status"]["message"]
    pods = circle.objects("datacentre", "pods", "kept").values()
    assert {pod["metadata"]["uid"] for pod in pods} == before
    assert {pod["spec"]["runtimeClassName"] for pod in pods} == {"kata"}
