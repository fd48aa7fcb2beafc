"""A large cluster on a real API server: nodes and pods as the server itself stores them.

The first of each make goes through the API server; its copies are written into etcd as it would write them:
25,000 requests would take longer than what is to be measured.
"""

import base64
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import numpy as np

from controlplane.embedded.kube import KubeControlPlane
from tests.benchmarks.world import GIB, MAKES, Make, labels_of
from tests.circle import eventually

NAMESPACE = "bench"
HOSTNAME = "kubernetes.io/hostname"
PUTS_A_REQUEST = 40
ZONES = 3
VARIANTS = 6
KINDS_OF_PODS = 40
IMAGES = 20
Object = dict[str, Any]


@dataclass(frozen=True)
class Size:
    nodes: int = 5_000
    pods: int = 20_000


def node_name(number: int) -> str:
    return f"ip-10-{number // 250 % 250}-{number % 250}-{number // 62_500}.eu-central-1.compute.internal"


async def populate(plane: KubeControlPlane, size: Size, seed: int = 1) -> None:
    """Returns when the API server serves all of it."""
    random = np.random.default_rng(seed)
    async with plane.client() as api:
        await _made(api, "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        nodes = [
            await _made(api, "/api/v1/nodes", _node(f"make-{variant}-{zone}", make, zone, variant, random))
            for variant, make in enumerate(MAKES[:VARIANTS])
            for zone in range(ZONES)
        ]
        pods = [await _running_pod(api, number) for number in range(KINDS_OF_PODS)]
        await _put(plane, "minions", _node_copies(nodes, size.nodes, random))
        await _put(plane, f"pods/{NAMESPACE}", _pod_copies(pods, size, random))
        await _served(api, "nodes", size.nodes + len(nodes))
        await _served(api, "pods", size.pods + len(pods))


async def _made(api: httpx.AsyncClient, path: str, manifest: Object) -> Object:
    return (await api.post(path, json=manifest)).raise_for_status().json()


def _node(name: str, make: Make, zone: int, variant: int, random: np.random.Generator) -> Object:
    """As a kubelet registers itself: conditions, images and all. About 12 KB."""
    amounts = {
        "cpu": str(make.cores),
        "memory": f"{make.memory_gib * GIB // 1024}Ki",
        "pods": "110",
        "ephemeral-storage": "104845292Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        **({"nvidia.com/gpu": str(make.gpus)} if make.gpus else {}),
    }
    at = "2026-01-01T00:00:00Z"
    conditions = [
        {
            "type": kind,
            "status": "True" if kind == "Ready" else "False",
            "reason": f"Kubelet{kind}",
            "message": f"kubelet says that this is so: {kind}",
            "lastHeartbeatTime": at,
            "lastTransitionTime": at,
        }
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    ]
    images = [
        {
            "names": [f"registry.example/image-{n}@sha256:{n:064x}", f"registry.example/image-{n}:1"],
            "sizeBytes": n,
        }
        for n in range(IMAGES)
    ]
    return {
        "metadata": {"name": name, "labels": labels_of(make, 0, zone, variant, random) | {HOSTNAME: name}},
        "spec": {
            "providerID": f"aws:///{name}",
            "taints": [{"key": t.key, "effect": t.effect, "value": t.value} for t in make.taints],
        },
        "status": {"allocatable": amounts, "capacity": amounts, "conditions": conditions, "images": images},
    }


def pod(name: str, number: int) -> Object:
    """Of one of KINDS_OF_PODS, not yet bound; two containers, volumes, probes: about 6 KB once it runs."""
    kind = number % KINDS_OF_PODS
    container = {
        "image": f"registry.example/team-{kind}/service:1.{kind}.0",
        "env": [{"name": f"SETTING_{n}", "value": f"value-{n}-of-kind-{kind}"} for n in range(10)],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    asked = {"cpu": f"{50 + 10 * kind}m", "memory": f"{64 + 8 * kind}Mi"}
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {
                "app": f"service-{kind}",
                "pod-template-hash": f"{kind:09x}",
                "team": f"team-{kind % 7}",
            },
            "annotations": {"checksum/config": f"{kind:064x}"},
        },
        "spec": {
            "containers": [
                {**container, "name": "main", "resources": {"requests": asked, "limits": {"memory": "1Gi"}}},
                {**container, "name": "proxy", "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}},
            ],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "tolerations": [{"operator": "Exists"}],
        },
    }


