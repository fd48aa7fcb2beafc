"""Selectors of DRA device classes, in CEL as Kubernetes evaluates it on a device.

Known beyond CEL itself: quantity and semver with their comparisons, the commonest functions of strings. What
else Kubernetes adds (cel.bind, optionals, ...) cannot be evaluated here.
Source: k8s.io/dynamic-resource-allocation/cel.
"""

import re
from collections.abc import Callable
from typing import Any

from schemas.quantities import quantity_amount

_DOMAIN = re.compile(r"\[\s*[\"']([^\"']{1,253})[\"']\s*\]")
_SEMVER = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
View = dict[str, Any]
"""The variable `device`: driver, attributes and capacity by domain, allowMultipleAllocations."""
Precedence = tuple[int, int, int, int, tuple[tuple[int, int, str], ...]]


class CannotEvaluate(ValueError):
    """The text says which expression, and why."""


class Selector:
    """All expressions hold. Raises CannotEvaluate for what is no expression."""

    def __init__(self, expressions: tuple[str, ...]) -> None:
        # An agent whose cluster has no such classes does not pay for the library: 10 MB, half a second.
        import cel

        self._programs: list[tuple[str, Any]] = []
        self._context: Callable[[View], Any] = lambda view: cel.Context({"device": view}, _FUNCTIONS)
        self._domains = {domain for each in expressions for domain in _DOMAIN.findall(each)}
        for expression in expressions:
            try:
                self._programs.append((expression, cel.compile(expression)))
            except Exception as error:
                raise CannotEvaluate(f"{expression[:200]!r}: {str(error)[:200]}") from None

    def matches(self, view: View) -> bool:
        """Raises CannotEvaluate where one of them is not true or false of this device."""
        context = self._context(self._with_domains(view))
        for expression, program in self._programs:
            try:
                found = program.execute(context)
            except Exception as error:
                raise CannotEvaluate(f"{expression[:200]!r}: {str(error)[:200]}") from None
            if not isinstance(found, bool):
                raise CannotEvaluate(f"{expression[:200]!r}: is {found!r:.100}, not true or false")
            if not found:
                return False
        return True

    def _with_domains(self, view: View) -> View:
        """A domain that a device says nothing of is an empty one, no error."""
        nothing: dict[str, View] = {domain: {} for domain in self._domains}
        return view | {key: {**nothing, **view[key]} for key in ("attributes", "capacity")}


def _compare(left: object, right: object) -> int:
    """Of two quantities or two versions."""
    if isinstance(left, str) and isinstance(right, str):
        ours, theirs = _version(left), _version(right)
        return (ours > theirs) - (ours < theirs)
    if isinstance(left, int) and isinstance(right, int):
        return (left > right) - (left < right)
    raise ValueError(f"{left!r} and {right!r} cannot be compared")


def _version(text: str) -> Precedence:
    """By the rules of semver.org: a pre-release goes before its release, numbers before words."""
    found = _SEMVER.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no version: MAJOR.MINOR.PATCH")
    major, minor, patch, pre = found.groups()
    parts = tuple(
        (0, int(each), "") if each.isdecimal() else (1, 0, each) for each in (pre or "").split(".") if each
    )
    return int(major), int(minor), int(patch), int(pre is None), parts


def _quantity(text: str) -> int:
    return quantity_amount("memory", text)


def _semver(text: str) -> str:
    _version(text)
    return text


def _is_greater(left: object, right: object) -> bool:
    return _compare(left, right) > 0


def _is_less(left: object, right: object) -> bool:
    return _compare(left, right) < 0


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "quantity": _quantity,
    "semver": _semver,
    "compareTo": _compare,
    "isGreaterThan": _is_greater,
    "isLessThan": _is_less,
    "asInteger": int,
    "lowerAscii": str.lower,
    "upperAscii": str.upper,
    "trim": str.strip,
    "split": str.split,
    "replace": str.replace,
}
