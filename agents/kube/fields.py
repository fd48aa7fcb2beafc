"""Which fields a manifest owns, as Kubernetes writes it down (FieldsV1). Pure.

After a POST, the server notes as ours every field of the stored object, with its defaults and what admission
added. Kept like that, a later apply would drop those (a claim's storage class: refused as immutable). So the
entry that is moved to Apply is restricted to what the manifest itself says, which is what an apply would own.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

FieldSet = dict[str, Any]


def owned_by_manifest(fields: FieldSet, value: Any) -> FieldSet:
    """The part of `fields` that `value` (a manifest or a part of one) says itself."""
    kept: FieldSet = {}
    for path, inner in fields.items():
        kind, _, name = path.partition(":")
        if kind == "f" and isinstance(value, Mapping) and name in value:
            below = owned_by_manifest(inner, cast("Mapping[str, Any]", value)[name])
            below.pop(".", None)
            kept[path] = below
        elif kind == "k" and (item := _keyed(value, json.loads(name))) is not None:
            kept[path] = {**owned_by_manifest(inner, item), ".": {}}
        elif kind == "v" and isinstance(value, Sequence) and json.loads(name) in value:
            kept[path] = inner
    return kept


def _keyed(value: Any, keys: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The list item of these keys; a key that it leaves out was a default (a port's protocol)."""
    if not isinstance(value, Sequence):
        return None
    items = cast("Sequence[Mapping[str, Any]]", value)
    exact = (item for item in items if all(item.get(key) == known for key, known in keys.items()))
    defaulted = (item for item in items if all(item.get(key, known) == known for key, known in keys.items()))
    return next(exact, None) or next(defaulted, None)


def merged(one: FieldSet, other: FieldSet) -> FieldSet:
    """All fields of both sets."""
    return {path: merged(one.get(path, {}), other.get(path, {})) for path in one.keys() | other.keys()}


def written_by(found: Mapping[str, Any], manager: str, operation: str) -> tuple[int, dict[str, Any]] | None:
    """Position and entry of this manager's `operation` among those of the object's main resource."""
    for position, entry in enumerate(found["metadata"].get("managedFields") or ()):
        if (entry["manager"], entry["operation"], entry.get("subresource", "")) == (manager, operation, ""):
            return position, entry
    return None


def move_to_apply(created: Mapping[str, Any], manifest: Any, manager: str) -> list[dict[str, Any]] | None:
    """JSON patch that turns what a POST entered for `manager` into what an apply of `manifest` would enter.

    It touches that one entry alone and tests that it is still there, so that a controller that writes to the
    object meanwhile is no conflict. None where there is nothing to move.
    """
    found = written_by(created, manager, "Update")
    if found is None:
        return None
    position, entry = found
    path = f"/metadata/managedFields/{position}"
    return [
        {"op": "test", "path": "/metadata/uid", "value": created["metadata"]["uid"]},
        {"op": "test", "path": f"{path}/manager", "value": manager},
        {"op": "test", "path": f"{path}/operation", "value": "Update"},
        {"op": "replace", "path": f"{path}/operation", "value": "Apply"},
        {
            "op": "replace",
            "path": f"{path}/fieldsV1",
            "value": owned_by_manifest(entry["fieldsV1"], manifest),
        },
    ]


def take_replicas(found: Mapping[str, Any], manager: str) -> list[dict[str, Any]] | None:
    """JSON patch after which nobody but `manager` and autoscalers own `spec.replicas`; None for no change.

    Autoscalers write through the scale subresource, and stay.
    """
    entries: list[dict[str, Any]] = found["metadata"].get("managedFields") or []
    kept: list[dict[str, Any]] = []
    for entry in entries:
        fields: FieldSet = entry.get("fieldsV1") or {}
        spec: FieldSet = fields.get("f:spec") or {}
        if entry["manager"] == manager or entry.get("subresource") or "f:replicas" not in spec:
            kept.append(entry)
            continue
        spec = {path: inner for path, inner in spec.items() if path != "f:replicas"}
        kept.append({**entry, "fieldsV1": {**fields, "f:spec": spec}})
    return None if kept == entries else _entries_patch(found, kept)


def without_manager(
    found: Mapping[str, Any], manager: str, labels: Mapping[str, str]
) -> list[dict[str, Any]]:
    """JSON patch that takes off the labels that have these values, and all that `manager` owns.

    labels: "" for any value.
    """
    metadata = found["metadata"]
    there: Mapping[str, str] = metadata.get("labels") or {}
    entries = [entry for entry in metadata.get("managedFields") or () if entry["manager"] != manager]
    # An empty list would leave the field as it is; one empty entry empties it.
    patch = _entries_patch(found, entries or [{}])
    patch += [
        {"op": "remove", "path": f"/metadata/labels/{key.replace('/', '~1')}"}
        for key, value in labels.items()
        if key in there and value in ("", there[key])
    ]
    return patch


def _entries_patch(found: Mapping[str, Any], entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    metadata = found["metadata"]
    return [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
    ]


def join_to_apply(applied: Mapping[str, Any], manager: str) -> list[dict[str, Any]] | None:
    """JSON patch for an object whose creator died before the move: the POST's fields join those applied.

    What was defaulted joins them too, for the manifest of that POST is not known any more.
    """
    left, mine = written_by(applied, manager, "Update"), written_by(applied, manager, "Apply")
    if left is None or mine is None:
        return None
    fields = merged(left[1]["fieldsV1"], mine[1]["fieldsV1"])
    metadata = applied["metadata"]
    entries = [
        {**entry, "fieldsV1": fields} if position == mine[0] else entry
        for position, entry in enumerate(metadata["managedFields"])
        if position != left[0]
    ]
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
    ]
