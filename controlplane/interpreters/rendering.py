"""What is applied in one cluster: the objects with its share of the replicas, labelled, in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from controlplane.interpreters.adaption import Adaption, adapt, claim_template
from controlplane.interpreters.kinds import APPLY_FIRST, APPLY_LAST, Kinds, kind_of
from controlplane.interpreters.located import whole, write_field
from controlplane.interpreters.podded import KINDS, Podded, joint_hash, podded_of, ref_of
from controlplane.interpreters.pods import mapping
from schemas.paths import drop, first, path_text
from schemas.wire.orders import TEMPLATE_LABEL, WORKLOAD_LABEL, HealthRule

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"


@dataclass(frozen=True)
class Rendered:
    """What is applied in one cluster, in order. templates: hash by component. health: rules for its agent."""

    objects: list[dict[str, Any]]
    template: str
    templates: Mapping[str, str]
    health: list[HealthRule]


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
    raw = msgspec.json.encode(objects)
    rendered: list[dict[str, Any]] = msgspec.json.decode(raw)
    if any(label.encode() in raw for label in (WORKLOAD_LABEL, TEMPLATE_LABEL)):
        for each in rendered:
            _unmark(each)
    podded = podded_of(rendered, tuple(ref_of(each) for each in rendered), kinds)
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
    return Rendered(rendered, joint_hash(list(templates.values())), templates, health)


def _unmark(value: Any) -> None:
    """No label of ours is kept, at whatever depth: pods that bear another workload's fill its promises."""
    pending: list[Any] = [value]
    while pending:
        found = pending.pop()
        if isinstance(found, dict):
            inner = cast(dict[str, Any], found)
            labels = inner.get("labels")
            if isinstance(labels, dict):
                for label in (WORKLOAD_LABEL, TEMPLATE_LABEL):
                    cast(dict[str, Any], labels).pop(label, None)
            pending += inner.values()
        elif isinstance(found, list):
            pending += cast(list[Any], found)


def _adapt(objects: list[dict[str, Any]], podded: Podded, adaptions: Sequence[Adaption]) -> None:
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
    podded = podded_of(objects, tuple(ref_of(each) for each in objects), kinds)
    if podded is None:
        return []
    return [each.template for each in podded.located if each.part.has_containers]


def _scale(objects: Sequence[dict[str, Any]], podded: Podded, share: int) -> None:
    """What is tied to the count follows it only where both are equal: a Job's completions are its own."""
    kind, manifest, at = podded.kind, objects[podded.index], f"spec.manifests[{podded.index}]"
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
        if least is not None and whole(least, f"{at}.{path_text(kind.minimum)}", as_text=True) > share:
            write_field(manifest, kind.minimum, _as(least, share), at)
    count = podded.located[0].replicas
    if kind.tied is not None and first(manifest, kind.tied) == count:
        write_field(manifest, kind.tied, share, at)
    write_field(manifest, kind.scaled, _as(stated, share), at)


def _as(like: Any, number: int) -> int | str:
    return str(number) if isinstance(like, str) else number


def _health(
    objects: Sequence[Mapping[str, Any]], podded: Podded | None, share: int, kinds: Kinds
) -> list[HealthRule]:
    rules = [kinds[kind].health for kind in dict.fromkeys(map(kind_of, objects)) if kind in kinds]
    found = [rule for rule in rules if rule is not None]
    if podded is not None and podded.autoscaler is not None and not found:
        group = podded.manifest["apiVersion"].rpartition("/")[0]
        enough = podded.autoscaler.least_of(share)
        found.append(HealthRule(group=group, kind=podded.manifest["kind"], enough=enough))
    return found


def _label(manifest: dict[str, Any], labels: dict[str, str]) -> None:
    metadata = mapping(manifest.get("metadata"), "metadata")
    manifest["metadata"] = metadata | {"labels": mapping(metadata.get("labels"), "metadata.labels") | labels}


def _apply_order(manifest: Mapping[str, Any]) -> int:
    """What others refer to comes first, what has pods after what they mount; order is kept within."""
    kind = manifest["kind"]
    if kind in APPLY_FIRST:
        return APPLY_FIRST.index(kind)
    return len(APPLY_FIRST) + 1 + (APPLY_LAST.index(kind) if kind in APPLY_LAST else -1)
