"""What a workload's objects mean: replicas, what a pod asks for, what must be served; and what is applied."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.fleet.demand import Demand
from controlplane.fleet.preferences import Preference
from controlplane.interpreters.adaption import Adaption, adapt, claim_template
from controlplane.interpreters.autoscaling import Autoscaler, autoscaler_of
from controlplane.interpreters.declared import DECLARED
from controlplane.interpreters.kinds import APPLY_FIRST, APPLY_LAST, KUBERNETES, Kind, Kinds, kind_of
from controlplane.interpreters.located import Located, copy_of, locate, whole
from controlplane.interpreters.pods import NotUnderstood, mapping, pod_demand, pod_preferences
from schemas.crds import brought_kinds
from schemas.paths import drop, first, path_text, put
from schemas.wire.orders import TEMPLATE_LABEL, WORKLOAD_LABEL, HealthRule, ObjectRef

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
KINDS: Kinds = {**DECLARED, **KUBERNETES}
"""What is understood without any Interpreter of the user's."""


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


@dataclass(frozen=True)
class Rendered:
    """What is applied in one cluster, in order. templates: hash by component. health: rules for its agent."""

    objects: list[dict[str, Any]]
    template: str
    templates: Mapping[str, str]
    health: list[HealthRule]


@dataclass(frozen=True)
class _Podded:
    """The one object with pods."""

    index: int
    manifest: Mapping[str, Any]
    kind: Kind
    located: list[Located]
    autoscaler: Autoscaler | None


def interpret(objects: Sequence[Mapping[str, Any]], kinds: Kinds = KINDS) -> Interpretation:
    """NotUnderstood when two objects have pods, or a field is not what Kubernetes takes."""
    refs = tuple(_ref(each) for each in objects)
    podded = _podded(objects, refs, kinds)
    components = () if podded is None else _components(podded)
    replicas, indivisible = (0, "") if podded is None else _to_divide(podded, components)
    is_set = podded is not None and _is_set(podded, components)
    return Interpretation(
        replicas=replicas,
        demand=components[0].demand if components and not is_set else None,
        template=_joint([each.template for each in components]),
        kinds=_needed(objects, refs),
        namespaces=tuple(sorted({ref.namespace for ref in refs if ref.namespace})),
        objects=refs,
        cluster_scoped=tuple(ref for ref in refs if not ref.namespace),
        indivisible=indivisible,
        preferences=components[0].preferences if components and not is_set else (),
        components=components,
        ceiling=podded is not None and podded.autoscaler is not None,
    )


def render(
    objects: Sequence[Mapping[str, Any]],
    uid: str,
    replicas: int,
    kinds: Kinds = KINDS,
    adaptions: Sequence[Adaption] = (),
) -> Rendered:
    """For one cluster and its share of the replicas. The input stays as it is.

    adaptions: what that cluster needs changed, one for each component, or none at all.
    """
    rendered: list[dict[str, Any]] = copy_of(objects)
    podded = _podded(rendered, tuple(_ref(each) for each in rendered), kinds)
    templates: dict[str, str] = {}
    if podded is not None:
        _adapt(rendered, podded, adaptions)
        for each in podded.located:
            templates[each.name] = each.hash
            each.label({WORKLOAD_LABEL: uid, TEMPLATE_LABEL: templates[each.name]})
        _scale(rendered, podded, replicas)
    for each in rendered:
        _label(each, {WORKLOAD_LABEL: uid, MANAGED_BY_LABEL: "muster"})
    health = _health(rendered, podded, replicas, kinds)
    rendered.sort(key=_apply_order)
    return Rendered(rendered, _joint(list(templates.values())), templates, health)


def _adapt(objects: list[dict[str, Any]], podded: _Podded, adaptions: Sequence[Adaption]) -> None:
    metadata = podded.manifest["metadata"]
    for located, adaption in zip(podded.located, adaptions, strict=False):
        if not located.part.has_containers:
            continue
        adapt(located.template, adaption, metadata["name"])
        if adaption.claim is not None:
            namespace = metadata.get("namespace", "default")
            objects.append(claim_template(adaption.claim, metadata["name"], namespace))


def pod_templates(objects: Sequence[Mapping[str, Any]], kinds: Kinds = KINDS) -> list[dict[str, Any]]:
    """The pod templates themselves, in the order of the adaptable components: change them in place."""
    podded = _podded(objects, tuple(_ref(each) for each in objects), kinds)
    if podded is None:
        return []
    return [each.template for each in podded.located if each.part.has_containers]


