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


class Intake:
    """Keeps what it has read lately: Prometheus sends every alert again each minute, byte by byte."""

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
        for part in parts_of(body):
            posted, refused = read_posted(part, count)
            count += len(posted)
            if count > MOST_ALERTS:
                raise TooMany(f"more than {MOST_ALERTS:,} alerts in one request; send fewer at a time")
            taken = Slice(refused=refused)
            first = count - len(posted)
            faults = self._learn(posted)
            for index, each in enumerate(posted):
                if each is None:
                    continue
                try:
                    if index in faults:
                        raise faults[index]
                    taken.alerts.append(self._alert(each, now, resolve_timeout_seconds))
                except Refused as error:
                    refused.append(Refusal(first + index, error.fault, str(error)))
            yield taken

    def _learn(self, posted: Sequence[Posted | None]) -> dict[int, Refused]:
        """Reads the labels that were not seen before, fingerprints together; by place what is wrong."""
        faults = dict[int, Refused]()
        unknown = dict[bytes, Labels]()
        for index, each in enumerate(posted):
            if each is None:
                continue
            written = bytes(each.labels)
            if written not in unknown and self._identities.get(written) is None:
                try:
                    unknown[written] = read_labels(written)
                except Refused as error:
                    faults[index] = error
        digests = fingerprints(list(unknown.values()))
        for (written, labels), digest in zip(unknown.items(), digests, strict=True):
            self._identities.put(written, (labels, digest))
        return faults

    def _alert(self, posted: Posted, now: float, resolve_timeout_seconds: float) -> Alert:
        identity, digest = self._identities[bytes(posted.labels)]
        ends_at = self._time("endsAt", posted.endsAt)
        starts_at = self._time("startsAt", posted.startsAt)
        if starts_at is None:
            starts_at = now if ends_at is None else ends_at
        timed = ends_at is None
        if ends_at is None:
            ends_at = now + resolve_timeout_seconds
        if ends_at < starts_at:
            raise Refused(Fault.INVALID, ends_first(timed, resolve_timeout_seconds))
        if url := posted.generatorURL:
            check_url(url)
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

    def _annotated(self, written: bytes) -> Labels:
        if not written or written == b"null" or written == b"{}":
            return NOTHING
        known = self._annotations.get(written)
        if known is None:
            known = read_annotations(written)
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
                raise Refused(Fault.UNREADABLE, f"{field}: {error}") from error
            if known is not None:
                self._times.put(text, known)
        return known
