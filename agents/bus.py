"""`agents.ports.Bus` on NATS: one account, one connection, the cluster's own subjects."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

import nkeys
import structlog
from nats.errors import Error as NatsError
from nats.errors import StaleConnectionError, UnexpectedEOF

from agents.bus_client import PatientClient
from agents.bus_link import Link, OrderDelivery
from agents.ports import BusAway, BusUnavailable
from agents.returning import Returns
from agents.timing import Backoff
from agents.troubles import SAY_AGAIN_SECONDS, Trouble
from schemas.wire.subjects import Subjects

CONNECT_TIMEOUT_SECONDS = 20
"""A server to which thousands come back at once is slow: who gives up and comes again makes it slower."""
RECONNECT_WAIT_SECONDS = 1
LONGEST_WAIT_SECONDS = 8.0
PING_INTERVAL_SECONDS = 10

T = TypeVar("T")
_log = structlog.get_logger()


@dataclass(frozen=True)
class Identity:
    """cluster: its id. user_seed: of the NKey that the agent made; it never leaves this cluster."""

    cluster: str
    user_jwt: str
    user_seed: str = field(repr=False)


class NatsBus:
    """Connects when first used, and again when the connection was ended for good.

    nats-py closes a client for every error but a permission's; one that was cut off and is admitted again
    must come back by itself.
    """

    def __init__(self, servers: Sequence[str], identity: Identity, subjects: Subjects) -> None:
        self._servers = list(servers)
        self._identity = identity
        self._subjects = subjects
        self._connecting = asyncio.Lock()
        self._publishing = asyncio.Lock()
        self._pulling = asyncio.Lock()
        self._link: Link | None = None
        self._refused_until = 0.0
        self._backoff = Backoff(
            Random(), first_seconds=RECONNECT_WAIT_SECONDS, longest_seconds=LONGEST_WAIT_SECONDS
        )
        self._refusal = ""
        self._away = Trouble("nats_away", "nats_back", time.monotonic)
        self._said: dict[str, float] = {}
        self.returns = Returns()

    async def close(self) -> None:
        if self._link is not None:
            await self._link.client.close()

    async def publish(self, messages: Sequence[tuple[str, bytes]], traces: Sequence[str] = ()) -> None:
        async with self._publishing:
            await self._asked(lambda link: link.publish(messages, traces))

    async def next_orders(self, *, limit: int, timeout_seconds: float) -> Sequence[OrderDelivery]:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._subjects.orders_stream}.{self._identity.cluster}"
        async with self._pulling:
            return await self._asked(lambda link: link.next_orders(subject, limit, timeout_seconds))

    async def beat(self, body: bytes, *, timeout_seconds: float) -> bytes:
        subject = self._subjects.beat(self._identity.cluster)
        reply = await self._asked(lambda link: link.client.request(subject, body, timeout=timeout_seconds))
        return reply.data

    async def _asked(self, ask: Callable[[Link], Awaitable[T]]) -> T:
        link = await self._connected()
        try:
            return await ask(link)
        except (NatsError, OSError, TimeoutError) as error:
            raise BusUnavailable(str(error) or type(error).__name__) from error

    async def _connected(self) -> Link:
        async with self._connecting:
            if self._link is None or self._link.client.is_closed:
                self._link = await self._connect()
            if not self._link.client.is_connected:
                raise BusAway("NATS is away; reconnecting")
            return self._link

    async def _connect(self) -> Link:
        if time.monotonic() < self._refused_until:
            raise BusAway(self._refusal)
        client = PatientClient()
        link = Link(client, self._is_back)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await client.connect(
                    servers=self._servers,
                    name=f"agent {self._identity.cluster}",
                    user_jwt_cb=lambda: bytearray(self._identity.user_jwt.encode()),
                    signature_cb=self._sign,
                    # The first refusal is the answer; from then on the connection is kept.
                    allow_reconnect=False,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_WAIT_SECONDS,
                    connect_timeout=CONNECT_TIMEOUT_SECONDS,
                    ping_interval=PING_INTERVAL_SECONDS,
                    error_cb=self._on_error,
                    disconnected_cb=link.on_disconnected,
                    reconnected_cb=link.on_reconnected,
                )
                await link.open()
        except (NatsError, OSError, TimeoutError) as error:
            await client.close()
            self._refused_until = time.monotonic() + self._backoff.failed()
            self._refusal = f"no connection to NATS: {str(error) or type(error).__name__}"
            self._away.met(error=self._refusal)
            raise BusAway(self._refusal) from error
        self._backoff.succeeded()
        client.options["allow_reconnect"] = True
        self._is_back()
        return link

    def _is_back(self) -> None:
        self._away.over()
        self.returns.happened()

    def _sign(self, nonce: str) -> bytes:
        pair = nkeys.from_seed(bytearray(self._identity.user_seed.encode()))
        return base64.b64encode(pair.sign(nonce.encode()))

    async def _on_error(self, error: Exception) -> None:
        text, now = str(error) or type(error).__name__, time.monotonic()
        is_connected = self._link is not None and self._link.client.is_connected
        # It is tried every second; and what ends a connection is said before the client knows that it did.
        if not is_connected or isinstance(error, OSError | UnexpectedEOF | StaleConnectionError):
            self._away.met(error=text)
        elif now - self._said.get(text, -SAY_AGAIN_SECONDS) >= SAY_AGAIN_SECONDS:
            self._said = {text: now}
            _log.warning("nats_error", error=text)
