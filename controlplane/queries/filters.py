"""`filter=`: terms joined by commas, all of which must hold.

    key=value  key==value  key!=value  key in (a,b)  key notin (a,b)  key  !key  key>5  key>=5  key<5  key<=5

A key that is a field of the row means that field; every other key is a label where the rows have labels, as
in Kubernetes, and refused where they have none. `label:KEY` is a label whatever the fields are called.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from controlplane.queries.paging import BadQuery

Scalar = str | int | float | bool | None
Value = Scalar | Sequence[str]
MAX_FILTER_CHARACTERS = 2000
MAX_TERMS = 32

_KEY = r"[A-Za-z0-9_./:-]+"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_COMPARISON = re.compile(rf"({_KEY})\s*(==|!=|>=|<=|=|>|<)\s*(\S.*|)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_SPLIT = re.compile(r",(?![^()]*\))")
_ORDERINGS: dict[str, Callable[[float, float], bool]] = {
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}


@dataclass(frozen=True)
class Term:
    """One condition. operator: in, notin, exists, absent, or a comparison of numbers."""

    key: str
    operator: str
    values: tuple[str, ...] = ()
    is_label: bool = False

    def holds(self, value: Value) -> bool:
        """Of a value that may have several parts (zones), `in` asks for any, `notin` for none."""
        if self.operator in _ORDERINGS:
            number = _number(value)
            return number is not None and _ORDERINGS[self.operator](number, float(self.values[0]))
        present = _texts(value)
        if self.operator == "exists":
            return bool(present)
        if self.operator == "absent":
            return not present
        overlap = any(text in self.values for text in present)
        return overlap if self.operator == "in" else not overlap


@dataclass(frozen=True)
class Filter:
    terms: tuple[Term, ...] = ()

    def holds(self, fields: Callable[[str], Value], labels: Mapping[str, str]) -> bool:
        """fields: gives the value of a field by its name."""
        return all(
            term.holds(labels.get(term.key) if term.is_label else fields(term.key)) for term in self.terms
        )

    def only(self, key: str) -> tuple[str, ...] | None:
        """The values that field `key` may have at all, where a term says so: what need not be read is not."""
        return next((term.values for term in self.terms if (term.key, term.operator) == (key, "in")), None)


def parse_filter(text: str, fields: Collection[str], *, labelled: bool) -> Filter:
    """`text` over rows with these fields. BadQuery names the term that is wrong, and what would be right."""
    if len(text) > MAX_FILTER_CHARACTERS:
        raise BadQuery("filter", f"{len(text)} characters; at most {MAX_FILTER_CHARACTERS}")
    parts = [part.strip() for part in _SPLIT.split(text) if part.strip()]
    if len(parts) > MAX_TERMS:
        raise BadQuery("filter", f"{len(parts)} terms; at most {MAX_TERMS}")
    return Filter(tuple(_parse_term(part, fields, labelled) for part in parts))


def _parse_term(text: str, fields: Collection[str], labelled: bool) -> Term:
    if found := _SET.fullmatch(text):
        key, operator, listed = found.groups()
        values = tuple(value.strip() for value in listed.split(","))
        return _resolve(key, operator, values, fields, labelled)
    if found := _COMPARISON.fullmatch(text):
        key, sign, value = found.groups()
        if sign in _ORDERINGS:
            _check_number(text, value)
            return _resolve(key, sign, (value,), fields, labelled)
        return _resolve(key, "notin" if sign == "!=" else "in", (value.strip(),), fields, labelled)
    if found := _EXISTS.fullmatch(text):
        negated, key = found.groups()
        return _resolve(key, "absent" if negated else "exists", (), fields, labelled)
    raise BadQuery(
        "filter",
        f"{text!r} is no term: key=value, key!=value, key in (a,b), key notin (a,b), key, !key, key>5",
    )


def _resolve(
    key: str, operator: str, values: tuple[str, ...], fields: Collection[str], labelled: bool
) -> Term:
    if key in fields:
        return Term(key, operator, values)
    if not labelled:
        raise BadQuery("filter", f"{key!r} is no field here: {', '.join(sorted(fields))}")
    return Term(key.removeprefix("label:"), operator, values, is_label=True)


def _check_number(term: str, text: str) -> None:
    try:
        float(text)
    except ValueError:
        raise BadQuery("filter", f"{term!r}: {text!r} is no number") from None


def _number(value: Value) -> float | None:
    """Also of a label such as `24`; None for what is no number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _texts(value: Value) -> Sequence[str]:
    if value is None or value == "":
        return ()
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, str | int | float):
        return (str(value),)
    return value
