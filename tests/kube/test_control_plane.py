"""The control plane that tests and the demo run on is a real one: it schedules, it refuses, it ends."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from controlplane.embedded.kube import KubeControlPlane
from controlplane.embedded.kube_assets import KubeAssets
from controlplane.embedded.kube_nodes import PretendedNode, PretendedTaint

BOUND_SECONDS = 30.0
POLL_SECONDS = 0.05
CHECKOUT = Path(__file__).parents[2]


def deployment(name: str, replicas: int, **pod: Any) -> dict[str, Any]:
    labels = {"app": name}
    container = {
        "name": "main",
        "image": "registry.example/none:1",
        "resources": {"requests": {"cpu": "100m"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container], **pod}},
        },
    }


async def pods(client: httpx.AsyncClient, namespace: str, app: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/api/v1/namespaces/{namespace}/pods", params={"labelSelector": f"app={app}"})
    answer.raise_for_status()
    return answer.json()["items"]


async def until_running(
    client: httpx.AsyncClient, namespace: str, app: str, count: int
) -> list[dict[str, Any]]:
    deadline = time.monotonic() + BOUND_SECONDS
    while True:
        found = await pods(client, namespace, app)
        if len(found) == count and all(pod["status"]["phase"] == "Running" for pod in found):
            return found
        assert time.monotonic() < deadline, [(p["metadata"]["name"], p["status"]) for p in found]
        await asyncio.sleep(POLL_SECONDS)


async def test_a_deployment_of_three_becomes_three_running_pods(
    kube_one: KubeControlPlane, kube_namespace: str
) -> None:
    async with kube_one.client() as client:
        path = f"/apis/apps/v1/namespaces/{kube_namespace}/deployments"
        (await client.post(path, json=deployment("web", 3))).raise_for_status()
        running = await until_running(client, kube_namespace, "web", 3)
        assert all(pod["spec"]["nodeName"].startswith("node-") for pod in running)

        scale = {"spec": {"replicas": 1}}
        headers = {"content-type": "application/merge-patch+json"}
        (await client.patch(f"{path}/web", json=scale, headers=headers)).raise_for_status()
        await until_running(client, kube_namespace, "web", 1)

        (await client.delete(f"{path}/web", params={"propagationPolicy": "Background"})).raise_for_status()
        await until_running(client, kube_namespace, "web", 0)


async def test_the_scheduler_heeds_labels_taints_and_what_a_node_has(
    kube_one: KubeControlPlane, kube_namespace: str
) -> None:
    taint = PretendedTaint("gpu", "NoSchedule", "yes")
    label = {"test/node-of": kube_namespace}
    node = PretendedNode(f"gpu-{kube_namespace}", label, {"cpu": "1", "memory": "2Gi"}, (taint,))
    await kube_one.add_nodes([node])
    tolerated = {"nodeSelector": label, "tolerations": [{"key": "gpu", "operator": "Exists"}]}
    async with kube_one.client() as client:
        path = f"/apis/apps/v1/namespaces/{kube_namespace}/deployments"
        (await client.post(path, json=deployment("fits", 2, **tolerated))).raise_for_status()
        (await client.post(path, json=deployment("refused", 1, nodeSelector=label))).raise_for_status()
        running = await until_running(client, kube_namespace, "fits", 2)
        assert {pod["spec"]["nodeName"] for pod in running} == {node.name}
        (refused,) = await pods(client, kube_namespace, "refused")
        assert refused["status"]["phase"] == "Pending"
        (await client.delete(f"/api/v1/nodes/{node.name}")).raise_for_status()


async def test_without_a_token_nothing_is_told(kube_api: KubeControlPlane) -> None:
    async with kube_api.client() as client:
        answer = await client.get("/api/v1/nodes", headers={"Authorization": "Bearer somebody-else"})
        assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert kube_api.kubeconfig.stat().st_mode & 0o077 == 0


async def test_a_second_start_finds_what_the_first_one_stored(
    kube_assets: KubeAssets, tmp_path: Path
) -> None:
    plane = KubeControlPlane(
        tmp_path, KubeAssets(kube_assets.etcd, kube_assets.kube_apiserver, None, None, None)
    )
    async with plane:
        first = plane.pids
        async with plane.client() as client:
            (await client.post("/api/v1/namespaces", json={"metadata": {"name": "kept"}})).raise_for_status()
    assert not [name for name, pid in first.items() if _runs(pid)]
    async with plane, plane.client() as client:
        assert (await client.get("/api/v1/namespaces/kept")).status_code == httpx.codes.OK


STARTS_AND_WAITS = """
import asyncio, json, sys
from pathlib import Path
from controlplane.embedded.kube import KubeControlPlane
from controlplane.embedded.kube_assets import find_kube_assets

async def main():
    async with KubeControlPlane(Path(sys.argv[1]), find_kube_assets()) as plane:
        print(json.dumps(list(plane.pids.values())), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the children of a killed parent")
async def test_no_server_outlives_a_parent_that_was_killed(kube_assets: KubeAssets, tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTS_AND_WAITS, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=CHECKOUT
    )
    try:
        assert parent.stdout is not None
        line = await asyncio.wait_for(parent.stdout.readline(), BOUND_SECONDS)
        children: list[int] = json.loads(line)
        assert all(_runs(pid) for pid in children)
    finally:
        parent.kill()
        await parent.wait()
    deadline = time.monotonic() + BOUND_SECONDS
    while any(_runs(pid) for pid in children):
        assert time.monotonic() < deadline
        await asyncio.sleep(POLL_SECONDS)


def _runs(pid: int) -> bool:
    """A zombie has ended: who adopted it has not yet asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
