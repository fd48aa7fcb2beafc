"""Paths into an object: `spec.template`, `spec.tasks[*].template`, `metadata.annotations["a.b/c"]`. Pure.

A step is a key, a key in brackets and double quotes where it has dots, or `[*]`: every item of a list, or
every value of an object. The empty path is the object itself. Nothing else is taken: no filters, no code.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

MOST_STEPS = 16
LONGEST = 300
MOST_FOUND = 1000

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_STEP = re.compile(r'(?:(?:^|\.)([A-Za-z0-9_][A-Za-z0-9_-]*)|\[(\*)\]|\["([^"\[\]]{1,253})"\])')

Path = tuple[str | None, ...]
"""Keys from the outside in; None for `[*]`."""
Product = Sequence[tuple[str, Path]]
"""(`*` or `/`, path): multiplied and divided from left to right, the first by itself."""


def parse_path(text: str) -> Path:
    """ValueError says what would be right."""
    if len(text) > LONGEST:
        raise ValueError(f"a path of {len(text)} characters: up to {LONGEST} are taken")
    steps: list[str | None] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or (text[at] == "." and not at):
            raise ValueError(
                f'{text!r} is no path: keys with dots between, [*], or ["a key"], as spec.tasks[*].template'
            )
        key, every, quoted = found.groups()
        steps.append(None if every else key or quoted)
        at = found.end()
    if len(steps) > MOST_STEPS:
        raise ValueError(f"{text!r} has {len(steps)} steps: up to {MOST_STEPS} are taken")
    return tuple(steps)


def parse_product(text: str) -> Product:
    """`cores * threads`, `parallelism / slots`: paths to one field each. ValueError says what is wrong."""
    words = re.split(r" ([*/]) ", text)
    pairs = zip(["*", *words[1::2]], words[0::2], strict=True)
    steps = tuple((operator, parse_path(word)) for operator, word in pairs)
    for _, path in steps:
        plain(path)
    return steps


def find(root: Any, path: Path) -> list[tuple[tuple[str | int, ...], Any]]:
    """(where, value) of all that stands there and is not null, in order; ValueError above 1,000 of them."""
    found: list[tuple[tuple[str | int, ...], Any]] = []
    for each in _walk(root, path, ()):
        found.append(each)
        if len(found) > MOST_FOUND:
            raise ValueError(f"more than {MOST_FOUND:,} values stand at {path_text(path)}")
    return found


def first(root: Any, path: Path) -> Any:
    """What stands there first, None for nothing."""
    value = root
    for step in path:
        if step is None:
            return next((value for _, value in _walk(root, path, ())), None)
        # A dict is told at once; Mapping is asked of a class that knows many.
        if not isinstance(value, dict) and not isinstance(value, Mapping):
            return None
        value = cast("Mapping[str, Any]", value).get(step)
    return value


def _walk(
    value: Any, path: Path, where: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if value is None:
        return
    if not path:
        yield where, value
        return
    step, rest = path[0], path[1:]
    if step is not None:
        if isinstance(value, Mapping):
            yield from _walk(cast(Mapping[str, Any], value).get(step), rest, (*where, step))
    elif isinstance(value, Mapping):
        for key, inner in cast(Mapping[str, Any], value).items():
            yield from _walk(inner, rest, (*where, key))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for index, inner in enumerate(cast(Sequence[Any], value)):
            yield from _walk(inner, rest, (*where, index))


def put(root: dict[str, Any], path: Path, value: Any) -> None:
    """Set it, objects on the way made; `path` has no `[*]`. ValueError where something else is in the way."""
    inner = root
    *above, last = plain(path)
    for at, step in enumerate(above):
        under: Any = inner.get(step)
        if under is None:
            under = inner[step] = {}
        if not isinstance(under, dict):
            raise ValueError(f"{path_text(path[: at + 1])}: an object is needed")
        inner = cast(dict[str, Any], under)
    inner[last] = value


def drop(root: dict[str, Any], path: Path) -> None:
    """Take out what stands there; `path` has no `[*]`."""
    parent = first(root, path[:-1])
    if isinstance(parent, dict):
        cast(dict[str | None, Any], parent).pop(path[-1], None)


def plain(path: Path) -> tuple[str, ...]:
    """The steps of a path to one field; ValueError where it has `[*]` or none at all."""
    steps = tuple(step for step in path if step is not None)
    if not steps or len(steps) != len(path):
        raise ValueError(f"{path_text(path)!r}: one field is needed here: a path without [*]")
    return steps


def path_text(path: Sequence[str | int | None]) -> str:
    """As it is written: `spec.tasks[0].template`, `metadata.annotations["a.b/c"]`."""
    text = ""
    for step in path:
        if step is None:
            text += "[*]"
        elif isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text
