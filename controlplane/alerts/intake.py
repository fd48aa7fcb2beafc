"""What comes in at POST /api/v2/alerts: from bytes to alerts, quick, in slices, and each bad one by its name.

The rules of times are Alertmanager's: without startsAt it is endsAt, else now; without endsAt it is now plus
resolve_timeout, and such an alert is `timed`. Labels with an empty value are dropped. Stricter than it: NUL
is refused, which neither Postgres nor a terminal takes, and so is what is beyond the bounds below.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Generic, TypeVar, cast

import msgspec

from controlplane.alerts.alert import NOTHING, Alert, Labels
from controlplane.alerts.fingerprint import fingerprint

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
_REMEMBERED = 65_536
_REMEMBERED_BYTES = 32 * 1024 * 1024

_Value = TypeVar("_Value")
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
    """What kind of refusal it is: Alertmanager answers each with another status."""

    UNREADABLE = 400
    INCOMPLETE = 422
    INVALID = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """One alert of the request that is not taken. message: what is wrong, and what would be right."""

    index: int
    fault: Fault
    message: str

    def __str__(self) -> str:
        return f"alert {self.index}: {self.message}"


@dataclass(frozen=True, slots=True)
class Slice:
    """Of one request. What is refused does not keep the others out."""

    alerts: list[Alert] = field(default_factory=list[Alert])
    refused: list[Refusal] = field(default_factory=list[Refusal])


class _Posted(msgspec.Struct, gc=False):
    """Labels and annotations stay bytes: what was seen before is not read again."""

    labels: msgspec.Raw = msgspec.Raw(b"")
    annotations: msgspec.Raw = msgspec.Raw(b"")
    startsAt: str | None = None
    endsAt: str | None = None
    generatorURL: str | None = None


class _Refused(ValueError):
    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class Remembered(Generic[_Value]):
    """Values by their bytes or text, two generations of them: what was not asked for in one is forgotten."""

    def __init__(self, most: int = _REMEMBERED, most_bytes: int = _REMEMBERED_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._new = dict[Any, _Value]()
        self._old = dict[Any, _Value]()
        self._bytes = 0

    def get(self, key: bytes | str) -> _Value | None:
        found = self._new.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: bytes | str, value: _Value) -> None:
        if len(self._new) >= self._most or self._bytes >= self._most_bytes:
            self._old, self._new, self._bytes = self._new, {}, 0
        self._new[key] = value
        self._bytes += len(key)


_list_decoder = msgspec.json.Decoder(list[_Posted])
_raws_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_one_decoder = msgspec.json.Decoder(_Posted)
_labels_decoder = msgspec.json.Decoder(dict[str, str])


class Intake:
    """Keeps what it has read lately: Prometheus sends every alert again each minute, byte by byte the same."""

    def __init__(self) -> None:
        self._identities = Remembered[tuple[Labels, str]]()
        self._annotations = Remembered[Labels]()
        self._times = Remembered[float]()

    def slices(self, body: bytes, now: float, resolve_timeout_seconds: float) -> Iterator[Slice]:
        """What `body`, a JSON list, holds, some hundred alerts at a time; each slice takes about 2 ms.

        Raises Malformed and TooMany, before anything was yielded where the body is one slice. Times are Unix
        seconds.
        """
        count = 0
        for part in _parts(body):
            posted, refused = _read(part, count)
            count += len(posted)
            if count > MOST_ALERTS:
                raise TooMany(f"more than {MOST_ALERTS:,} alerts in one request; send fewer at a time")
            taken = Slice(refused=refused)
            for index, each in enumerate(posted, count - len(posted)):
                if each is None:
                    continue
                try:
                    taken.alerts.append(self._alert(each, now, resolve_timeout_seconds))
                except _Refused as error:
                    refused.append(Refusal(index, error.fault, str(error)))
            yield taken

    def _alert(self, posted: _Posted, now: float, resolve_timeout_seconds: float) -> Alert:
        written = bytes(posted.labels)
        known = self._identities.get(written)
        if known is None:
            known = self._identity(written)
        ends_at = self._time("endsAt", posted.endsAt)
        starts_at = self._time("startsAt", posted.startsAt)
        if starts_at is None:
            starts_at = now if ends_at is None else ends_at
        timed = ends_at is None
        if ends_at is None:
            ends_at = now + resolve_timeout_seconds
        if ends_at < starts_at:
            raise _Refused(Fault.INVALID, _ends_first(timed, resolve_timeout_seconds))
        if url := posted.generatorURL:
            _check_url(url)
        identity, digest = known
        return Alert(
            digest,
            identity,
            self._annotated(bytes(posted.annotations)),
            starts_at,
            ends_at,
            now,
            timed,
            url or "",
        )

    def _identity(self, written: bytes) -> tuple[Labels, str]:
        if not written or written == b"null":
            raise _Refused(Fault.INCOMPLETE, "labels in body is required")
        if len(written) > MOST_LABELS_BYTES:
            raise _Refused(Fault.INVALID, f"labels: {len(written):,} bytes; up to {MOST_LABELS_BYTES:,}")
        given = _pairs("labels", written)
        labels = {name: given[name] for name in sorted(given) if given[name]}
        if not labels:
            raise _Refused(Fault.INVALID, "at least one label pair required, whose value is not empty")
        _check_pairs("label", labels, written)
        known = labels, fingerprint(labels)
        self._identities.put(written, known)
        return known

    def _annotated(self, written: bytes) -> Labels:
        if not written or written == b"null" or written == b"{}":
            return NOTHING
        known = self._annotations.get(written)
        if known is None:
            if len(written) > MOST_ANNOTATIONS_BYTES:
                text = f"annotations: {len(written):,} bytes; up to {MOST_ANNOTATIONS_BYTES:,}"
                raise _Refused(Fault.INVALID, text)
            known = _pairs("annotations", written)
            _check_pairs("annotation", known, written)
            self._annotations.put(written, known)
        return known

    def _time(self, field: str, text: str | None) -> float | None:
        """None for none: absent, null, empty, or Go's zero time."""
        if not text:
            return None
        known = self._times.get(text)
        if known is None:
            try:
                known = read_time(text)
            except ValueError as error:
                raise _Refused(Fault.UNREADABLE, f"{field}: {error}") from error
            if known is not None:
                self._times.put(text, known)
        return known


