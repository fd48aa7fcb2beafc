"""What one cluster gets otherwise than the others: Karmada's overriders, applied to objects.

Source: karmada-io/karmada pkg/util/overridemanager. Otherwise than there: images of CronJobs count, a digest
survives another registry, and what would do nothing for want of its path is an error.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import msgspec

from controlplane.interpreters.images import BadImage, Image
from controlplane.interpreters.patches import CannotPatch, patched, patched_text, tokens_of, value_at
from controlplane.interpreters.pods import NotUnderstood
from schemas.manifests.objects import group_kind
from schemas.manifests.overrides import (
    AnnotationsOverrider,
    CommandArgsOverrider,
    FieldOverrider,
    ImageOverrider,
    LabelsOverrider,
    Overriders,
    OverrideRule,
    PlaintextOverrider,
)
from schemas.manifests.selecting import selects

Manifest = dict[str, Any]
_POD_SPECS: Mapping[str, str] = {
    "v1/Pod": "/spec",
    "apps/Deployment": "/spec/template/spec",
    "apps/StatefulSet": "/spec/template/spec",
    "apps/DaemonSet": "/spec/template/spec",
    "apps/ReplicaSet": "/spec/template/spec",
    "batch/Job": "/spec/template/spec",
    "batch/CronJob": "/spec/jobTemplate/spec/template/spec",
}
_OWN_LABELS = "muster.dev/"


class CannotOverride(NotUnderstood):
    """The text begins with the path of the overrider: `spec.overrides[0].overriders.plaintext[1]: ...`."""


def override(
    objects: Sequence[Mapping[str, Any]], rules: Sequence[tuple[int, OverrideRule]]
) -> list[Manifest]:
    """The objects after these rules, which are (index in `spec.overrides`, rule); the input stays as it is.

    Within a rule: image, command, args, labels, annotations, field, plaintext, each for every object that its
    `resourceSelectors` select. CannotOverride names overrider, path and object.
    """
    changed: list[Manifest] = msgspec.json.decode(msgspec.json.encode(objects))
    for index, rule in rules:
        for each in changed:
            if not rule.resource_selectors or any(selects(one, each) for one in rule.resource_selectors):
                _apply(each, rule.overriders, f"spec.overrides[{index}].overriders", rule.name)
    return changed


def _apply(manifest: Manifest, overriders: Overriders, path: str, rule: str) -> None:
    before = _identity(manifest)
    for name, change in _changes(overriders):
        try:
            change(manifest)
            if _identity(manifest) != before:
                raise CannotPatch("apiVersion, kind, name and namespace stay: leave them out")
        except (CannotPatch, BadImage) as error:
            where = f"{before[1]} {'/'.join(part for part in before[2:] if part)}"
            by = f" ({rule})" if rule else ""
            raise CannotOverride(f"{path}.{name}: {where}: {error}{by}") from error


def _changes(overriders: Overriders) -> Iterator[tuple[str, Callable[[Manifest], None]]]:
    """In the order in which they are applied, each with its path."""
    for index, image in enumerate(overriders.image_overrider):
        yield f"imageOverrider[{index}]", partial(_images, overrider=image)
    for field, given in (("command", overriders.command_overrider), ("args", overriders.args_overrider)):
        for index, items in enumerate(given):
            yield f"{field}Overrider[{index}]", partial(_items, overrider=items, field=field)
    for index, labels in enumerate(overriders.labels_overrider):
        yield f"labelsOverrider[{index}]", partial(_labels, overrider=labels)
    for index, annotations in enumerate(overriders.annotations_overrider):
        yield f"annotationsOverrider[{index}]", partial(_entries, field="annotations", overrider=annotations)
    for index, inside in enumerate(overriders.field_overrider):
        yield f"fieldOverrider[{index}]", partial(_field, overrider=inside)
    for index, patch in enumerate(overriders.plaintext):
        yield f"plaintext[{index}]", partial(_plaintext, overrider=patch)


def _identity(manifest: Manifest) -> tuple[Any, Any, Any, Any]:
    metadata: Any = manifest.get("metadata")
    if not isinstance(metadata, dict):
        return (manifest.get("apiVersion"), manifest.get("kind"), None, None)
    named = cast(Manifest, metadata)
    return (
        manifest.get("apiVersion"),
        manifest.get("kind"),
        named.get("namespace", ""),
        named.get("name"),
    )


def _images(manifest: Manifest, overrider: ImageOverrider) -> None:
    """Without a predicate: of all containers of the kinds above, and of nothing else."""
    if overrider.predicate is not None:
        _refuse_secret(manifest, overrider.predicate.path)
        paths = [overrider.predicate.path]
    else:
        paths = [f"{path}/image" for path, _ in _containers(manifest)]
    for path in paths:
        image = value_at(manifest, path)
        if not isinstance(image, str):
            raise CannotPatch(f"{path} is no string, so no image")
        changed = Image.parse(image).changed(overrider.component, overrider.operator, overrider.value)
        patched(manifest, "replace", path, str(changed))


def _items(manifest: Manifest, overrider: CommandArgsOverrider, field: str) -> None:
    for path, container in _containers(manifest):
        if container.get("name") != overrider.container_name:
            continue
        before: Any = container.get(field) or []
        if not isinstance(before, list):
            raise CannotPatch(f"{path}/{field} is no list")
        items = cast(list[Any], before)
        if overrider.operator == "add":
            container[field] = [*items, *overrider.value]
        else:
            container[field] = [each for each in items if each not in overrider.value]


def _containers(manifest: Manifest) -> list[tuple[str, Manifest]]:
    """(path, container); not of init containers, as Karmada has it."""
    root = _POD_SPECS.get(group_kind(manifest))
    if root is None:
        return []
    found: Any = value_at(manifest, f"{root}/containers")
    if not isinstance(found, list):
        raise CannotPatch(f"{root}/containers is no list")
    return [
        (f"{root}/containers/{index}", cast(Manifest, each))
        for index, each in enumerate(cast(list[Any], found))
        if isinstance(each, dict)
    ]


def _labels(manifest: Manifest, overrider: LabelsOverrider) -> None:
    ours = next((key for key in overrider.value if key.startswith(_OWN_LABELS)), None)
    if ours is not None:
        raise CannotPatch(f"{ours}: Muster writes it itself: leave it out")
    _entries(manifest, "labels", overrider)


def _entries(manifest: Manifest, field: str, overrider: LabelsOverrider | AnnotationsOverrider) -> None:
    metadata: Manifest = manifest["metadata"]
    entries: dict[str, str] = dict(metadata.get(field) or {})
    for key, value in overrider.value.items():
        if overrider.operator == "remove":
            entries.pop(key, None)
        elif overrider.operator == "add" or key in entries:
            entries[key] = value
    if entries or field in metadata:
        metadata[field] = entries


def _field(manifest: Manifest, overrider: FieldOverrider) -> None:
    _refuse_secret(manifest, overrider.field_path)
    text = value_at(manifest, overrider.field_path)
    if not isinstance(text, str):
        raise CannotPatch(f"{overrider.field_path} is no string")
    operations = [(each.operator, each.sub_path, each.value) for each in overrider.yaml or overrider.json_]
    try:
        changed = patched_text(text, operations, is_yaml=bool(overrider.yaml))
    except CannotPatch as error:
        raise CannotPatch(f"in {overrider.field_path}: {error}") from error
    patched(manifest, "replace", overrider.field_path, changed)


def _plaintext(manifest: Manifest, overrider: PlaintextOverrider) -> None:
    _refuse_secret(manifest, overrider.path)
    patched(manifest, overrider.operator, overrider.path, overrider.value)


def _refuse_secret(manifest: Manifest, path: str) -> None:
    """They are stored sealed, and what stands in an override is not."""
    if group_kind(manifest) == "v1/Secret" and tokens_of(path)[0] in ("data", "stringData"):
        raise CannotPatch("values of Secrets are sealed, and cannot differ by cluster: make several Secrets")
