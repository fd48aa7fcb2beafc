"""What a workload's objects mean: replicas, what a pod asks for, what must be served."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.fleet.demand import Demand
from schemas.wire.orders import ObjectRef


class NotUnderstood(ValueError):
    """An object that cannot be taken; the text names its field and what would be right."""


@dataclass(frozen=True)
class Interpretation:
    """replicas: of the one object that has pods, 0 where none has (then demand is None).

    template: hash of the pod template as written, before Muster's labels. kinds: `group/version/Kind`,
    core kinds as `v1/Kind`. namespaces: of namespaced objects, sorted.
    """

    replicas: int
    demand: Demand | None
    template: str
    kinds: tuple[str, ...]
    namespaces: tuple[str, ...]
    objects: tuple[ObjectRef, ...]
    cluster_scoped: tuple[ObjectRef, ...]


def interpret(objects: Sequence[Mapping[str, Any]]) -> Interpretation:
    """NotUnderstood when two objects have pods, or a field is not what Kubernetes takes."""
    raise NotImplementedError


def render(objects: Sequence[Mapping[str, Any]], uid: str, replicas: int) -> tuple[list[dict[str, Any]], str]:
    """(objects as they are applied in one cluster, in order; template hash). The input stays as it is."""
    raise NotImplementedError
