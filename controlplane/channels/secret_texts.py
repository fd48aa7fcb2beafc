"""Secrets of a receiver: read where they are needed, and taken out of whatever is said about it."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from controlplane.channels.answers import Undeliverable
from schemas.manifests.alertmanager_values import Mark, Section, marks_of

HIDDEN = "***"
_SHORTEST = 6
_MOST_BYTES = 64 * 1024


async def read_secret(path: str) -> str:
    """A file's text without the line end. Undeliverable: it cannot be read; another attempt may."""

    def read() -> str:
        with Path(path).open("rb") as file:
            return file.read(_MOST_BYTES).decode().strip()

    try:
        return await asyncio.to_thread(read)
    except (OSError, ValueError) as error:
        raise Undeliverable(f"{path} cannot be read: {type(error).__name__}", retry=True) from error


async def secrets_of(settings: Section) -> dict[str, str]:
    """By field: what it holds, or what the file beside it (`token_file`) holds."""
    found = dict[str, str]()
    for name in type(settings).model_fields:
        if name.endswith("_file"):
            field = name.removesuffix("_file")
            path, value = getattr(settings, name), getattr(settings, field, None)
            found[field] = await read_secret(path) if path else str(value or "")
    return found


class Mask:
    """Takes out what is secret: fields that are marked so, what came from files, and tokens in addresses."""

    def __init__(self, settings: Section, read: Mapping[str, str] | None = None) -> None:
        values = {*_marked(settings), *(read or {}).values()}
        parts = {part for value in values for part in _parts(value) if len(part) >= _SHORTEST}
        written = {shape for part in parts for shape in (part, quote(part, safe=""), quote_plus(part))}
        self._parts = sorted(written, key=len, reverse=True)

    def masked(self, text: str) -> str:
        for part in self._parts:
            text = text.replace(part, HIDDEN)
        return text


def _marked(settings: Any) -> Iterator[str]:
    """Texts of fields that are marked as secret, and all addresses, which may have a token in them."""
    if isinstance(settings, Section):
        for name in type(settings).model_fields:
            value = getattr(settings, name)
            hidden = name.endswith("url") or Mark.SECRET in marks_of(type(settings), name)
            yield from _all_texts(value) if hidden else _marked(value)
    elif isinstance(settings, list | tuple):
        for item in cast("list[Any]", settings):
            yield from _marked(item)
    elif isinstance(settings, Mapping):
        for value in cast("Mapping[Any, Any]", settings).values():
            yield from _marked(value)


def _all_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in cast("list[Any]", value):
            yield from _all_texts(item)
    elif isinstance(value, Mapping):
        for item in cast("Mapping[Any, Any]", value).values():
            yield from _all_texts(item)


def _parts(value: str) -> Iterator[str]:
    """The whole of it; of an address its path, its segments, the values of its query, user and password."""
    yield value
    if "://" not in value:
        return
    try:
        address = urlsplit(value)
        user, password = address.username, address.password
    except ValueError:
        return
    yield from filter(None, (user, password))
    yield from (part for part in address.path.split("/") if len(part) >= 2 * _SHORTEST)
    yield from (part for _, part in parse_qsl(address.query))
    if len(address.query) >= _SHORTEST:
        yield address.query
