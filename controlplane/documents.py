"""JSON bodies as plain values, and a guard before YAML is read. Pure."""

import json
import math
from typing import Any, cast

import yaml

MAX_VALUES = 200_000
MAX_DEPTH = 64


class Unreadable(ValueError):
    """Text that is no YAML or JSON; says where, and what was expected."""


def check_nesting(text: bytes) -> None:
    """Before anything is built: libyaml composes by recursion, and enough `- - - -` ends the process.

    Raises Unreadable. Text that is no YAML passes: the reader says better what is wrong with it.
    """
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                raise Unreadable(f"nested deeper than {MAX_DEPTH}")
    except (yaml.YAMLError, UnicodeDecodeError):
        return


def read_json(text: bytes) -> Any:
    """One JSON text. Raises Unreadable with line and column."""
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_doubles,
        )
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg}, line {error.lineno} column {error.colno}") from error
    except RecursionError:
        raise Unreadable(f"nested deeper than {MAX_DEPTH}") from None
    except ValueError as error:
        raise error if isinstance(error, Unreadable) else Unreadable(f"not JSON: {error}") from error
    if _may_be_large(text):
        _count(value, MAX_VALUES, MAX_DEPTH)
    return value


def _may_be_large(text: bytes) -> bool:
    """Whether nesting, values or half a character could be out of bounds: nearly every text shows at once
    that they cannot be, and is not walked."""
    opened = text.count(b"{") + text.count(b"[")
    return opened > MAX_DEPTH or opened + text.count(b",") + 1 > MAX_VALUES or b"\\u" in text


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Unreadable("a number that is larger than numbers are")
    return number


def _refuse_constant(name: str) -> Any:
    raise Unreadable(f"not JSON: {name} is no number of JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise Unreadable(f"the key {doubled!r} is given twice")
    return result


def _count(value: Any, left: int, depth: int) -> int:
    """How many values may still follow."""
    if depth == 0:
        raise Unreadable(f"nested deeper than {MAX_DEPTH}")
    left -= 1
    if left < 0:
        raise Unreadable(f"more than {MAX_VALUES} values")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, inner in cast(dict[str, Any], value).items():
            _check_text(key)
            left = _count(inner, left, depth - 1)
    elif isinstance(value, list):
        for inner in cast(list[Any], value):
            left = _count(inner, left, depth - 1)
    return left


def _check_text(text: str) -> None:
    """JSON can escape half a character, which nothing behind us could write down."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unreadable(f"not text: half a character at {error.start} of {text[:20]!a}") from None
