"""Values on their way to Postgres and back: JSON, text, taints, versions."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from schemas.wire.orders import Version
from schemas.wire.reports import Taint

# Quoted, also below: these classes take parameters in their stubs only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_JSONB_VERSION = b"\x01"
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Any)


def clean(text: str) -> str:
    """Postgres holds no NUL in text: one in a report is replaced, so that it cannot stop a stream."""
    return text.replace("\x00", "\ufffd")


def encode_json(value: Any) -> bytes:
    """JSON that Postgres takes. TypeError or UnicodeEncodeError for what is no JSON."""
    raw = _encoder.encode(value)
    return _encoder.encode(_clean(_decoder.decode(raw))) if b"\\u0000" in raw else raw


def plain(value: Any) -> Any:
    """`value` as it comes back from JSON: what is stored is compared with what comes in this form."""
    return _decoder.decode(encode_json(value))


def taints_of(value: Any) -> tuple[Taint, ...]:
    return msgspec.convert(value, tuple[Taint, ...])


def version_of(epoch: int | None, generation: int | None) -> Version | None:
    return None if epoch is None or generation is None else Version(epoch, generation)


def transposed(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as columns, for unnest; `width` empty ones where there are no rows."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


async def set_codecs(connection: Connection) -> None:
    """JSONB in and out as Python values, in its binary form."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: _JSONB_VERSION + encode_json(value),
        decoder=lambda raw: _decoder.decode(raw[len(_JSONB_VERSION) :]),
    )


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_clean(item) for item in cast(list[Any], value)]
    if isinstance(value, Mapping):
        return {clean(key): _clean(item) for key, item in cast(dict[str, Any], value).items()}
    return value
