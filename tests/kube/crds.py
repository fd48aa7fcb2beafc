"""Custom resources that real clusters have and a bare API server has not: as little of each as serves it."""

from dataclasses import dataclass
from typing import Any

import httpx

Object = dict[str, Any]


@dataclass(frozen=True)
class Crd:
    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def name(self) -> str:
        return f"{self.plural}.{self.group}"

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"

    def manifest(self) -> Object:
        whatever = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            # Groups of k8s.io are Kubernetes' own to give, and the API server asks for a word on it.
            "metadata": {
                "name": self.name,
                "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
            },
            "spec": {
                "group": self.group,
                "scope": "Namespaced" if self.namespaced else "Cluster",
                "names": {"kind": self.kind, "plural": self.plural, "singular": self.kind.lower()},
                "versions": [
                    {
                        "name": self.version,
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": whatever},
                    }
                ],
            },
        }

    def path(self, namespace: str = "") -> str:
        inner = f"namespaces/{namespace}/" if namespace else ""
        return f"/apis/{self.api_version}/{inner}{self.plural}"


NODE_FEATURE = Crd("nfd.k8s-sigs.io", "v1alpha1", "NodeFeature", "nodefeatures")
TOPOLOGY = Crd(
    "topology.node.k8s.io", "v1alpha2", "NodeResourceTopology", "noderesourcetopologies", namespaced=False
)
ATTACHMENT = Crd("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition", "network-attachment-definitions")
IP_POOL = Crd("whereabouts.cni.cncf.io", "v1alpha1", "IPPool", "ippools")
RAY_CLUSTER = Crd("ray.io", "v1", "RayCluster", "rayclusters")


async def serve(client: httpx.AsyncClient, *crds: Crd) -> None:
    """Defined already is well."""
    for crd in crds:
        answer = await client.post(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=crd.manifest()
        )
        if answer.status_code != httpx.codes.CONFLICT:
            answer.raise_for_status()


async def is_served(client: httpx.AsyncClient, crd: Crd) -> bool:
    return (await client.get(crd.path())).status_code == httpx.codes.OK
