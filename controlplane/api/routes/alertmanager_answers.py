"""What the handlers of API v2 are given, and how its answers are written."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from starlette.types import Receive, Scope, Send

Header = tuple[bytes, bytes]
_JSON: Header = (b"content-type", b"application/json")
_TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")
_NO_STORE: Header = (b"cache-control", b"no-store")
_TRUE = frozenset({"true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"})
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answered:
    """sent: the handler has sent it by itself, bit by bit."""

    status: int
    body: bytes = b""
    headers: Sequence[Header] = ()
    sent: bool = False


class BodyTooLarge(Exception):
    """More bytes than are taken."""


@dataclass(slots=True)
class Call:
    """One request. parameter: what stands in the path; query: every value of each parameter."""

    scope: Scope
    receive: Receive
    send: Send
    parameter: str = ""
    query: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])

    def header(self, name: bytes) -> str:
        """ "" where it is not there; the names are lower case."""
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == name), "")

    def flag(self, name: str, default: bool = True) -> bool:
        """What is none of the words for true is false, and an empty one the default: go-openapi's reading."""
        given = self.query.get(name)
        return default if not given or not given[-1] else given[-1].lower() in _TRUE

    def each(self, name: str) -> Sequence[str]:
        return [value for value in self.query.get(name, ()) if value]

    def one(self, name: str) -> str:
        given = self.query.get(name)
        return given[-1] if given else ""

    def json(self, value: object, status: int = 200) -> Answered:
        return Answered(status, _encode(value) + b"\n", [_JSON, _NO_STORE])

    def wrong(self, status: int, message: str) -> Answered:
        """As Alertmanager's handlers answer: the text alone, as JSON."""
        return self.json(message, status)

    def refused(self, status: int, message: str, code: int = 0) -> Answered:
        """As what stands before its handlers answers: the request is not what openapi.yaml says."""
        return self.json({"code": code or status, "message": message}, status)

    async def body(self, most_bytes: int) -> bytes:
        """Raises BodyTooLarge as soon as it is known, and ValueError for what is no gzip."""
        announced = self.header(b"content-length")
        if announced.isdigit() and int(announced) > most_bytes:
            raise BodyTooLarge
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client left")
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > most_bytes:
                raise BodyTooLarge
            parts.append(part)
            if not message.get("more_body", False):
                break
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return _unpacked(body, most_bytes) if self.header(b"content-encoding") == "gzip" else body

    async def begin(self, headers: Sequence[Header] = ()) -> None:
        """For an answer that is sent as it is made."""
        everything = [_JSON, _NO_STORE, *headers]
        await self.send({"type": "http.response.start", "status": 200, "headers": everything})

    async def more(self, body: bytes, last: bool = False) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": not last})


def _unpacked(body: bytes, most_bytes: int) -> bytes:
    """A small body that unpacks to a large one is not unpacked beyond the bound."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacking.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"the body is no gzip: {error}") from error
    if len(unpacked) > most_bytes:
        raise BodyTooLarge
    return unpacked


def text(status: int, words: str) -> Answered:
    return Answered(status, words.encode(), [_TEXT, _NO_STORE])


async def reply(answered: Answered, send: Send) -> None:
    length = (b"content-length", str(len(answered.body)).encode())
    headers = [*(answered.headers or [_NO_STORE]), length]
    await send({"type": "http.response.start", "status": answered.status, "headers": headers})
    await send({"type": "http.response.body", "body": answered.body})
