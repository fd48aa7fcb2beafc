"""Jinja with what a template of messages needs and no more: no files, no code, nothing unbounded."""

import re
from collections.abc import Callable, Iterable, Iterator, Sized
from contextvars import ContextVar
from functools import wraps
from typing import Any, cast

from jinja2 import StrictUndefined, nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.filters import FILTERS
from jinja2.parser import Parser
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, escape

from controlplane.alerts.go_functions import BUILT_IN
from controlplane.alerts.template_bounds import TemplateError, charge
from controlplane.alerts.template_functions import BESIDES, FUNCTIONS, join, shown

_OF_TEXT = frozenset(
    ("upper", "lower", "strip", "lstrip", "rstrip", "split", "startswith", "endswith", "title", "find")
)
_OF_DICT = frozenset(("items", "keys", "values", "get"))
_FILTERS = re.findall(
    r"\w+",
    "abs count d default dictsort e escape first float forceescape groupby int items last length list "
    "lower map max min reject rejectattr reverse round safe select selectattr sort string striptags sum "
    "trim truncate unique upper urlencode wordcount",
)
_MOST_BITS = 128
_FORBIDDEN = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)


class DefineExtension(Extension):
    """`{% define "name" %}...{% enddefine %}`: others fill it in by `template("name", value)`."""

    tags = {"define"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        line = next(parser.stream).lineno
        name = parser.parse_expression()
        if not isinstance(name, nodes.Const) or not isinstance(name.value, str):
            parser.fail('define needs a name in quotes: {% define "my.title" %}', line)
        body = parser.parse_statements(("name:enddefine",), drop_needle=True)
        _defined.get().append((name.value, line, body))
        return []


Defined = list[tuple[str, int, list[nodes.Node]]]
_defined: ContextVar[Defined] = ContextVar("defined_templates")


class defining:
    """Within it, parsing collects the named templates that it meets: (name, line, body)."""

    def __enter__(self) -> Defined:
        self._token = _defined.set([])
        return _defined.get()

    def __exit__(self, *_: object) -> None:
        _defined.reset(self._token)


class Sandbox(ImmutableSandboxedEnvironment):
    """One of text, one of HTML; holds nothing of what it parsed."""

    intercepted_binops = frozenset(("*", "**", "%", "+"))

    def __init__(self, html: bool) -> None:
        super().__init__(
            autoescape=html,
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            finalize=_shown_safely if html else _shown,
            extensions=[DefineExtension, LoopControlExtension],
            cache_size=0,
        )
        functions = FUNCTIONS | BUILT_IN | BESIDES
        self.globals = {
            **functions,
            "range": self.globals["range"],
            "namespace": Namespace,
            "counted_": _counted,
            "joined_": _joined,
        }
        self.filters = {name: _piped(function) for name, function in functions.items()}
        self.filters |= {name: _charged(FILTERS[name]) for name in _FILTERS}
        self.filters["join"] = _join_filter

    def getattr(self, obj: Any, attribute: str) -> Any:
        if _is_ours(obj):
            return self._looked(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, str) and _is_ours(obj):
            return self._looked(obj, argument)
        return super().getitem(obj, argument)

    def _looked(self, obj: Any, name: str) -> Any:
        try:
            return obj.look(name)
        except KeyError:
            return self.undefined(f"{type(obj).__name__} has no {name}")

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str):
            return attr in _OF_TEXT
        if isinstance(obj, dict):
            return attr in _OF_DICT
        return isinstance(obj, LoopContext | Namespace) and super().is_safe_attribute(obj, attr, value)

    def is_safe_callable(self, obj: Any) -> bool:
        return not isinstance(obj, type) or obj is Namespace

    def call(self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        charge(1)
        if isinstance(__obj, Macro):
            charge(64)
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sized = [_length(value) for value in (left, right) if isinstance(value, str | list | tuple)]
        if operator == "%" and isinstance(left, str):
            raise TemplateError('% on a text is not taken: say printf("%s", value)')
        if operator == "*" and sized:
            count = right if isinstance(right, int) else left
            charge(sized[0] * max(int(count), 0) if isinstance(count, int) else 0)
        elif operator == "+":
            charge(sum(sized))
        elif operator == "**" and (_bits(left) * max(int(right), 1) > _MOST_BITS):
            raise TemplateError("** of such numbers is not taken")
        elif operator == "*" and _bits(left) + _bits(right) > _MOST_BITS:
            raise TemplateError("* of such numbers is not taken")
        return super().call_binop(context, operator, left, right)


def _is_ours(value: Any) -> bool:
    return hasattr(value, "look")


def _length(value: Any) -> int:
    return len(value)


def _bits(value: Any) -> int:
    return abs(value).bit_length() if isinstance(value, int) else 64


def _shown(value: Any) -> str:
    text = shown(value)
    charge(len(text))
    return text


def _shown_safely(value: Any) -> Any:
    text = value if isinstance(value, Markup) else shown(value)
    charge(len(text) * 2)
    return text


def _counted(values: Iterable[Any], characters: int) -> Iterator[Any]:
    for value in values:
        charge(characters)
        yield value


def _joined(*values: Any) -> Any:
    safe = any(isinstance(value, Markup) for value in values)
    texts: list[str] = [escape(value) if safe else shown(value) for value in values]
    charge(sum(map(len, texts)))
    return Markup("").join(texts) if safe else "".join(texts)


def _piped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Go hands what is piped in as the last argument, Jinja as the first."""

    def filtered(value: Any, *arguments: Any) -> Any:
        return function(*arguments, value)

    return filtered


def _charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that goes through what it is given pays for it."""

    @wraps(function)
    def filtered(*arguments: Any, **named: Any) -> Any:
        charge(0, 1 + sum(_length(value) for value in arguments if isinstance(value, Sized)))
        return function(*arguments, **named)

    return filtered


def _join_filter(values: Iterable[Any], separator: str = "") -> str:
    return join(separator, values)


class _Bounding(NodeTransformer):
    """Loops count their rounds, and what texts are joined to is counted before it is made."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)
        written = sum(
            len(data.data)
            for output in node.body
            if isinstance(output, nodes.Output)
            for data in output.nodes
            if isinstance(data, nodes.TemplateData)
        )
        node.iter = _call(
            "counted_", [cast("nodes.Expr", node.iter), nodes.Const(written, lineno=node.lineno)], node.lineno
        )
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Call:
        self.generic_visit(node)
        return _call("joined_", node.nodes, node.lineno)


def _call(name: str, arguments: list[nodes.Expr], line: int) -> nodes.Call:
    return nodes.Call(nodes.Name(name, "load", lineno=line), arguments, [], None, None, lineno=line)


def bound(body: nodes.Template) -> nodes.Template:
    """The same, counted. TemplateError names a tag that is not taken, by line."""
    for node in body.find_all(_FORBIDDEN):
        raise TemplateError(f'line {node.lineno}: say {{{{ template("name") }}}} to fill in another template')
    _Bounding().visit(body)
    return body
