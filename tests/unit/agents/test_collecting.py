"""What lies below reaches the centre, whatever the cluster serves of it; what it does not serve is quiet."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from agents.observe.fingerprint import ATTRIBUTE
from agents.ports import Forbidden, Resource
from agents.simulation import catalogue
from agents.simulation.networks import NETWORKS
from schemas.wire.codec import unpack_column
from schemas.wire.hardware import DEVICE_CLASS_RESOURCE, Hardware, Topology
from schemas.wire.orders import ObjectRef
from schemas.wire.reports import Inventory, Profile, Usage
from tests.unit.agents.world import AgentWorld, apply_order, deployment, withdraw_order

NFD = "nfd.k8s-sigs.io/v1alpha1"
PARTS = ("hardware", "topology.1-0", "inventory.1-0", "usage.1-0")


@pytest.fixture
async def datacentre(tmp_path: Path) -> AsyncIterator[AgentWorld]:
    world = AgentWorld(tmp_path, "datacentre")
    yield world
    await world.close()


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[AgentWorld]:
    world = AgentWorld(tmp_path, "edge")
    yield world
    await world.close()


async def reported(world: AgentWorld, *tails: str) -> None:
    await world.until(lambda: all(tail in world.centre.reports for tail in tails), f"reports {tails}")


def hardware(world: AgentWorld) -> Hardware:
    found = world.centre.report(Hardware, "hardware")
    assert found is not None
    return found


def profiles(world: AgentWorld) -> dict[str, Profile]:
    """By node."""
    inventory = world.centre.report(Inventory, "inventory.1-0")
    assert inventory is not None
    hashes = [inventory.profile_hashes[index] for index in unpack_column(inventory.profiles)]
    found = {
        name: world.centre.report(Profile, f"profile.{hash_}")
        for name, hash_ in zip(inventory.names, hashes, strict=True)
    }
    return {name: profile for name, profile in found.items() if profile is not None}


async def test_a_data_centre_says_what_lies_below_its_sum(datacentre: AgentWorld) -> None:
    datacentre.start()
    await reported(datacentre, *PARTS)
    first = datacentre.centre.published.index
    said = hardware(datacentre)
    assert [(each.name, each.handler, each.overhead) for each in said.runtime_classes] == [
        ("kata", "kata-qemu", {"cpu": 250, "memory": 320 * 2**20})
    ]
    assert [(each.key, each.resource, each.pool) for each in said.attachments] == [
        ("default/sriov-data", "intel.com/sriov_data", "10.56.217.0-27"),
        ("default/storage", "", ""),
    ]
    (pool,) = said.pools
    # So few nodes have fewer pods of others that hold an address.
    assert pool.total == 15
    assert 6 <= pool.free < 15
    assert pool.held == {}
    nodes = profiles(datacentre)
    assert len(nodes) == 8
    assert nodes["amx-001"].handlers == ["kata-qemu", "runc"]
    assert nodes["gpu-001"].handlers == ["runc"]
    assert nodes["amx-001"].features["cpu.cpuid.AMXTILE"] == ""
    assert nodes["amx-001"].features["cpu.rdt.RDTL3CA_NUM_CLOSID"] == "16"
    assert nodes["gpu-001"].features["pci.device.0302_10de"] == "8"
    assert all(
        profile.hash in {tail.partition(".")[2] for tail in datacentre.centre.reports}
        for profile in nodes.values()
    )
    assert first("inventory.1-0") < first("topology.1-0") < first("usage.1-0")


async def test_a_topology_is_of_the_epoch_of_its_inventory(datacentre: AgentWorld) -> None:
    datacentre.start()
    await reported(datacentre, *PARTS)

    def epochs() -> tuple[int, int, int]:
        topology = datacentre.centre.report(Topology, "topology.1-0")
        inventory = datacentre.centre.report(Inventory, "inventory.1-0")
        assert topology is not None
        assert inventory is not None
        return topology.epoch, inventory.epoch, topology.zones

    before, same, zones = epochs()
    assert (before == same, zones) == (True, 16)
    datacentre.cluster.remove(ObjectRef("v1", "Node", "", "amx-001"))
    await datacentre.until(lambda: epochs()[0] == epochs()[1] != before, "the next epoch")
    assert epochs()[2] == 14


async def test_what_is_asked_for_again_is_said_again(datacentre: AgentWorld) -> None:
    datacentre.start()
    await reported(datacentre, *PARTS)
    counted = Counter(datacentre.centre.published)
    datacentre.centre.resend = ["hardware", "topology.1-0", "topology.2-1"]
    await datacentre.until(
        lambda: Counter(datacentre.centre.published) >= counted + Counter(["hardware", "topology.1-0"]),
        "both",
    )
    assert "topology.2-1" not in datacentre.centre.reports
    await datacentre.until(
        lambda: (
            {"hardware", "topology.1-0"}
            <= {tail for beat in datacentre.centre.beats for tail in beat.digests}
        ),
        "digests of both",
    )


def zones(world: AgentWorld) -> Topology:
    found = world.centre.report(Topology, "topology.1-0")
    assert found is not None
    return found


@pytest.mark.parametrize("is_served", [True, False])
async def test_zones_that_went_while_no_agent_was_there_are_denied_when_asked_for(
    datacentre: AgentWorld, *, is_served: bool
) -> None:
    datacentre.start()
    await reported(datacentre, *PARTS)
    assert zones(datacentre).zones == 16
    await datacentre.kill()
    kind = catalogue.NODE_TOPOLOGIES
    if is_served:
        for body in datacentre.cluster.objects(kind.kind):
            datacentre.cluster.remove(ObjectRef(kind.api_version, kind.kind, "", body["metadata"]["name"]))
    else:
        datacentre.cluster.stop_serving(kind)
    datacentre.start()
    await datacentre.until(lambda: datacentre.centre.reports["inventory.1-0"].incarnation == 2, "is back")
    assert zones(datacentre).zones == 16, "nobody told the centre"
    datacentre.centre.resend = ["topology.1-0", "topology.2-1", "topology.junk"]
    await datacentre.until(lambda: zones(datacentre).incarnation == 2, "an answer")
    inventory = datacentre.centre.reports["inventory.1-0"]
    assert isinstance(inventory, Inventory)
    assert (zones(datacentre).zones, zones(datacentre).epoch) == (0, inventory.epoch)
    datacentre.centre.resend = ["topology.1-0"]
    before = zones(datacentre).stamp
    await datacentre.until(lambda: zones(datacentre).stamp > before, "another, for who asks again")
    assert {tail for tail in datacentre.centre.reports if tail.startswith("topology")} == {"topology.1-0"}


async def test_zones_are_stale_from_a_pod_until_their_updater_has_seen_it(tmp_path: Path) -> None:
    world = AgentWorld(tmp_path, "datacentre", zones_seconds=1.0)

    def stale() -> list[str]:
        inventory = world.centre.report(Inventory, "inventory.1-0")
        said = world.centre.report(Topology, "topology.1-0")
        if inventory is None or said is None or said.epoch != inventory.epoch:
            return []
        found = zip(inventory.names, unpack_column(said.policy_of), strict=True)
        return [name for name, index in found if index >= 0 and said.policies[index].stale]

    def told() -> set[bool]:
        bodies = world.cluster.objects(catalogue.NODE_TOPOLOGIES.kind)
        return {ATTRIBUTE in {each["name"] for each in body["attributes"]} for body in bodies}

    try:
        world.start()
        await reported(world, *PARTS)
        await world.until(lambda: told() == {True}, "fingerprints")
        await world.until(lambda: not stale(), "zones of all pods that are there")
        web = deployment("w1")
        web["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "amx-001"}
        world.centre.order(apply_order("w1", 1, web))
        await world.until(lambda: stale() == ["amx-001"], "stale zones")
        assert world.centre.work("w1") is not None
        await world.until(lambda: not stale(), "zones that are of its pods, too")
        world.centre.order(withdraw_order("w1", 2))
        await world.until(lambda: stale() == ["amx-001"], "stale zones, once they are gone")
        await world.until(lambda: not stale(), "zones without them")
    finally:
        await world.close()


async def test_addresses_that_our_pods_hold_are_told_by_workload(datacentre: AgentWorld) -> None:
    datacentre.start()
    await reported(datacentre, *PARTS)
    free = hardware(datacentre).pools[0].free
    web = deployment("w1")
    web["spec"]["template"]["metadata"]["annotations"] = {NETWORKS: "default/sriov-data"}
    datacentre.centre.order(apply_order("w1", 1, web))
    await datacentre.until(lambda: hardware(datacentre).pools[0].held == {"w1": 2}, "held addresses")
    assert hardware(datacentre).pools[0].free == free - 2


async def test_where_nothing_of_it_is_served_empty_lists_say_so(edge: AgentWorld) -> None:
    with structlog.testing.capture_logs() as logs:
        edge.start()
        await reported(edge, "hardware", "inventory.1-0", "usage.1-0", "facts")
    assert hardware(edge) == Hardware(incarnation=1, sequence=hardware(edge).sequence)
    assert not [tail for tail in edge.centre.reports if tail.startswith("topology")]
    assert all(not profile.features and profile.handlers == ["runc"] for profile in profiles(edge).values())
    assert [each for each in logs if each["log_level"] == "warning"] == []


def put(world: AgentWorld, resource: Resource, name: str, namespace: str = "", **body: Any) -> None:
    labels = body.pop("labels", {})
    metadata = {"name": name, "labels": labels} | ({"namespace": namespace} if namespace else {})
    manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
    world.cluster.put_as("people", manifest | body)


async def test_a_kind_that_is_served_later_is_found_and_one_that_goes_is_forgotten(edge: AgentWorld) -> None:
    edge.start()
    await reported(edge, "inventory.1-0")
    edge.cluster.serve(catalogue.NODE_FEATURES)
    flags = {"flags": {"cpu.cpuid": {"elements": {"ASIMD": {}}}}}
    put(
        edge,
        catalogue.NODE_FEATURES,
        "anything",
        "kube-system",
        labels={"nfd.node.kubernetes.io/node-name": "edge-001"},
        spec={"features": flags},
    )
    has: Callable[[str], bool] = lambda node: "cpu.cpuid.ASIMD" in profiles(edge)[node].features  # noqa: E731
    await edge.until(lambda: has("edge-001"), "the feature", 20.0)
    assert not has("edge-002")
    edge.cluster.stop_serving(catalogue.NODE_FEATURES)
    edge.cluster.close_watches()
    await edge.until(lambda: not has("edge-001"), "the feature to go", 20.0)


async def test_devices_are_resources_of_their_nodes(edge: AgentWorld) -> None:
    for resource in (catalogue.DEVICE_CLASSES, catalogue.RESOURCE_SLICES, catalogue.RESOURCE_CLAIMS):
        edge.cluster.serve(resource)
    put(
        edge,
        catalogue.DEVICE_CLASSES,
        "cam",
        spec={"selectors": [{"cel": {"expression": 'device.driver == "cam"'}}]},
    )
    pool = {"name": "edge-002", "generation": 1, "resourceSliceCount": 1}
    devices = [{"name": f"cam-{number}"} for number in range(3)]
    put(
        edge,
        catalogue.RESOURCE_SLICES,
        "edge-002-cam",
        spec={"driver": "cam", "nodeName": "edge-002", "pool": pool, "devices": devices},
    )
    given = {
        "devices": {"results": [{"driver": "cam", "pool": "edge-002", "device": "cam-1", "request": "one"}]}
    }
    put(edge, catalogue.RESOURCE_CLAIMS, "watching", "default", status={"allocation": given})
    edge.start()
    await reported(edge, "hardware", "inventory.1-0", "usage.1-0")
    inventory, usage = edge.centre.report(Inventory, "inventory.1-0"), edge.centre.report(Usage, "usage.1-0")
    assert inventory is not None
    assert usage is not None
    resource = f"{DEVICE_CLASS_RESOURCE}cam"
    assert hardware(edge).device_classes == ["cam"]
    assert unpack_column(inventory.allocatable[inventory.resources.index(resource)]) == [0, 3, 0, 0]
    assert unpack_column(usage.foreign[usage.resources.index(resource)]) == [0, 1, 0, 0]


async def test_what_rbac_hides_is_said_once_and_holds_up_nothing(datacentre: AgentWorld) -> None:
    hidden = [catalogue.NODE_TOPOLOGIES, catalogue.IP_POOLS]
    listed = datacentre.cluster.list

    async def refusing(resource: Resource, **selection: str) -> AsyncIterator[bytes]:
        if resource in hidden:
            raise Forbidden(f"{resource.plural} is forbidden")
        async for page in listed(resource, **selection):
            yield page

    datacentre.cluster.list = refusing  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as logs:
        datacentre.start()
        await reported(datacentre, "hardware", "inventory.1-0", "usage.1-0")
        assert [each.name for each in hardware(datacentre).runtime_classes] == ["kata"]
        assert [pool.free for pool in hardware(datacentre).pools] == [15]
        hidden.clear()
        await reported(datacentre, "topology.1-0")
    refused = [each["kind"] for each in logs if each["event"] == "kind_not_readable"]
    assert sorted(refused) == ["IPPool", "NodeResourceTopology"]
