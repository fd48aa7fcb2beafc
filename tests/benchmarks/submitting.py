"""A client that costs little: one connection, requests as bytes, answers read as far as is needed."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit


def put_request(url: str, token: str, path: str, body: Any) -> bytes:
    """One whole HTTP/1.1 PUT of JSON."""
    content = json.dumps(body).encode()
    head = (
        f"PUT {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class Submitter:
    """One connection to the API, kept open."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def submit(self, request: bytes) -> None:
        """Returns when it is answered; AssertionError with what was answered if that is no 2xx."""
        if self._reader is None or self._writer is None:
            address = self._address.hostname, self._address.port
            self._reader, self._writer = await asyncio.open_connection(*address)
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        body = await self._reader.readexactly(length)
        assert head.startswith(b"HTTP/1.1 2"), (head + body).decode(errors="replace")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
