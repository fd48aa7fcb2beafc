"""What a workload's objects mean: replicas, what a pod asks for, what must be served; and what is applied."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from controlplane.fleet.demand import Demand
from controlplane.fleet.preferences import Preference
from controlplane.interpreters.kinds import APPLY_FIRST, APPLY_LAST, PODDED, Podded, kind_of
from controlplane.interpreters.pods import NotUnderstood, mapping, pod_demand, pod_preferences
from schemas.wire.orders import TEMPLATE_LABEL, WORKLOAD_LABEL, ObjectRef

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
_OURS = (WORKLOAD_LABEL, TEMPLATE_LABEL)


@dataclass(frozen=True)
class Interpretation:
    """replicas: of the one object that has pods, 0 where none has (then demand is None).

    template: hash of the pod template as written, before Muster's labels. kinds: `group/version/Kind`,
    core kinds as `v1/Kind`. namespaces: of namespaced objects, sorted. indivisible: why the replicas
    cannot be divided among clusters, "" where they can. preferences: of the pod, for nodes.
    """

    replicas: int
    demand: Demand | None
    template: str
    kinds: tuple[str, ...]
    namespaces: tuple[str, ...]
    objects: tuple[ObjectRef, ...]
    cluster_scoped: tuple[ObjectRef, ...]
    indivisible: str = ""
    preferences: tuple[Preference, ...] = ()


def interpret(objects: Sequence[Mapping[str, Any]]) -> Interpretation:
    """NotUnderstood when two objects have pods, or a field is not what Kubernetes takes."""
    refs = tuple(_ref(each) for each in objects)
    replicas, demand, template, indivisible = 0, None, "", ""
    preferences: tuple[Preference, ...] = ()
    found = _podded(objects, refs)
    if found is not None:
        index, podded = found
        path = f"spec.manifests[{index}]"
        replicas = podded.replicas(objects[index], path)
        indivisible = podded.indivisible(objects[index])
        pod = podded.template(objects[index], path)
        spec = mapping(pod.get("spec"), f"{path}.{podded.spec_path}")
        demand = pod_demand(spec, f"{path}.{podded.spec_path}")
        preferences = pod_preferences(spec, f"{path}.{podded.spec_path}")
        template = template_hash(pod)
    return Interpretation(
        replicas=replicas,
        demand=demand,
        template=template,
        kinds=tuple(sorted({f"{ref.api_version}/{ref.kind}" for ref in refs})),
        namespaces=tuple(sorted({ref.namespace for ref in refs if ref.namespace})),
        objects=refs,
        cluster_scoped=tuple(ref for ref in refs if not ref.namespace),
        indivisible=indivisible,
        preferences=preferences,
    )


def render(objects: Sequence[Mapping[str, Any]], uid: str, replicas: int) -> tuple[list[dict[str, Any]], str]:
    """(objects as they are applied in one cluster, in order; template hash). The input stays as it is."""
    # A copy by way of JSON, which manifests are: several times as fast as copy.deepcopy.
    rendered: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(objects))
    found = _podded(rendered, tuple(_ref(each) for each in rendered))
    template = ""
    if found is not None:
        index, podded = found
        pod = podded.template(rendered[index], f"spec.manifests[{index}]")
        template = template_hash(pod)
        podded.scale(rendered[index], replicas)
        _label(pod, {WORKLOAD_LABEL: uid, TEMPLATE_LABEL: template})
    for each in rendered:
        _label(each, {WORKLOAD_LABEL: uid, MANAGED_BY_LABEL: "muster"})
    rendered.sort(key=_apply_order)
    return rendered, template


def template_hash(template: Mapping[str, Any]) -> str:
    """16 hex digits over a pod template, Muster's own labels left out."""
    metadata = mapping(template.get("metadata"), "metadata")
    labels = mapping(metadata.get("labels"), "metadata.labels")
    counted = {
        "labels": {key: value for key, value in labels.items() if key not in _OURS},
        "annotations": mapping(metadata.get("annotations"), "metadata.annotations"),
        "spec": template.get("spec"),
    }
    text = msgspec.json.encode(counted, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


def _podded(objects: Sequence[Mapping[str, Any]], refs: Sequence[ObjectRef]) -> tuple[int, Podded] | None:
    having = [index for index, each in enumerate(objects) if kind_of(each) in PODDED]
    if len(having) > 1:
        first, second = having[:2]
        raise NotUnderstood(
            f"spec.manifests[{second}]: {refs[second]} has pods, and so has {refs[first]} at {first}: "
            "one object with pods is taken per workload: make the other a workload of its own"
        )
    return (having[0], PODDED[kind_of(objects[having[0]])]) if having else None


def _ref(manifest: Mapping[str, Any]) -> ObjectRef:
    metadata = manifest["metadata"]
    return ObjectRef(
        manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"]
    )


def _label(manifest: dict[str, Any], labels: dict[str, str]) -> None:
    metadata = mapping(manifest.get("metadata"), "metadata")
    manifest["metadata"] = metadata | {"labels": mapping(metadata.get("labels"), "metadata.labels") | labels}


def _apply_order(manifest: Mapping[str, Any]) -> int:
    """What others refer to comes first, what has pods after what they mount; order is kept within."""
    kind = manifest["kind"]
    if kind in APPLY_FIRST:
        return APPLY_FIRST.index(kind)
    return len(APPLY_FIRST) + 1 + (APPLY_LAST.index(kind) if kind in APPLY_LAST else -1)
