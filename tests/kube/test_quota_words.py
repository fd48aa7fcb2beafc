"""What is said of ResourceQuota is what a real API server says: names that it takes, pods that it refuses."""

from typing import Any

import httpx
import pytest

from controlplane.embedded.kube import KubeControlPlane
from controlplane.quota.limit_objects import objects
from controlplane.quota.limits import Limit, unset
from tests.circle import eventually

RESOURCES = ("cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "nvidia.com/gpu", "pods")


def asks(**amounts: str) -> dict[str, Any]:
    return {"resources": {"requests": amounts}}


NOTHING: dict[str, Any] = {}


async def test_every_name_that_is_written_is_taken_as_it_is_written(
    kube_api: KubeControlPlane, kube_namespace: str
) -> None:
    limits = {resource: Limit(1500, 1, 2, 1) for resource in RESOURCES}
    (made,) = objects("shop", {kube_namespace: limits}, (kube_namespace,))
    async with kube_api.client() as kube:
        path = f"/api/v1/namespaces/{kube_namespace}/resourcequotas"
        answer = await kube.post(path, json=made)
    assert answer.is_success, answer.text
    assert answer.json()["spec"] == made["spec"], "else it would look as if somebody had changed it"
    assert "generation" not in answer.json()["metadata"]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"containers": [asks(cpu="1", memory="1Gi")]}, id="both"),
        pytest.param({"containers": [asks(cpu="1")]}, id="cpu alone"),
        pytest.param({"containers": [NOTHING]}, id="nothing"),
        pytest.param(
            {"containers": [{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}, id="limits alone"
        ),
        pytest.param(
            {"containers": [asks(cpu="1", memory="1Gi")], "initContainers": [asks(cpu="1")]},
            id="an init container without memory",
        ),
        pytest.param({"containers": [NOTHING], **asks(cpu="1", memory="1Gi")}, id="the pod asks for both"),
        pytest.param({"containers": [NOTHING], **asks(cpu="1")}, id="the pod asks for cpu"),
    ],
)
async def test_a_pod_is_refused_where_something_is_unset_and_only_there(
    kube_api: KubeControlPlane, kube_namespace: str, spec: dict[str, Any]
) -> None:
    for part in ("containers", "initContainers"):
        named = {"name": f"a-{part.lower()}", "image": "registry.example/a:1"}
        spec = {**spec, part: [{**each, **named} for each in spec.get(part, ())]}
    limits = {"cpu": Limit(10_000), "memory": Limit(2**40)}
    (made,) = objects("shop", {kube_namespace: limits}, (kube_namespace,))
    async with kube_api.client() as kube:
        path = f"/api/v1/namespaces/{kube_namespace}"
        (await kube.post(f"{path}/resourcequotas", json=made)).raise_for_status()

        async def answered(spec: dict[str, Any]) -> httpx.Response:
            pod = {"metadata": {"name": "made"}, "spec": spec}
            return await kube.post(f"{path}/pods", json=pod, params={"dryRun": "All"})

        # Before the quota is counted, and the namespace has its account, other things are said.
        bare = {"containers": [{"name": "bare", "image": "registry.example/a:1"}]}
        await eventually("it refuses", lambda: answered(bare), lambda said: "must specify" in said.text)
        answer = await answered(spec)
    missing = unset(spec, ("cpu", "memory"))
    assert answer.is_success == (not missing), answer.text
    for container, resource in missing:
        assert f"requests.{resource}" in answer.text
        assert container in answer.text
