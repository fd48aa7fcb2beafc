"""Objects that look as if they made pods, and of which it is not understood how many. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from controlplane.interpreters.kinds import Kinds, kind_of
from schemas.manifests.objects import CLUSTER_SCOPED, NAMESPACED

_WITHOUT_PODS = (NAMESPACED | CLUSTER_SCOPED) - {"v1/ReplicationController"}
"""Kubernetes' own kinds that no pods come of, and those that are understood."""


def uncounted(objects: Sequence[Mapping[str, Any]], kinds: Kinds) -> list[int]:
    """Where they stand: of a kind that is not understood, with containers or `spec.replicas`."""
    return [
        index
        for index, each in enumerate(objects)
        if (kind := kind_of(each)) not in kinds and kind not in _WITHOUT_PODS and _has_pods(each)
    ]


def _has_pods(manifest: Mapping[str, Any]) -> bool:
    spec = manifest.get("spec")
    if isinstance(spec, dict):
        replicas = cast(dict[str, Any], spec).get("replicas")
        if isinstance(replicas, int) and not isinstance(replicas, bool):
            return True
    return _has_containers(spec)


def _has_containers(value: Any) -> bool:
    """Anywhere inside; how deep an object may be nested is bounded where it is read."""
    if isinstance(value, list):
        return any(map(_has_containers, cast(list[Any], value)))
    if not isinstance(value, dict):
        return False
    fields = cast(dict[str, Any], value)
    containers = fields.get("containers")
    if isinstance(containers, list) and any(_is_container(each) for each in cast(list[Any], containers)):
        return True
    return any(map(_has_containers, fields.values()))


def _is_container(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    fields = cast(dict[str, Any], value)
    return isinstance(fields.get("name"), str) or isinstance(fields.get("image"), str)
