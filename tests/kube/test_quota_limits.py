"""Limits of a tenant on a real API server: shown, raised before pods need it, lowered after them."""

import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from controlplane.embedded.kube import KubeControlPlane
from schemas.wire.limits import limits_key
from tests.circle import Circle, Object, deployment, eventually, only, running_circle, workload

LOWERED_SECONDS = 90.0
CLUSTER = "one"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def circle(member_pair: tuple[KubeControlPlane, KubeControlPlane]) -> AsyncGenerator[Circle]:
    async with running_circle(settings={"MUSTER_LIMITS_LOWER_SECONDS": "5"}) as circle:
        await circle.join(CLUSTER, ["--kubeconfig", str(member_pair[0].kubeconfig)])
        circle.apply({"apiVersion": "muster.dev/v1", "kind": "Flavor", "metadata": {"name": "default"}})
        yield circle


@dataclass
class Tenant:
    """One tenant of the test's own, whose namespaces begin with its name, and its cluster past Muster."""

    circle: Circle
    kube: httpx.AsyncClient
    name: str

    def declare(self, limits: str) -> None:
        resources = [{"name": "cpu", "nominalQuota": 8}, {"name": "memory", "nominalQuota": "8Gi"}]
        quota = {"flavors": [{"name": "default", "resources": resources}], "limits": limits}
        spec = {"namespaces": [f"{self.name}-*"], "quota": quota}
        metadata = {"name": self.name}
        self.circle.apply(
            {"apiVersion": "muster.dev/v1", "kind": "Tenant", "metadata": metadata, "spec": spec}
        )

    def run(self, name: str, namespace: str, replicas: int, version: int = 1) -> str:
        """The name of the workload."""
        ordered = deployment(name, namespace, replicas, f"registry.example/{name}:{version}")
        # As pods that take a while to stop: until then they count for a ResourceQuota.
        template = ordered["spec"]["template"]["metadata"]
        template["annotations"] = {"simulation.muster.dev/lingers": "true"}
        made = workload(f"{self.name}-{name}", ordered, **only(CLUSTER))
        made["spec"]["tenant"] = self.name
        self.circle.apply(made)
        return made["metadata"]["name"]

    def told(self) -> Object:
        """What the API says of the limits in the cluster; {} while it says nothing."""
        body = self.circle.client.get(f"/quota/tenants/{self.name}/limits").body
        clusters: list[Object] = body["clusters"]
        return clusters[0] if clusters else {}

    def refused(self, namespace: str) -> list[Object]:
        rows = self.told().get("namespaces", [])
        return [each for row in rows if row["namespace"] == namespace for each in row["refused"]]

    async def hard(self, namespace: str) -> dict[str, str]:
        """What the one ResourceQuota there lets in; {} where there is none."""
        answer = await self.kube.get(f"/api/v1/namespaces/{namespace}/resourcequotas")
        items = answer.raise_for_status().json()["items"]
        assert len(items) <= 1
        return items[0]["spec"]["hard"] if items else {}

    async def until_hard(self, namespace: str, cpu: str, bound_seconds: float = 30.0) -> None:
        await eventually(
            f"{namespace} lets in {cpu} of cpu",
            lambda: self.hard(namespace),
            lambda hard: hard.get("requests.cpu") == cpu,
            bound_seconds=bound_seconds,
        )

    async def make_namespace(self, name: str) -> None:
        (await self.kube.post("/api/v1/namespaces", json={"metadata": {"name": name}})).raise_for_status()

    async def post_pod(self, namespace: str, name: str, cpu: str = "") -> httpx.Response:
        """As somebody makes one by hand, past Muster."""
        container: dict[str, Any] = {"name": "main", "image": "registry.example/by-hand:1"}
        if cpu:
            container["resources"] = {"requests": {"cpu": cpu, "memory": "64Mi"}}
        pod = {"metadata": {"name": name}, "spec": {"containers": [container]}}
        return await self.kube.post(f"/api/v1/namespaces/{namespace}/pods", json=pod)

    async def failures(self, namespace: str) -> list[str]:
        """What controllers could not make there."""
        answer = await self.kube.get(f"/api/v1/namespaces/{namespace}/events")
        events = answer.raise_for_status().json()["items"]
        return [each["message"] for each in events if each["reason"] == "FailedCreate"]


