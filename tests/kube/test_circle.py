"""The whole circle on two real API servers: what people write to the centre is what the clusters have.

Holds up promise 1 (an order is carried out and seen) and promise 9 (what is somebody else's is never touched,
and nothing is removed that an order does not name). Few tests delete what they made: an agent that is told to
remove much within an hour holds.
"""

import base64
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from controlplane.embedded.kube import KubeControlPlane
from controlplane.embedded.kube_nodes import PretendedNode
from schemas.wire.orders import FIELD_MANAGER, WORKLOAD_LABEL
from tests.circle import Circle, Object, config_map, deployment, eventually, only, running_circle, workload

CLUSTERS = ("one", "two")
MERGE = {"content-type": "application/merge-patch+json"}
DEPLOYMENTS, CONFIG_MAPS, SECRETS, PODS = (
    "apis/apps/v1/{}/deployments",
    "api/v1/{}/configmaps",
    "api/v1/{}/secrets",
    "api/v1/{}/pods",
)


class Members:
    """The two API servers, past Muster."""

    def __init__(self, **clients: httpx.AsyncClient) -> None:
        self._clients = clients

    async def get(self, cluster: str, path: str, namespace: str, name: str) -> Object | None:
        answer = await self._clients[cluster].get(f"{_in(path, namespace)}/{name}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return answer.raise_for_status().json()

    async def names(self, cluster: str, path: str, namespace: str) -> set[str]:
        answer = await self._clients[cluster].get(_in(path, namespace))
        return {item["metadata"]["name"] for item in answer.raise_for_status().json()["items"]}

    async def pods(self, cluster: str, namespace: str) -> dict[str, str]:
        """uid to image, without those that are going."""
        answer = await self._clients[cluster].get(_in(PODS, namespace))
        return {
            pod["metadata"]["uid"]: pod["spec"]["containers"][0]["image"]
            for pod in answer.raise_for_status().json()["items"]
            if "deletionTimestamp" not in pod["metadata"]
        }

    async def write(
        self, cluster: str, method: str, path: str, body: object = None, **options: Any
    ) -> Object:
        answer = await self._clients[cluster].request(method, path, json=body, **options)
        return answer.raise_for_status().json()

    async def make_namespace(self, cluster: str, name: str) -> None:
        await self.write(cluster, "POST", "/api/v1/namespaces", {"metadata": {"name": name}})


def _in(path: str, namespace: str) -> str:
    return "/" + path.format(f"namespaces/{namespace}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def circle(member_pair: tuple[KubeControlPlane, KubeControlPlane]) -> AsyncGenerator[Circle]:
    async with running_circle() as circle:
        for name, plane in zip(CLUSTERS, member_pair, strict=True):
            await circle.join(name, ["--kubeconfig", str(plane.kubeconfig)])
        yield circle


@pytest_asyncio.fixture
async def members(kube_pair: tuple[KubeControlPlane, KubeControlPlane]) -> AsyncGenerator[Members]:
    one, two = kube_pair
    async with one.client() as first, two.client() as second:
        yield Members(one=first, two=second)


@pytest.fixture
def name() -> str:
    """Of the test's workload and of its namespace."""
    return f"circle-{uuid.uuid4().hex[:8]}"


def replicas_in(row: Object) -> dict[str, int]:
    return row["status"]["clusters"]


@pytest.mark.promise(1)
async def test_a_deployment_is_placed_changed_scaled_rolled_back_and_deleted_in_both_clusters(
    circle: Circle, members: Members, name: str
) -> None:
    circle.apply(workload(name, deployment(name, name, 5)))
    first = await circle.until_running(name)
    assert sorted(replicas_in(first).values()) == [2, 3]
    for cluster, replicas in replicas_in(first).items():
        made = await found(members, cluster, DEPLOYMENTS, name)
        assert made["spec"]["replicas"] == replicas
        assert made["metadata"]["labels"][WORKLOAD_LABEL] == first["status"]["uid"]
        assert len(await members.pods(cluster, name)) == replicas

    circle.apply(workload(name, deployment(name, name, 5, "registry.example/web:2")))
    await circle.until_running(name, revision=2)
    assert await images(members, name) == {"registry.example/web:2"}

    circle.apply(workload(name, deployment(name, name, 8, "registry.example/web:2")))
    scaled = await circle.until_running(name, revision=3)
    assert {cluster: len(await members.pods(cluster, name)) for cluster in CLUSTERS} == replicas_in(scaled)
    assert sum(replicas_in(scaled).values()) == 8

    circle.client.post(f"/workloads/{name}/rollback", {"revision": 1})
    back = await circle.until_running(name, revision=4)
    assert await images(members, name) == {"registry.example/web:1"}
    assert sum(replicas_in(back).values()) == 5

    await circle.delete(name)
    for cluster in CLUSTERS:
        assert await members.get(cluster, DEPLOYMENTS, name, name) is None
        assert await members.pods(cluster, name) == {}


async def test_scaling_rolls_no_pod(circle: Circle, members: Members, name: str) -> None:
    circle.apply(workload(name, deployment(name, name, 4)))
    await circle.until_running(name)
    before = {cluster: set(await members.pods(cluster, name)) for cluster in CLUSTERS}
    circle.apply(workload(name, deployment(name, name, 6)))
    await circle.until_running(name, revision=2)
    after = {cluster: set(await members.pods(cluster, name)) for cluster in CLUSTERS}
    assert all(before[cluster] < after[cluster] for cluster in CLUSTERS)


@pytest.mark.promise(9)
async def test_an_object_dropped_from_the_manifest_is_pruned_and_nothing_else_is(
    circle: Circle, members: Members, name: str
) -> None:
    kept, dropped = config_map("kept", name, a="1"), config_map("dropped", name, b="2")
    circle.apply(workload(name, deployment(name, name, 2), kept, dropped))
    await circle.until_running(name)
    for cluster in CLUSTERS:
        theirs = config_map("theirs", name, c="3")
        await members.write(cluster, "POST", _in(CONFIG_MAPS, name), theirs)

    circle.apply(workload(name, deployment(name, name, 2), kept))
    await circle.until_running(name, revision=2)
    for cluster in CLUSTERS:
        names = await members.names(cluster, CONFIG_MAPS, name)
        assert names >= {"kept", "theirs"}
        assert "dropped" not in names


async def test_a_secret_arrives_with_its_value_which_neither_the_stream_nor_the_api_shows(
    circle: Circle, members: Members, name: str
) -> None:
    value = f"value-{uuid.uuid4().hex}"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "password", "namespace": name},
        "stringData": {"password": value},
    }
    circle.apply(workload(name, secret, **only("one")))
    running = await circle.until_running(name)
    made = await found(members, "one", SECRETS, name, "password")
    assert base64.b64decode(made["data"]["password"]).decode() == value

    hidden = (value, base64.b64encode(value.encode()).decode())
    _, order = await circle.order("one", running["status"]["uid"])
    assert order is not None
    revisions = circle.client.get(f"/workloads/{name}/revisions").body
    stored = await circle.rows("select spec::text from workload where name = $1", name)
    for text in hidden:
        assert text.encode() not in order.body
        assert text not in str(circle.workload(name))
        assert text not in str(revisions)
        assert text not in str(stored)


