"""Below a cluster's sum, on real API servers: what one of two clusters has decides, and is put into its pods.

Cluster `one` has a sandbox, a network with few addresses, nodes that say what their CPUs can do, and kubelets
that align to NUMA zones; `two` has nodes of the same size and nothing of all that.
"""

import uuid
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from controlplane.client import Refused
from controlplane.embedded.kube import KubeControlPlane
from tests.circle import Circle, Object, deployment, eventually, only, running_circle, workload
from tests.kube.crds import ATTACHMENT, IP_POOL, NODE_FEATURE, TOPOLOGY, is_served, serve

NODES = ("node-000", "node-001", "node-002")
AMX_NODE = NODES[1]
BY_ROOM = {"replicaScheduling": {"weightPreference": {"dynamicWeight": "AvailableReplicas"}}}
KATA = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "kata"},
    "handler": "kata-qemu",
    "overhead": {"podFixed": {"cpu": "250m", "memory": "320Mi"}},
}
RUNTIME_CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"


def node_features(node: str) -> Object:
    flags = {"cpu.cpuid": {"elements": {"AMXTILE": {}, "AVX512F": {}}}}
    return {
        "apiVersion": NODE_FEATURE.api_version,
        "kind": NODE_FEATURE.kind,
        "metadata": {"name": node, "labels": {"nfd.node.kubernetes.io/node-name": node}},
        "spec": {"features": {"flags": flags, "attributes": {}, "instances": {}}, "labels": {}},
    }


def topology(node: str) -> Object:
    """Two zones of 16 cores each."""

    def resource(name: str, amount: str) -> Object:
        return {"name": name, "capacity": amount, "allocatable": amount, "available": amount}

    zones = [
        {
            "name": f"node-{number}",
            "type": "Node",
            "resources": [resource("cpu", "16"), resource("memory", "64Gi")],
        }
        for number in range(2)
    ]
    return {
        "apiVersion": TOPOLOGY.api_version,
        "kind": TOPOLOGY.kind,
        "metadata": {"name": node},
        "attributes": [
            {"name": "topologyManagerPolicy", "value": "single-numa-node"},
            {"name": "topologyManagerScope", "value": "container"},
        ],
        "zones": zones,
    }


def attachment() -> Object:
    config = (
        '{"cniVersion": "0.3.1", "type": "macvlan", "master": "eth0",'
        ' "ipam": {"type": "whereabouts", "range": "10.1.0.0/29"}}'
    )
    return {
        "apiVersion": ATTACHMENT.api_version,
        "kind": ATTACHMENT.kind,
        "metadata": {"name": "storage"},
        "spec": {"config": config},
    }


