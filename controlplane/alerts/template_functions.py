"""The functions that Alertmanager gives its templates, with its names and order of arguments."""

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote, unquote_plus

import re2 as _untyped  # pyright: ignore[reportMissingTypeStubs]
from markupsafe import Markup

from controlplane.alerts.go_time import Duration, Time, humanize_duration
from controlplane.alerts.rendering import KV, AlertData, Alerts, Data, Pairs
from controlplane.alerts.template_bounds import TemplateError, charge

_re2: Any = _untyped
_MOST_PATTERN = 1024
_WORD = re.compile(r"\w+(?:['’.:·][^\W\d_]\w*)*")
_GROUP = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})")


def shown(value: Any) -> str:
    """As Go prints it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<no value>"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, KV | Pairs):
        return str(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return "map[" + " ".join(f"{shown(key)}:{shown(each)}" for key, each in pairs) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(shown, cast("list[Any]", value))) + "]"
    return str(value)


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any:
    if len(pattern) > _MOST_PATTERN:
        raise TemplateError(f"a pattern of {len(pattern)} characters: up to {_MOST_PATTERN} are taken")
    options = _re2.Options()
    options.max_mem, options.log_errors = 1024 * 1024, False
    try:
        return _re2.compile(pattern, options)
    except _re2.error as error:
        raise TemplateError(f"{pattern!r} is no regular expression of RE2") from error


def match(pattern: str, text: Any) -> bool:
    """Whether it is found anywhere."""
    return _compiled(pattern).search(shown(text)) is not None


def re_replace_all(pattern: str, replacement: str, text: Any) -> str:
    """$1, ${1} and ${name} stand for groups; one that is not there is empty."""
    compiled, subject = _compiled(pattern), shown(text)
    pieces, end = list[str](), 0
    for found in compiled.finditer(subject):
        pieces.append(subject[end : found.start()])
        end = found.end()
        pieces.append(_GROUP.sub(_expander(found), replacement))
        charge(len(pieces[-1]) + 1)
    return "".join([*pieces, subject[end:]])


def _expander(found: Any) -> Callable[[re.Match[str]], str]:
    def expanded(dollar: re.Match[str]) -> str:
        if dollar.group(1):
            return "$"
        name = dollar.group(2) or dollar.group(3)
        if name.isdigit():
            return found.group(int(name)) or "" if int(name) <= len(found.groups()) else ""
        named: dict[str, str | None] = found.groupdict()
        return named.get(name) or ""

    return expanded


def title(text: Any) -> str:
    return _WORD.sub(lambda word: word.group()[:1].upper() + word.group()[1:].lower(), shown(text))


def join(separator: str, values: Iterable[Any]) -> str:
    texts = [shown(value) for value in values]
    charge(sum(len(text) + len(separator) for text in texts))
    return separator.join(texts)


def replace(old: str, new: str, text: Any) -> str:
    subject = shown(text)
    charge(len(subject) + subject.count(old) * len(new))
    return subject.replace(old, new)


def to_json(value: Any) -> str:
    """As Go's encoding/json, which writes <, > and & as escapes."""
    written = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    for character in "<>&":
        written = written.replace(character, f"\\u{ord(character):04x}")
    charge(len(written))
    return written


def _plain(value: Any) -> Any:
    if isinstance(value, KV | AlertData | Data):
        return value.plain()
    if isinstance(value, Alerts):
        return [alert.plain() for alert in value]
    if isinstance(value, Time):
        return value.rfc3339()
    if isinstance(value, Duration):
        return int(value.seconds * 1e9)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value)
        return {str(key): _plain(pairs[key]) for key in sorted(pairs, key=str)}
    if isinstance(value, str | int | float) or value is None:
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[Any]", value)]
    return shown(value)


def items_of(value: Any) -> list[Any]:
    """What Go's range goes through: the items, or the values by key."""
    return [item for _, item in pairs_of(value)]


def pairs_of(value: Any) -> list[tuple[Any, Any]]:
    if value is None or value == "":
        return []
    if isinstance(value, Mapping):
        known = cast("Mapping[Any, Any]", value)
        return [(key, known[key]) for key in sorted(known)]
    if isinstance(value, list | tuple):
        return list(enumerate(cast("list[Any]", value)))
    raise TemplateError(f"range goes through lists and labels, not {shown(value)[:40]!r}")


def pairs_to_dict(*values: Any) -> dict[str, Any]:
    if len(values) % 2:
        raise TemplateError("dict takes names and values in turn")
    return dict(zip(map(shown, values[::2]), values[1::2], strict=True))


def safe_link(url: Any) -> str:
    """For an href: another scheme than http, https or mailto becomes `#`."""
    text = str(url).strip()
    scheme = text.split(":", 1)[0].lower() if ":" in text.split("/", 1)[0] else ""
    return text if scheme in {"", "http", "https", "mailto"} else "#"


def _upper(text: Any) -> str:
    return shown(text).upper()


def _lower(text: Any) -> str:
    return shown(text).lower()


def _trimmed(text: Any) -> str:
    return shown(text).strip()


def _safe_html(text: Any) -> Markup:
    return Markup(shown(text))


def _safe_url(text: Any) -> Markup:
    return Markup(html.escape(shown(text)))


def _unescaped(text: Any) -> str:
    return unquote_plus(shown(text))


def _listed(*values: Any) -> list[Any]:
    return list(values)


def _appended(values: Iterable[Any], *more: Any) -> list[Any]:
    return [*values, *more]


def _date(layout: str, time: Time) -> str:
    return time.Format(layout)


def _zoned(zone: str, time: Time) -> Time:
    return time.within(zone)


def _encoded(text: Any) -> str:
    return base64.urlsafe_b64encode(shown(text).encode()).decode()


def _decoded(text: Any) -> str:
    try:
        return base64.urlsafe_b64decode(shown(text)).decode()
    except ValueError as error:
        raise TemplateError("base64decode: not URL-safe base64 of a text") from error


def _path(text: Any) -> str:
    return quote(shown(text), safe="")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "toUpper": _upper,
    "toLower": _lower,
    "title": title,
    "trimSpace": _trimmed,
    "join": join,
    "match": match,
    "safeHtml": _safe_html,
    "safeUrl": _safe_url,
    "urlUnescape": _unescaped,
    "reReplaceAll": re_replace_all,
    "stringSlice": _listed,
    "list": _listed,
    "append": _appended,
    "dict": pairs_to_dict,
    "date": _date,
    "tz": _zoned,
    "humanizeDuration": humanize_duration,
    "toJson": to_json,
    "base64encode": _encoded,
    "base64decode": _decoded,
}
"""Alertmanager's own. `since` and `now` need the time of the rendering: templates.py has them."""


BESIDES: dict[str, Callable[..., Any]] = {
    "replace": replace,
    "safeLink": safe_link,
    "pathquery": _path,
    "items_of": items_of,
    "pairs_of": pairs_of,
}
"""Ours: what templates of Jinja, and those that were converted, need beside."""