@pytest.mark.promise(9)
async def test_an_object_of_somebody_else_is_left_alone_and_its_manager_is_named(
    circle: Circle, members: Members, name: str
) -> None:
    await members.make_namespace("one", name)
    theirs = deployment(name, name, 1, "registry.example/theirs:1")
    path = _in(DEPLOYMENTS, name)
    before = await members.write("one", "POST", path, theirs, params={"fieldManager": "their-pipeline"})
    circle.apply(workload(name, config_map("beside", name, a="1"), deployment(name, name, 4)))
    refused = await eventually(
        "cluster one refuses",
        lambda: circle.placement(name, "one"),
        lambda row: row.get("state") == "Refused",
    )
    assert refused["refusals"][0]["reason"] == "OwnedByOther"
    assert "their-pipeline" in refused["message"]
    await eventually(
        "cluster two runs", lambda: circle.placement(name, "two"), lambda row: row["state"] == "Running"
    )

    assert circle.workload(name)["status"]["state"] == "Refused"
    await circle.delete(name)
    after = await found(members, "one", DEPLOYMENTS, name)
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    assert await members.get("one", CONFIG_MAPS, name, "beside") is None


async def test_replicas_that_an_autoscaler_owns_keep_its_value(
    circle: Circle, members: Members, name: str
) -> None:
    circle.apply(workload(name, deployment(name, name, 2), **only("one")))
    await circle.until_running(name)
    await members.write(
        "one",
        "PATCH",
        f"{_in(DEPLOYMENTS, name)}/{name}/scale",
        {"spec": {"replicas": 5}},
        params={"fieldManager": "autoscaler"},
        headers=MERGE,
    )
    circle.apply(workload(name, deployment(name, name, 3, "registry.example/web:2"), **only("one")))
    await eventually(
        "the new image runs",
        lambda: images(members, name, "one"),
        lambda images: images == {"registry.example/web:2"},
    )
    made = await found(members, "one", DEPLOYMENTS, name)
    assert made["spec"]["replicas"] == 5
    assert FIELD_MANAGER not in managers_of_replicas(made)


