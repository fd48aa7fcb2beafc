"""What comes in at POST /api/v2/alerts: from bytes to alerts, quick, in slices, and each bad one by its name.

The rules of times are Alertmanager's: without startsAt it is endsAt, else now; without endsAt it is now plus
resolve_timeout, and such an alert is `timed`. Labels with an empty value are dropped. Stricter than it: NUL
is refused, which neither Postgres nor a terminal takes, and so is what is beyond the bounds of posted.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from controlplane.alerts.alert import NOTHING, Alert, Labels
from controlplane.alerts.fingerprint import fingerprints
from controlplane.alerts.posted import (
    MOST_ALERTS,
    Fault,
    Posted,
    Refusal,
    Refused,
    TooMany,
    check_url,
    ends_first,
    parts_of,
    read_annotations,
    read_labels,
    read_posted,
    read_time,
)

_REMEMBERED = 65_536
_REMEMBERED_BYTES = 32 * 1024 * 1024
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Slice:
    """Of one request. What is refused does not keep the others out."""

    alerts: list[Alert] = field(default_factory=list[Alert])
    refused: list[Refusal] = field(default_factory=list[Refusal])


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

    def __getitem__(self, key: bytes | str) -> _Value:
        """Of what was asked for or put in this generation or the one before."""
        found = self._new.get(key)
        return self._old[key] if found is None else found

    def put(self, key: bytes | str, value: _Value) -> None:
        if len(self._new) >= self._most or self._bytes >= self._most_bytes:
            self._old, self._new, self._bytes = self._new, {}, 0
        self._new[key] = value
        self._bytes += len(key)


class _Seen:
    """What was read of an alert, by the bytes of its labels: its other parts at their last."""

    __slots__ = (
        "annotations",
        "annotations_written",
        "digest",
        "identity",
        "starts_at",
        "starts_written",
        "url",
    )

    def __init__(self, identity: Labels, digest: str) -> None:
        self.identity, self.digest = identity, digest
        self.annotations_written, self.annotations = b"", NOTHING
        self.starts_written: str | None = None
        self.starts_at: float | None = None
        self.url: str | None = None


class Intake:
    """Keeps what it has read lately: Prometheus sends every alert again each minute, byte by byte but for the
    time at which it ends."""

    def __init__(self) -> None:
        self._seen = Remembered[_Seen]()
        self._times = Remembered[float]()
        self._links = Remembered[bool]()

    def slices(self, body: bytes, now: float, resolve_timeout_seconds: float) -> Iterator[Slice]:
        """What `body`, a JSON list, holds, some hundred alerts at a time; each slice takes about 2 ms.

        Raises Malformed and TooMany, before anything was yielded where the body is one slice. Times are Unix
        seconds.
        """
        count = 0
        for part in parts_of(body):
            posted, refused = read_posted(part, count)
            count += len(posted)
            if count > MOST_ALERTS:
                raise TooMany(f"more than {MOST_ALERTS:,} alerts in one request; send fewer at a time")
            taken = Slice(refused=refused)
            first = count - len(posted)
            for index, (each, seen) in enumerate(zip(posted, self._learn(posted), strict=True)):
                if each is None:
                    continue
                try:
                    if isinstance(seen, Refused):
                        raise seen
                    taken.alerts.append(self._alert(each, seen, now, resolve_timeout_seconds))
                except Refused as error:
                    refused.append(Refusal(first + index, error.fault, str(error)))
            yield taken

    def _learn(self, posted: Sequence[Posted | None]) -> Sequence[_Seen | Refused]:
        """By place, what is known by its labels, or what is wrong with them; new ones are fingerprinted
        together. What stands at the place of nothing means nothing."""
        found = list[_Seen | Refused]()
        unknown = dict[bytes, tuple[Labels, list[int]]]()
        for index, each in enumerate(posted):
            written = b"" if each is None else bytes(each.labels)
            seen: _Seen | Refused | None = self._seen.get(written)
            if seen is None and written in unknown:
                unknown[written][1].append(index)
            elif seen is None:
                try:
                    unknown[written] = read_labels(written), [index]
                except Refused as error:
                    seen = error
            found.append(_NOT_YET if seen is None else seen)
        digests = fingerprints([labels for labels, _ in unknown.values()])
        for (written, (labels, places)), digest in zip(unknown.items(), digests, strict=True):
            seen = _Seen(labels, digest)
            self._seen.put(written, seen)
            for index in places:
                found[index] = seen
        return found

    def _alert(self, posted: Posted, seen: _Seen, now: float, resolve_timeout_seconds: float) -> Alert:
        ends_at = self._time("endsAt", posted.endsAt)
        if posted.startsAt != seen.starts_written:
            seen.starts_at = self._time("startsAt", posted.startsAt)
            seen.starts_written = posted.startsAt
        starts_at = seen.starts_at
        if starts_at is None:
            starts_at = now if ends_at is None else ends_at
        timed = ends_at is None
        if ends_at is None:
            ends_at = now + resolve_timeout_seconds
        if ends_at < starts_at:
            raise Refused(Fault.INVALID, ends_first(timed, resolve_timeout_seconds))
        url = posted.generatorURL
        if url and url != seen.url:
            check_url(url)
            seen.url = url
        written = bytes(posted.annotations)
        if written != seen.annotations_written:
            seen.annotations = NOTHING if written in _NO_ANNOTATIONS else read_annotations(written)
            seen.annotations_written = written
        return Alert(seen.digest, seen.identity, seen.annotations, starts_at, ends_at, now, timed, url or "")

    def _time(self, field: str, text: str | None) -> float | None:
        """None for none: absent, null, empty, or Go's zero time."""
        if not text:
            return None
        known = self._times.get(text)
        if known is None:
            try:
                known = read_time(text)
            except ValueError as error:
                raise Refused(Fault.UNREADABLE, f"{field}: {error}") from error
            if known is not None:
                self._times.put(text, known)
        return known


_NOT_YET = Refused(Fault.INVALID, "not read")
_NO_ANNOTATIONS = (b"", b"null", b"{}")
