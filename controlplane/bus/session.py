"""A connection that comes back: through restarts of the server, and after it was ended for good.

nats-py closes a client for every error but a permission's, and a client that is closed stays so.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import StaleConnectionError, UnexpectedEOF

from controlplane.bus.tolerant import TolerantClient
from controlplane.identity.nkey import NKey
from controlplane.loops.ports import BusAway, BusUnavailable
from controlplane.troubles import SAY_AGAIN_SECONDS, Trouble

CONNECT_TIMEOUT_SECONDS = 5.0
RECONNECT_WAIT_SECONDS, RECONNECT_TIMEOUT_SECONDS = 1, 20
PING_INTERVAL_SECONDS = 10

_log = structlog.get_logger()


@dataclass(frozen=True)
class Credentials:
    """Who connects: a user JWT and the key that it was issued for."""

    user_jwt: str
    user: NKey


class Away:
    """Of several sessions with one server: said once, when the first is gone, and when the last is back."""

    def __init__(self) -> None:
        self._trouble = Trouble("nats_away", "nats_back")
        self._gone: set[str] = set()

    def gone(self, session: str, error: str) -> None:
        self._gone.add(session)
        self._trouble.met(error=error)

    def back(self, session: str) -> None:
        self._gone.discard(session)
        if not self._gone:
            self._trouble.over()


class Session:
    """One connection of one user. `client()` is the live one.

    on_connect runs for each client that is made, before it is used. on_return runs, in a task of its own,
    whenever the server is back: it may be another one, or have lost its folder.
    """

    def __init__(
        self, servers: Sequence[str], credentials: Credentials, name: str, away: Away | None = None
    ) -> None:
        self._servers = list(servers)
        self._credentials = credentials
        self._name = name
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._restoring: asyncio.Task[None] | None = None
        self._stopped = False
        self._away = away or Away()
        self._last_error = ("", 0.0)
        self._returning: set[asyncio.Task[None]] = set()
        self.on_connect: list[Callable[[Client], Awaitable[None]]] = []
        self.on_return: list[Callable[[], Awaitable[None]]] = []

    async def client(self) -> Client:
        """The connected client. Raises BusUnavailable when there is none within the connect timeout."""
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                self._client = await self._connect()
            if not self._client.is_connected:
                raise BusAway("NATS is away; reconnecting")
            return self._client

    @property
    def is_connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    async def close(self) -> None:
        self._stopped = True
        for task in (self._restoring, *self._returning):
            if task is not None:
                task.cancel()
        if self._client is not None:
            await self._client.close()

    async def _connect(self) -> Client:
        if self._stopped:
            raise BusAway("this session was closed")
        client = TolerantClient()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await client.connect(
                    servers=self._servers,
                    name=self._name,
                    user_jwt_cb=lambda: bytearray(self._credentials.user_jwt.encode()),
                    signature_cb=self._sign,
                    # The first refusal is the answer; from then on the connection is kept.
                    allow_reconnect=False,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_WAIT_SECONDS,
                    # Once all agents come back at the same time, too, the server is slow to answer.
                    connect_timeout=RECONNECT_TIMEOUT_SECONDS,
                    ping_interval=PING_INTERVAL_SECONDS,
                    error_cb=self._on_error,
                    closed_cb=self._on_closed,
                    reconnected_cb=self._on_reconnected,
                )
            client.options["allow_reconnect"] = True
            for prepare in self.on_connect:
                await prepare(client)
        except (NatsError, OSError, TimeoutError) as error:
            await client.close()
            said = "it does not answer" if isinstance(error, TimeoutError) else str(error)
            raise BusAway(f"no connection to NATS: {said or type(error).__name__}") from error
        self._away.back(self._name)
        return client

    def _sign(self, nonce: str) -> bytes:
        return base64.b64encode(self._credentials.user.sign(nonce.encode()))

    async def _on_error(self, error: Exception) -> None:
        text, now = str(error) or type(error).__name__, asyncio.get_running_loop().time()
        # What ends a connection is said before the client knows that it did.
        if not self.is_connected or isinstance(error, OSError | UnexpectedEOF | StaleConnectionError):
            if self._client is not None:
                self._away.gone(self._name, text)
            return
        said, said_at = self._last_error
        if text == said and now < said_at + SAY_AGAIN_SECONDS:
            return
        self._last_error = text, now
        _log.warning("nats_error", session=self._name, error=text)

    async def _on_closed(self) -> None:
        if not self._stopped and (self._restoring is None or self._restoring.done()):
            self._away.gone(self._name, "the connection was ended")
            self._restoring = asyncio.create_task(self._restore())

    async def _on_reconnected(self) -> None:
        self._away.back(self._name)
        for act in self.on_return:
            task = asyncio.create_task(self._act(act))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)

    async def _act(self, act: Callable[[], Awaitable[None]]) -> None:
        trouble = Trouble("not_yet_after_reconnect", "done_after_reconnect", session=self._name)
        while not self._stopped:
            try:
                await act()
            except (BusUnavailable, NatsError) as error:
                if not isinstance(error, BusAway):
                    trouble.met(error=str(error))
                await asyncio.sleep(RECONNECT_WAIT_SECONDS)
            else:
                trouble.over()
                return

    async def _restore(self) -> None:
        while not self._stopped:
            try:
                await self.client()
            except BusUnavailable:
                await asyncio.sleep(RECONNECT_WAIT_SECONDS)
            else:
                await self._on_reconnected()
                return
