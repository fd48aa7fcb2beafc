"""Nodes that kwok pretends: real to the API and to the scheduler, with nothing behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DEFAULT_ALLOCATABLE: Mapping[str, str] = {"cpu": "32", "memory": "128Gi", "pods": "110"}


@dataclass(frozen=True)
class PretendedTaint:
    key: str
    effect: str
    value: str = ""


@dataclass(frozen=True)
class PretendedNode:
    """`allocatable` in Kubernetes quantities; `pods` is added where it is left out.

    `status` is merged over what is made here (nodeInfo, runtimeHandlers, ...); kwok adds the conditions.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    allocatable: Mapping[str, str] = field(default_factory=lambda: DEFAULT_ALLOCATABLE)
    taints: Sequence[PretendedTaint] = ()
    status: Mapping[str, object] = field(default_factory=dict[str, object])

    def manifest(self) -> dict[str, object]:
        resources = {"pods": "110", **self.allocatable}
        labels = {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            **self.labels,
        }
        taints = [{"key": taint.key, "value": taint.value, "effect": taint.effect} for taint in self.taints]
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {"taints": taints},
            "status": {"allocatable": resources, "capacity": resources, **self.status},
        }


def pretended_nodes(
    count: int,
    prefix: str = "node",
    *,
    labels: Mapping[str, str] | None = None,
    allocatable: Mapping[str, str] = DEFAULT_ALLOCATABLE,
    taints: Sequence[PretendedTaint] = (),
) -> list[PretendedNode]:
    """`count` nodes of one make, named prefix-000, prefix-001, ..."""
    return [PretendedNode(f"{prefix}-{n:03}", labels or {}, allocatable, taints) for n in range(count)]
