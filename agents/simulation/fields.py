"""Who owns which field: server-side apply as far as Muster leans on it. Lists are owned whole.

Source: kubernetes.io/docs/reference/using-api/server-side-apply. An apply owns the fields that it names and
removes those that it named before and that nobody else owns; an update takes the fields that it changes from
everybody else.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from agents.simulation.bodies import items

FieldPath = tuple[str, ...]
_IDENTITY = ("apiVersion", "kind")
_MOST_REMEMBERED = 4_096
_trees: dict[int, tuple[dict[str, Any], frozenset[FieldPath]]] = {}
"""By id, the trees that were made here: they need not be read to be known."""
_SERVERS = {
    *("name", "namespace", "uid", "resourceVersion", "generation"),
    *("creationTimestamp", "deletionTimestamp", "managedFields", "selfLink"),
}


def leaves(body: dict[str, Any]) -> dict[FieldPath, Any]:
    """All fields that somebody can own, by path."""
    found: dict[FieldPath, Any] = {}
    _walk(
        {key: value for key, value in body.items() if key not in _IDENTITY and key != "metadata"}, (), found
    )
    metadata: dict[str, Any] = body["metadata"]
    own = {key: value for key, value in metadata.items() if key not in _SERVERS}
    _walk(own, ("metadata",), found)
    return found


def applied(live: dict[str, Any], manifest: dict[str, Any], manager: str, now: str) -> dict[str, Any]:
    """`live` after `manager` applied `manifest` by force; changes and returns `live`."""
    wanted = leaves(manifest)
    before = _owned(live, manager, "Apply")
    # What nobody has noted as his is taken from nobody.
    known = wanted.items() if _entries(live) else ()
    taken = frozenset(path for path, value in known if read(live, path) != value)
    for path in sorted(before - wanted.keys()):
        if not any(path in _paths(entry) for entry in _others(live, manager, "Apply")):
            _remove(live, path)
    for path, value in wanted.items():
        _write(live, path, value)
    _own(live, manager, "Apply", frozenset(wanted), taken, manifest["apiVersion"], now)
    return live


def updated(
    live: dict[str, Any], desired: dict[str, Any], manager: str, now: str, *, subresource: str = ""
) -> dict[str, Any]:
    """`desired` as stored after `manager` put it in the place of `live`; changes and returns `desired`."""
    metadata = desired["metadata"]
    metadata["managedFields"] = live["metadata"].get("managedFields", [])
    before, after = leaves(live), leaves(desired)
    changed = frozenset(path for path, value in after.items() if before.get(path) != value)
    gone = before.keys() - after.keys()
    if changed or gone:
        own = _owned(live, manager, "Update", subresource) - gone
        _own(
            desired, manager, "Update", own | changed, changed | gone, desired["apiVersion"], now, subresource
        )
    return desired


def disowned(body: dict[str, Any], path: FieldPath, manager: str) -> None:
    """Nobody but `manager`, and who writes through a subresource, owns the field any more."""
    entries: list[dict[str, Any]] = []
    for entry in _entries(body):
        if entry["manager"] != manager and not entry.get("subresource"):
            entry = {**entry, "fieldsV1": _to_fields(_paths(entry) - {path})}
        entries.append(entry)
    body["metadata"]["managedFields"] = entries


def forgotten(body: dict[str, Any], manager: str) -> None:
    """What the manager owned is as it is, and not his."""
    body["metadata"]["managedFields"] = [entry for entry in _entries(body) if entry["manager"] != manager]


def read(body: dict[str, Any], path: FieldPath) -> Any:
    """The value at `path`, None where there is none."""
    value: Any = body
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]  # pyright: ignore[reportUnknownVariableType]
    return value  # pyright: ignore[reportUnknownVariableType]


def _walk(value: dict[str, Any], path: FieldPath, found: dict[FieldPath, Any]) -> None:
    for key, child in value.items():
        if isinstance(child, dict) and child:
            _walk(child, (*path, key), found)  # pyright: ignore[reportUnknownArgumentType]
        elif child is not None:
            found[(*path, key)] = child


def _write(body: dict[str, Any], path: FieldPath, value: Any) -> None:
    for part in path[:-1]:
        child = body.get(part)
        if not isinstance(child, dict):
            child = body[part] = {}
        body = child  # pyright: ignore[reportUnknownVariableType]
    body[path[-1]] = value


def _remove(body: dict[str, Any], path: FieldPath) -> None:
    parents: list[tuple[dict[str, Any], str]] = []
    for part in path:
        if not isinstance(body, dict) or part not in body:  # pyright: ignore[reportUnnecessaryIsInstance]
            return
        parents.append((body, part))
        body = body[part]
    parent, part = parents.pop()
    del parent[part]
    for parent, part in reversed(parents):
        if parent[part]:
            return
        del parent[part]


def _entries(body: dict[str, Any]) -> list[dict[str, Any]]:
    return items(body["metadata"], "managedFields")


def _is(entry: dict[str, Any], manager: str, operation: str, subresource: str = "") -> bool:
    return (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
        manager,
        operation,
        subresource,
    )


def _others(body: dict[str, Any], manager: str, operation: str) -> list[dict[str, Any]]:
    return [entry for entry in _entries(body) if not _is(entry, manager, operation)]


def _paths(entry: dict[str, Any]) -> frozenset[FieldPath]:
    tree = entry["fieldsV1"]
    known = _trees.get(id(tree))
    if known is not None and known[0] is tree:
        return known[1]
    return _paths_in(msgspec.json.encode(tree))


@lru_cache(maxsize=_MOST_REMEMBERED)
def _paths_in(fields: bytes) -> frozenset[FieldPath]:
    """Objects of a kind mostly have the same fields."""
    return frozenset(_from_fields(msgspec.json.decode(fields), ()))


def _owned(body: dict[str, Any], manager: str, operation: str, subresource: str = "") -> frozenset[FieldPath]:
    found = (entry for entry in _entries(body) if _is(entry, manager, operation, subresource))
    return frozenset(path for entry in found for path in _paths(entry))


def _own(
    body: dict[str, Any],
    manager: str,
    operation: str,
    owned: frozenset[FieldPath],
    taken: frozenset[FieldPath],
    api_version: str,
    now: str,
    subresource: str = "",
) -> None:
    """Give `owned` to the manager; what it has `taken` is nobody else's any more."""
    entries: list[dict[str, Any]] = []
    mine: dict[str, Any] | None = None
    for entry in _entries(body):
        if _is(entry, manager, operation, subresource):
            mine = entry
        elif rest := _paths(entry) - taken:
            entries.append({**entry, "fieldsV1": _to_fields(rest)})
    if mine is None or _paths(mine) != owned:
        mine = {"manager": manager, "operation": operation, "apiVersion": api_version, "time": now}
        mine |= {"fieldsType": "FieldsV1", "fieldsV1": _to_fields(owned)}
        if subresource:
            mine["subresource"] = subresource
    body["metadata"]["managedFields"] = [*entries, mine] if owned else entries


@lru_cache(maxsize=_MOST_REMEMBERED)
def _to_fields(paths: frozenset[FieldPath]) -> dict[str, Any]:
    """Shared by all objects with these fields: look, do not touch."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for part in path:
            node = node.setdefault(f"f:{part}", {})
    if len(_trees) >= _MOST_REMEMBERED:
        _trees.clear()
    _trees[id(tree)] = tree, paths
    return tree


def _from_fields(tree: dict[str, Any], path: FieldPath) -> Iterator[FieldPath]:
    for key, child in tree.items():
        here = (*path, key[2:])
        if child:
            yield from _from_fields(child, here)
        else:
            yield here
