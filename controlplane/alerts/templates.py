"""Templates of messages: Jinja, with Alertmanager's data and function names; Go's where they convert.

Compiled once, when a configuration is loaded: what is wrong with one is said then, by field and line.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables
from jinja2.utils import Namespace
from markupsafe import Markup
from pydantic import BaseModel

from controlplane.alerts.default_templates import DEFAULTS
from controlplane.alerts.go_functions import BUILT_IN
from controlplane.alerts.go_templates import GoTemplateError, converted, looks_go
from controlplane.alerts.rendering import DATA_FIELDS, Data
from controlplane.alerts.template_bounds import TemplateError, bounded
from controlplane.alerts.template_functions import BESIDES, FUNCTIONS
from controlplane.alerts.template_sandbox import Sandbox, bound, defining

MOST_SOURCE = 256 * 1024
_MOST_SAID = 300
_NEVER_TEMPLATES = frozenset(
    ("auth_password", "auth_secret", "secret", "password", "key", "http_config", "tls_config", "limits")
)
_DEFAULT_NAMES = frozenset(re.findall(r'define "([^"]+)"', DEFAULTS))
_SANDBOXES = {False: Sandbox(html=False), True: Sandbox(html=True)}
_OF_A_RENDERING = frozenset(("dot", "root", "vars", "now", "since", "template"))
_KNOWN = DATA_FIELDS | FUNCTIONS.keys() | BUILT_IN.keys() | BESIDES.keys() | _OF_A_RENDERING
_ALWAYS = frozenset(("range", "namespace", "counted_", "joined_", "loop", "caller", "varargs", "kwargs"))


@dataclass(frozen=True, slots=True)
class Fault:
    """where: a field or a file. line: within its text, from 1."""

    where: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.where}, line {self.line}: {self.what}"


class TemplateFaults(Exception):
    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


class _Faulty(Exception):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


@dataclass(frozen=True, slots=True)
class _Parsed:
    body: nodes.Template
    named: list[tuple[str, int, nodes.Template]]
    uses: list[tuple[str, int]]


class Templates:
    """All templates of one configuration: those of its files by name, and the texts of its fields."""

    def __init__(self, files: Mapping[str, str] | None = None) -> None:
        """files: text by path, the later wins a name. TemplateFaults names what is wrong with them."""
        self._files = dict(files or {})
        self._named: dict[bool, dict[str, Template]] = {False: {}}
        self._texts: dict[tuple[str, bool], Template] = {}
        faults, uses = list[Fault](), list[tuple[str, str, int]]()
        for where, source in self._files.items():
            try:
                parsed = _parse(source, html=False)
                self._named[False] |= {name: _compiled(body, False) for name, _, body in parsed.named}
                uses += [(where, name, line) for name, line in parsed.uses]
            except _Faulty as fault:
                faults.append(Fault(where, fault.line, fault.what))
        faults += [Fault(where, line, what) for where, name, line in uses if (what := self._missing(name))]
        if faults:
            raise TemplateFaults(faults)

    def names(self) -> list[str]:
        return sorted(_DEFAULT_NAMES | self._named[False].keys())

    def faults(self, settings: Any, where: str = "") -> list[Fault]:
        """What is wrong with the templates in these settings: every text in them that has an action."""
        return [fault for field, source in _texts(settings, where) for fault in self.faults_of(source, field)]

    def faults_of(self, source: str, where: str) -> list[Fault]:
        try:
            parsed = _parse(source, html=False)
            if parsed.named:
                raise _Faulty(parsed.named[0][1], "define belongs into a file that `templates` names")
            _compiled(parsed.body, html=False)
        except _Faulty as fault:
            return [Fault(where, fault.line, fault.what)]
        return [Fault(where, line, what) for name, line in parsed.uses if (what := self._missing(name))]

    def text(self, source: str, data: Data) -> str:
        """TemplateError: what it came to, or what it would have cost."""
        return self._filled(source, data, html=False) if _is_template(source) else source

    def html(self, source: str, data: Data) -> str:
        """What is filled in is escaped."""
        return self._filled(source, data, html=True) if _is_template(source) else source

    def _filled(self, source: str, data: Data, html: bool) -> str:
        template = self._texts.get((source, html))
        if template is None:
            try:
                template = _compiled(_parse(source, html).body, html)
            except _Faulty as fault:
                raise TemplateError(f"line {fault.line}: {fault.what}") from fault
            self._texts[source, html] = template
        return self._run(template, data, data, html)

    def _run(self, template: Template, data: Data, dot: Any, html: bool) -> str:
        with bounded():
            try:
                return template.render(
                    data.names(),
                    dot=dot,
                    root=dot,
                    vars=Namespace(),
                    now=data.now,
                    since=lambda time: data.now - time,  # pyright: ignore[reportUnknownLambdaType]
                    template=self._filler(data, html),
                )
            except TemplateError:
                raise
            except RecursionError as error:
                raise TemplateError("calls itself without end") from error
            except Exception as error:  # whatever a template's own operations raise is its fault
                raise TemplateError(f"{type(error).__name__}: {error}"[:_MOST_SAID]) from error

    def _filler(self, data: Data, html: bool) -> Callable[..., str]:
        def template(name: str, *value: Any) -> str:
            named = self._by_name(html).get(name) or _default(name, html)
            if named is None:
                raise TemplateError(self._missing(name))
            written = self._run(named, data, value[0] if value else data, html)
            return Markup(written) if html else written

        return template

    def _missing(self, name: str) -> str:
        if name in _DEFAULT_NAMES or name in self._named[False]:
            return ""
        return f"no template is named {name!r}; there are {', '.join(self.names())}"[:_MOST_SAID]

    def _by_name(self, html: bool) -> dict[str, Template]:
        """Made for HTML when the first page is."""
        if html not in self._named:
            parsed = (_parse(source, html) for source in self._files.values())
            self._named[html] = {
                name: _compiled(body, html) for each in parsed for name, _, body in each.named
            }
        return self._named[html]


@lru_cache(maxsize=2)
def _default_bodies(html: bool) -> dict[str, nodes.Template]:
    return {name: body for name, _, body in _parse(DEFAULTS, html).named}


@lru_cache(maxsize=512)
def _default(name: str, html: bool) -> Template | None:
    body = _default_bodies(html).get(name)
    return _compiled(body, html) if body is not None else None


def _compiled(body: nodes.Template, html: bool) -> Template:
    sandbox = _SANDBOXES[html]
    try:
        code = sandbox.compile(bound(body))
    except TemplateError as error:
        raise _Faulty(1, str(error)) from error
    except (TemplateSyntaxError, SyntaxError) as error:
        raise _Faulty(error.lineno or 1, str(error).partition("\n")[0]) from error
    except (RecursionError, MemoryError) as error:
        raise _Faulty(1, "is nested too deep") from error
    return Template.from_code(sandbox, code, sandbox.make_globals(None))


def _parse(source: str, html: bool) -> _Parsed:
    if len(source) > MOST_SOURCE:
        raise _Faulty(1, f"{len(source)} characters: up to {MOST_SOURCE} are taken")
    sandbox = _SANDBOXES[html]
    with defining() as defined:
        try:
            body = sandbox.parse(converted(source) if looks_go(source) else source)
        except GoTemplateError as error:
            raise _Faulty(error.line, error.what) from error
        except TemplateSyntaxError as error:
            raise _Faulty(error.lineno, error.message or "is no template of Jinja") from error
        except RecursionError as error:
            raise _Faulty(1, "is nested too deep") from error
    named = list[tuple[str, int, nodes.Template]]()
    for name, line, inner in defined:
        part = nodes.Template(inner, lineno=line)
        part.set_environment(sandbox)
        named.append((name, line, part))
    uses = list[tuple[str, int]]()
    for part in (body, *(inner for _, _, inner in named)):
        if source is not DEFAULTS:
            _refuse_unknown(part)
            uses += _named_in(part)
    return _Parsed(body, named, uses)


def _refuse_unknown(body: nodes.Template) -> None:
    try:
        unknown = sorted(find_undeclared_variables(body) - _KNOWN - _ALWAYS)
    except TemplateSyntaxError as error:
        raise _Faulty(error.lineno, error.message or "is no template of Jinja") from error
    except RecursionError as error:
        raise _Faulty(1, "is nested too deep") from error
    if unknown:
        line = next((node.lineno for node in body.find_all(nodes.Name) if node.name == unknown[0]), 1)
        raise _Faulty(line, f"there is no {unknown[0]}; there are {', '.join(sorted(DATA_FIELDS))}")


def _named_in(body: nodes.Template) -> Iterator[tuple[str, int]]:
    for call in body.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "template" and call.args:
            first = call.args[0]
            if isinstance(first, nodes.Const) and isinstance(first.value, str):
                yield first.value, call.lineno


def _is_template(source: str) -> bool:
    return "{{" in source or "{%" in source or "{#" in source


def _texts(settings: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(settings, str):
        if _is_template(settings):
            yield where, settings
    elif isinstance(settings, Mapping):
        for name, value in cast("Mapping[Any, Any]", settings).items():
            yield from _texts(value, f"{where}.{name}" if where else str(name))
    elif isinstance(settings, list | tuple):
        for number, item in enumerate(cast("list[Any]", settings)):
            yield from _texts(item, f"{where}[{number}]")
    elif isinstance(settings, BaseModel):
        for name, field in type(settings).model_fields.items():
            if name not in _NEVER_TEMPLATES:
                shown = field.alias or name
                yield from _texts(getattr(settings, name), f"{where}.{shown}" if where else shown)
