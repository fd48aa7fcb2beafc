"""What a workload's objects mean: replicas, what a pod asks for, what must be served."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.fleet.demand import Demand
from controlplane.fleet.preferences import Preference
from controlplane.interpreters.kinds import Kinds
from controlplane.interpreters.located import Located, whole
from controlplane.interpreters.podded import KINDS, Podded, joint_hash, podded_of, ref_of
from controlplane.interpreters.pods import NotUnderstood, mapping, pod_demand, pod_preferences
from schemas.crds import brought_kinds
from schemas.paths import Path, first, path_text
from schemas.wire.orders import ObjectRef


@dataclass(frozen=True)
class Component:
    """Pods of one template. replicas: in one set. path: of the pod spec, `spec.manifests[0].spec...`.

    template: hash of the pod template as written, before Muster's labels. pod: that template; where the kind
    has none (adaptable is False), one that says the same. namespace: of its object. preferences: for nodes.
    """

    name: str
    replicas: int
    demand: Demand
    template: str
    path: str
    namespace: str = ""
    adaptable: bool = True
    preferences: tuple[Preference, ...] = ()
    pod: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)


@dataclass(frozen=True)
class Interpretation:
    """replicas: to be divided: of the one component, or 1 where a set of components is placed whole.

    demand: of one of these replicas; None for sets, and where nothing has pods (then replicas is 0).
    components: empty where nothing has pods. template: of the one component, or over all of a set.
    kinds: `group/version/Kind`, core kinds as `v1/Kind`; those that the objects define themselves are left
    out. namespaces: of namespaced objects, sorted. indivisible: why the replicas cannot be divided among
    clusters, "" where they can. preferences: of the one component's pod, for nodes. ceiling: replicas is as
    far as an autoscaler may go.
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
    components: tuple[Component, ...] = ()
    ceiling: bool = False

    @property
    def is_set(self) -> bool:
        """Whether the components are placed together or not at all."""
        return bool(self.components) and self.demand is None


def interpret(objects: Sequence[Mapping[str, Any]], kinds: Kinds = KINDS) -> Interpretation:
    """NotUnderstood when two objects have pods, or a field is not what Kubernetes takes."""
    refs = tuple(ref_of(each) for each in objects)
    podded = podded_of(objects, refs, kinds)
    components = () if podded is None else _components(podded)
    replicas, indivisible = (0, "") if podded is None else _to_divide(podded, components)
    is_set = podded is not None and _is_set(podded, components)
    return Interpretation(
        replicas=replicas,
        demand=components[0].demand if components and not is_set else None,
        template=joint_hash([each.template for each in components]),
        kinds=_needed(objects, refs),
        namespaces=tuple(sorted({ref.namespace for ref in refs if ref.namespace})),
        objects=refs,
        cluster_scoped=tuple(ref for ref in refs if not ref.namespace),
        indivisible=indivisible,
        preferences=components[0].preferences if components and not is_set else (),
        components=components,
        ceiling=podded is not None and podded.autoscaler is not None,
    )


def _components(podded: Podded) -> tuple[Component, ...]:
    namespace: str = podded.manifest["metadata"].get("namespace", "")
    return tuple(_component(each, namespace) for each in podded.located)


def _component(located: Located, namespace: str) -> Component:
    pod = located.template
    spec = mapping(pod.get("spec"), located.pod_path)
    return Component(
        name=located.name,
        replicas=located.replicas,
        demand=pod_demand(spec, located.pod_path),
        preferences=pod_preferences(spec, located.pod_path),
        template=located.hash,
        path=located.pod_path,
        namespace=namespace,
        adaptable=located.part.has_containers,
        pod=pod,
    )


def _is_set(podded: Podded, components: Sequence[Component]) -> bool:
    """A set of one pod is one replica."""
    if podded.kind.scaled is not None or podded.kind.per_node:
        return False
    return len(components) > 1 or components[0].replicas != 1


def _to_divide(podded: Podded, components: Sequence[Component]) -> tuple[int, str]:
    """(replicas, why they are indivisible)"""
    kind, manifest, path = podded.kind, podded.manifest, f"spec.manifests[{podded.index}]"
    if kind.per_node:
        return 0, f"a {manifest['kind']} has a pod on every node that fits: it goes to each cluster whole"
    if kind.scaled is None:
        names = ", ".join(each.name for each in components if each.name)
        what = f"{names} of a {manifest['kind']}" if names else f"the pods of a {manifest['kind']}"
        return 1, f"{what} are placed together"
    if podded.autoscaler is not None:
        return podded.autoscaler.most, ""
    if kind.minimum is not None:
        found = _unbounded(kind.scaled, kind.minimum, manifest, path)
        if found is not None:
            return found
    count = components[0].replicas
    total = None if kind.tied is None else first(manifest, kind.tied)
    if kind.tied is not None and total is not None and total != count:
        scaled, tied = kind.scaled[-1], kind.tied[-1]
        return count, f"{tied} {total} is not {scaled} {count}: make them equal, or duplicate"
    return count, ""


def _needed(objects: Sequence[Mapping[str, Any]], refs: Sequence[ObjectRef]) -> tuple[str, ...]:
    """What a cluster must serve: all kinds but those that a CustomResourceDefinition among them brings."""
    return tuple(sorted({f"{ref.api_version}/{ref.kind}" for ref in refs} - brought_kinds(objects)))


def _unbounded(
    ceiling: Path, minimum: Path, manifest: Mapping[str, Any], path: str
) -> tuple[int, str] | None:
    """As `_to_divide` where there is no ceiling; NotUnderstood where it is below the lower bound."""
    above, below = f"{path}.{path_text(ceiling)}", f"{path}.{path_text(minimum)}"
    most, least = (
        0 if (stated := first(manifest, each)) is None else whole(stated, at, as_text=True)
        for each, at in ((ceiling, above), (minimum, below))
    )
    if not most:
        return max(1, least), f"{path_text(ceiling)} has no upper bound: state one, or duplicate"
    if least > most:
        raise NotUnderstood(f"{below}: {least}: at most {most}, which is {path_text(ceiling)}")
    return None