@pytest_asyncio.fixture
async def tenant(circle: Circle, kube_one: KubeControlPlane) -> AsyncGenerator[Tenant]:
    async with kube_one.client() as kube:
        yield Tenant(circle, kube, f"t{uuid.uuid4().hex[:8]}")


async def service_account(tenant: Tenant, namespace: str) -> None:
    """No pod is taken before the controller has made it."""
    await eventually(
        "the namespace has its account",
        lambda: tenant.kube.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default"),
        lambda answer: answer.is_success,
    )


async def test_what_is_observed_is_shown_and_nothing_is_applied(tenant: Tenant) -> None:
    shop, by_hand = f"{tenant.name}-shop", f"{tenant.name}-hand"
    await tenant.make_namespace(by_hand)
    await service_account(tenant, by_hand)
    (await tenant.post_pod(by_hand, "bare")).raise_for_status()
    tenant.declare("Observe")
    await tenant.circle.until_running(tenant.run("web", shop, 4))
    refused = await eventually("the pod without requests is named", lambda: tenant.refused(by_hand))
    assert {name for each in refused for name in each["names"]} == {"bare"}
    assert any("requests.cpu" in each["message"] for each in refused)
    (row,) = [each for each in tenant.told()["namespaces"] if each["namespace"] == shop]
    assert {each["name"]: (each["limit"], each["ordered"]) for each in row["limits"]} == {
        "requests.cpu": (500, None),
        "requests.memory": (5 * 64 * 1024**2, None),
    }
    assert await tenant.hard(shop) == await tenant.hard(by_hand) == {}


@pytest.mark.timeout(300)
@pytest.mark.promise(2)
async def test_limits_are_there_before_pods_need_them_are_lowered_after_them_and_go_when_not_asked_for(
    tenant: Tenant,
) -> None:
    shop, by_hand = f"{tenant.name}-shop", f"{tenant.name}-hand"
    await tenant.make_namespace(by_hand)
    await service_account(tenant, by_hand)
    (await tenant.post_pod(by_hand, "early", "250m")).raise_for_status()
    tenant.declare("Enforce")
    web = tenant.run("web", shop, 4)
    await tenant.circle.until_running(web)
    assert await tenant.hard(shop) == {"requests.cpu": "500m", "requests.memory": "320Mi"}
    await tenant.until_hard(by_hand, "250m")

    # A foreign pod beyond it, or one that asks for nothing, is refused by the API server itself.
    beyond = await tenant.post_pod(shop, "greedy", "2")
    assert (beyond.status_code, "exceeded quota" in beyond.text) == (httpx.codes.FORBIDDEN, True)
    bare = await tenant.post_pod(shop, "bare")
    assert (bare.status_code, "must specify requests.cpu" in bare.text) == (httpx.codes.FORBIDDEN, True)
    late = await tenant.post_pod(by_hand, "late", "100m")
    assert late.status_code == httpx.codes.FORBIDDEN

    tenant.run("web", shop, 12)
    await tenant.circle.until_running(web, revision=2)
    assert await tenant.hard(shop) == {"requests.cpu": "1500m", "requests.memory": "960Mi"}
    # While it rolls, those that are being deleted are there as well: the limit lets them all in.
    tenant.run("web", shop, 12, version=2)
    await tenant.until_hard(shop, "2400m")
    await tenant.circle.until_running(web, revision=3)
    assert await tenant.failures(shop) == []

    tenant.run("web", shop, 2, version=2)
    await tenant.circle.until_running(web, revision=4)
    await tenant.until_hard(shop, "300m", LOWERED_SECONDS)
    await eventually("the agent says so", tenant.told, lambda told: told["state"] == "Applied")

    tenant.declare("Off")
    await eventually("no limit is left there", lambda: tenant.hard(shop), lambda hard: not hard)
    await eventually("nor where nothing was ordered", lambda: tenant.hard(by_hand), lambda hard: not hard)
    (await tenant.post_pod(shop, "greedy", "2")).raise_for_status()
    key = limits_key(tenant.name)
    await eventually(
        "nothing of them is left in the outbox",
        lambda: tenant.circle.rows("select 1 from outbox where workload = $1", key),
        lambda rows: not rows,
    )
