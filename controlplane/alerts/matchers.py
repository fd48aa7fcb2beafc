"""Matchers as Alertmanager has them; regular expressions are RE2 and anchored.

Texts are read as Alertmanager 0.27 and later read them: by the classic grammar, and what that does not
understand by the UTF-8 one.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

import re2 as _untyped  # pyright: ignore[reportMissingTypeStubs]

from controlplane.alerts.alert import Labels
from controlplane.alerts.quoting import go_quote, go_unquote

_re2: Any = _untyped
_Read = TypeVar("_Read")
MOST_PATTERN = 4_096
MOST_VALUE = 32 * 1024
"""Of a label; what is longer is not accepted at any door."""
_MOST_MEMORY = 512 * 1024
_MOST_INSTRUCTIONS = 5_000
_MOST_WORK = _MOST_INSTRUCTIONS * 4_096
"""Linear is not yet quick. Instructions times characters within this took 10 ms at worst, that we found."""
_MOST_REMEMBERED = 256
_SPACES = " \t\n\v\f\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_RESERVED = re.compile(f"[{_SPACES}{{}}!=~,\\\\\"'`]")
_TOKENS = re.compile(
    rf"""[{_SPACES}]*(?:
    (?P<operator>=~|=|!=|!~)
    |(?P<quoted>"(?:[^"\\]|\\.)*")
    |(?P<unquoted>[^{_SPACES}{{}}!=~,\\"'`]+)
    |(?P<mark>[{{}},])
    |(?P<end>\Z))""",
    re.VERBOSE | re.DOTALL,
)
_CLASSIC = re.compile(
    r"[\t\n\f\r ]*([a-zA-Z_:][a-zA-Z0-9_:]*)[\t\n\f\r ]*(=~|=|!=|!~)[\t\n\f\r ]*(.*?)[\t\n\f\r ]*\Z",
    re.DOTALL,
)


class Operator(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    MATCHES = "=~"
    MATCHES_NOT = "!~"

    @property
    def is_regex(self) -> bool:
        return self in (Operator.MATCHES, Operator.MATCHES_NOT)

    @property
    def is_equal(self) -> bool:
        return self in (Operator.EQUAL, Operator.MATCHES)

    @classmethod
    def of(cls, is_regex: bool, is_equal: bool) -> "Operator":
        """As the API has it: `{"isRegex": false, "isEqual": true}` is `=`."""
        if is_regex:
            return cls.MATCHES if is_equal else cls.MATCHES_NOT
        return cls.EQUAL if is_equal else cls.NOT_EQUAL


_RANK = {operator: rank for rank, operator in enumerate(Operator)}


@dataclass(frozen=True, slots=True)
class Matcher:
    """`name operator value`; a label that is absent is the same as one that is empty.

    Raises ValueError, saying what would be right, for a value that is no regular expression or too large.
    """

    name: str
    operator: Operator
    value: str

    def __post_init__(self) -> None:
        if self.operator.is_regex:
            _compiled(self.value)
        elif len(self.value) > MOST_VALUE:
            raise ValueError(f"a value of {len(self.value):,} characters: up to {MOST_VALUE:,} are taken")

    def matches(self, labels: Labels) -> bool:
        value = labels.get(self.name, "")
        operator = self.operator
        if operator is Operator.EQUAL:
            return value == self.value
        if operator is Operator.NOT_EQUAL:
            return value != self.value
        return _found(self.value, value) is (operator is Operator.MATCHES)

    def __str__(self) -> str:
        """As Alertmanager writes it, in route keys too: `owner=~"team-(A|B)"`."""
        if _RESERVED.search(self.name):
            return f"{go_quote(self.name)}{self.operator}{go_quote(self.value)}"
        escaped = self.value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
        return f'{self.name}{self.operator}"{escaped}"'


def matches_all(matchers: Iterable[Matcher], labels: Labels) -> bool:
    return all(matcher.matches(labels) for matcher in matchers)


def sorted_matchers(matchers: Iterable[Matcher]) -> tuple[Matcher, ...]:
    """By name, value, operator: the order of route keys."""
    return tuple(sorted(matchers, key=lambda each: (each.name, each.value, _RANK[each.operator])))


def canonical(matchers: Iterable[Matcher]) -> str:
    """`{alertname="X",owner=~"A|B"}`, in the order given."""
    return "{" + ",".join(str(matcher) for matcher in matchers) + "}"


def parse_matcher(text: str) -> Matcher:
    """One, without braces: `alertname=Disk`, `alertname=~"Disk.*"`, `"my label"!=x`. ValueError."""
    if text.startswith("{") or text.endswith("}"):
        raise ValueError(f"{text!r}: braces are not taken round one matcher; write {text.strip('{}')!r}")
    return _classic_first(_classic_matcher, _one_utf8, text)


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Any number, with or without braces: `{alertname="Disk", severity=~"warning|critical"}`. ValueError.

    They stay in the order in which they were written.
    """
    return _classic_first(_classic_matchers, _utf8_matchers, text)


def _classic_first(classic: Callable[[str], _Read], utf8: Callable[[str], _Read], text: str) -> _Read:
    """What either grammar takes; where both do, Alertmanager keeps to the classic one."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{text!a}: not UTF-8") from error
    try:
        return classic(text)
    except ValueError as refused:
        try:
            return utf8(text)
        except ValueError:
            raise refused from None


@lru_cache(maxsize=8_192)
def _compiled(pattern: str) -> Any:
    if len(pattern) > MOST_PATTERN:
        raise ValueError(f"a pattern of {len(pattern):,} characters: up to {MOST_PATTERN:,} are taken")
    options = _re2.Options()
    options.max_mem, options.log_errors, options.never_capture = _MOST_MEMORY, False, True
    try:
        compiled = _re2.compile(f"^(?:{pattern})$", options)
    except _re2.error as error:
        said: bytes = error.args[0]
        raise ValueError(f"{pattern!r} is no pattern of RE2: {said.decode(errors='replace')}") from error
    if compiled.programsize > _MOST_INSTRUCTIONS:
        raise ValueError(
            f"{pattern!r} comes to {compiled.programsize:,} instructions: up to {_MOST_INSTRUCTIONS:,} are"
            " taken; repeat less often"
        )
    return compiled


def _found(pattern: str, value: str) -> bool:
    """What would be slow is never begun: it does not match. That takes a large pattern and a large value."""
    if len(value) <= _MOST_REMEMBERED:
        return _found_before(pattern, value)
    compiled = _compiled(pattern)
    return len(value) * compiled.programsize <= _MOST_WORK and compiled.search(value) is not None


@lru_cache(maxsize=65_536)
def _found_before(pattern: str, value: str) -> bool:
    return _compiled(pattern).search(value) is not None


def _utf8_matchers(text: str) -> tuple[Matcher, ...]:
    """The grammar of matcher/parse of Alertmanager; braces and a last comma are optional."""
    tokens = _utf8_tokens(text)
    braces = bool(tokens) and tokens[0] == ("mark", "{")
    if braces:
        if tokens[-1] != ("mark", "}") or len(tokens) < 2:
            raise ValueError(f"{text!r}: the closing brace is missing")
        tokens = tokens[1:-1]
    matchers: list[Matcher] = []
    place = 0
    while place < len(tokens):
        kinds = [kind for kind, _ in tokens[place : place + 3]]
        words = ("quoted", "unquoted")
        if len(kinds) < 3 or kinds[0] not in words or kinds[1] != "operator" or kinds[2] not in words:
            raise ValueError(f"{text!r}: NAME=VALUE is expected, with = or != or =~ or !~")
        name, operator, value = (token for _, token in tokens[place : place + 3])
        matchers.append(Matcher(_word(name), Operator(operator), _word(value)))
        place += 3
        if place < len(tokens):
            if tokens[place] != ("mark", ","):
                raise ValueError(f"{text!r}: a comma is expected between matchers")
            place += 1
    return tuple(matchers)


def _one_utf8(text: str) -> Matcher:
    matchers = _utf8_matchers(text)
    if len(matchers) != 1:
        raise ValueError(f"{text!r}: {len(matchers)} matchers where one is expected")
    return matchers[0]


def _utf8_tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place = 0
    while True:
        found = _TOKENS.match(text, place)
        if found is None or found.lastgroup is None:
            raise ValueError(f"{text!r}: {text[place : place + 10]!r} is not expected there")
        if found.lastgroup == "end":
            return tokens
        tokens.append((found.lastgroup, found.group(found.lastgroup)))
        place = found.end()


def _word(token: str) -> str:
    return go_unquote(token) if token.startswith('"') else token


def _classic_matchers(text: str) -> tuple[Matcher, ...]:
    """The grammar of pkg/labels of Alertmanager, with its leniencies."""
    text = text.removeprefix("{").removesuffix("}")
    tokens: list[str] = []
    start, quoted, escaped = 0, False, False
    for place, character in enumerate(text):
        if character == "," and not quoted:
            tokens.append(text[start:place])
            start = place + 1
        elif character == '"':
            quoted, escaped = quoted if escaped else not quoted, False
        elif character == "\\":
            escaped = not escaped
        elif character != ",":
            escaped = False
    last = text[start:].strip(_SPACE_CHARACTERS)
    return tuple(_classic_matcher(token) for token in [*tokens, *([last] if last else [])])


_SPACE_CHARACTERS = "".join(chr(code) for code in range(0x3001) if re.match(f"[{_SPACES}]", chr(code)))


def _classic_matcher(text: str) -> Matcher:
    found = _CLASSIC.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no matcher: NAME=VALUE, or with != or =~ or !~")
    name, operator, raw = found.groups()
    closing = raw.startswith('"')
    return Matcher(name, Operator(operator), _unescaped(raw[1:] if closing else raw, closing, text))


def _unescaped(raw: str, closing: bool, text: str) -> str:
    """`closing`: whether a last double quote belongs to the syntax."""
    value: list[str] = []
    escaped = False
    for place, character in enumerate(raw):
        last = place == len(raw) - 1
        if escaped:
            escaped = False
            value.append({"n": "\n", '"': '"', "\\": "\\"}.get(character, "\\" + character))
        elif character == "\\" and not last:
            escaped = True
        elif character == '"':
            if not (closing and last):
                raise ValueError(f'{text!r}: a double quote inside the value is written \\"')
            closing = False
        else:
            value.append(character)
    if closing:
        raise ValueError(f"{text!r}: the closing double quote is missing")
    return "".join(value)
