"""Typed looks into objects that are plain JSON."""

from typing import Any

import msgspec

Body = dict[str, Any]


def copy_of(body: Body) -> Body:
    """A deep copy; JSON values only."""
    return msgspec.json.decode(msgspec.json.encode(body))


def renewed(body: Body, **parts: Any) -> Body:
    """`body` with other parts, to be stored: what is not given is shared with it, and stays untouched."""
    return {**body, "metadata": {**body["metadata"]}, **parts}


def labels_of(body: Body) -> dict[str, str]:
    found: dict[str, str] | None = body["metadata"].get("labels")
    return found or {}


def annotations_of(body: Body) -> dict[str, str]:
    found: dict[str, str] | None = body["metadata"].get("annotations")
    return found or {}


def part(body: Body, *path: str) -> Body:
    """The object at `path`, empty where there is none."""
    value = body
    for key in path:
        found: Body | None = value.get(key)
        value = found or {}
    return value


def items(body: Body, key: str) -> list[Body]:
    """The list of objects at `key`, empty where there is none."""
    found: list[Body] | None = body.get(key)
    return found or []


def owners_of(body: Body) -> list[Body]:
    return items(body["metadata"], "ownerReferences")


def has_condition(body: Body, kind: str) -> bool:
    """Whether the condition of this type is True."""
    for each in items(part(body, "status"), "conditions"):
        if each["type"] == kind:
            return each["status"] == "True"
    return False
