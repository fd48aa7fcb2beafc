"""The values that Alertmanager's configuration file is made of, and what marks them.

Everything comes from YAML as text: a field decides what it takes, as in Alertmanager, where `code: 500` is a
text wherever a text is expected. What is left empty (`~`) is as if it were left out.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, cast, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    model_validator,
)

HIDDEN = "<secret>"
_MOST_SECONDS = 2**63 / 1e9
_SIZES = {
    "y": 365 * 86_400.0,
    "w": 7 * 86_400.0,
    "d": 86_400.0,
    "h": 3_600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_PROMETHEUS = re.compile(r"(?:\d+y)?(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?(?:\d+ms)?")
_GO = re.compile(r"(?:\d+(?:\.\d*)?(?:h|m|s|ms|us|µs|ns))+")
_PART = re.compile(r"(\d+(?:\.\d*)?)(ms|us|µs|ns|[ywdhms])")


class WrongField(ValueError):
    """Of one model, fields that do not go together: (field, what would be right) of each."""

    def __init__(self, *wrong: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {right}" for field, right in wrong))
        self.wrong = wrong


class Section(BaseModel):
    """A mapping of the file: names as Alertmanager has them; what is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {key: value for key, value in cast("dict[Any, Any]", given).items() if value is not None}

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Secrets stay out of logs and tracebacks."""
        for name, value in super().__repr_args__():
            hidden = name is not None and value and Mark.SECRET in marks_of(type(self), name)
            yield name, HIDDEN if hidden else value


class Mark(Enum):
    """What the texts of a field are, for those who walk over a section."""

    TEMPLATE = "text with {{ }} in it"
    PATH = "a file, relative to the folder of the configuration file"
    SECRET = "never shown"


@lru_cache(maxsize=4_096)
def marks_of(section: type[Section], field: str) -> frozenset[Mark]:
    """Of a field of that name, wherever they stand in its type."""
    info = section.model_fields[field]
    return frozenset([each for each in info.metadata if isinstance(each, Mark)]) | _marks(info.annotation)


def _marks(annotation: Any) -> frozenset[Mark]:
    own = frozenset(each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, Mark))
    return own.union(*(_marks(each) for each in get_args(annotation)))


def template_texts(section: Section) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, text) of every template in it and below it that is not empty."""
    for name, field in type(section).model_fields.items():
        marked = Mark.TEMPLATE in marks_of(type(section), name)
        for path, value in _leaves(getattr(section, name)):
            where = (field.alias or name, *path)
            if isinstance(value, Section):
                for inner, text in template_texts(value):
                    yield (*where, *inner), text
            elif marked and value and isinstance(value, str):
                yield where, value


def _leaves(value: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """What stands in lists and mappings, however deep."""
    if isinstance(value, dict):
        known = cast("dict[str, Any]", value).items()
        yield from (((key, *path), each) for key, inner in known for path, each in _leaves(inner))
    elif isinstance(value, list):
        places = enumerate(cast("list[Any]", value))
        yield from (((place, *path), each) for place, inner in places for path, each in _leaves(inner))
    else:
        yield (), value


def duration_seconds(text: str) -> float:
    """`1h30m`, `1d`, `500ms`, as Prometheus and Go write durations. ValueError."""
    plain = text.strip()
    if plain == "0":
        return 0.0
    if not plain or not (_PROMETHEUS.fullmatch(plain) or _GO.fullmatch(plain)):
        raise ValueError(f"{text!r} is no duration: write it as 30s, 5m, 1h30m or 1d, the largest unit first")
    seconds = sum(float(count) * _SIZES[unit] for count, unit in _PART.findall(plain))
    if seconds >= _MOST_SECONDS:
        raise ValueError(f"{text!r}: more than 292 years")
    return seconds


def duration_text(seconds: float) -> str:
    """`1h30m`; the inverse of duration_seconds, to the millisecond."""
    left, parts = round(seconds * 1_000), list[str]()
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _duration(value: Any) -> Any:
    return duration_seconds(value) if isinstance(value, str) else value


def _above_zero(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("a duration above 0 is needed")
    return seconds


def _web_address(text: str) -> str:
    if text == HIDDEN:
        return text
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("no address: http://HOST/... or https://HOST/... is needed")
    return text


def _host_port(text: str) -> str:
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port or (":" in bare and bare == host):
        raise ValueError(f"{text!r}: HOST:PORT is needed, as smtp.example.org:587")
    return text


def _hidden(value: str | None) -> str | None:
    return HIDDEN if value else value


def _hidden_address(value: str | None) -> str | None:
    """Alertmanager took a webhook's url for no secret until 0.26: the amtool of then wants an address."""
    if not value or value == HIDDEN:
        return value
    parts = urlsplit(value)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{HIDDEN}"


def _text_of_empty(value: Any) -> Any:
    """`key:` with nothing behind it, where a mapping of texts is expected, is an empty text."""
    if not isinstance(value, dict):
        return value
    return {key: "" if each is None else each for key, each in cast("dict[Any, Any]", value).items()}


_DurationText = PlainSerializer(duration_text, return_type=str)
Duration = Annotated[float, BeforeValidator(_duration), _DurationText]
"""Seconds."""
PositiveDuration = Annotated[float, BeforeValidator(_duration), AfterValidator(_above_zero), _DurationText]
Secret = Annotated[str, Mark.SECRET, PlainSerializer(_hidden)]
Url = Annotated[str, AfterValidator(_web_address)]
SecretUrl = Annotated[str, AfterValidator(_web_address), Mark.SECRET, PlainSerializer(_hidden)]
WebhookUrl = Annotated[str, AfterValidator(_web_address), Mark.SECRET, PlainSerializer(_hidden_address)]
HostPort = Annotated[str, AfterValidator(_host_port)]
Template = Annotated[str, Mark.TEMPLATE]
SecretTemplate = Annotated[str, Mark.TEMPLATE, Mark.SECRET, PlainSerializer(_hidden)]
FilePath = Annotated[str, Mark.PATH]
Texts = Annotated[dict[str, str], BeforeValidator(_text_of_empty)]
Templates = Annotated[dict[str, Template], BeforeValidator(_text_of_empty)]


def at_most_one(section: Section, *names: str) -> list[tuple[str, str]]:
    """What is wrong where more than one of these fields is set."""
    given = [name for name in names if getattr(section, name)]
    return [(given[1], f"state at most one of {', '.join(names)}")] if len(given) > 1 else []


def one_of(section: Section, *names: str) -> list[tuple[str, str]]:
    """What is wrong where not exactly one of these fields is set."""
    if any(getattr(section, name) for name in names):
        return at_most_one(section, *names)
    return [("", f"one of {', '.join(names)} is missing")]


def refuse(wrong: Sequence[tuple[str, str]]) -> None:
    """Raises WrongField for what is wrong, if anything is."""
    if wrong:
        raise WrongField(*wrong)
