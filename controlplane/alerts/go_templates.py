"""A template of Alertmanager's, in Go's language, said in Jinja: where its meaning is certain, nowhere else.

Go's `.` is `dot` here and `$` is `root`; variables live in `vars`, since Jinja's own end with their block.
"""

import re

from controlplane.alerts.go_expressions import Expression, Frame, literal, place_of
from controlplane.alerts.go_lexing import GoTemplateError, Piece, Word, pieces_of, text_of_string, words_of

__all__ = ["GoTemplateError", "converted", "looks_go"]
_ACTION = re.compile(r"\{\{-?(.*?)(?:-?\}\}|$)", re.DOTALL)
_JINJA = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_GO = re.compile(
    r"^\s*/\*|(?:^|[\s(|,=])\.[^\W\d]|(?:^|[\s(])\.(?=[\s)]|$)|\$|:="
    r"|^\s*(?:if|else|end|range|with|define|template|block|break|continue)(?=[\s(]|$)(?!\s*\()"
    r"|[a-zA-Z]\s+\"|^\s*(?:eq|ne|lt|le|gt|ge|len|index|print|println|humanizeDuration)\s+[\d(]"
)
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


class _Converter:
    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces, self.at, self.names, self.depth = pieces, 0, 0, 0

    def whole(self) -> str:
        written, end = self.body(Frame())
        if end is not None:
            raise GoTemplateError(end[0].line, f"{end[0].text.split()[0]} ends nothing")
        return written

    def body(self, frame: Frame) -> tuple[str, tuple[Piece, list[Word]] | None]:
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

    def action(self, piece: Piece, keyword: str, words: list[Word], frame: Frame) -> str:
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

    def value(self, piece: Piece, words: list[Word], frame: Frame) -> str:
        names, sign, rest = _assigned(words)
        expression = Expression(piece, rest, frame)
        if not names:
            return f"{{{{ {expression.whole()} }}}}"
        if len(names) > 1:
            raise GoTemplateError(piece.line, "one variable at a time")
        value = expression.whole()
        if sign == ":=":
            place = f"vars.{self.fresh(names[0])}"
            frame.variables[names[0]] = place
        else:
            place = place_of(piece, names[0], frame)
            if not place.startswith("vars."):
                raise GoTemplateError(piece.line, f"{names[0]} belongs to its range: declare another with :=")
        return f"{{% set {place} = {value} %}}"

    def block(self, piece: Piece, keyword: str, words: list[Word], frame: Frame) -> str:
        names, sign, rest = _assigned(words)
        if names and sign == "=":
            raise GoTemplateError(piece.line, f"{keyword} with = is not taken: declare with :=")
        value = Expression(piece, rest, frame).whole()
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
            inner = Frame(dot, False, inner.variables)
        then = self.closed(piece, inner, frame)
        return f"{before}{{% if {value} %}}{opened}{then[0]}{closed}{then[1]}{{% endif %}}"

    def loop(self, piece: Piece, names: list[str], value: str, frame: Frame) -> str:
        dot = self.fresh("dot")
        if len(names) == 2:
            number = self.fresh(names[0])
            known = {**frame.variables, names[0]: number, names[1]: dot}
            opened = f"{{% for {number}, {dot} in pairs_of({value}) %}}"
        else:
            known = {**frame.variables, **({names[0]: dot} if names else {})}
            opened = f"{{% for {dot} in items_of({value}) %}}"
        then = self.closed(piece, Frame(dot, False, known), frame)
        return f"{opened}{then[0]}{then[1]}{{% endfor %}}"

    def closed(self, piece: Piece, inner: Frame, outer: Frame) -> tuple[str, str]:
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

    def named(self, piece: Piece, keyword: str, words: list[Word], frame: Frame) -> str:
        if not words or words[0].kind != "string":
            raise GoTemplateError(piece.line, f"{keyword} needs a name in quotes")
        name = literal(text_of_string(words[0].text))
        body, end = self.body(Frame(is_data=False))
        if end is None or end[1][0].text != "end":
            raise GoTemplateError(piece.line, f"{keyword} has no end")
        written = f"{{% define {name} %}}{body}{{% enddefine %}}"
        return written + (self.filled(piece, words, frame) if keyword == "block" else "")

    def filled(self, piece: Piece, words: list[Word], frame: Frame) -> str:
        if not words or words[0].kind != "string":
            raise GoTemplateError(piece.line, "template needs a name in quotes")
        rest = _stripped(words[1:])
        value = Expression(piece, rest, frame).whole() if rest else "none"
        return f"{{{{ template({literal(text_of_string(words[0].text))}, {value}) }}}}"

    def fresh(self, name: str) -> str:
        self.names += 1
        return f"{name.lstrip('$') or 'it'}_{self.names}"


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
