"""Alerts, entries, notices on their way to Postgres and back; in a zstd frame where that is shorter.

What arrived is JSON, so that a migration can write it; all else is MessagePack, which knows infinity.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import zstandard

from controlplane.alerts.alert import Alert
from controlplane.alerts.entry import Arrived, Entry, SentLocally
from controlplane.alerts.fingerprint import fingerprint
from controlplane.alerts.silence import Acknowledgement, Silence

PACK_FROM_BYTES = 512
MAX_BODY_BYTES = 256 * 1024 * 1024
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

T = TypeVar("T")
_encoder = msgspec.json.Encoder()
_packer = msgspec.msgpack.Encoder()


class _Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An alert as it stands in an entry of the log; migration 0006 writes it too."""

    fingerprint: str
    identity: dict[str, str]
    annotations: dict[str, str]
    starts_at: float
    ends_at: float
    updated_at: float
    timed: bool
    generator_url: str
    source: str


_decode_arrived = msgspec.json.Decoder(tuple[float, list[_Row]])


class _Packing:
    def __init__(self) -> None:
        self._in = zstandard.ZstdCompressor(level=1)
        self._out = zstandard.ZstdDecompressor()

    def pack(self, raw: bytes) -> bytes:
        return self._in.compress(raw) if len(raw) >= PACK_FROM_BYTES else raw

    def unpack(self, body: bytes) -> bytes:
        if body[:4] != _ZSTD_MAGIC:
            return body
        return self._out.decompress(body, max_output_size=MAX_BODY_BYTES)


_packing = _Packing()


def pack(value: Any) -> bytes:
    """Any dataclass of the alerts package."""
    return _packing.pack(_packer.encode(value))


def unpack(kind: type[T], body: bytes) -> T:
    return msgspec.msgpack.decode(_packing.unpack(body), type=kind)


def entry_row(entry: Entry) -> tuple[float, str, bytes]:
    """at, kind, body."""
    if isinstance(entry, Arrived):
        rows = [_fields(alert) for alert in entry.alerts]
        return entry.at, "Arrived", _packing.pack(_encoder.encode((entry.at, rows)))
    at = entry.updated_at if isinstance(entry, Silence) else entry.at
    return at, type(entry).__name__, pack(entry)


def entry_of(kind: str, body: bytes) -> Entry:
    """What a later release wrote, and this one does not know, is as if nothing had arrived."""
    if kind == "Arrived":
        at, rows = _decode_arrived.decode(_packing.unpack(body))
        return Arrived(at, [_alert(row) for row in rows])
    decode = _ENTRIES.get(kind)
    return decode(body) if decode is not None else Arrived(0.0, [])


_ENTRIES: dict[str, Callable[[bytes], Entry]] = {
    "SentLocally": lambda body: unpack(SentLocally, body),
    "Silence": lambda body: unpack(Silence, body),
    "Acknowledgement": lambda body: unpack(Acknowledgement, body),
}


def _fields(alert: Alert) -> Sequence[Any]:
    return (
        alert.fingerprint,
        alert.identity,
        alert.annotations,
        alert.starts_at,
        alert.ends_at,
        alert.updated_at,
        alert.timed,
        alert.generator_url,
        alert.source,
    )


def _alert(row: _Row) -> Alert:
    identity, known_as = row.identity, row.fingerprint
    if not known_as:
        identity = {name: value for name, value in sorted(identity.items()) if value}
        known_as = fingerprint(identity)
    return Alert(
        known_as,
        identity,
        row.annotations,
        row.starts_at,
        row.ends_at,
        row.updated_at,
        row.timed,
        row.generator_url,
        row.source,
    )
