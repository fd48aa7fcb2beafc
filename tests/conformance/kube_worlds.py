"""A real and a simulated cluster with the same handles, so that one suite asks both the same questions."""

import asyncio
import time
from typing import Any, Protocol

import httpx

from agents.kube.discovery import version_path
from agents.ports import Kube, Resource
from agents.simulated import SimulatedCluster
from schemas.wire.orders import ObjectRef

BOUND_SECONDS = 20.0
POLL_SECONDS = 0.05

PLURALS = {
    "Namespace": "namespaces",
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
}


class World(Protocol):
    """`namespace` exists and holds nothing of another test; the methods are what other people do."""

    kube: Kube
    namespace: str

    async def put_as(self, manager: str, manifest: dict[str, Any]) -> None:
        """Create, or replace what was read."""
        ...

    async def scale_as(self, manager: str, ref: ObjectRef, replicas: int) -> None: ...

    async def remove(self, ref: ObjectRef) -> None: ...

    async def end_watches(self) -> None:
        """The server ends every watch soon, as it does every few minutes."""
        ...

    async def forget_history(self) -> tuple[Resource, str]:
        """A resource, and a version of it that is too old to watch from by now."""
        ...


class SimulatedWorld:
    def __init__(self, cluster: SimulatedCluster, namespace: str) -> None:
        self.kube: Kube = cluster
        self.namespace = namespace
        self._cluster = cluster

    async def put_as(self, manager: str, manifest: dict[str, Any]) -> None:
        self._cluster.put_as(manager, manifest)
        self._cluster.tick(0.0)

    async def scale_as(self, manager: str, ref: ObjectRef, replicas: int) -> None:
        self._cluster.scale_as(manager, ref, replicas)

    async def remove(self, ref: ObjectRef) -> None:
        self._cluster.remove(ref)
        self._cluster.tick(0.0)

    async def end_watches(self) -> None:
        self._cluster.close_watches()

    async def forget_history(self) -> tuple[Resource, str]:
        self._cluster.compact()
        return resource("ConfigMap"), "1"


class RealWorld:
    def __init__(self, kube: Kube, admin: httpx.AsyncClient, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self._admin = admin

    async def put_as(self, manager: str, manifest: dict[str, Any]) -> None:
        metadata = manifest["metadata"]
        path = _collection(manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""))
        known = "resourceVersion" in metadata
        answer = await self._admin.request(
            "PUT" if known else "POST",
            f"{path}/{metadata['name']}" if known else path,
            params={"fieldManager": manager},
            json=manifest,
        )
        answer.raise_for_status()

    async def scale_as(self, manager: str, ref: ObjectRef, replicas: int) -> None:
        answer = await self._admin.patch(
            f"{_path(ref)}/scale",
            params={"fieldManager": manager},
            json={"spec": {"replicas": replicas}},
            headers={"content-type": "application/merge-patch+json"},
        )
        answer.raise_for_status()

    async def remove(self, ref: ObjectRef) -> None:
        (await self._admin.delete(_path(ref))).raise_for_status()

    async def end_watches(self) -> None:
        """The port asked for watches of a second or two."""

    async def forget_history(self) -> tuple[Resource, str]:
        """What is served since a moment ago has no history before that."""
        young = Resource(f"{self.namespace}.example", "v1", "youngs", "Young", True)
        await define(self._admin, young)
        return young, "1"


async def define(admin: httpx.AsyncClient, of: Resource) -> None:
    """Make the cluster serve one more kind; returns when it does."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": of.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        # Groups of Kubernetes' own are refused without.
        "metadata": {
            "name": f"{of.plural}.{of.group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": of.group,
            "names": {"plural": of.plural, "kind": of.kind},
            "scope": "Namespaced" if of.namespaced else "Cluster",
            "versions": [version],
        },
    }
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    (await admin.post(path, json=definition)).raise_for_status()
    deadline = time.monotonic() + BOUND_SECONDS
    while not (await admin.get(f"{version_path(of.api_version)}/{of.plural}")).is_success:
        assert time.monotonic() < deadline
        await asyncio.sleep(POLL_SECONDS)


def resource(kind: str) -> Resource:
    group = "apps" if kind == "Deployment" else ""
    return Resource(group, "v1", PLURALS[kind], kind, kind != "Namespace")


def _collection(api_version: str, kind: str, namespace: str) -> str:
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"{version_path(api_version)}{where}/{PLURALS[kind]}"


def _path(ref: ObjectRef) -> str:
    return f"{_collection(ref.api_version, ref.kind, ref.namespace)}/{ref.name}"
