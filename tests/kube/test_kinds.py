"""Kinds beside Kubernetes' own on real API servers: placed whole or divided, judged by their order's rules.

What an operator would do is done by the test: it writes the status, and makes the pods of the templates.
"""

import copy
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from controlplane.client import Refused
from controlplane.embedded.kube import KubeControlPlane
from schemas.paths import first, parse_path
from schemas.wire.orders import TEMPLATE_LABEL, WORKLOAD_LABEL
from tests.circle import Circle, Object, deployment, eventually, only, running_circle, workload

MERGE = {"content-type": "application/merge-patch+json"}
KINDS = Path(__file__).parents[1] / "unit" / "kinds"
DIVIDED = {"replicaScheduling": {"replicaSchedulingType": "Divided"}}
BY_ROOM = {
    "replicaScheduling": {
        "replicaSchedulingType": "Divided",
        "weightPreference": {"dynamicWeight": "AvailableReplicas"},
    }
}


def definition(group: str, version: str, kind: str) -> Object:
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


RAY = definition("ray.io", "v1", "RayCluster")
ROLLOUT = definition("argoproj.io", "v1alpha1", "Rollout")
GIZMO = definition("example.com", "v1", "Gizmo")


class Members:
    """The two API servers, past Muster."""

    def __init__(self, **clients: httpx.AsyncClient) -> None:
        self._clients = clients

    async def ask(
        self, cluster: str, method: str, path: str, body: object = None, **headers: str
    ) -> httpx.Response:
        return await self._clients[cluster].request(method, path, json=body, headers=headers)

    async def get(self, cluster: str, path: str) -> Object | None:
        answer = await self.ask(cluster, "GET", path)
        return None if answer.is_client_error else answer.raise_for_status().json()

    async def found(self, cluster: str, path: str) -> Object:
        async def look() -> Object | None:
            return await self.get(cluster, path)

        live = await eventually(f"{path} is in {cluster}", look)
        assert live is not None
        return live

    async def say(self, cluster: str, path: str, status: Object) -> None:
        """What the kind's operator would say of it."""
        answer = await self.ask(cluster, "PATCH", f"{path}/status", {"status": status}, **MERGE)
        answer.raise_for_status()


@pytest_asyncio.fixture
async def members(kube_pair: tuple[KubeControlPlane, KubeControlPlane]) -> AsyncGenerator[Members]:
    one, two = kube_pair
    async with one.client() as a, two.client() as b:
        yield Members(one=a, two=b)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def circle(member_pair: tuple[KubeControlPlane, KubeControlPlane]) -> AsyncGenerator[Circle]:
    """RayCluster is served by the first only, Rollout by both, Gizmo by both."""
    for plane, definitions in zip(member_pair, ((RAY, ROLLOUT, GIZMO), (ROLLOUT, GIZMO)), strict=True):
        async with plane.client() as client:
            for each in definitions:
                path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
                (await client.post(path, json=each)).raise_for_status()
    async with running_circle() as circle:
        for name, plane in zip(("one", "two"), member_pair, strict=True):
            await circle.join(name, ["--kubeconfig", str(plane.kubeconfig)])
        yield circle


@pytest.fixture
def name() -> str:
    return f"kinds-{uuid.uuid4().hex[:8]}"


def written(kind: str, name: str) -> Object:
    manifest: Object = yaml.safe_load((KINDS / f"{kind}.yaml").read_text())
    manifest["metadata"] |= {"name": name, "namespace": name}
    return manifest


def state(circle: Circle, name: str, cluster: str) -> tuple[str, str]:
    row = circle.placement(name, cluster)
    return row.get("state", ""), row.get("message", "")


async def until(circle: Circle, name: str, cluster: str, wanted: str) -> tuple[str, str]:
    return await eventually(
        f"{name} is {wanted} in {cluster}",
        lambda: state(circle, name, cluster),
        lambda seen: seen[0] == wanted,
    )


