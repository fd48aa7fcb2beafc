"""The functions that Go itself gives its templates."""

import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import quote_plus

from controlplane.alerts.rendering import KV
from controlplane.alerts.template_bounds import TemplateError, charge
from controlplane.alerts.template_functions import shown

_KINDS: dict[type, str] = {bool: "bool", int: "int", float: "float64", str: "string"}
_IN_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})
_IN_SCRIPT = str.maketrans(
    {chr(code): f"\\u{code:04X}" for code in (*range(0x20), *map(ord, "<>&="))}
    | {"\\": "\\\\", "'": "\\'", '"': '\\"'}
)
_VERB = re.compile(r"%([-+# 0]*)(\d{0,3})(?:\.(\d{1,2}))?([a-zA-Z%])")


def printf(layout: str, *values: Any) -> str:
    """%s %v %d %q %t %x %f %e %g and %%, with width and precision. TemplateError: any other verb."""
    left = list(values)

    def filled(found: re.Match[str]) -> str:
        flags, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        text = _verb(verb, left.pop(0), precision)
        fill = "0" if "0" in flags and verb in "dxfeg" and "-" not in flags else " "
        charge(int(width or 0))
        return text.ljust(int(width or 0)) if "-" in flags else text.rjust(int(width or 0), fill)

    written = _VERB.sub(filled, layout)
    extra = ", ".join(f"{_kind(value)}={shown(value)}" for value in left)
    return f"{written}%!(EXTRA {extra})" if extra else written


def _kind(value: Any) -> str:
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), "value")


def _verb(verb: str, value: Any, precision: str | None) -> str:
    if verb in "sv":
        text = shown(value)
        return text if precision is None else text[: int(precision)]
    if verb == "q":
        return json.dumps(shown(value), ensure_ascii=False)
    if verb == "t" and isinstance(value, bool):
        return shown(value)
    if verb in "dx" and isinstance(value, int):
        return f"{value:{verb}}"
    if verb in "feg" and isinstance(value, int | float):
        return f"{float(value):.{precision or 6}{verb}}" if precision or verb != "g" else f"{value:g}"
    raise TemplateError(f"printf: %{verb} of {shown(value)[:40]!r}")


def index(value: Any, *keys: Any) -> Any:
    """An item of a list by number, or of labels by name. TemplateError: there is none."""
    for key in keys:
        if isinstance(value, KV):
            value = value[shown(key)]
        elif isinstance(value, Mapping):
            value = cast("Mapping[Any, Any]", value).get(key)
        elif isinstance(value, list | tuple) and isinstance(key, int) and 0 <= key < _count(value):
            value = cast("list[Any]", value)[key]
        else:
            raise TemplateError(f"index {shown(key)[:40]!r}: nothing is there")
    return value


def _count(value: Any) -> int:
    return len(value)


def text_of(*values: Any) -> str:
    """Go's print: a space between two of which neither is a text."""
    written = ""
    for before, value in zip((None, *values), values, strict=False):
        between = written and not isinstance(before, str) and not isinstance(value, str)
        written += (" " if between else "") + shown(value)
    charge(len(written))
    return written


def equals(first: Any, *others: Any) -> bool:
    return any(first == other for other in others)


def length(value: Any) -> int:
    """Go counts the bytes of a text."""
    return len(value.encode()) if isinstance(value, str) else len(value)


def _lines(*values: Any) -> str:
    return " ".join(shown(value) for value in values) + "\n"


def _query(*values: Any) -> str:
    return quote_plus(text_of(*values), safe="")


def _html(*values: Any) -> str:
    return text_of(*values).translate(_IN_HTML)


def _script(*values: Any) -> str:
    return text_of(*values).translate(_IN_SCRIPT)


BUILT_IN: dict[str, Callable[..., Any]] = {
    "len": length,
    "index": index,
    "printf": printf,
    "print": text_of,
    "println": _lines,
    "urlquery": _query,
    "html": _html,
    "js": _script,
    "eq": equals,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
"""Go's own."""
