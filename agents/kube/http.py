"""One HTTP session to an API server: raw bodies in bounds, and every failure as one of the port's errors."""

import asyncio
import random
import re
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar, runtime_checkable

import aiohttp
import msgspec
from yarl import URL

from agents.kube.access import KubeAccess
from agents.kube.tokens import AccessError
from agents.ports import AlreadyExists, Conflict, Forbidden, Gone, KubeError, Rejected, Unreachable

REQUEST_TIMEOUT_SECONDS = 30.0
CONNECT_TIMEOUT_SECONDS = 10.0
CONNECTIONS = 64
OBJECT_LIMIT_BYTES = 16 << 20
ERROR_LIMIT_BYTES = 64 << 10
HTTP_TOO_MANY = 429
BUSY_BYTES = 64 << 10
MOST_RETRIES = 5
LONGEST_WAIT_SECONDS = 10
# A peer that vanished without a word (a half-open watch) is noticed after about 15 + 3 x 5 seconds.
KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}

# RBAC and admission plugins both answer 403; only the authorizer says who cannot do what.
_UNAUTHORIZED = re.compile(r'User "[^"]*" cannot ')


T = TypeVar("T")


class Cause(msgspec.Struct):
    reason: str = ""


class Details(msgspec.Struct):
    name: str = ""
    kind: str = ""
    causes: list[Cause] = []


class Status(msgspec.Struct):
    """metav1.Status, the few fields that tell failures apart."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: Details | None = None


class NotFound(KubeError):
    """404; `name` and `kind` (plural) of the missing object, "" where the path itself is not served."""

    def __init__(self, message: str, name: str, kind: str) -> None:
        super().__init__(message)
        self.name = name
        self.kind = kind


def failure(status: Status, *, creating: bool = False) -> KubeError:
    """The port's error for a failed answer."""
    message = status.message or status.reason or f"HTTP {status.code}"
    details = status.details or Details()
    match status.code:
        case 404:
            return NotFound(message, details.name, details.kind)
        case 409 if creating and status.reason == "AlreadyExists":
            return AlreadyExists(message)
        case 409:
            return Conflict(message)
        case 410:
            return Gone(message)
        case 401:
            return Forbidden(f"the API server does not know the agent's credential: {message}")
        case 403 if any(cause.reason == "NamespaceTerminating" for cause in details.causes):
            return Unreachable(message)
        case 403 if _UNAUTHORIZED.search(message):
            return Forbidden(message)
        case 429:
            return Unreachable(message)
        case code if 400 <= code < 500:
            return Rejected(message)
        case _:
            return Unreachable(message)


class KubeHttp:
    """Lives in one event loop; `close` ends its connections."""

    def __init__(self, access: KubeAccess, *, user_agent: str) -> None:
        self._access = access
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout_seconds: float | None = REQUEST_TIMEOUT_SECONDS,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """An answer of 2xx whose body is still to be read. Raises the port's errors, and NotFound.

        Whoever is told to come again later (429, by API priority and fairness) does so, MOST_RETRIES times:
        the server did nothing yet, and a list goes on at the page that it had come to.
        """
        for left in range(MOST_RETRIES, -1, -1):
            asked = self._asked(method, path, query, body, content_type, accept, timeout_seconds)
            async with asked as response:
                pause = _told_to_wait(response)
                if pause is None or not left:
                    if not 200 <= response.status < 300:
                        raise failure(await _status(response), creating=method == "POST")
                    yield response
                    return
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        content_type: str,
        accept: str,
        timeout_seconds: float | None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        # What identifies the caller must never go where an answer redirects to.
        try:
            headers = {"Accept": accept, "Accept-Encoding": "identity"}
            if token := await self._access.token():
                headers["Authorization"] = f"Bearer {token}"
            if body is not None:
                headers["Content-Type"] = content_type
            async with self._connected().request(
                method,
                URL(self._access.server + path, encoded=True).with_query(query),
                data=body,
                headers=headers,
                allow_redirects=False,
                server_hostname=self._access.server_name,
                timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_TIMEOUT_SECONDS),
            ) as response:
                yield response
        except AccessError as error:
            raise Forbidden(str(error)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{method} {path}: {error or type(error).__name__}") from error

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        limit_bytes: int = OBJECT_LIMIT_BYTES,
    ) -> bytes:
        """The whole body of the answer. `body` is encoded as JSON."""
        encoded = None if body is None else msgspec.json.encode(body)
        async with self.open(
            method, path, query=query, body=encoded, content_type=content_type, accept=accept
        ) as response:
            return await read_bounded(response, limit_bytes)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS, ssl=self._access.tls or True, socket_factory=_socket_with_keepalive
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._user_agent},
            )
        return self._session


async def read_bounded(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """Raises Rejected for a body over the limit."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            raise Rejected(f"{response.url.path}: the answer exceeds {limit_bytes} bytes")
    return bytes(body)


def _told_to_wait(response: aiohttp.ClientResponse) -> float | None:
    """Seconds, spread a little: others were told the same. None for every other answer."""
    seconds = response.headers.get("Retry-After", "")
    if response.status != HTTP_TOO_MANY or not seconds.isdecimal():
        return None
    return min(int(seconds), LONGEST_WAIT_SECONDS) * random.uniform(1.0, 1.5)


@runtime_checkable
class _Buffered(Protocol):
    """A TLS transport, of asyncio or of uvloop: it reads its socket while it holds less than `high` bytes."""

    def set_read_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool: ...


async def gathered(
    response: aiohttp.ClientResponse, seconds: float, busy_seconds: float
) -> AsyncGenerator[bytes]:
    """The body as it comes; what comes soon after a chunk waits for so long in the kernel, to be one chunk.

    busy_seconds: as long as chunks are larger than BUSY_BYTES.

    A busy watch brings each event in a TLS record of its own: taken one by one, waking up for them costs more
    than reading them.
    """
    async for chunk in response.content.iter_any():
        yield chunk
        # None once all of it is here.
        transport = response.connection.transport if response.connection is not None else None
        if isinstance(transport, _Buffered) and not transport.is_closing():
            # To pause a TLS transport stops only what it hands on: it would still read each record.
            transport.set_read_buffer_limits(high=0)
            await asyncio.sleep(seconds if len(chunk) < BUSY_BYTES else busy_seconds)
            if not transport.is_closing():
                transport.set_read_buffer_limits()


def decoded(body: bytes, shape: type[T]) -> T:
    """Raises Unreachable for what no API server says: something on the way answered in its place."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.MsgspecError as error:
        raise Unreachable(f"the answer is not the API server's: {error}") from None


async def _status(response: aiohttp.ClientResponse) -> Status:
    """Proxies and unserved paths answer in plain text."""
    body = await response.content.read(ERROR_LIMIT_BYTES)
    try:
        status = msgspec.json.decode(body, type=Status)
    except msgspec.MsgspecError:
        status = Status(message=body[:300].decode(errors="replace").strip())
    status.code = response.status
    return status


def _socket_with_keepalive(address: tuple[Any, ...]) -> socket.socket:
    connection = socket.socket(address[0], address[1], address[2])
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection
