"""What lies below a cluster, on a real API server and a simulated one: the same reports of the same."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol, TypeVar

import httpx
import msgspec
import pytest
import pytest_asyncio

from agents.kube import KubernetesApi, kubeconfig_access
from agents.kube.discovery import version_path
from agents.observe.cache import Cache
from agents.observe.facts import Discovered, Given
from agents.observe.fingerprint import ATTRIBUTE, METHOD_ATTRIBUTE, fingerprint
from agents.observe.observer import Observer
from agents.observe.reporting import Reporting
from agents.ports import Kube, Rejected, Resource
from agents.simulated import SimulatedCluster
from agents.simulation import catalogue
from controlplane.embedded.kube import KubeControlPlane
from schemas.wire.codec import unpack_column
from schemas.wire.hardware import (
    DEVICE_CLASS_RESOURCE,
    Hardware,
    Pool,
    RuntimeClass,
    Topology,
    TopologyPolicy,
)
from schemas.wire.orders import TEMPLATE_LABEL, WORKLOAD_LABEL, ObjectRef
from schemas.wire.reports import Inventory, Profile, Report, Usage
from tests.conformance.kube_worlds import define

BOUND_SECONDS = 30.0
POLL_SECONDS = 0.05
DEFINED = (
    catalogue.NODE_FEATURES,
    catalogue.NODE_TOPOLOGIES,
    catalogue.ATTACHMENTS,
    catalogue.IP_POOLS,
)
BUILT_IN = (catalogue.DEVICE_CLASSES, catalogue.RESOURCE_SLICES, catalogue.RESOURCE_CLAIMS)
WRITES_STATUS = ("Node", "ResourceClaim")

Object = dict[str, Any]
R = TypeVar("R", bound=Report)


class World(Protocol):
    kube: Kube
    namespace: str

    async def serve(self, resource: Resource) -> None: ...

    async def put(self, resource: Resource, manifest: Object) -> Object: ...

    async def pass_time(self) -> None:
        """Controllers act, at the latest by then."""
        ...


class SimulatedWorld:
    def __init__(self, cluster: SimulatedCluster, namespace: str) -> None:
        self.kube: Kube = cluster
        self.namespace = namespace
        self._cluster = cluster
        for resource in BUILT_IN:
            cluster.serve(resource)

    async def serve(self, resource: Resource) -> None:
        self._cluster.serve(resource)

    async def put(self, resource: Resource, manifest: Object) -> Object:
        return self._cluster.put_as("people", manifest)

    async def pass_time(self) -> None:
        self._cluster.tick(0.0)


@dataclass
class RealWorld:
    kube: Kube
    namespace: str
    admin: httpx.AsyncClient
    made: list[str] = field(default_factory=list[str])

    async def serve(self, resource: Resource) -> None:
        path = f"{version_path(resource.api_version)}/{resource.plural}"
        if not (await self.admin.get(path)).is_success:
            await define(self.admin, resource)

    async def put(self, resource: Resource, manifest: Object) -> Object:
        metadata = manifest["metadata"]
        where = f"/namespaces/{metadata['namespace']}" if resource.namespaced else ""
        path = f"{version_path(resource.api_version)}{where}/{resource.plural}"
        made = (await self.admin.post(path, json=manifest)).raise_for_status().json()
        if not resource.namespaced:
            self.made.append(f"{path}/{metadata['name']}")
        if resource.kind in WRITES_STATUS and "status" in manifest:
            # Controllers write there as well: a patch meets no conflict.
            answer = await self.admin.patch(
                f"{path}/{metadata['name']}/status",
                content=msgspec.json.encode({"status": manifest["status"]}),
                headers={"content-type": "application/merge-patch+json"},
            )
            made = answer.raise_for_status().json()
        return made

    async def pass_time(self) -> None:
        await asyncio.sleep(POLL_SECONDS)


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.kube)])
def world(request: pytest.FixtureRequest) -> World:
    return request.getfixturevalue(f"{request.param}_below")


@pytest_asyncio.fixture
async def simulated_below() -> AsyncGenerator[World]:
    cluster = SimulatedCluster(make="edge", nodes=2)
    cluster.put_as("admin", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "test-0a1b"}})
    yield SimulatedWorld(cluster, "test-0a1b")
    cluster.close()


@pytest_asyncio.fixture
async def real_below(kube_api: KubeControlPlane, kube_namespace: str) -> AsyncGenerator[World]:
    access = kubeconfig_access(kube_api.kubeconfig)
    async with KubernetesApi(access, watch_seconds=1.0) as kube, kube_api.client() as admin:
        world = RealWorld(kube, kube_namespace, admin)
        yield world
        # The servers are shared, and these names are not in the namespace that goes.
        for path in world.made:
            await admin.delete(path)


class RealClock:
    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Reports:
    """What the agent would publish of this world, by tail."""

    def __init__(self, kube: Kube) -> None:
        self.last: dict[str, Report] = {}
        cache = Cache()
        self._reporting = Reporting(cache, self, Given(), lambda _: None)
        self.observer = Observer(
            kube,
            RealClock(),
            Random(1),
            cache,
            self._discovered,
            lambda _: None,
            resync_seconds=2.0,
            metrics_seconds=2.0,
        )

    def _discovered(self, discovered: Discovered) -> None:
        self._reporting.discovered = discovered

    def offer(self, tail: str, report: Report) -> None:
        self.last[tail] = report

    def forget(self, tail: str) -> None:
        self.last.pop(tail, None)

    def tails(self, kind: str) -> list[str]:
        return [tail for tail in self.last if tail.partition(".")[0] == kind]

    def of(self, kind: type[R], tail: str) -> R:
        found = self.last[tail]
        assert isinstance(found, kind)
        return found

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Nothing is reported before all of it is known."""
        await asyncio.wait_for(self.observer.synced.wait(), BOUND_SECONDS)
        deadline = time.monotonic() + BOUND_SECONDS
        while True:
            self._reporting.report()
            if holds():
                return
            assert time.monotonic() < deadline, f"{what}: {self.last.get('hardware')}"
            await asyncio.sleep(POLL_SECONDS)

    def knows_hardware(self, attachment: str) -> bool:
        said = self.last.get("hardware")
        return isinstance(said, Hardware) and any(each.key == attachment for each in said.attachments)


@pytest_asyncio.fixture
async def reports(world: World) -> AsyncGenerator[Reports]:
    reports = Reports(world.kube)
    task = asyncio.create_task(reports.observer.run())
    yield reports
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def manifest(resource: Resource, name: str, namespace: str = "", **body: Any) -> Object:
    metadata: Object = {"name": name, **body.pop("metadata", {})}
    if resource.namespaced:
        metadata["namespace"] = namespace
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **body}


@dataclass
class Furnished:
    """Names of what `furnish` made."""

    node: str
    suffix: str
    pod: str = "ours"
    workload: str = "w0123"

    @property
    def runtime_class(self) -> str:
        return f"kata-{self.suffix}"

    @property
    def device_class(self) -> str:
        return f"gpu-{self.suffix}"

    @property
    def network(self) -> str:
        return f"10.{int(self.suffix, 16) % 200}.7"


async def furnish(world: World) -> Furnished:
    """A node that takes no pods of others, and all that lies below it."""
    suffix = world.namespace[-4:]
    it = Furnished(f"below-{suffix}", suffix)
    await world.put(
        catalogue.NODES,
        manifest(
            catalogue.NODES,
            it.node,
            spec={"unschedulable": True},
            status={
                "allocatable": {"cpu": "0", "memory": "0", "pods": "0"},
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                "runtimeHandlers": [
                    {"name": ""},
                    {"name": "kata-qemu", "features": {"userNamespaces": True}},
                ],
            },
        ),
    )
    pod = await world.put(
        catalogue.PODS,
        manifest(
            catalogue.PODS,
            it.pod,
            world.namespace,
            metadata={"labels": {WORKLOAD_LABEL: it.workload, TEMPLATE_LABEL: "t1"}},
            spec={"nodeName": it.node, "containers": [{"name": "main", "image": "registry.example/none:1"}]},
        ),
    )
    await _furnish_nodes(world, it)
    await _furnish_networks(world, it)
    await _furnish_devices(world, it, pod["metadata"]["uid"])
    return it


async def _furnish_nodes(world: World, it: Furnished) -> None:
    for name, features in (
        (it.node, {"flags": {"cpu.cpuid": {"elements": {"AMXTILE": {}}}}}),
        (f"vendor-{it.suffix}", {"attributes": {"local.feature": {"elements": {"tier": "gold"}}}}),
    ):
        labels = {"labels": {"nfd.node.kubernetes.io/node-name": it.node}}
        body = {"features": {"flags": {}, "attributes": {}, "instances": {}, **features}}
        made = manifest(catalogue.NODE_FEATURES, name, world.namespace, metadata=labels, spec=body)
        await world.put(catalogue.NODE_FEATURES, made)
    resources = [{"name": "cpu", "capacity": "64", "allocatable": "63", "available": "40"}]
    zones = [{"name": f"node-{number}", "type": "Node", "resources": resources} for number in range(2)]
    attributes = [{"name": "topologyManagerPolicy", "value": "single-numa-node"}]
    made = manifest(catalogue.NODE_TOPOLOGIES, it.node, attributes=attributes, zones=zones)
    await world.put(catalogue.NODE_TOPOLOGIES, made)
    await world.put(
        catalogue.RUNTIME_CLASSES,
        manifest(
            catalogue.RUNTIME_CLASSES,
            it.runtime_class,
            handler="kata-qemu",
            overhead={"podFixed": {"cpu": "250m", "memory": "320Mi"}},
            scheduling={"nodeSelector": {"kata": "true"}},
        ),
    )


async def _furnish_networks(world: World, it: Furnished) -> None:
    range_ = f"{it.network}.0/28"
    config = {
        "type": "sriov",
        "ipam": {"type": "whereabouts", "range": range_, "exclude": [f"{it.network}.8/29"]},
    }
    await world.put(
        catalogue.ATTACHMENTS,
        manifest(
            catalogue.ATTACHMENTS,
            "fast",
            world.namespace,
            metadata={"annotations": {"k8s.v1.cni.cncf.io/resourceName": "intel.com/vf"}},
            spec={"config": msgspec.json.encode(config).decode()},
        ),
    )
    given = {"1": it.pod, "2": "somebody"}
    allocations = {
        offset: {"id": offset, "podref": f"{world.namespace}/{name}", "ifname": "net1"}
        for offset, name in given.items()
    }
    made = manifest(
        catalogue.IP_POOLS,
        f"{it.network}.0-28",
        world.namespace,
        spec={"range": range_, "allocations": allocations},
    )
    await world.put(catalogue.IP_POOLS, made)


async def _furnish_devices(world: World, it: Furnished, pod_uid: str) -> None:
    driver = f"{it.suffix}.example.com"
    expression = f'device.driver == "{driver}" && device.attributes["{driver}"].type == "gpu"'
    selectors = [{"cel": {"expression": expression}}]
    await world.put(
        catalogue.DEVICE_CLASSES,
        manifest(catalogue.DEVICE_CLASSES, it.device_class, spec={"selectors": selectors}),
    )
    devices = [
        {
            "name": f"gpu-{number}",
            "attributes": {"type": {"string": "gpu"}, "uuid": {"string": f"GPU-{number}"}},
        }
        for number in range(3)
    ]
    devices.append({"name": "nic-0", "attributes": {"type": {"string": "nic"}}})
    pool = {"name": it.node, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": driver, "nodeName": it.node, "pool": pool, "devices": devices}
    await world.put(
        catalogue.RESOURCE_SLICES, manifest(catalogue.RESOURCE_SLICES, f"{it.node}-gpus", spec=spec)
    )
    request = {"name": "one", "exactly": {"deviceClassName": it.device_class}}
    results = [{"request": "one", "driver": driver, "pool": it.node, "device": "gpu-1"}]
    status = {
        "allocation": {"devices": {"results": results}},
        "reservedFor": [{"resource": "pods", "name": it.pod, "uid": pod_uid}],
    }
    claim = manifest(
        catalogue.RESOURCE_CLAIMS,
        "mine",
        world.namespace,
        spec={"devices": {"requests": [request]}},
        status=status,
    )
    await world.put(catalogue.RESOURCE_CLAIMS, claim)


async def test_both_report_the_same_of_the_same(world: World, reports: Reports) -> None:
    for resource in DEFINED:
        await world.serve(resource)
    it = await furnish(world)
    await reports.until(lambda: reports.knows_hardware(f"{world.namespace}/fast"), "the attachment")
    await reports.until(lambda: "AMXTILE" in str(profile(reports, it.node).features), "the features")
    resource = f"{DEVICE_CLASS_RESOURCE}{it.device_class}"
    await reports.until(lambda: allocatable(reports, it.node).get(resource) == 3, "the devices")
    await reports.until(lambda: it.workload in hardware_pool(reports, it).held, "the address that ours holds")
    await reports.until(lambda: bound(reports, it).get(resource) == 1, "the device that ours holds")

    found = profile(reports, it.node)
    assert found.handlers == ["kata-qemu"]
    assert found.features == {"cpu.cpuid.AMXTILE": "", "local.feature.tier": "gold"}
    hardware = reports.of(Hardware, "hardware")
    assert [each for each in hardware.runtime_classes if each.name == it.runtime_class] == [
        RuntimeClass(
            name=it.runtime_class,
            handler="kata-qemu",
            overhead={"cpu": 250, "memory": 320 * 2**20},
            node_selector={"kata": "true"},
        )
    ]
    assert it.device_class in hardware.device_classes
    (attachment,) = (each for each in hardware.attachments if each.namespace == world.namespace)
    assert (attachment.type, attachment.resource, attachment.pool) == (
        "sriov",
        "intel.com/vf",
        f"{it.network}.0-28",
    )
    assert hardware_pool(reports, it) == Pool(
        name=f"{it.network}.0-28", range=f"{it.network}.0/28", total=7, free=5, held={it.workload: 1}
    )
    policy, zones = zones_of(reports, it.node)
    assert policy == TopologyPolicy("single-numa-node", "container")
    assert zones == [(0, 40_000), (1, 40_000)]


def node(name: str) -> Object:
    return manifest(
        catalogue.NODES,
        name,
        spec={"unschedulable": True},
        status={
            "allocatable": {"cpu": "8", "pods": "9"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    )


def pod_on(node: str, name: str, namespace: str, limits: dict[str, str]) -> Object:
    container = {"name": "main", "image": "registry.example/none:1", "resources": {"limits": limits}}
    return manifest(catalogue.PODS, name, namespace, spec={"nodeName": node, "containers": [container]})


def zones_for(name: str, method: str, pods: list[tuple[str, str]]) -> Object:
    said = {
        "topologyManagerPolicy": "single-numa-node",
        ATTRIBUTE: fingerprint(pods),
        METHOD_ATTRIBUTE: method,
    }
    resources = [{"name": "cpu", "capacity": "4", "allocatable": "4", "available": "2"}]
    return manifest(
        catalogue.NODE_TOPOLOGIES,
        name,
        attributes=[{"name": key, "value": value} for key, value in said.items()],
        zones=[{"name": "node-0", "type": "Node", "resources": resources}],
    )


async def test_zones_are_stale_once_another_pod_is_bound(world: World, reports: Reports) -> None:
    await world.serve(catalogue.NODE_TOPOLOGIES)
    name, namespace = f"told-{world.namespace[-4:]}", world.namespace
    await world.put(catalogue.NODES, node(name))
    await world.put(catalogue.PODS, pod_on(name, "first", namespace, {}))
    await world.put(catalogue.NODE_TOPOLOGIES, zones_for(name, "all", [(namespace, "first")]))
    await reports.until(lambda: is_stale(reports, name) is False, "zones of the one that is there")
    await world.put(catalogue.PODS, pod_on(name, "second", namespace, {}))
    await reports.until(lambda: is_stale(reports, name) is True, "zones that are not of the other")


@pytest.mark.kube
async def test_of_pods_with_exclusive_resources_only_those_count(real_below: RealWorld) -> None:
    """The API server says which pods are Guaranteed."""
    reports = Reports(real_below.kube)
    task = asyncio.create_task(reports.observer.run())
    try:
        await real_below.serve(catalogue.NODE_TOPOLOGIES)
        name, namespace = f"part-{real_below.namespace[-4:]}", real_below.namespace
        await real_below.put(catalogue.NODES, node(name))
        for pod, limits in {
            "pinned": {"cpu": "2", "memory": "1Gi"},
            "burstable": {"cpu": "2"},
            "half": {"cpu": "500m", "memory": "1Gi"},
        }.items():
            await real_below.put(catalogue.PODS, pod_on(name, pod, namespace, limits))
        told = zones_for(name, "with-exclusive-resources", [(namespace, "pinned")])
        await real_below.put(catalogue.NODE_TOPOLOGIES, told)
        await reports.until(lambda: is_stale(reports, name) is False, "zones of the one that is pinned")
        another = pod_on(name, "another", namespace, {"cpu": "1", "memory": "1Gi"})
        await real_below.put(catalogue.PODS, another)
        await reports.until(lambda: is_stale(reports, name) is True, "zones that are not of the other")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_kind_that_is_defined_while_the_agent_runs_is_found(world: World, reports: Reports) -> None:
    await reports.until(lambda: "hardware" in reports.last, "what there is")
    for resource in DEFINED:
        await world.serve(resource)
    it = await furnish(world)
    await reports.until(lambda: reports.knows_hardware(f"{world.namespace}/fast"), "the attachment")
    await reports.until(lambda: bool(profile(reports, it.node).features), "the features")


def sandboxed_pod(world: World, name: str, runtime_class: str, **spec: Any) -> Object:
    containers = [{"name": "main", "image": "registry.example/none:1"}]
    body = {"containers": containers, "runtimeClassName": runtime_class, **spec}
    return manifest(catalogue.PODS, name, world.namespace, spec=body)


async def test_a_pod_gets_what_its_class_says(world: World) -> None:
    name = f"walled-{world.namespace[-4:]}"
    toleration = {"key": "walled", "operator": "Exists", "effect": "NoSchedule"}
    await world.put(
        catalogue.RUNTIME_CLASSES,
        manifest(
            catalogue.RUNTIME_CLASSES,
            name,
            handler="runsc",
            overhead={"podFixed": {"memory": "64Mi"}},
            scheduling={"nodeSelector": {"walled": "yes"}, "tolerations": [toleration]},
        ),
    )
    own = {"nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "mine", "operator": "Exists"}]}
    spec = (await world.kube.create(sandboxed_pod(world, "walled", name, **own)))["spec"]
    assert spec["overhead"] == {"memory": "64Mi"}
    assert spec["nodeSelector"] == {"disk": "fast", "walled": "yes"}
    assert {"mine", "walled"} <= {each["key"] for each in spec["tolerations"]}


@pytest.mark.parametrize(
    ("runtime_class", "spec", "why"),
    [
        ("missing", {}, "pod rejected: RuntimeClass"),
        ("known", {"overhead": {"memory": "1Mi"}}, "pod rejected: Pod's Overhead"),
        ("known", {"nodeSelector": {"walled": "no"}}, "conflict: runtimeClass.scheduling.nodeSelector"),
    ],
    ids=["no-such-class", "another-overhead", "another-selector"],
)
async def test_a_pod_that_contradicts_its_class_is_refused(
    world: World, runtime_class: str, spec: dict[str, Any], why: str
) -> None:
    name = f"{runtime_class}-{world.namespace[-4:]}"
    if runtime_class == "known":
        scheduling = {"nodeSelector": {"walled": "yes"}}
        body = {"handler": "runsc", "overhead": {"podFixed": {"memory": "64Mi"}}, "scheduling": scheduling}
        await world.put(catalogue.RUNTIME_CLASSES, manifest(catalogue.RUNTIME_CLASSES, name, **body))
    with pytest.raises(Rejected, match=f'pods "refused" is forbidden: {why}'):
        await world.kube.create(sandboxed_pod(world, "refused", name, **spec))


async def test_a_deployment_of_a_class_that_is_not_there_says_why_it_has_no_pods(world: World) -> None:
    pod = sandboxed_pod(world, "none", "never-there")
    labels = {"app": "none"}
    template = {"metadata": {"labels": labels}, "spec": pod["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    made = manifest(catalogue.DEPLOYMENTS, "none", world.namespace, spec=spec)
    await world.put(catalogue.DEPLOYMENTS, made)
    ref = ObjectRef("apps/v1", "Deployment", world.namespace, "none")
    deadline = time.monotonic() + BOUND_SECONDS
    while True:
        found = await world.kube.get(ref) or {}
        conditions = {each["type"]: each for each in found.get("status", {}).get("conditions", ())}
        if failure := conditions.get("ReplicaFailure"):
            break
        assert time.monotonic() < deadline, found
        await world.pass_time()
    assert (failure["status"], failure["reason"]) == ("True", "FailedCreate")
    assert 'RuntimeClass "never-there" not found' in failure["message"]


def inventory_of(reports: Reports, node: str) -> tuple[str, Inventory, int]:
    """(shard, its inventory, the node's row)"""
    for tail in reports.tails("inventory"):
        inventory = reports.of(Inventory, tail)
        if node in inventory.names:
            return tail.partition(".")[2], inventory, inventory.names.index(node)
    raise AssertionError(f"no inventory names {node}")


def profile(reports: Reports, node: str) -> Profile:
    _, inventory, row = inventory_of(reports, node)
    return reports.of(Profile, f"profile.{inventory.profile_hashes[unpack_column(inventory.profiles)[row]]}")


def allocatable(reports: Reports, node: str) -> dict[str, int]:
    _, inventory, row = inventory_of(reports, node)
    columns = zip(inventory.resources, inventory.allocatable, strict=True)
    return {resource: unpack_column(column)[row] for resource, column in columns}


def hardware_pool(reports: Reports, it: Furnished) -> Pool:
    pools = reports.of(Hardware, "hardware").pools
    return next(each for each in pools if each.name == f"{it.network}.0-28")


def bound(reports: Reports, it: Furnished) -> dict[str, int]:
    """What our pod has on its node."""
    shard, _, row = inventory_of(reports, it.node)
    usage = reports.of(Usage, f"usage.{shard}")
    found = [each for each in usage.bound if (each.node, each.workload) == (row, it.workload)]
    return usage.requests[found[0].requests] if found else {}


def is_stale(reports: Reports, node: str) -> bool | None:
    """None while nothing is said of its zones."""
    said = reports.last.get("topology.1-0")
    inventory = reports.last.get("inventory.1-0")
    if not isinstance(said, Topology) or not isinstance(inventory, Inventory) or node not in inventory.names:
        return None
    policy_of = unpack_column(said.policy_of)
    index = policy_of[inventory.names.index(node)] if said.epoch == inventory.epoch and policy_of else -1
    return said.policies[index].stale if index >= 0 else None


def zones_of(reports: Reports, node: str) -> tuple[TopologyPolicy, list[tuple[int, int]]]:
    shard, inventory, row = inventory_of(reports, node)
    topology = reports.of(Topology, f"topology.{shard}")
    assert topology.epoch == inventory.epoch
    cpu = unpack_column(topology.available[topology.resources.index("cpu")])
    zones = zip(unpack_column(topology.zone_node), unpack_column(topology.zone_number), cpu, strict=True)
    found = [(number, available) for index, number, available in zones if index == row]
    return topology.policies[unpack_column(topology.policy_of)[row]], found
