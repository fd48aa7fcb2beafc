"""Kinds that make pods, as Muster understands them; every other object is carried along."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.paths import Path, Product, parse_path, parse_product
from schemas.wire.orders import HealthRule

APPLY_FIRST = (
    "CustomResourceDefinition",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "NetworkAttachmentDefinition",
    "ResourceClaimTemplate",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
)
APPLY_LAST = (
    "DaemonSet",
    "Pod",
    "ReplicaSet",
    "Deployment",
    "StatefulSet",
    "Job",
    "CronJob",
    "HorizontalPodAutoscaler",
    "ScaledObject",
    "Ingress",
)


@dataclass(frozen=True)
class Count:
    """The first of `alternatives` whose first field is there, else `default`."""

    alternatives: tuple[Product, ...] = ()
    default: int = 1


@dataclass(frozen=True)
class Amount:
    """Of one resource; as a count."""

    resource: str
    alternatives: tuple[Product, ...]
    default: str | int | None = None


@dataclass(frozen=True)
class Part:
    """Pods of one template; `at` leads to it from the object, all else starts there.

    template: a pod template, () where the object is the pod itself. Without one: pods (pod specs, later
    over earlier), labels (of the pods), amounts and devices. binary: m, k and g are MiB, KiB and GiB.
    """

    name: str = ""
    names: Path | None = None
    at: Path = ()
    count: Count = Count()
    template: Path | None = None
    pods: tuple[Path, ...] = ()
    labels: Path = ()
    amounts: tuple[Amount, ...] = ()
    devices: tuple[Path, ...] = ()
    binary: bool = False

    @property
    def has_containers(self) -> bool:
        """Whether what its pods ask for stands in a pod template, as Kubernetes has it."""
        return self.template is not None and not self.amounts


@dataclass(frozen=True)
class Kind:
    """scaled: the field that a cluster's share of the replicas is written to; None: it is placed whole.

    minimum: the lower bound beside `scaled`, which then is a ceiling. tied: follows `scaled` where equal.
    per_node: its pods are counted by its nodes. stopped: (field, values) with which it has no pods.
    refused: (field, what would be right). selector: what the labels of its template have to match.
    as_text: numbers may stand there as text, as in annotations.
    """

    parts: tuple[Part, ...]
    scaled: Path | None = None
    minimum: Path | None = None
    tied: Path | None = None
    per_node: bool = False
    stopped: tuple[tuple[Path, tuple[Any, ...]], ...] = ()
    refused: tuple[tuple[Path, str], ...] = ()
    selector: Path | None = None
    health: HealthRule | None = None
    as_text: bool = False


Kinds = Mapping[str, Kind]
"""By `group/Kind`, core kinds as `v1/Kind`."""

_TEMPLATE = parse_path("spec.template")
_REPLICAS = parse_path("spec.replicas")
_PARALLELISM = Count((parse_product("spec.parallelism"),))
_REPLICATED = Kind(
    (Part(count=Count((parse_product("spec.replicas"),)), template=_TEMPLATE),),
    scaled=_REPLICAS,
    selector=parse_path("spec.selector"),
)

KUBERNETES: Kinds = {
    "apps/Deployment": _REPLICATED,
    "apps/StatefulSet": _REPLICATED,
    "apps/ReplicaSet": _REPLICATED,
    "apps/DaemonSet": Kind((Part(template=_TEMPLATE),), per_node=True, selector=parse_path("spec.selector")),
    "batch/Job": Kind(
        (Part(count=_PARALLELISM, template=_TEMPLATE),),
        scaled=parse_path("spec.parallelism"),
        tied=parse_path("spec.completions"),
    ),
    "batch/CronJob": Kind(
        (Part(at=parse_path("spec.jobTemplate"), count=_PARALLELISM, template=_TEMPLATE),),
        stopped=((parse_path("spec.suspend"), (True,)),),
    ),
    "v1/Pod": Kind((Part(template=()),)),
}


def kind_of(manifest: Mapping[str, Any]) -> str:
    """`apps/Deployment`; `v1/Pod`."""
    version: str = manifest["apiVersion"]
    return f"{version.rpartition('/')[0] or version}/{manifest['kind']}"
