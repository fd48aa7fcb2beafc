"""Alert rules of the centre: a CEL expression over one thing at a time, held for a while, makes an alert.

`for` counts as Prometheus' does: an alert is pending from the first look at which the expression holds, fires
when it has held for so long, and ends at the first look at which it does not.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from controlplane.alerts.alert import Labels

if TYPE_CHECKING:
    import cel

Row = Mapping[str, Any]
T = TypeVar("T")
MOST_VALUE = 2_048
"""Characters of an annotation."""
MOST_NESTED = 2
_MOST_ERRORS = 3
_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_EMBEDDED = re.compile(r"\{\{(.+?)\}\}", re.DOTALL)


class RuleError(ValueError):
    """The text says which expression, and what would be right.

    of_this_thing: another thing may have the key, or another number, that this one lacks.
    """

    def __init__(self, text: str, *, of_this_thing: bool = False) -> None:
        super().__init__(text)
        self.of_this_thing = of_this_thing


@dataclass(frozen=True)
class Thing:
    """What a rule looks at: the variable's fields, and the labels that tell it from others of its kind."""

    labels: Labels
    row: Row


@dataclass(frozen=True)
class Firing:
    """One alert of a rule: its labels, and its annotations as of this look."""

    labels: Labels
    annotations: Labels


Key = tuple[tuple[str, str], ...]
"""Labels as sorted pairs."""


@dataclass(frozen=True)
class Look:
    """unsure: things of which it cannot be said whether it holds; errors: why, of a few of them."""

    holds: Mapping[Key, Firing]
    unsure: frozenset[Key] = frozenset()
    errors: tuple[str, ...] = ()


def held_since(before: Mapping[Key, float], look: Look, now: float) -> dict[Key, float]:
    """Since when it holds, of what it holds of now. Of what cannot be said, what was said before stays."""
    since = {key: before.get(key, now) for key in look.holds}
    return since | {key: at for key, at in before.items() if key in look.unsure}


class Expression:
    """One CEL expression, compiled."""

    def __init__(self, text: str) -> None:
        """Raises RuleError."""
        if len(_MACRO.findall(text)) > MOST_NESTED:
            raise RuleError(f"{_short(text)}: more than {MOST_NESTED} of all, exists, map, filter in one")
        # It brings a command line of its own along, a tenth of a second: only who has rules pays for it.
        import cel

        self.text = text
        try:
            self._program: Any = cel.compile(text)
        except Exception as error:
            raise RuleError(f"{_short(text)}: {_first_line(error)}") from None

    def value(self, context: "cel.Context") -> object:
        """Raises RuleError where it cannot be said of this thing."""
        try:
            return self._program.execute(context)
        except Exception as error:
            passing = isinstance(error, (LookupError, ArithmeticError))
            said = f"has no {error}" if isinstance(error, LookupError) else _first_line(error)
            raise RuleError(f"{_short(self.text)}: {said}", of_this_thing=passing) from None


class Template:
    """A text with expressions in `{{ }}`."""

    def __init__(self, text: str) -> None:
        """Raises RuleError."""
        parts = _EMBEDDED.split(text)
        self._parts: list[str | Expression] = [
            Expression(part.strip()) if index % 2 else part for index, part in enumerate(parts)
        ]

    @property
    def expressions(self) -> list[Expression]:
        return [part for part in self._parts if isinstance(part, Expression)]

    def fill(self, context: "cel.Context") -> str:
        """What cannot be said stands there as its reason: an alert is not lost for the sake of its text."""
        filled: list[str] = []
        for part in self._parts:
            if isinstance(part, str):
                filled.append(part)
                continue
            try:
                filled.append(_text(part.value(context)))
            except RuleError as error:
                filled.append(f"<{error}>")
        return "".join(filled)[:MOST_VALUE]


class Rule:
    """One rule, compiled once from its manifest.

    name: becomes `alertname`. over: the variable in its expressions. for_seconds: how long it must hold.
    """

    def __init__(
        self,
        name: str,
        over: str,
        expression: str,
        *,
        for_seconds: float = 0.0,
        labels: Labels | None = None,
        annotations: Labels | None = None,
    ) -> None:
        """Raises RuleError, naming the field."""
        self.name, self.over, self.for_seconds = name, over, for_seconds
        self._labels = dict(labels or {})
        self._expression = _in_field("spec.expr", lambda: Expression(expression))
        self._annotations = {
            key: _in_field(f"spec.annotations[{key}]", lambda text=text: Template(text))
            for key, text in (annotations or {}).items()
        }

    def try_on(self, row: Row, now: float) -> None:
        """Whether it can be said of things with these fields. RuleError names what is asked for in vain."""
        written = [("spec.expr", self._expression)]
        for name, template in self._annotations.items():
            written += [(f"spec.annotations[{name}]", each) for each in template.expressions]
        for field, expression in written:
            asked = re.findall(rf"\b{self.over}\.([A-Za-z_]+)", expression.text)
            if strangers := [each for each in asked if each not in row]:
                raise RuleError(
                    f"{field}: {self.over}.{strangers[0]}: a {self.over} has {', '.join(sorted(row))}"
                )
        try:
            self._holds(self._context(row, now))
        except RuleError as error:
            if not error.of_this_thing:
                raise RuleError(f"spec.expr: {error}") from None

    def look(self, things: Iterable[Thing], now: float) -> Look:
        """Of which of these it holds. now: Unix seconds."""
        holds: dict[Key, Firing] = {}
        unsure: set[Key] = set()
        errors: list[str] = []
        for thing in things:
            context = self._context(thing.row, now)
            labels = {"alertname": self.name, "source": "muster", **self._labels, **thing.labels}
            key = tuple(sorted(labels.items()))
            try:
                if self._holds(context):
                    annotations = {name: text.fill(context) for name, text in self._annotations.items()}
                    holds[key] = Firing(labels, annotations)
            except RuleError as error:
                unsure.add(key)
                if len(errors) < _MOST_ERRORS:
                    errors.append(f"{' '.join(thing.labels.values())}: {error}")
        return Look(holds, frozenset(unsure), tuple(errors))

    def _context(self, row: Row, now: float) -> "cel.Context":
        import cel

        return cel.Context({self.over: dict(row), "now": int(now)})

    def _holds(self, context: "cel.Context") -> bool:
        value = self._expression.value(context)
        if not isinstance(value, bool):
            raise RuleError(f"{_short(self._expression.text)}: is {value!r:.100}, not true or false")
        return value


def _in_field(field: str, compiled: Callable[[], T]) -> T:
    try:
        return compiled()
    except RuleError as error:
        raise RuleError(f"{field}: {error}") from None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
