"""Messages as a later release might send them: fields, elements and values that this one does not know."""

import copy
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

LATER = {"said": ["by a later release", 1, None]}


def grown(kind: type[Any], message: Any) -> Any:
    """`message` of `kind` with a field more in every struct of it, or an element where it is an array."""
    made = copy.deepcopy(message)
    _grow(inspect.type_info(kind), made)
    return made


def _grow(kind: inspect.Type, value: Any) -> None:
    match kind:
        case inspect.StructType():
            fields = kind.fields
            if kind.array_like:
                for field, each in zip(fields, list(value), strict=False):
                    _grow(field.type, each)
                value.append(LATER)
            else:
                for field in fields:
                    if field.encode_name in value:
                        _grow(field.type, value[field.encode_name])
                value["later"] = LATER
        case inspect.ListType() | inspect.VarTupleType():
            for each in value:
                _grow(kind.item_type, each)
        case inspect.TupleType():
            for item, each in zip(kind.item_types, value, strict=True):
                _grow(item, each)
        case inspect.DictType():
            for each in value.values():
                _grow(kind.value_type, each)
        case inspect.UnionType():
            for one in kind.types:
                if _fits(one, value):
                    _grow(one, value)
        case _:
            pass


def with_later_values(kind: type[Any], message: Any) -> Iterator[Any]:
    """One copy for each place where a value of an enum stands, with a value there that is none yet."""
    for path in _enums(inspect.type_info(kind), message, ()):
        made = copy.deepcopy(message)
        held = made
        for step in path[:-1]:
            held = held[step]
        held[path[-1]] = "Later"
        yield made


def _enums(kind: inspect.Type, value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    match kind:
        case inspect.EnumType():
            yield path
        case inspect.StructType() if not kind.array_like:
            for field in kind.fields:
                if field.encode_name in value:
                    yield from _enums(field.type, value[field.encode_name], (*path, field.encode_name))
        case inspect.ListType() | inspect.VarTupleType():
            for index, each in enumerate(value):
                yield from _enums(kind.item_type, each, (*path, index))
        case inspect.UnionType():
            for one in kind.types:
                if _fits(one, value):
                    yield from _enums(one, value, path)
        case _:
            pass


def _fits(kind: inspect.Type, value: Any) -> bool:
    match kind:
        case inspect.NoneType():
            return value is None
        case inspect.StructType():
            return isinstance(value, list if kind.array_like else dict)
        case inspect.DictType():
            return isinstance(value, dict)
        case inspect.ListType() | inspect.VarTupleType() | inspect.TupleType():
            return isinstance(value, list)
        case inspect.EnumType():
            return isinstance(value, str)
        case _:
            return False