async def test_a_ray_cluster_is_placed_whole_where_it_is_served_and_charged_for_all_its_pods(
    circle: Circle, members: Members, name: str
) -> None:
    def promised() -> int:
        return circle.cluster("one")["promised"].get("cpu", 0)

    before = promised()
    circle.apply(workload(name, written("ray-cluster", name), **BY_ROOM))
    path = f"/apis/ray.io/v1/namespaces/{name}/rayclusters/{name}"
    live = await members.found("one", path)
    status = circle.workload(name)["status"]
    assert status["clusters"] == {"one": 1}
    refused = circle.client.get(f"/workloads/{name}/explain").body["clusters"]
    (two,) = (each for each in refused if each["cluster"] == "two")
    assert two["reasons"][0]["reason"] == "ApiNotServed"
    assert "ray.io/v1/RayCluster" in two["reasons"][0]["message"]
    assert promised() - before == 2000 + 2 * 1000 + 8 * 500

    await circle.restart_centre()
    await circle.until_ready("one", "two")
    assert promised() - before == 8000, "what was promised outlives the centre"
    await until(circle, name, "one", "Progressing")
    await members.say("one", path, {"desiredWorkerReplicas": 10, "readyWorkerReplicas": 4})
    await eventually(
        "what its order says of health is said",
        lambda: state(circle, name, "one"),
        lambda seen: seen == ("Progressing", f"RayCluster {name}: 4 of 10 ready"),
    )
    group = live["spec"]["workerGroupSpecs"][0]["template"]
    await start_pods(members, "one", name, live["spec"]["headGroupSpec"]["template"], 1)
    await start_pods(members, "one", name, group, 2)
    await eventually(
        "pods that are there are charged no more", lambda: promised() - before, lambda cpu: cpu == 8 * 500
    )
    await members.say("one", path, {"state": "ready", "desiredWorkerReplicas": 10, "readyWorkerReplicas": 10})
    await until(circle, name, "one", "Running")


async def start_pods(members: Members, cluster: str, namespace: str, template: Object, count: int) -> None:
    """As an operator makes them of a template."""
    for _ in range(count):
        pod: Object = copy.deepcopy(template)
        labels = pod["metadata"]["labels"]
        assert {WORKLOAD_LABEL, TEMPLATE_LABEL} <= labels.keys()
        pod |= {"apiVersion": "v1", "kind": "Pod"}
        pod["metadata"] |= {"name": f"pod-{uuid.uuid4().hex[:8]}"}
        for each in pod["spec"]["containers"]:
            each.pop("envFrom", None)
        answer = await members.ask(cluster, "POST", f"/api/v1/namespaces/{namespace}/pods", pod)
        answer.raise_for_status()


async def test_what_a_pod_needs_and_the_manifests_lack_is_warned_of(circle: Circle, name: str) -> None:
    answer = circle.apply(workload(name, written("ray-cluster", name), **only("one")))
    assert answer["warnings"] == [
        "spec.manifests[0].spec.headGroupSpec.template.spec.containers[0].envFrom[0].secretRef.name: "
        f"Secret {name}/ray-redis is not among the manifests: it must be there already, in every cluster"
    ]


async def test_a_rollout_is_divided_and_runs_when_it_says_so(
    circle: Circle, members: Members, name: str
) -> None:
    circle.apply(workload(name, written("rollout", name), **DIVIDED))
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{name}/rollouts/{name}"
    shares = {each: (await members.found(each, path))["spec"]["replicas"] for each in ("one", "two")}
    assert sorted(shares.values()) == [2, 3]
    for cluster, share in shares.items():
        counts = {"readyReplicas": share, "updatedReplicas": share, "observedGeneration": "1"}
        await members.say(cluster, path, {"phase": "Progressing", **counts})
    await until(circle, name, "one", "Progressing")
    await members.say("one", path, {"phase": "Healthy"})
    await until(circle, name, "one", "Running")
    await members.say("two", path, {"phase": "Degraded", "message": "ProgressDeadlineExceeded"})
    await eventually(
        "what is wrong is said",
        lambda: state(circle, name, "two"),
        lambda seen: "ProgressDeadlineExceeded" in seen[1],
    )


async def test_under_an_autoscaler_the_ceiling_is_divided_and_replicas_are_left_alone(
    circle: Circle, members: Members, name: str
) -> None:
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 2,
            "maxReplicas": 9,
        },
    }
    circle.apply(workload(name, deployment(name, name, 7), scaler, **DIVIDED))
    path = f"/apis/autoscaling/v2/namespaces/{name}/horizontalpodautoscalers/{name}"
    web = f"/apis/apps/v1/namespaces/{name}/deployments/{name}"
    ceilings = {each: (await members.found(each, path))["spec"] for each in ("one", "two")}
    assert sorted(each["maxReplicas"] for each in ceilings.values()) == [4, 5]
    assert [each["minReplicas"] for each in ceilings.values()] == [2, 2]
    assert circle.workload(name)["status"]["replicas"] == 9

    async def replicas() -> int:
        return (await members.found("one", web))["spec"]["replicas"]

    await eventually("the autoscaler keeps its lower bound", replicas, lambda count: count == 2)
    scaled = {"spec": {"replicas": 4}}
    await members.ask("one", "PATCH", f"{web}/scale?fieldManager=kube-controller-manager", scaled, **MERGE)
    await eventually("between both bounds it runs", lambda: state(circle, name, "one")[0] == "Running")
    changed = deployment(name, name, 7, "registry.example/web:2")
    circle.apply(workload(name, changed, scaler, **DIVIDED))
    image = parse_path("spec.template.spec.containers[*].image")

    async def images() -> Any:
        return first(await members.found("one", web), image)

    await eventually("the new image is there", images, lambda found: found == "registry.example/web:2")
    assert await replicas() == 4


