"""Quota on a real API server: what ends a charge there, and what is seen of others beside it. Promise 2."""

import uuid
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from controlplane.embedded.kube import KubeControlPlane
from tests.circle import BOUND_SECONDS, Circle, Object, deployment, eventually, only, running_circle, workload

pytestmark = pytest.mark.promise(2)
MERGE = {"content-type": "application/merge-patch+json"}
BALANCES = "select workload, resource, amount, drift from balance where tenant = $1"
PLACED = "select coalesce(sum(amount), 0) as amount from ledger where tenant = $1 and cause = 'Placed'"
Told = dict[tuple[str, bool], int]
"""millicores by (uid of the workload, whether it is drift)"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def circle(member_pair: tuple[KubeControlPlane, KubeControlPlane]) -> AsyncGenerator[Circle]:
    async with running_circle(settings={"MUSTER_SURGE_SECONDS": "4"}) as circle:
        await circle.join("one", ["--kubeconfig", str(member_pair[0].kubeconfig)])
        yield circle


@pytest_asyncio.fixture
async def member(kube_one: KubeControlPlane) -> AsyncGenerator[httpx.AsyncClient]:
    """The API server, past Muster."""
    async with kube_one.client() as client:
        yield client


@pytest.fixture
def name(circle: Circle) -> str:
    """Of a tenant of four cores, of its namespace and of its workload."""
    name = f"quota-{uuid.uuid4().hex[:8]}"
    resources = [{"name": "cpu", "nominalQuota": "4"}, {"name": "memory", "nominalQuota": "4Gi"}]
    quota = {"flavors": [{"name": "default", "resources": resources}]}
    circle.apply(manifest("Flavor", "default", {}))
    circle.apply(manifest("Tenant", name, {"namespaces": [name], "quota": quota}))
    return name


def manifest(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": "muster.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def owned(name: str, *manifests: Object) -> Object:
    made = workload(name, *manifests, **only("one"))
    made["spec"]["tenant"] = name
    return made


async def balances(circle: Circle, name: str) -> Told:
    rows = await circle.rows(BALANCES, name)
    return {(row["workload"], row["drift"]): int(row["amount"]) for row in rows if row["resource"] == "cpu"}


async def until(
    circle: Circle, name: str, what: str, expected: Told, bound_seconds: float = BOUND_SECONDS
) -> None:
    async def look() -> Told:
        found = await balances(circle, name)
        seen.append(found)
        return found

    seen: list[Told] = []
    await eventually(what, look, lambda _: seen[-1] == expected, bound_seconds)


def pod(name: str) -> Object:
    container = {"name": "main", "image": "registry.example/x:1", "resources": {"requests": {"cpu": "300m"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


def job(name: str, pods: int) -> Object:
    template = deployment(name, name, 1)["spec"]["template"]["spec"] | {"restartPolicy": "Never"}
    spec = {"parallelism": pods, "completions": pods, "template": {"spec": template}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": name},
        "spec": spec,
    }


async def test_a_job_that_ran_to_its_end_holds_no_quota(
    circle: Circle, member: httpx.AsyncClient, name: str
) -> None:
    circle.apply(owned(name, job(name, 2)))
    await eventually(
        "it has run to its end",
        lambda: circle.workload(name)["status"]["state"],
        lambda state: state == "Finished",
    )
    await until(circle, name, "its charge is released", {})
    (placed,) = await circle.rows(PLACED + " and resource = 'cpu'", name)
    assert placed["amount"] == 200, "it was charged while it ran"
    found = (await member.get(f"/api/v1/namespaces/{name}/pods")).raise_for_status().json()["items"]
    assert len(found) == 2, "its pods are there, and over"


async def test_a_charge_shrinks_when_the_pods_are_gone(circle: Circle, name: str) -> None:
    circle.apply(owned(name, deployment(name, name, 5)))
    row = await circle.until_running(name)
    uid: str = row["status"]["uid"]
    await until(circle, name, "all are charged", {(uid, False): 500})
    circle.apply(owned(name, deployment(name, name, 2)))
    await until(circle, name, "what is gone is not", {(uid, False): 200})
    await circle.delete(name)
    await until(circle, name, "nothing is left", {})


async def test_what_others_do_is_drift(circle: Circle, member: httpx.AsyncClient, name: str) -> None:
    circle.apply(owned(name, deployment(name, name, 2)))
    row = await circle.until_running(name)
    uid: str = row["status"]["uid"]
    scale = f"/apis/apps/v1/namespaces/{name}/deployments/{name}/scale"

    async def scaled(replicas: int) -> None:
        body = {"spec": {"replicas": replicas}}
        answer = await member.patch(f"{scale}?fieldManager=kubectl", json=body, headers=MERGE)
        answer.raise_for_status()

    await scaled(4)
    pods = f"/api/v1/namespaces/{name}/pods"
    (await member.post(pods, json=pod("stranger"))).raise_for_status()
    charged: dict[Any, int] = {(uid, False): 200}
    drifting = charged | {(uid, True): 200, ("", True): 300}
    await until(circle, name, "both are entered", drifting, 45.0)
    (await member.delete(f"{pods}/stranger")).raise_for_status()
    await scaled(2)
    await until(circle, name, "both are gone", charged)