@pytest.mark.promise(9)
async def test_a_missing_namespace_is_made_and_survives_the_deletion(
    circle: Circle, members: Members, name: str
) -> None:
    for cluster in CLUSTERS:
        assert name not in await members.names(cluster, "api/v1/namespaces", "")
    circle.apply(workload(name, config_map("only", name, a="1")))
    await circle.until_running(name)
    await circle.delete(name)
    for cluster in CLUSTERS:
        assert await members.get(cluster, CONFIG_MAPS, name, "only") is None
        assert name in await members.names(cluster, "api/v1/namespaces", "")


async def test_a_node_that_is_added_tainted_or_removed_moves_the_numbers_of_the_fleet(
    circle: Circle, kube_pair: tuple[KubeControlPlane, KubeControlPlane], members: Members, name: str
) -> None:
    def numbers() -> tuple[int, int]:
        row = circle.cluster("two")
        return row["nodes"], row["allocatable"]["cpu"]

    def room() -> int:
        """How many pods of a size that only the new node has would fit."""
        wanted = deployment(name, name, 1)
        container = wanted["spec"]["template"]["spec"]["containers"][0]
        container["resources"]["requests"]["cpu"] = "40"
        asked = workload(name, wanted, **only("two"))
        answer = circle.client.put(f"/workloads/{name}", asked, dryRun="true").body
        (verdict,) = (each for each in answer["clusters"] if each["cluster"] == "two")
        return verdict["available"]

    nodes, cpu = numbers()
    assert room() == 0
    await kube_pair[1].add_nodes([PretendedNode(name, allocatable={"cpu": "90", "memory": "256Gi"})])
    await eventually("the node counts", numbers, lambda seen: seen == (nodes + 1, cpu + 90_000))
    await eventually("there is room", room, lambda pods: pods == 2)

    taint = {"spec": {"taints": [{"key": "repair", "effect": "NoSchedule"}]}}
    await members.write("two", "PATCH", f"/api/v1/nodes/{name}", taint, headers=MERGE)
    await eventually("the taint counts", room, lambda pods: pods == 0)
    assert circle.client.get(f"/clusters/two/nodes/{name}").body["taints"][0]["key"] == "repair"

    await members.write("two", "DELETE", f"/api/v1/nodes/{name}")
    await eventually("the node is gone", numbers, lambda seen: seen == (nodes, cpu))
    assert circle.client.find(f"/clusters/two/nodes/{name}") is None


async def found(members: Members, cluster: str, path: str, namespace: str, name: str = "") -> Object:
    live = await members.get(cluster, path, namespace, name or namespace)
    assert live is not None
    return live


async def images(members: Members, namespace: str, *clusters: str) -> set[str]:
    found: set[str] = set()
    for cluster in clusters or CLUSTERS:
        found |= set((await members.pods(cluster, namespace)).values())
    return found


def managers_of_replicas(live: Object) -> set[str]:
    return {
        entry["manager"]
        for entry in live["metadata"]["managedFields"]
        if "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
    }