async def test_a_workload_that_brings_the_definition_of_its_own_kind(
    circle: Circle, members: Members, name: str
) -> None:
    kind = f"Thing{uuid.uuid4().hex[:6]}"
    thing = {
        "apiVersion": "things.example.com/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": name},
        "spec": {"size": 3},
    }
    circle.apply(workload(name, thing, definition("things.example.com", "v1", kind), **only("one")))
    live = await members.found("one", f"/apis/things.example.com/v1/namespaces/{name}/{kind.lower()}s/{name}")
    assert live["spec"] == {"size": 3}
    await until(circle, name, "one", "Running")


async def test_a_workload_is_understood_anew_once_its_kind_is_declared(
    circle: Circle, members: Members, name: str
) -> None:
    template = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}}
    gizmo = {
        "apiVersion": "example.com/v1",
        "kind": "Gizmo",
        "metadata": {"name": name, "namespace": name},
        "spec": {"size": 6, "template": template},
    }
    circle.apply(workload(name, gizmo, **DIVIDED))
    path = f"/apis/example.com/v1/namespaces/{name}/gizmos/{name}"
    for cluster in ("one", "two"):
        assert (await members.found(cluster, path))["spec"] == gizmo["spec"]
    interpreter = {
        "apiVersion": "muster.dev/v1",
        "kind": "Interpreter",
        "metadata": {"name": "gizmo"},
        "spec": {
            "group": "example.com",
            "kind": "Gizmo",
            "divisible": True,
            "components": [{"replicas": "spec.size", "template": "spec.template"}],
            "health": {"desired": "spec.size", "ready": "status.up"},
        },
    }
    circle.apply(interpreter)

    async def sizes() -> list[int]:
        return [(await members.found(each, path))["spec"]["size"] for each in ("one", "two")]

    await eventually("its size is divided", sizes, lambda found: found == [3, 3])
    live = await members.found("one", path)
    labels = first(live, parse_path("spec.template.metadata.labels"))
    assert labels[WORKLOAD_LABEL] == circle.workload(name)["status"]["uid"]
    await until(circle, name, "one", "Progressing")
    await members.say("one", path, {"up": 3})
    await until(circle, name, "one", "Running")
    assert circle.client.get("/interpreters/gizmo").body["workloads"] == 1
    with pytest.raises(Refused, match=f"used by workloads: {name}"):
        circle.client.delete("/interpreters/gizmo")


def asking(cpu: str) -> Object:
    return {"name": "c", "image": "registry.example/c:1", "resources": {"requests": {"cpu": cpu}}}


async def test_a_cron_job_goes_whole_into_one_cluster_or_nowhere(
    circle: Circle, members: Members, name: str
) -> None:
    def job(parallelism: int) -> Object:
        template = {"spec": {"restartPolicy": "Never", "containers": [asking("1500m")]}}
        run = {"parallelism": parallelism, "template": template}
        return {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": name, "namespace": name},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": run}},
        }

    def promised() -> int:
        return sum(circle.cluster(each)["promised"].get("cpu", 0) for each in ("one", "two"))

    before = promised()
    circle.apply(workload(name, job(2), **BY_ROOM))
    running = await circle_state(circle, name, "Running")
    assert list(running["clusters"].values()) == [1]
    assert promised() - before == 3000

    huge = f"{name}-huge"
    circle.apply(workload(huge, job(1000) | {"metadata": {"name": huge, "namespace": name}}, **BY_ROOM))
    unplaced = await circle_state(circle, huge, "Unplaced")
    assert "InsufficientCapacity" in unplaced["message"]
    assert promised() - before == 3000
    verdicts = circle.client.get(f"/workloads/{huge}/explain").body["clusters"]
    assert {each["reasons"][0]["message"] for each in verdicts} == {"not all of its pods fit together"}


async def test_a_daemon_set_goes_into_every_cluster_and_its_pods_count_when_they_are_there(
    circle: Circle, members: Members, name: str
) -> None:
    daemons = deployment(name, name, 1)
    daemons["kind"] = "DaemonSet"
    del daemons["spec"]["replicas"]
    circle.apply(workload(name, daemons, **DIVIDED))
    running = await circle_state(circle, name, "Running")
    assert running["clusters"] == {"one": 0, "two": 0}
    for cluster in ("one", "two"):
        nodes = circle.cluster(cluster)["nodes"]
        row = await eventually(
            f"a pod on each node of {cluster}",
            lambda cluster=cluster: circle.placement(name, cluster),
            lambda row, nodes=nodes: row["ready"] == nodes,
        )
        assert row["objects"][0]["desired"] == nodes


async def circle_state(circle: Circle, name: str, wanted: str) -> Object:
    return await eventually(
        f"{name} is {wanted}",
        lambda: circle.workload(name)["status"],
        lambda status: status["state"] == wanted,
    )
