"""What clients write at POST /api/v2/alerts: bounds, and how each part is read or refused by its name."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, cast

import msgspec

from controlplane.alerts.alert import Labels

MOST_BODY_BYTES = 16 * 1024 * 1024
MOST_ALERTS = 20_000
MOST_LABELS_BYTES = 64 * 1024
MOST_ANNOTATIONS_BYTES = 128 * 1024
MOST_PAIRS = 256
MOST_NAME = 1_024
MOST_VALUE = 32 * 1024
MOST_URL = 16 * 1024
MOST_REFUSALS = 50
"""Refusals that are told of; the others are counted."""
SLICE_BYTES = 48 * 1024

_BETWEEN = re.compile(rb"\}\s*,\s*\{")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[.,]\d{1,18})?(?:[Zz]|[+-]\d\d:\d\d)?")
_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:|/)[^\x00-\x1f\x7f]*")
_ZERO_YEAR = "0001-01-01T00:00:00"
_SPACE = b" \t\r\n"
_NUL = b"\\u0000"


class Malformed(ValueError):
    """A body that is no JSON list of objects; nothing of it is taken."""


class TooMany(ValueError):
    """More alerts in one request than are taken at once."""


class Fault(IntEnum):
    """What kind of refusal it is: Alertmanager answers each with another status, or code."""

    UNREADABLE = 400
    INCOMPLETE = 602
    MISSHAPEN = 601
    INVALID = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """One alert of the request that is not taken. message: what is wrong, and what would be right."""

    index: int
    fault: Fault
    message: str

    def __str__(self) -> str:
        return f"alert {self.index}: {self.message}"


class Posted(msgspec.Struct, gc=False):
    """Labels and annotations stay bytes: what was seen before is not read again."""

    labels: msgspec.Raw = msgspec.Raw(b"")
    annotations: msgspec.Raw = msgspec.Raw(b"")
    startsAt: str | None = None
    endsAt: str | None = None
    generatorURL: str | None = None


class Refused(ValueError):
    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


_list_decoder = msgspec.json.Decoder(list[Posted])
_raws_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_one_decoder = msgspec.json.Decoder(Posted)
_labels_decoder = msgspec.json.Decoder(dict[str, str])


def parts_of(body: bytes) -> Iterator[bytes]:
    """JSON lists that come to `body` when they are joined.

    One that can be read is whole elements: what stands before a seam decides alone whether the seam lies
    inside a string or an object. Raises Malformed.
    """
    if len(body) <= 2 * SLICE_BYTES:
        yield body
        return
    start = _opening(body) + 1
    reach = SLICE_BYTES
    while len(body) - start > 2 * reach:
        seam = _BETWEEN.search(body, start + reach, min(len(body), start + 4 * reach))
        part = b"[" + body[start : seam.start() + 1] + b"]" if seam is not None else b""
        if seam is None or not _is_list(part):
            reach *= 2
            continue
        yield part
        start, reach = seam.end() - 1, SLICE_BYTES
    yield b"[" + body[start:]


def _opening(body: bytes) -> int:
    stripped = body.lstrip(_SPACE)
    if not stripped.startswith(b"["):
        raise Malformed("the body is no JSON list of alerts")
    return len(body) - len(stripped)


def _is_list(part: bytes) -> bool:
    try:
        _raws_decoder.decode(part)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def read_posted(part: bytes, first: int) -> tuple[list[Posted | None], list[Refusal]]:
    """The quick way, and where that fails one by one, so that a bad alert keeps no other out."""
    try:
        return cast("list[Posted | None]", _list_decoder.decode(part)), []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    if part.strip(_SPACE) == b"null":
        return [], []
    try:
        raws = _raws_decoder.decode(part)
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"parsing alerts body failed, because {error}") from error
    if first + len(raws) > MOST_ALERTS:
        return [None] * len(raws), []
    posted: list[Posted | None] = []
    refused: list[Refusal] = []
    for index, raw in enumerate(raws, first):
        try:
            posted.append(_one_decoder.decode(raw))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            posted.append(None)
            refused.append(Refusal(index, Fault.UNREADABLE, _said(error)))
    return posted, refused


def read_labels(written: bytes) -> Labels:
    """Sorted by name, those with an empty value dropped. Raises Refused."""
    if not written or written == b"null":
        raise Refused(Fault.INCOMPLETE, "labels in body is required")
    if len(written) > MOST_LABELS_BYTES:
        raise Refused(Fault.INVALID, f"labels: {len(written):,} bytes; up to {MOST_LABELS_BYTES:,}")
    given = _pairs("labels", written)
    labels = {name: given[name] for name in sorted(given) if given[name]}
    if not labels:
        raise Refused(Fault.INVALID, "at least one label pair required, whose value is not empty")
    _check_pairs("label", labels, written)
    return labels


def read_annotations(written: bytes) -> Labels:
    """As they stand. Raises Refused."""
    if len(written) > MOST_ANNOTATIONS_BYTES:
        text = f"annotations: {len(written):,} bytes; up to {MOST_ANNOTATIONS_BYTES:,}"
        raise Refused(Fault.INVALID, text)
    annotations = _pairs("annotations", written)
    _check_pairs("annotation", annotations, written)
    return annotations


def _said(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)


def _pairs(what: str, written: bytes) -> dict[str, str]:
    """An object of strings; null for a value is the same as empty, as Go reads it."""
    try:
        return _labels_decoder.decode(written)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if isinstance(error, UnicodeDecodeError | RecursionError):
            raise Refused(Fault.UNREADABLE, f"{what}: {_said(error)}") from error
    try:
        loose = msgspec.json.decode(written, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Fault.UNREADABLE, f"{what}: {_said(error)}") from error
    for name, value in loose.items():
        if value is not None and not isinstance(value, str):
            text = f"{what}: {name[:100]!r} is {_kind(value)}; a text is needed"
            raise Refused(Fault.UNREADABLE, text)
    return {name: value or "" for name, value in loose.items()}


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    return "a number" if isinstance(value, int | float) else "a list or an object"


def _check_pairs(what: str, pairs: Mapping[str, str], written: bytes) -> None:
    """written: what `pairs` was read from. A NUL stands there as an escape, and what is short holds no long
    text: both are seen without looking at each pair."""
    invalid = "invalid label set" if what == "label" else "invalid annotations"
    if len(pairs) > MOST_PAIRS:
        raise Refused(Fault.INVALID, f"{invalid}: {len(pairs)} {what}s; up to {MOST_PAIRS}")
    if "" in pairs:
        raise Refused(Fault.INVALID, f'{invalid}: invalid name "": {what}s have a name')
    if len(written) <= MOST_NAME and _NUL not in written:
        return
    for name, value in pairs.items():
        if len(name) > MOST_NAME or len(value) > MOST_VALUE:
            text = (
                f"{what} {name[:100]!r}: up to {MOST_NAME:,} characters of name and {MOST_VALUE:,} of value"
            )
            raise Refused(Fault.INVALID, f"{invalid}: {text}")
        if "\0" in value or "\0" in name:
            raise Refused(Fault.INVALID, f"{invalid}: {what} {name[:100]!r} has a NUL character")


def ends_first(timed: bool, resolve_timeout_seconds: float) -> str:
    if timed:
        return (
            f"start time must be before end time: startsAt is more than resolve_timeout"
            f" ({resolve_timeout_seconds:g} s) ahead, and endsAt is missing"
        )
    return "start time must be before end time: endsAt lies before startsAt"


def check_url(url: str) -> None:
    if len(url) > MOST_URL:
        raise Refused(Fault.MISSHAPEN, f"generatorURL: {len(url):,} characters; up to {MOST_URL:,}")
    if not _URL.fullmatch(url):
        text = f"generatorURL in body must be of type uri: {url[:200]!r}; as http://host/path"
        raise Refused(Fault.MISSHAPEN, text)


def read_time(text: str) -> float | None:
    """Unix seconds of an RFC 3339 time; None for Go's zero time. Without a zone it is UTC. ValueError."""
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is no RFC 3339 time; as 2006-01-02T15:04:05.999Z")
    if text.startswith(_ZERO_YEAR) and not text[len(_ZERO_YEAR) :].strip(".0Zz+-:"):
        return None
    try:
        at = datetime.fromisoformat(text.upper().replace(",", "."))
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text[:60]!r} is no time of a calendar: {error}") from error
