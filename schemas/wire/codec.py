"""Bytes and back: JSON, zstd above 8 KB. Unknown fields are ignored, what does not validate is named."""

import sys
from array import array
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
import zstandard

COMPRESS_ABOVE_BYTES = 8 * 1024
MAX_MESSAGE_BYTES = 512 * 1024
MAX_DECODED_BYTES = 4 * 1024 * 1024
"""What a body of a few KB may become: taking it in is one step of the loop."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
T = TypeVar("T", bound=msgspec.Struct)

_encoder = msgspec.json.Encoder()
_compressor = zstandard.ZstdCompressor(level=3)
_decompressor = zstandard.ZstdDecompressor()


class Malformed(ValueError):
    """A body that is not what its subject promises; the text names the field."""


@cache
def _decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def encode(message: msgspec.Struct) -> bytes:
    """One message as bytes."""
    raw = _encoder.encode(message)
    return raw if len(raw) <= COMPRESS_ABOVE_BYTES else _compressor.compress(raw)


def decode(kind: type[T], body: bytes) -> T:
    """One message of `kind`; Malformed names what is wrong with it."""
    try:
        return _decoder(kind).decode(_inflate(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, zstandard.ZstdError, RecursionError) as error:
        raise Malformed(f"{kind.__name__}: {error}") from error


def _inflate(body: bytes) -> bytes:
    if not body.startswith(_ZSTD_MAGIC):
        return body
    size = zstandard.frame_content_size(body)
    if not 0 <= size <= MAX_DECODED_BYTES:
        # A frame that hides or exaggerates its size is how a small body becomes a large bill.
        raise Malformed(f"zstd frame announces {size} bytes; 0 to {MAX_DECODED_BYTES} are taken")
    return _decompressor.decompress(body, max_output_size=MAX_DECODED_BYTES)


def pack_column(values: Sequence[int]) -> bytes:
    """A column of signed 64-bit integers, little endian: read back without a Python object a value."""
    column = array("q", values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def unpack_column(column: bytes) -> list[int]:
    """The values of a packed column."""
    values = array("q", column)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def column_length(column: bytes) -> int:
    """How many values a packed column has; ValueError when it is cut."""
    if len(column) % 8:
        raise ValueError(f"a packed column has a multiple of 8 bytes, this one {len(column)}")
    return len(column) // 8