def pool() -> Object:
    """Of six addresses, two are taken by somebody else."""
    taken = {str(number): {"id": "x", "podref": f"other/pod-{number}"} for number in (1, 2)}
    return {
        "apiVersion": IP_POOL.api_version,
        "kind": IP_POOL.kind,
        "metadata": {"name": "10.1.0.0-29"},
        "spec": {"range": "10.1.0.0/29", "allocations": taken},
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def equipped(
    member_pair: tuple[KubeControlPlane, KubeControlPlane],
) -> AsyncGenerator[tuple[KubeControlPlane, KubeControlPlane]]:
    """The first has it all; what was put there is taken away again."""
    crds = (NODE_FEATURE, TOPOLOGY, ATTACHMENT, IP_POOL)
    async with member_pair[0].client() as client:
        await serve(client, *crds)
        for crd in crds:
            await eventually(f"{crd.kind} is served", lambda crd=crd: is_served(client, crd))
        put: list[tuple[str, Object]] = [
            (RUNTIME_CLASSES, KATA),
            (NODE_FEATURE.path("default"), node_features(AMX_NODE)),
            (ATTACHMENT.path("default"), attachment()),
            (IP_POOL.path("kube-system"), pool()),
            *((TOPOLOGY.path(), topology(node)) for node in NODES),
        ]
        for path, body in put:
            (await client.post(path, json=body)).raise_for_status()
        yield member_pair
        for path, body in put:
            await client.delete(f"{path}/{body['metadata']['name']}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def circle(equipped: tuple[KubeControlPlane, KubeControlPlane]) -> AsyncGenerator[Circle]:
    async with running_circle() as circle:
        for name, plane in zip(("one", "two"), equipped, strict=True):
            await circle.join(name, ["--kubeconfig", str(plane.kubeconfig)])
        # Not part of what makes a cluster ready: their first lists come a moment later.
        await eventually("one tells what it has", lambda: told(circle), lambda seen: all(seen.values()))
        yield circle


def told(circle: Circle) -> dict[str, bool]:
    def items(kind: str) -> list[Object]:
        return circle.client.get(f"/inventory/{kind}").body["items"]

    return {kind: bool(items(kind)) for kind in ("runtimes", "networks", "features")}


@pytest_asyncio.fixture
async def one(equipped: tuple[KubeControlPlane, KubeControlPlane]) -> AsyncGenerator[httpx.AsyncClient]:
    async with equipped[0].client() as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"below-{uuid.uuid4().hex[:8]}"


def asking(name: str, manifest: Object, placement: Object | None = None, **spec: Any) -> Object:
    made = workload(name, manifest, **(placement or BY_ROOM))
    return made | {"spec": made["spec"] | spec}


def exactly(manifest: Object, cpu: str) -> Object:
    """With whole CPUs and limits that equal its requests, so that kubelets align it."""
    amounts = {"cpu": cpu, "memory": "1Gi"}
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"requests": amounts, "limits": amounts}
    return manifest


async def pods(client: httpx.AsyncClient, namespace: str) -> list[Object]:
    return (await client.get(f"/api/v1/namespaces/{namespace}/pods")).raise_for_status().json()["items"]


def verdict(circle: Circle, name: str, cluster: str) -> Object:
    rows = circle.client.get(f"/workloads/{name}/explain").body["clusters"]
    return next(row for row in rows if row["cluster"] == cluster)


def reasons(row: Object) -> list[str]:
    return [each["reason"] for each in row["reasons"]]


async def until_unplaced(circle: Circle, name: str) -> Object:
    return await eventually(
        f"{name} is refused",
        lambda: circle.workload(name),
        lambda seen: seen["status"]["state"] == "Unplaced",
    )


async def test_a_sandboxed_workload_gets_the_runtime_class_of_the_cluster_that_has_one(
    circle: Circle, one: httpx.AsyncClient, name: str
) -> None:
    circle.apply(asking(name, deployment(name, name, 2), isolation="sandboxed"))
    seen = await circle.until_running(name)
    assert seen["status"]["clusters"] == {"one": 2}
    for pod in await pods(one, name):
        assert pod["spec"]["runtimeClassName"] == "kata"
        assert pod["spec"]["overhead"] == {"cpu": "250m", "memory": "320Mi"}, (
            "by the API server's own admission"
        )
    assert reasons(verdict(circle, name, "two")) == ["RuntimeClassMissing"]


async def test_a_network_is_attached_where_it_has_free_addresses(
    circle: Circle, one: httpx.AsyncClient, name: str
) -> None:
    networks = [{"attachment": "default/storage", "interface": "net1"}]
    circle.apply(asking(name, deployment(name, name, 3), networks=networks))
    seen = await circle.until_running(name)
    assert seen["status"]["clusters"] == {"one": 3}
    annotated = {
        pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] for pod in await pods(one, name)
    }
    assert annotated == {"default/storage@net1"}
    assert reasons(verdict(circle, name, "two")) == ["NetworkMissing"]

    more = f"{name}-more"
    circle.apply(asking(more, deployment(more, name, 2), networks=networks))
    refused = await until_unplaced(circle, more)
    assert refused["status"]["reason"] == "InsufficientCapacity", "promised addresses are not free"
    assert verdict(circle, more, "one")["available"] <= 1


async def test_a_feature_that_only_a_node_feature_tells_brings_the_pods_to_that_node(
    circle: Circle, one: httpx.AsyncClient, name: str
) -> None:
    features = [{"feature": "cpu.cpuid", "matchExpressions": {"AMXTILE": {"op": "Exists"}}}]
    circle.apply(asking(name, deployment(name, name, 2), features=features))
    seen = await circle.until_running(name)
    assert seen["status"]["clusters"] == {"one": 2}
    assert {pod["spec"]["nodeName"] for pod in await pods(one, name)} == {AMX_NODE}
    row = verdict(circle, name, "two")
    assert reasons(row) == ["NoNodeFits"]
    assert "3 of 3 lack feature cpu.cpuid.AMXTILE" in row["nodes"]


async def test_a_feature_that_no_cluster_has_is_refused_before_it_is_stored(
    circle: Circle, name: str
) -> None:
    features = [{"feature": "cpu.cpuid", "matchExpressions": {"AVX99": {"op": "Exists"}}}]
    with pytest.raises(Refused, match=r"no node of 2 clusters has feature cpu\.cpuid\.AVX99"):
        circle.apply(asking(name, deployment(name, name, 2), features=features))
    assert name not in [row["name"] for row in circle.client.pages("/workloads")]


async def test_what_no_zone_holds_is_kept_from_kubelets_that_would_refuse_it(
    circle: Circle, name: str
) -> None:
    circle.apply(asking(name, exactly(deployment(name, name, 1), "20"), only("one") | BY_ROOM))
    await until_unplaced(circle, name)
    row = verdict(circle, name, "one")
    assert row["available"] == 0
    assert "3 cannot align to one NUMA zone" in row["nodes"]

    circle.apply(asking(name, exactly(deployment(name, name, 1), "20")))
    seen = await circle.until_running(name, revision=2)
    assert seen["status"]["clusters"] == {"two": 1}, "its kubelets align nothing"


async def test_one_zone_is_wished_for_and_found(circle: Circle, one: httpx.AsyncClient, name: str) -> None:
    manifest = exactly(deployment(name, name, 2), "10")
    circle.apply(asking(name, manifest, topology={"singleNUMA": True}))
    seen = await circle.until_running(name)
    assert seen["status"]["clusters"] == {"one": 2}
    assert {pod["spec"]["nodeName"] for pod in await pods(one, name)} <= set(NODES)
    assert reasons(verdict(circle, name, "two")) != []