def _podded(objects: Sequence[Mapping[str, Any]], refs: Sequence[ObjectRef], kinds: Kinds) -> _Podded | None:
    having = [index for index, each in enumerate(objects) if kind_of(each) in kinds]
    if len(having) > 1:
        one, second = having[:2]
        raise NotUnderstood(
            f"spec.manifests[{second}]: {refs[second]} has pods, and so has {refs[one]} at {one}: "
            "one object with pods is taken per workload: make the other a workload of its own"
        )
    if not having:
        return None
    index = having[0]
    kind = kinds[kind_of(objects[index])]
    located = locate(objects[index], kind, f"spec.manifests[{index}]")
    if not located:
        return None
    autoscaler = None if kind.scaled is None else autoscaler_of(objects, index)
    return _Podded(index, objects[index], kind, located, autoscaler)


def _components(podded: _Podded) -> tuple[Component, ...]:
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


def _is_set(podded: _Podded, components: Sequence[Component]) -> bool:
    """A set of one pod is one replica."""
    if podded.kind.scaled is not None or podded.kind.per_node:
        return False
    return len(components) > 1 or components[0].replicas != 1


def _to_divide(podded: _Podded, components: Sequence[Component]) -> tuple[int, str]:
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
    stated = first(manifest, kind.scaled)
    if kind.minimum is not None and (
        stated is None or not whole(stated, f"{path}.{path_text(kind.scaled)}", as_text=True)
    ):
        least = first(manifest, kind.minimum)
        running = (
            1 if least is None else max(1, whole(least, f"{path}.{path_text(kind.minimum)}", as_text=True))
        )
        return running, f"{path_text(kind.scaled)} has no upper bound: state one, or duplicate"
    count = components[0].replicas
    total = None if kind.tied is None else first(manifest, kind.tied)
    if kind.tied is not None and total is not None and total != count:
        scaled, tied = kind.scaled[-1], kind.tied[-1]
        return count, f"{tied} {total} is not {scaled} {count}: make them equal, or duplicate"
    return count, ""


def _scale(objects: Sequence[dict[str, Any]], podded: _Podded, share: int) -> None:
    """What is tied to the count follows it only where both are equal: a Job's completions are its own."""
    kind, manifest = podded.kind, objects[podded.index]
    if kind.scaled is None:
        return
    if podded.autoscaler is not None:
        podded.autoscaler.scale(objects[podded.autoscaler.index], share)
        drop(manifest, kind.scaled)
        return
    stated = first(manifest, kind.scaled)
    if kind.minimum is not None:
        if stated in (None, 0, "0"):
            return
        least = first(manifest, kind.minimum)
        if least is not None and whole(least, path_text(kind.minimum), as_text=True) > share:
            put(manifest, kind.minimum, _as(least, share))
    count = podded.located[0].replicas
    if kind.tied is not None and first(manifest, kind.tied) == count:
        put(manifest, kind.tied, share)
    put(manifest, kind.scaled, _as(stated, share))


def _as(like: Any, number: int) -> int | str:
    return str(number) if isinstance(like, str) else number


def _health(
    objects: Sequence[Mapping[str, Any]], podded: _Podded | None, share: int, kinds: Kinds
) -> list[HealthRule]:
    rules = [kinds[kind].health for kind in dict.fromkeys(map(kind_of, objects)) if kind in kinds]
    found = [rule for rule in rules if rule is not None]
    if podded is not None and podded.autoscaler is not None and not found:
        group = podded.manifest["apiVersion"].rpartition("/")[0]
        enough = podded.autoscaler.least_of(share)
        found.append(HealthRule(group=group, kind=podded.manifest["kind"], enough=enough))
    return found


def _needed(objects: Sequence[Mapping[str, Any]], refs: Sequence[ObjectRef]) -> tuple[str, ...]:
    """What a cluster must serve: all kinds but those that a CustomResourceDefinition among them brings."""
    return tuple(sorted({f"{ref.api_version}/{ref.kind}" for ref in refs} - brought_kinds(objects)))


def _joint(hashes: Sequence[str]) -> str:
    """The hash of the one; one over all of them where there are several; "" without any."""
    if len(hashes) < 2:
        return "".join(hashes)
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()[:16]


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
