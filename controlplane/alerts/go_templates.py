"""A template of Alertmanager's, in Go's language, said in Jinja: where its meaning is certain, nowhere else.

Go's `.` is `dot` here and `$` is `root`; variables live in `vars`, since Jinja's own end with their block.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from controlplane.alerts.go_lexing import GoTemplateError, Piece, Word, pieces_of, text_of_string, words_of
from controlplane.alerts.rendering import DATA_FIELDS
from controlplane.alerts.template_functions import BUILT_IN, FUNCTIONS

__all__ = ["GoTemplateError", "converted", "looks_go"]

_ACTION = re.compile(r"\{\{-?(.*?)(?:-?\}\}|$)", re.DOTALL)
_JINJA = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_KEYWORDS = frozenset(
    ("if", "else", "end", "range", "with", "define", "template", "block", "break", "continue")
)
_GO = re.compile(
    r"^\s*/\*|(?:^|[\s(|,=])\.[^\W\d]|(?:^|[\s(])\.(?=[\s)]|$)|\$|:="
    r"|^\s*(?:if|else|end|range|with|define|template|block|break|continue)(?=[\s(]|$)(?!\s*\()"
    r"|[a-zA-Z]\s+\"|^\s*(?:eq|ne|lt|le|gt|ge|len|index|print|println|humanizeDuration)\s+[\d(]"
)
_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_REFUSED = {"slice": "text[1:3]", "call": "a call"}
_MOST_DEPTH = 60


def looks_go(source: str) -> bool:
    """Whether this is Go rather than Jinja: it has a dot, a `$` or a keyword where Go has them."""
    if _JINJA.search(source):
        return False
    actions = (_STRINGS.sub('""', found.group(1)) for found in _ACTION.finditer(source))
    return any(_GO.search(action) for action in actions)


def converted(source: str) -> str:
    """Jinja of the same meaning. GoTemplateError: by line, what is not certain, and what to write instead."""
    return _Converter(pieces_of(source)).whole()


@dataclass
class _Frame:
    """What `.` and variables are here. is_data: `.` is known to be what a message is made of."""

    dot: str = "dot"
    is_data: bool = True
    variables: dict[str, str] = field(default_factory=lambda: {"$": "root"})

    def inside(self) -> "_Frame":
        """The same for a block of its own: what it declares ends with it."""
        return _Frame(self.dot, self.is_data, dict(self.variables))


class _Converter:
    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces, self.at, self.names, self.depth = pieces, 0, 0, 0

    def whole(self) -> str:
        written, end = self.body(_Frame())
        if end is not None:
            raise GoTemplateError(end[0].line, f"{end[0].text.split()[0]} ends nothing")
        return written

    def body(self, frame: _Frame) -> tuple[str, tuple[Piece, list[Word]] | None]:
        """Up to an `else` or `end`, which is handed back."""
        self.depth += 1
        written = list[str]()
        while self.at < len(self.pieces):
            piece = self.pieces[self.at]
            self.at += 1
            if self.depth > _MOST_DEPTH:
                raise GoTemplateError(piece.line, f"nested more than {_MOST_DEPTH} deep")
            if not piece.action:
                written.append(_plain(piece.text))
                continue
            words = _stripped(words_of(piece))
            if not words:
                raise GoTemplateError(piece.line, "an empty action")
            keyword = words[0].text if words[0].kind == "name" else ""
            if keyword in {"else", "end"}:
                self.depth -= 1
                return "".join(written), (piece, words)
            written.append(self.action(piece, keyword, words, frame))
        self.depth -= 1
        return "".join(written), None

    def action(self, piece: Piece, keyword: str, words: list[Word], frame: _Frame) -> str:
        match keyword:
            case "if" | "with" | "range":
                return self.block(piece, keyword, _stripped(words[1:]), frame)
            case "define" | "block":
                return self.named(piece, keyword, _stripped(words[1:]), frame)
            case "template":
                return self.filled(piece, _stripped(words[1:]), frame)
            case "break" | "continue":
                return f"{{% {keyword} %}}"
            case _:
                return self.value(piece, words, frame)

    def value(self, piece: Piece, words: list[Word], frame: _Frame) -> str:
        names, sign, rest = _assigned(words)
        expression = _Expression(piece, rest, frame)
        if not names:
            return f"{{{{ {expression.whole()} }}}}"
        if len(names) > 1:
            raise GoTemplateError(piece.line, "one variable at a time")
        value = expression.whole()
        if sign == ":=":
            place = f"vars.{self.fresh(names[0])}"
            frame.variables[names[0]] = place
        else:
            place = _variable(piece, names[0], frame)
            if not place.startswith("vars."):
                raise GoTemplateError(piece.line, f"{names[0]} belongs to its range: declare another with :=")
        return f"{{% set {place} = {value} %}}"

    def block(self, piece: Piece, keyword: str, words: list[Word], frame: _Frame) -> str:
        names, sign, rest = _assigned(words)
        if names and sign == "=":
            raise GoTemplateError(piece.line, f"{keyword} with = is not taken: declare with :=")
        value = _Expression(piece, rest, frame).whole()
        if keyword == "range":
            return self.loop(piece, names, value, frame)
        before = ""
        inner = frame.inside()
        if names:
            inner.variables[names[0]] = f"vars.{self.fresh(names[0])}"
            before = f"{{% set {inner.variables[names[0]]} = {value} %}}"
            value = inner.variables[names[0]]
        opened, closed = "", ""
        if keyword == "with":
            dot = self.fresh("dot")
            opened, closed = f"{{% with {dot} = {value} %}}", "{% endwith %}"
            inner = _Frame(dot, False, inner.variables)
        then = self.closed(piece, inner, frame)
        return f"{before}{{% if {value} %}}{opened}{then[0]}{closed}{then[1]}{{% endif %}}"

    def loop(self, piece: Piece, names: list[str], value: str, frame: _Frame) -> str:
        dot = self.fresh("dot")
        if len(names) == 2:
            number = self.fresh(names[0])
            known = {**frame.variables, names[0]: number, names[1]: dot}
            opened = f"{{% for {number}, {dot} in pairs_of({value}) %}}"
        else:
            known = {**frame.variables, **({names[0]: dot} if names else {})}
            opened = f"{{% for {dot} in items_of({value}) %}}"
        then = self.closed(piece, _Frame(dot, False, known), frame)
        return f"{opened}{then[0]}{then[1]}{{% endfor %}}"

    def closed(self, piece: Piece, inner: _Frame, outer: _Frame) -> tuple[str, str]:
        """The body, and what `else` leads to, up to `end`."""
        then, end = self.body(inner)
        if end is None:
            raise GoTemplateError(piece.line, f"{piece.text.split()[0]} has no end")
        if end[1][0].text == "end":
            return then, ""
        after = _stripped(end[1][1:])
        if after:
            keyword = after[0].text
            if keyword not in {"if", "with"}:
                raise GoTemplateError(end[0].line, f"else {keyword} is not understood")
            otherwise = self.block(end[0], keyword, _stripped(after[1:]), outer.inside())
            return then, "{% else %}" + otherwise
        otherwise, last = self.body(outer.inside())
        if last is None or last[1][0].text != "end":
            raise GoTemplateError(end[0].line, "else has no end")
        return then, "{% else %}" + otherwise

    def named(self, piece: Piece, keyword: str, words: list[Word], frame: _Frame) -> str:
        if not words or words[0].kind != "string":
            raise GoTemplateError(piece.line, f"{keyword} needs a name in quotes")
        name = _literal(text_of_string(words[0].text))
        body, end = self.body(_Frame(is_data=False))
        if end is None or end[1][0].text != "end":
            raise GoTemplateError(piece.line, f"{keyword} has no end")
        written = f"{{% define {name} %}}{body}{{% enddefine %}}"
        return written + (self.filled(piece, words, frame) if keyword == "block" else "")

    def filled(self, piece: Piece, words: list[Word], frame: _Frame) -> str:
        if not words or words[0].kind != "string":
            raise GoTemplateError(piece.line, "template needs a name in quotes")
        rest = _stripped(words[1:])
        value = _Expression(piece, rest, frame).whole() if rest else "none"
        return f"{{{{ template({_literal(text_of_string(words[0].text))}, {value}) }}}}"

    def fresh(self, name: str) -> str:
        self.names += 1
        return f"{name.lstrip('$') or 'it'}_{self.names}"


class _Expression:
    """One pipeline, as an expression of Jinja."""

    def __init__(self, piece: Piece, words: list[Word], frame: _Frame) -> None:
        self.piece, self.words, self.frame, self.at = piece, words, frame, 0

    def whole(self) -> str:
        written = self.pipeline()
        if self.at < len(self.words):
            raise self.wrong(f"{self.words[self.at].text!r} is not expected there")
        return written

    def pipeline(self) -> str:
        written = self.command(None)
        while self.peek() == "|":
            self.at += 1
            written = self.command(written)
        return written

    def command(self, piped: str | None) -> str:
        operands = list[tuple[str, str]]()
        while True:
            while self.peek() == "space":
                self.at += 1
            if self.peek() in {"", "|", ")"}:
                break
            operands.append(self.operand(first=not operands))
        if not operands:
            raise self.wrong("a value is missing")
        kind, first = operands[0]
        arguments = [self.called(*operand, []) for operand in operands[1:]]
        return self.called(kind, first, arguments + ([piped] if piped is not None else []))

    def operand(self, first: bool) -> tuple[str, str]:
        word = self.words[self.at]
        self.at += 1
        match word.kind:
            case "string":
                return "value", _literal(text_of_string(word.text))
            case "number":
                return "value", word.text.lstrip("+").replace("_", "")
            case "name":
                return self.name_or_constant(word.text)
            case ".":
                return "value", self.frame.dot
            case "field":
                return "path", self.frame.dot + self.of_data(word.text, self.frame.is_data)
            case "variable":
                name, dot, path = word.text.partition(".")
                return "path" if dot else "value", _variable(self.piece, name, self.frame) + dot + path
            case "(":
                inner = self.pipeline()
                if self.peek() != ")":
                    raise self.wrong(") is missing")
                self.at += 1
                if self.peek() == "field":
                    self.at += 1
                    return "path", f"({inner}){self.words[self.at - 1].text}"
                return "value", f"({inner})"
            case _:
                raise self.wrong(f"{word.text!r} is not expected there")

    def name_or_constant(self, name: str) -> tuple[str, str]:
        if name in {"true", "false"}:
            return "value", name
        if name == "nil":
            return "value", "none"
        return "function", name

    def of_data(self, path: str, known: bool) -> str:
        name = path.split(".")[1]
        if known and name not in DATA_FIELDS:
            raise self.wrong(
                f"there is no .{name}; there are {', '.join(f'.{n}' for n in sorted(DATA_FIELDS))}"
            )
        return path

    def called(self, kind: str, what: str, arguments: list[str]) -> str:
        if kind == "function":
            return self.function(what, arguments)
        if not arguments:
            return what
        if kind == "path":
            return f"{what}({', '.join(arguments)})"
        raise self.wrong(f"{what} takes no arguments")

    def function(self, name: str, arguments: list[str]) -> str:
        if name in _KEYWORDS:
            raise self.wrong(f"{name} is not expected there")
        if name in {"and", "or"} and arguments:
            return "(" + f" {name} ".join(arguments) + ")"
        if name == "not" and len(arguments) == 1:
            return f"(not {arguments[0]})"
        if name in _COMPARED and len(arguments) == 2:
            return f"({arguments[0]} {_COMPARED[name]} {arguments[1]})"
        if name == "now" and not arguments:
            return "now"
        if name == "since" and len(arguments) == 1:
            return f"since({arguments[0]})"
        known: Callable[..., Any] | None = FUNCTIONS.get(name) or BUILT_IN.get(name)
        if known is None:
            hint = f": write this template in Jinja, as {_REFUSED[name]}" if name in _REFUSED else ""
            raise self.wrong(f"there is no function {name}{hint or _functions()}")
        try:
            inspect.signature(known).bind(*arguments)
        except TypeError as error:
            raise self.wrong(f"{name}: {error}") from error
        return f"{name}({', '.join(arguments)})"

    def peek(self) -> str:
        return self.words[self.at].kind if self.at < len(self.words) else ""

    def wrong(self, what: str) -> GoTemplateError:
        return GoTemplateError(self.piece.line, f"{{{{ {self.piece.text[:60]} }}}}: {what}")


def _functions() -> str:
    return f"; there are {', '.join(sorted(FUNCTIONS | BUILT_IN))}"


def _assigned(words: list[Word]) -> tuple[list[str], str, list[Word]]:
    """`$a, $b := rest`: the names, the sign, and the rest."""
    kinds = [word for word in words if word.kind != "space"]
    for count in (1, 3):
        if len(kinds) > count and kinds[count].kind in {":=", "="}:
            names = [word.text for word in kinds[:count] if word.kind == "variable"]
            if len(names) == (count + 1) // 2:
                rest = words[words.index(kinds[count]) + 1 :]
                return names, kinds[count].text, _stripped(rest)
    return [], "", words


def _variable(piece: Piece, name: str, frame: _Frame) -> str:
    if name not in frame.variables:
        raise GoTemplateError(piece.line, f"{name} is not declared here")
    return frame.variables[name]


def _stripped(words: list[Word]) -> list[Word]:
    start, end = 0, len(words)
    while start < end and words[start].kind == "space":
        start += 1
    while end > start and words[end - 1].kind == "space":
        end -= 1
    return words[start:end]


def _plain(text: str) -> str:
    """Text of which Jinja takes nothing for its own."""
    return re.sub(r"\{(?=[{%#]|$)", '{{ "{" }}', text)


def _literal(text: str) -> str:
    return '"' + "".join(_character(character) for character in text) + '"'


def _character(character: str) -> str:
    if character.isprintable() and character not in '"\\{}%#' and ord(character) < 0x10000:
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
