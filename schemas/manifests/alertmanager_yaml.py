"""YAML as the fields of Alertmanager want it: every scalar stays the text it was, every value has a line."""

from collections.abc import Sequence
from typing import Any, cast

import yaml

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 100
MAX_VALUES = 200_000
Path = tuple[str | int, ...]
_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"


class Unreadable(ValueError):
    """The text is no YAML, or more than is taken. line: from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class Document:
    """One YAML document. value: mappings, lists and texts; None where nothing stands.

    doubled: (line, path) of keys that stand twice in one mapping.
    """

    def __init__(self, text: str) -> None:
        """Raises Unreadable. Aliases count as what they stand for, before anything is built of them."""
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_BYTES:
            raise Unreadable(1, f"{size:,} bytes: up to {MAX_BYTES:,} are taken")
        self._root = _compose(text)
        self._left = MAX_VALUES
        self.doubled: list[tuple[int, Path]] = []
        self.value: Any = None if self._root is None else self._value(self._root, (), ())

    def line_of(self, path: Sequence[str | int]) -> int:
        """Where it stands, or where it would have to: the line of what is around it."""
        return self._find(path)[0]

    def line_in(self, path: Sequence[str | int], line: int) -> int:
        """The line of the file that is this line, from 1, of the text at `path`."""
        key, node = self._find(path)
        if not isinstance(node, yaml.ScalarNode):
            return key
        return node.start_mark.line + line + (1 if node.style in ("|", ">") else 0)

    def _find(self, path: Sequence[str | int]) -> tuple[int, yaml.Node | None]:
        node, line = self._root, 1
        for part in path:
            if isinstance(node, yaml.MappingNode):
                found = _entry(node, str(part), 0)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                found = (node.value[part], node.value[part])
            else:
                found = None
            if found is None:
                return line, None
            line, node = found[0].start_mark.line + 1, found[1]
        return line, node

    def _value(self, node: yaml.Node, path: Path, around: tuple[int, ...]) -> Any:
        self._left -= 1
        line = node.start_mark.line + 1
        if self._left < 0:
            raise Unreadable(line, f"more than {MAX_VALUES:,} values once its aliases are followed")
        if id(node) in around:
            raise Unreadable(line, "an anchor inside itself")
        if isinstance(node, yaml.SequenceNode):
            inside = (*around, id(node))
            return [self._value(each, (*path, place), inside) for place, each in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, (*around, id(node)))
        return None if node.tag == _NULL else node.value

    def _mapping(self, node: yaml.MappingNode, path: Path, around: tuple[int, ...]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            line = key.start_mark.line + 1
            if key.tag == _MERGE:
                merged = {**self._merged(value, path, around), **merged}
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise Unreadable(line, "a key is a text")
            if key.value in own:
                self.doubled.append((line, (*path, key.value)))
            own[key.value] = self._value(value, (*path, key.value), around)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, path: Path, around: tuple[int, ...]) -> dict[str, Any]:
        given = self._value(node, path, around)
        parts = cast("list[Any]", given) if isinstance(given, list) else [given]
        result: dict[str, Any] = {}
        for part in parts:
            if not isinstance(part, dict):
                raise Unreadable(node.start_mark.line + 1, "<<: takes a mapping, or a list of mappings")
            result = {**cast("dict[str, Any]", part), **result}
        return result


def _entry(node: yaml.MappingNode, key: str, depth: int) -> tuple[yaml.Node, yaml.Node] | None:
    merged: list[yaml.Node] = []
    for name, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
        if name.tag == _MERGE:
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
        elif name.value == key:
            return name, value
    if depth < MAX_DEPTH:
        for each in merged:
            found = _entry(each, key, depth + 1) if isinstance(each, yaml.MappingNode) else None
            if found:
                return found
    return None


def _compose(text: str) -> yaml.Node | None:
    try:
        _check_depth(text)
        loader = yaml.CSafeLoader(text)
        try:
            node = loader.get_node() if loader.check_node() else None
            if loader.check_node():
                second = loader.get_node()
                if second is not None and second.tag != _NULL:
                    raise Unreadable(second.start_mark.line + 1, "a second document: one is taken")
            return node
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(
            mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}"
        ) from error
    except yaml.YAMLError as error:
        position = int(getattr(error, "position", 0) or 0)
        line = text.count("\n", 0, position) + 1
        raise Unreadable(line, f"not YAML: {getattr(error, 'reason', error)}") from error
    except UnicodeEncodeError as error:
        raise Unreadable(text.count("\n", 0, error.start) + 1, "not UTF-8") from error


def _check_depth(text: str) -> None:
    """Before the composer sees it: it recurses in C, where a deep nest ends the process."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise Unreadable(line, f"nested more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