def running(name: str) -> Object:
    """What its kubelet says of a pod."""
    at = "2026-01-01T00:00:00Z"
    return {
        "status": {
            "phase": "Running",
            "podIP": "10.1.2.3",
            "podIPs": [{"ip": "10.1.2.3"}],
            "hostIP": "10.0.0.1",
            "startTime": at,
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": at}
                for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
            ],
            "containerStatuses": [
                {
                    "name": container,
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "image": "registry.example/service:1",
                    "imageID": f"registry.example/service@sha256:{7:064x}",
                    "containerID": f"containerd://{uuid.uuid5(uuid.NAMESPACE_DNS, name).hex * 2}",
                    "state": {"running": {"startedAt": at}},
                }
                for container in ("main", "proxy")
            ],
        }
    }


async def _running_pod(api: httpx.AsyncClient, number: int) -> Object:
    name = f"kind-{number}"
    manifest = pod(name, number)
    manifest["spec"]["nodeName"] = node_name(0)
    await _made(api, f"/api/v1/namespaces/{NAMESPACE}/pods", manifest)
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/status"
    patched: httpx.Response = await api.patch(
        path, json=running(name), headers={"content-type": "application/merge-patch+json"}
    )
    return patched.raise_for_status().json()


def _node_copies(makes: list[Object], count: int, random: np.random.Generator) -> Iterator[Object]:
    for number, make in enumerate(random.integers(0, len(makes), count).tolist()):
        made = _copy(makes[int(make)], node_name(number))
        made["metadata"]["labels"][HOSTNAME] = node_name(number)
        made["spec"]["providerID"] = f"aws:///eu-central-1/i-{number:017x}"
        yield made


def _pod_copies(kinds: list[Object], size: Size, random: np.random.Generator) -> Iterator[Object]:
    for number, node in enumerate(random.integers(0, size.nodes, size.pods)):
        made = _copy(kinds[number % len(kinds)], f"service-{number % len(kinds)}-{number:06x}-x7k2p")
        made["spec"]["nodeName"] = node_name(int(node))
        yield made


def _copy(found: Object, name: str) -> Object:
    """What differs may be set in `labels` and `spec`; the rest is the other's own."""
    own = {"name": name, "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "resourceVersion": ""}
    metadata = {**found["metadata"], **own, "labels": {**found["metadata"]["labels"]}}
    return {**found, "metadata": metadata, "spec": {**found["spec"]}}


async def _put(plane: KubeControlPlane, where: str, objects: Iterable[Object]) -> None:
    assert plane.layout is not None
    base = f"http://127.0.0.1:{plane.layout.etcd_port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=30.0) as etcd:
        batch: list[Object] = []
        for each in objects:
            key = f"/registry/{where}/{each['metadata']['name']}"
            put = {"key": _base64(key.encode()), "value": _base64(msgspec.json.encode(each))}
            batch.append({"requestPut": put})
            if len(batch) == PUTS_A_REQUEST:
                (await etcd.post("/v3/kv/txn", json={"success": batch})).raise_for_status()
                batch = []
        if batch:
            (await etcd.post("/v3/kv/txn", json={"success": batch})).raise_for_status()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def _served(api: httpx.AsyncClient, plural: str, count: int) -> None:
    async def found() -> int:
        answer = (await api.get(f"/api/v1/{plural}", params={"limit": 1})).raise_for_status().json()
        return len(answer["items"]) + answer["metadata"].get("remainingItemCount", 0)

    await eventually(f"{count} {plural} are served", found, lambda served: served == count)
