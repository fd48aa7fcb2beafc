"""An autoscaler beside the object with pods: its ceiling is what is divided, and it owns the replicas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.interpreters.kinds import kind_of
from controlplane.interpreters.located import whole
from controlplane.interpreters.pods import NotUnderstood, mapping


@dataclass(frozen=True)
class _Fields:
    """least_default, most_default: what the kind itself takes where the field is left out."""

    least: str
    most: str
    least_default: int
    most_default: int | None
    target_default: tuple[str, str] | None = None


_AUTOSCALERS: Mapping[str, _Fields] = {
    "autoscaling/HorizontalPodAutoscaler": _Fields("minReplicas", "maxReplicas", 1, None),
    "keda.sh/ScaledObject": _Fields("minReplicaCount", "maxReplicaCount", 0, 100, ("apps/v1", "Deployment")),
}


@dataclass(frozen=True)
class Autoscaler:
    """The object at `index` scales the other one between `least` and `most`."""

    index: int
    fields: _Fields
    least: int
    most: int

    def least_of(self, share: int) -> int:
        """Where the ceiling is `share`."""
        return min(self.least, share)

    def scale(self, manifest: dict[str, Any], share: int) -> None:
        spec = mapping(manifest.get("spec"), "spec")
        scaled = {self.fields.most: share}
        if spec.get(self.fields.least) is not None:
            scaled[self.fields.least] = self.least_of(share)
        manifest["spec"] = spec | scaled


def autoscaler_of(objects: Sequence[Mapping[str, Any]], target: int) -> Autoscaler | None:
    """Of the object at `target`; NotUnderstood where two are, or bounds that contradict each other."""
    found: Autoscaler | None = None
    for index, each in enumerate(objects):
        fields = _AUTOSCALERS.get(kind_of(each))
        if fields is None or not _aims_at(each, fields, objects[target], f"spec.manifests[{index}]"):
            continue
        if found is not None:
            path = f"spec.manifests[{index}].spec.scaleTargetRef"
            raise NotUnderstood(f"{path}: the autoscaler at {found.index} scales it already")
        found = _bounded(each, index, fields)
    return found


def _aims_at(autoscaler: Mapping[str, Any], fields: _Fields, target: Mapping[str, Any], path: str) -> bool:
    at = f"{path}.spec.scaleTargetRef"
    reference = mapping(mapping(autoscaler.get("spec"), f"{path}.spec").get("scaleTargetRef"), at)
    api_version, kind = fields.target_default or ("", "")
    aimed = {
        "apiVersion": reference.get("apiVersion") or api_version,
        "kind": reference.get("kind") or kind,
        "metadata": {"name": reference.get("name")},
    }
    return (
        isinstance(aimed["apiVersion"], str)
        and kind_of(aimed) == kind_of(target)
        and reference.get("name") == target["metadata"]["name"]
        and autoscaler["metadata"].get("namespace") == target["metadata"].get("namespace")
    )


def _bounded(manifest: Mapping[str, Any], index: int, fields: _Fields) -> Autoscaler:
    path = f"spec.manifests[{index}].spec"
    spec = mapping(manifest.get("spec"), path)
    stated = spec.get(fields.most)
    if stated is None and fields.most_default is None:
        raise NotUnderstood(f"{path}.{fields.most}: missing: a whole number from 1 is needed")
    most = fields.most_default if stated is None else whole(stated, f"{path}.{fields.most}")
    given = spec.get(fields.least)
    least = fields.least_default if given is None else whole(given, f"{path}.{fields.least}")
    if most is None or most < max(1, least):
        raise NotUnderstood(
            f"{path}.{fields.most}: {most}: at least {fields.least}, {max(1, least)}, is needed"
        )
    return Autoscaler(index, fields, least, most)