def _parts(body: bytes) -> Iterator[bytes]:
    """JSON lists that come to `body` when they are joined. One that can be read is whole elements: what stands
    before a seam decides alone whether that lies inside a string or an object."""
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


def _read(part: bytes, first: int) -> tuple[list[_Posted | None], list[Refusal]]:
    """The quick way, and where that fails one by one, so that a bad alert keeps no other out."""
    try:
        return cast("list[_Posted | None]", _list_decoder.decode(part)), []
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
    posted: list[_Posted | None] = []
    refused: list[Refusal] = []
    for index, raw in enumerate(raws, first):
        try:
            posted.append(_one_decoder.decode(raw))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            posted.append(None)
            refused.append(Refusal(index, Fault.UNREADABLE, _readable(error)))
    return posted, refused


def _readable(error: Exception) -> str:
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
            raise _Refused(Fault.UNREADABLE, f"{what}: {_readable(error)}") from error
    try:
        loose = msgspec.json.decode(written, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(Fault.UNREADABLE, f"{what}: {_readable(error)}") from error
    for name, value in loose.items():
        if value is not None and not isinstance(value, str):
            kind = {bool: "a boolean", int: "a number", float: "a number", list: "a list"}
            text = f"{what}: {name[:100]!r} is {kind.get(type(value), 'an object')}; a text is needed"
            raise _Refused(Fault.UNREADABLE, text)
    return {name: value or "" for name, value in loose.items()}


def _check_pairs(what: str, pairs: Mapping[str, str], written: bytes) -> None:
    """written: what `pairs` was read from. A NUL stands there as an escape, and short bytes hold no long text:
    both are seen without looking at each pair."""
    invalid = "invalid label set" if what == "label" else "invalid annotations"
    if len(pairs) > MOST_PAIRS:
        raise _Refused(Fault.INVALID, f"{invalid}: {len(pairs)} {what}s; up to {MOST_PAIRS}")
    if "" in pairs:
        raise _Refused(Fault.INVALID, f'{invalid}: invalid name "": {what}s have a name')
    if len(written) <= MOST_NAME and _NUL not in written:
        return
    for name, value in pairs.items():
        if len(name) > MOST_NAME or len(value) > MOST_VALUE:
            text = f"{what} {name[:100]!r}: up to {MOST_NAME:,} characters of name and {MOST_VALUE:,} of value"
            raise _Refused(Fault.INVALID, f"{invalid}: {text}")
        if "\0" in value or "\0" in name:
            raise _Refused(Fault.INVALID, f"{invalid}: {what} {name[:100]!r} has a NUL character")


def _ends_first(timed: bool, resolve_timeout_seconds: float) -> str:
    if timed:
        return (
            f"start time must be before end time: startsAt is more than resolve_timeout"
            f" ({resolve_timeout_seconds:g} s) ahead, and endsAt is missing"
        )
    return "start time must be before end time: endsAt lies before startsAt"


def _check_url(url: str) -> None:
    if len(url) > MOST_URL:
        raise _Refused(Fault.INCOMPLETE, f"generatorURL: {len(url):,} characters; up to {MOST_URL:,}")
    if not _URL.fullmatch(url):
        text = f"generatorURL in body must be of type uri: {url[:200]!r}; as http://host/path"
        raise _Refused(Fault.INCOMPLETE, text)


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
