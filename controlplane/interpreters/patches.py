"""JSON patches (RFC 6902: add, remove, replace) by JSON pointers (RFC 6901), on plain data."""

import copy
import json
from collections.abc import Sequence
from typing import Any, cast

import yaml

from schemas.manifests.load import yaml_value

MAX_DOCUMENT_CHARACTERS = 64 * 1024
MAX_DOCUMENT_VALUES = 5_000
"""Of a text that stands in an object: it is read and written for each set of rules, while others wait."""


class CannotPatch(ValueError):
    """The text says which part of the path is not there, or what would be right."""


def tokens_of(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def value_at(document: Any, pointer: str) -> Any:
    """CannotPatch where there is none."""
    parts = tokens_of(pointer)
    if not parts:
        return document
    parent = _walk(document, parts[:-1], pointer)
    return _child(parent, parts[-1], pointer)


def patched(document: Any, operator: str, pointer: str, value: Any = None) -> Any:
    """`document` itself after the operation; another one where the path is empty."""
    parts = tokens_of(pointer)
    if not parts:
        if operator == "remove":
            raise CannotPatch("the whole document cannot be removed")
        return copy.deepcopy(value)
    parent, last = _walk(document, parts[:-1], pointer), parts[-1]
    if operator != "add":
        _child(parent, last, pointer)
    if isinstance(parent, dict):
        fields = cast(dict[str, Any], parent)
        if operator == "remove":
            del fields[last]
        else:
            fields[last] = copy.deepcopy(value)
        return document
    items = cast(list[Any], parent)
    if operator == "add":
        items.insert(len(items) if last == "-" else _index(last, len(items), pointer), copy.deepcopy(value))
    elif operator == "remove":
        del items[int(last)]
    else:
        items[int(last)] = copy.deepcopy(value)
    return document


def patched_text(text: str, operations: Sequence[tuple[str, str, Any]], *, is_yaml: bool) -> str:
    """A text that is itself JSON or YAML, after (operator, pointer, value) one by one; YAML sorted by key."""
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        raise CannotPatch(f"{len(text):,} characters: up to {MAX_DOCUMENT_CHARACTERS:,} are taken")
    try:
        document = yaml_value(text, MAX_DOCUMENT_VALUES) if is_yaml else json.loads(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise CannotPatch(f"no {'YAML' if is_yaml else 'JSON'}: {error}") from error
    for operator, pointer, value in operations:
        document = patched(document, operator, pointer, value)
    if is_yaml:
        return yaml.safe_dump(document, default_flow_style=False, allow_unicode=True, width=2**20)
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _walk(document: Any, parts: Sequence[str], pointer: str) -> Any:
    """What the last part belongs to: an object or a list."""
    for part in parts:
        document = _child(document, part, pointer)
    if not isinstance(document, dict | list):
        raise CannotPatch(f"{pointer} is not there: {_text(parts)} is no object and no list")
    return cast(Any, document)


def _child(parent: Any, part: str, pointer: str) -> Any:
    if isinstance(parent, list):
        items = cast(list[Any], parent)
        return items[_index(part, len(items) - 1, pointer)]
    if not isinstance(parent, dict) or part not in parent:
        raise CannotPatch(f"{pointer} is not there: it has no {part!r}")
    return cast(dict[str, Any], parent)[part]


def _index(part: str, last: int, pointer: str) -> int:
    if not (part.isascii() and part.isdigit() and (part == "0" or part[0] != "0")):
        raise CannotPatch(f"{pointer} is not there: {part!r} is no index of a list")
    if int(part) > last:
        raise CannotPatch(f"{pointer} is not there: the list ends at {last}")
    return int(part)


def _text(parts: Sequence[str]) -> str:
    return "/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)
