"""Karmada's files on two real API servers: what runs there already is taken over, and left behind again.

Holds up promise 9: nothing is removed on the way in, nor on the way out.
"""

import uuid
from collections.abc import AsyncGenerator

import httpx
import pytest
import pytest_asyncio

from controlplane.embedded.kube import KubeControlPlane
from controlplane.migration import GivenPolicy, converted, given_object
from schemas.manifests.karmada import parse_policy
from schemas.wire.orders import FIELD_MANAGER, WORKLOAD_LABEL
from tests.circle import Circle, Object, config_map, deployment, eventually, running_circle
from tests.kube.fixtures import forget_agents

NAMES = ("one", "two")


@pytest_asyncio.fixture
async def planes(
    kube_pair: tuple[KubeControlPlane, KubeControlPlane],
) -> AsyncGenerator[dict[str, httpx.AsyncClient]]:
    """As if no agent had ever acted there: those of other tests obeyed another centre."""
    one, two = kube_pair
    async with one.client() as first, two.client() as second:
        await forget_agents(first, second)
        yield dict(zip(NAMES, (first, second), strict=True))


@pytest_asyncio.fixture
async def circle(
    planes: dict[str, httpx.AsyncClient], kube_pair: tuple[KubeControlPlane, KubeControlPlane]
) -> AsyncGenerator[Circle]:
    async with running_circle() as circle:
        for name, plane in zip(NAMES, kube_pair, strict=True):
            await circle.join(name, ["--kubeconfig", str(plane.kubeconfig)])
        yield circle


def policies(namespace: str) -> list[Object]:
    """Two replicas in one, four in two, where the image comes from a mirror."""
    deployments = [{"apiVersion": "apps/v1", "kind": "Deployment"}]
    weights = [
        {"targetCluster": {"clusterNames": ["one"]}, "weight": 1},
        {"targetCluster": {"clusterNames": ["two"]}, "weight": 2},
    ]
    scheduling = {"replicaSchedulingType": "Divided", "weightPreference": {"staticWeightList": weights}}
    image = {"component": "Registry", "operator": "replace", "value": "mirror.example:5000"}
    rule = {"targetCluster": {"clusterNames": ["two"]}, "overriders": {"imageOverrider": [image]}}
    head = {"apiVersion": "policy.karmada.io/v1alpha1", "metadata": {"name": "web", "namespace": namespace}}
    return [
        {
            **head,
            "kind": "PropagationPolicy",
            "spec": {
                "resourceSelectors": deployments,
                "propagateDeps": True,
                "conflictResolution": "Overwrite",
                "preserveResourcesOnDeletion": True,
                "placement": {"replicaScheduling": scheduling},
            },
        },
        {
            **head,
            "kind": "OverridePolicy",
            "spec": {"resourceSelectors": deployments, "overrideRules": [rule]},
        },
    ]


def app(namespace: str, replicas: int, image: str) -> Object:
    made = deployment("web", namespace, replicas, image)
    made["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    return made


def workload(namespace: str) -> Object:
    given = [GivenPolicy(parse_policy(each, "f"), "f", 0) for each in policies(namespace)]
    objects = [app(namespace, 6, "registry.example/web:2"), config_map("settings", namespace, colour="blue")]
    (made,) = converted(given, [given_object(each, "f", 0) for each in objects]).workloads
    return made.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"kind": "Workload"}


async def read(plane: httpx.AsyncClient, namespace: str) -> Object:
    answer = await plane.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/web")
    return answer.raise_for_status().json()


async def pods(plane: httpx.AsyncClient, namespace: str) -> dict[str, str]:
    """uid to image, without those that are going."""
    answer = await plane.get(f"/api/v1/namespaces/{namespace}/pods")
    return {
        pod["metadata"]["uid"]: pod["spec"]["containers"][0]["image"]
        for pod in answer.raise_for_status().json()["items"]
        if "deletionTimestamp" not in pod["metadata"]
    }


async def exists_already(plane: httpx.AsyncClient, namespace: str) -> Object:
    """As somebody made it by hand, with fewer replicas and an older image; its pods are there."""
    (await plane.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})).raise_for_status()
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = app(namespace, 1, "registry.example/web:1")
    answer = await plane.post(path, json=made, params={"fieldManager": "kubectl-client-side-apply"})
    await eventually("its pod is there", lambda: pods(plane, namespace))
    return answer.raise_for_status().json()


@pytest.mark.promise(9)
async def test_what_karmada_placed_is_taken_over_differs_by_cluster_and_is_left_behind(
    circle: Circle, planes: dict[str, httpx.AsyncClient]
) -> None:
    one, two = planes["one"], planes["two"]
    namespace = f"moving-{uuid.uuid4().hex[:8]}"
    before = await exists_already(one, namespace)
    given = workload(namespace)
    name = given["metadata"]["name"]
    circle.apply(given)
    row = await circle.until_running(name)
    assert row["status"]["clusters"] == {"one": 2, "two": 4}

    taken = await read(one, namespace)
    assert taken["metadata"]["uid"] == before["metadata"]["uid"]
    assert taken["metadata"]["labels"][WORKLOAD_LABEL] == row["status"]["uid"]
    assert taken["spec"]["replicas"] == 2
    await eventually(
        "one runs the image as written, two the mirror's",
        lambda: images(planes, namespace),
        lambda seen: seen == {"one": {"registry.example/web:2"}, "two": {"mirror.example:5000/web:2"}},
    )
    changed = {**given, "spec": {**given["spec"]}}
    changed["spec"]["manifests"] = [
        app(namespace, 9, "registry.example/web:2"),
        *given["spec"]["manifests"][1:],
    ]
    circle.apply(changed)
    scaled = await circle.until_running(name, revision=2)
    assert scaled["status"]["clusters"] == {"one": 3, "two": 6}
    assert (await read(one, namespace))["spec"]["replicas"] == 3

    running = {cluster: set(await pods(plane, namespace)) for cluster, plane in planes.items()}
    await circle.delete(name)
    for cluster, plane in planes.items():
        left = await read(plane, namespace)
        assert WORKLOAD_LABEL not in left["metadata"].get("labels", {})
        assert FIELD_MANAGER not in {entry["manager"] for entry in left["metadata"]["managedFields"]}
        assert set(await pods(plane, namespace)) == running[cluster], "no pod is restarted"
    settings = await two.get(f"/api/v1/namespaces/{namespace}/configmaps/settings")
    assert settings.raise_for_status().json()["data"] == {"colour": "blue"}

    circle.apply(given)
    again = await circle.until_running(name)
    assert again["status"]["clusters"] == {"one": 2, "two": 4}, "what was left behind is taken over again"


async def images(planes: dict[str, httpx.AsyncClient], namespace: str) -> dict[str, set[str]]:
    return {cluster: set((await pods(plane, namespace)).values()) for cluster, plane in planes.items()}
