"""Go's template language, cut into text and actions, and actions into words."""

import re
from dataclasses import dataclass


class GoTemplateError(Exception):
    """line: of the template, from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line, self.what = line, what


@dataclass(frozen=True, slots=True)
class Piece:
    """Text between actions, or the inside of one."""

    action: bool
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Word:
    """kind: string, number, field (.A.B), variable ($x.A), name, or a sign: ( ) | , := = . or space."""

    kind: str
    text: str


_STRING = r'"(?:[^"\\\n]|\\.)*"|`[^`]*`'
_WORDS = re.compile(
    rf"(?P<space>\s+)|(?P<string>{_STRING})|(?P<number>[-+]?\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.])"
    r"|(?P<variable>\$\w*(?:\.\w+)*)|(?P<field>(?:\.[^\W\d]\w*)+)|(?P<name>[^\W\d]\w*)"
    r"|(?P<sign>:=|[()|,=.])",
)
_COMMENT = re.compile(r"(?:-\s)?\s*/\*")
_ACTION_END = re.compile(rf"(?:{_STRING}|[^}}\"`]|}}(?!}}))*?}}}}", re.DOTALL)
_SHORT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)


def pieces_of(source: str) -> list[Piece]:
    """Text is trimmed where an action says so; comments are gone. GoTemplateError: an action without end."""
    pieces, at, line, trims = list[Piece](), 0, 1, False
    while True:
        start = source.find("{{", at)
        text = source[at:] if start < 0 else source[at:start]
        text_line = line
        line += text.count("\n")
        trims_before = start >= 0 and re.match(r"\{\{-\s", source[start : start + 4]) is not None
        shown = text.lstrip(" \t\r\n") if trims else text
        shown = shown.rstrip(" \t\r\n") if trims_before else shown
        if shown:
            pieces.append(Piece(False, shown, text_line))
        if start < 0:
            return pieces
        comment = _COMMENT.match(source, start + 2)
        skipped = source.find("*/", comment.end()) if comment else start + 2
        found = _ACTION_END.match(source, skipped) if skipped >= 0 else None
        if found is None:
            raise GoTemplateError(line, "an action has no end: }} is missing")
        inside = source[start + 2 : found.end() - 2]
        inside = inside[1:] if trims_before else inside
        trims = re.search(r"\s-$", inside) is not None
        inside = (inside[:-1] if trims else inside).strip()
        if comment is None:
            pieces.append(Piece(True, inside, line))
        line += source.count("\n", start, found.end())
        at = found.end()


def words_of(piece: Piece) -> list[Word]:
    """GoTemplateError: something that is no word of the language."""
    words, at = list[Word](), 0
    while at < len(piece.text):
        found = _WORDS.match(piece.text, at)
        if found is None:
            raise GoTemplateError(piece.line, f"{piece.text[at : at + 20]!r} is not understood")
        kind = found.lastgroup or ""
        words.append(Word(found.group() if kind == "sign" else kind, found.group()))
        at = found.end()
    return words


def text_of_string(written: str) -> str:
    """What a string of Go stands for."""
    if written.startswith("`"):
        return written[1:-1]
    return _ESCAPE.sub(_unescaped, written[1:-1])


def _unescaped(found: re.Match[str]) -> str:
    hexadecimal = found.group(1) or found.group(2) or found.group(3)
    if hexadecimal:
        code = int(hexadecimal, 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
    if found.group(4):
        return chr(int(found.group(4), 8))
    return _SHORT.get(found.group(5), found.group(5))
