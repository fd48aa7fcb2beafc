"""Matchers of labels, as people write them in Alertmanager's files: `severity="critical"`, `node=~"edge-.*"`.

Four operators: = and != compare, =~ and !~ match RE2, anchored. A label that is missing equals "". Names in
quotes may have any characters.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import re2 as _untyped  # pyright: ignore[reportMissingTypeStubs]

_re2: Any = _untyped
LONGEST_PATTERN = 1000
_WRITTEN = re.compile(
    r"""\s*(?P<name>"(?:[^"\\]|\\.)*"|[^"=!~\s{},]+)\s*(?P<operator>=~|!~|!=|=)\s*"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"|[^"]*?)\s*""",
    re.DOTALL,
)
_ESCAPED = re.compile(r"""\\([n"\\])""")
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class Matcher:
    """One condition on one label; `holds` gets its value, "" for none."""

    name: str
    operator: str
    value: str
    holds: Callable[[str], bool]

    def __str__(self) -> str:
        return f'{self.name}{self.operator}"{self.value}"'


def read_matcher(text: str) -> Matcher:
    """ValueError says what would be right."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is no matcher: NAME="VALUE" with one of = != =~ !~ is expected')
    name, operator, value = _unquoted(found["name"]), found["operator"], _unquoted(found["value"])
    match operator:
        case "=":
            return Matcher(name, operator, value, value.__eq__)
        case "!=":
            return Matcher(name, operator, value, value.__ne__)
        case _:
            matches = _compiled(text, value)
            if operator == "=~":
                return Matcher(name, operator, value, matches)
            return Matcher(name, operator, value, lambda label: not matches(label))


def all_hold(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every one does; none at all hold of everything."""
    return all(matcher.holds(labels.get(matcher.name, "")) for matcher in matchers)


def _compiled(text: str, pattern: str) -> Callable[[str], bool]:
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"{text[:80]!r}...: at most {LONGEST_PATTERN} characters of a pattern are taken")
    options = _re2.Options()
    options.max_mem, options.log_errors = _MOST_BYTES, False
    try:
        compiled = _re2.compile(pattern, options)
    except _re2.error as error:
        said: bytes = error.args[0]
        raise ValueError(f"{text!r} is no pattern of RE2: {said.decode()}") from None
    return lambda label: compiled.fullmatch(label) is not None


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])
