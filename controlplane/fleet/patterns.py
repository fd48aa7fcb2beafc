"""Regular expressions that people write, in time linear in the value: no backtracking, nothing unbounded.

The part of RE2's syntax (NFD's) that decides whether a value matches: literals, classes, groups, `|`, `*`,
`+`, `?`, `{n,m}`, anchors. What RE2 has beyond that is refused by name.
"""

import re
from collections.abc import Callable
from functools import lru_cache

MOST_PATTERN = 256
MOST_STEPS = 1_000
MOST_VALUE = 4_096
_MOST_STATES = 2_000
_CLASS_ESCAPES = "dDwWsS"
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}

_SET_OPERATORS = re.compile(r"(?<!\\)[\[&~|]")

_START, _END, _SPLIT, _MATCH = "start", "end", "split", "match"
_Matches = Callable[[str], bool]
_Step = tuple[str | _Matches, tuple[int, ...]]
_Part = list[_Step]
"""Steps whose targets count from the step itself; running off the end is going on."""


@lru_cache(maxsize=1_024)
def pattern(text: str) -> "Pattern":
    """ValueError says what of it is not taken."""
    return Pattern(text)


class Pattern:
    """One expression. `found`: whether it matches anywhere in a value, as Go's MatchString."""

    def __init__(self, text: str) -> None:
        if len(text) > MOST_PATTERN:
            raise ValueError(f"a pattern of {len(text)} characters: up to {MOST_PATTERN} are taken")
        self._steps = [*_Parser(text).parsed(), (_MATCH, ())]
        self._next: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def found(self, value: str) -> bool:
        """False for a value above MOST_VALUE characters."""
        if len(value) > MOST_VALUE:
            return False
        first = self._closure({0}, at_start=True, at_end=not value)
        last = len(self._steps) - 1
        states = first
        for index, character in enumerate(value):
            if last in states:
                return True
            states = self._after(states, character, at_end=index + 1 == len(value))
        return last in states

    def _after(self, states: frozenset[int], character: str, *, at_end: bool) -> frozenset[int]:
        key = states, character
        known = None if at_end else self._next.get(key)
        if known is not None:
            return known
        reached = {0}
        for at in states:
            what, targets = self._steps[at]
            if not isinstance(what, str) and what(character):
                reached.update(at + target for target in targets)
        after = self._closure(reached, at_start=False, at_end=at_end)
        if not at_end:
            if len(self._next) >= _MOST_STATES:
                self._next.clear()
            self._next[key] = after
        return after

    def _closure(self, states: set[int], *, at_start: bool, at_end: bool) -> frozenset[int]:
        seen: set[int] = set()
        left = list(states)
        while left:
            at = left.pop()
            if at in seen:
                continue
            seen.add(at)
            what, targets = self._steps[at]
            if what == _SPLIT or (what == _START and at_start) or (what == _END and at_end):
                left += [at + target for target in targets]
        return frozenset(seen)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._flags = re.ASCII

    def parsed(self) -> _Part:
        if self._text.startswith("(?i)"):
            self._flags |= re.IGNORECASE
            self._at = 4
        part = self._either()
        if self._at < len(self._text):
            raise self._error("an unmatched )")
        return part

    def _error(self, what: str) -> ValueError:
        return ValueError(f"pattern {self._text!r}: {what}")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _bounded(self, part: _Part) -> _Part:
        if len(part) > MOST_STEPS:
            raise self._error("too large: fewer or smaller repetitions are needed")
        return part

    def _either(self) -> _Part:
        part = self._sequence()
        while self._peek() == "|":
            self._at += 1
            other = self._sequence()
            skip: _Step = (_SPLIT, (len(other) + 1,))
            part = self._bounded([(_SPLIT, (1, len(part) + 2)), *part, skip, *other])
        return part

    def _sequence(self) -> _Part:
        part: _Part = []
        while self._peek() not in ("", "|", ")"):
            part = self._bounded(part + self._repeated(self._atom()))
        return part

    def _repeated(self, atom: _Part) -> _Part:
        size = len(atom)
        match self._peek():
            case "*":
                part: _Part = [(_SPLIT, (1, size + 2)), *atom, (_SPLIT, (-size - 1,))]
            case "+":
                part = [*atom, (_SPLIT, (-size, 1))]
            case "?":
                part = [(_SPLIT, (1, size + 1)), *atom]
            case "{":
                counted = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}").match(self._text, self._at)
                if counted is None:
                    raise self._error("{ begins no count: write it as \\{")
                self._at = counted.end() - 1
                part = self._counted(atom, int(counted[1]), counted[2] is not None, counted[3])
            case _:
                return atom
        self._at += 1
        if self._peek() == "?":
            self._at += 1
        if self._peek() in ("*", "+", "?", "{"):
            raise self._error("a repetition of a repetition")
        return self._bounded(part)

    def _counted(self, atom: _Part, least: int, has_comma: bool, most: str | None) -> _Part:
        size, top = len(atom), int(most) if most else least
        if top < least or top > MOST_STEPS or top * max(1, size) > MOST_STEPS:
            raise self._error("a count that is too large, or ends before it begins")
        part = atom * least
        if has_comma and not most:
            return [*part, (_SPLIT, (1, size + 2)), *atom, (_SPLIT, (-size - 1,))]
        for _ in range(top - least):
            part = [*part, (_SPLIT, (1, size + 1)), *atom]
        return part

    def _atom(self) -> _Part:
        begins = self._peek()
        self._at += 1
        match begins:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "^":
                return [(_START, (1,))]
            case "$":
                return [(_END, (1,))]
            case ".":
                return self._character(".")
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise self._error(f"{begins} repeats nothing")
            case _:
                return self._character(re.escape(begins))

    def _group(self) -> _Part:
        if self._peek() == "?":
            opened = re.compile(r"\?(:|P?<[A-Za-z_][A-Za-z0-9_]*>)").match(self._text, self._at)
            if opened is None:
                raise self._error("(? begins a group of a kind that is not taken")
            self._at = opened.end()
        part = self._either()
        if self._peek() != ")":
            raise self._error("an unmatched (")
        self._at += 1
        return part

    def _escape(self) -> _Part:
        escaped = self._peek()
        self._at += 1
        if escaped in ("A", "z"):
            return [(_START if escaped == "A" else _END, (1,))]
        if escaped and escaped in _CLASS_ESCAPES:
            return self._character(f"\\{escaped}")
        if escaped in _CONTROLS:
            return self._character(re.escape(_CONTROLS[escaped]))
        if not escaped or escaped.isalnum():
            raise self._error(f"\\{escaped} is not taken")
        return self._character(re.escape(escaped))

    def _class(self) -> _Part:
        inner = re.compile(r"\^?\]?(?:\\.|[^\]\\])*\]").match(self._text, self._at)
        if inner is None:
            raise self._error("an unmatched [")
        self._at = inner.end()
        body = inner[0][:-1]
        if "[:" in body or "--" in body or re.search(r"\\[^dDwWsSntrfv\W_]", body):
            raise self._error(f"[{body}] is not taken")
        # What Python may come to read as set operations is written as the plain characters that RE2 sees.
        plain = _SET_OPERATORS.sub(lambda found: f"\\{found[0]}", body)
        return self._character(f"[{plain}]")

    def _character(self, source: str) -> _Part:
        try:
            compiled = re.compile(source, self._flags)
        except re.error as error:
            raise self._error(f"{source}: {error.msg}") from error
        return [(lambda character: compiled.match(character) is not None, (1,))]
