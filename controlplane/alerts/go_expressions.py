"""One pipeline of a Go template as an expression of Jinja."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from controlplane.alerts.go_functions import BUILT_IN
from controlplane.alerts.go_lexing import GoTemplateError, Piece, Word, text_of_string
from controlplane.alerts.rendering import DATA_FIELDS
from controlplane.alerts.template_functions import FUNCTIONS

KEYWORDS = frozenset(
    ("if", "else", "end", "range", "with", "define", "template", "block", "break", "continue")
)
_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_REFUSED = {"slice": "text[1:3]", "call": "a call"}


@dataclass
class Frame:
    """What `.` and variables are here. is_data: `.` is known to be what a message is made of."""

    dot: str = "dot"
    is_data: bool = True
    variables: dict[str, str] = field(default_factory=lambda: {"$": "root"})

    def inside(self) -> "Frame":
        """The same for a block of its own: what it declares ends with it."""
        return Frame(self.dot, self.is_data, dict(self.variables))


class Expression:
    """One pipeline, as an expression of Jinja."""

    def __init__(self, piece: Piece, words: list[Word], frame: Frame) -> None:
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
                return "value", literal(text_of_string(word.text))
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
                return "path" if dot else "value", place_of(self.piece, name, self.frame) + dot + path
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
        if name in KEYWORDS:
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


def place_of(piece: Piece, name: str, frame: Frame) -> str:
    if name not in frame.variables:
        raise GoTemplateError(piece.line, f"{name} is not declared here")
    return frame.variables[name]


def literal(text: str) -> str:
    return '"' + "".join(_character(character) for character in text) + '"'


def _character(character: str) -> str:
    if character.isprintable() and character not in '"\\{}%#' and ord(character) < 0x10000:
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
