"""One connection's exchanges: publishes in a window of confirmations, and the pull of orders."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from agents.ports import BusAway, BusUnavailable, PublishRefused
from schemas.wire.traces import TRACEPARENT, traceparent

CONFIRM_TIMEOUT_SECONDS = 5.0
WINDOW_MESSAGES = 1000
WINDOW_BYTES = 4 * 1024 * 1024
PULL_BYTES = 4 * 1024 * 1024
PULL_GRACE_SECONDS = 1.0
NO_CONSUMER_PAUSE_SECONDS = 0.5
PULL_ENDINGS = (
    "404",
    "408",
    "No Messages",
    "Request Timeout",
    "Batch Completed",
    "Message Size Exceeds MaxBytes",
    "Consumer Deleted",
)
STORE_REFUSED = 10077
"""The stream is full, or the message too large: a 503 by number, though trying again does not help."""


class _Refusal(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Confirmation(msgspec.Struct):
    error: _Refusal | None = None


_decoder = msgspec.json.Decoder(_Confirmation)


@dataclass(frozen=True)
class OrderDelivery:
    subject: str
    body: bytes
    message: Msg

    @property
    def trace(self) -> str:
        return traceparent((self.message.headers or {}).get(TRACEPARENT))

    async def acknowledge(self) -> None:
        """A lost acknowledgement is harmless: the order comes again, and is known."""
        try:
            await self.message.respond(b"+ACK")
        except NatsError as error:
            raise BusUnavailable(str(error)) from error


class Link:
    """What is under way on one client. Publishing and pulling are each done by one task at a time."""

    def __init__(self, client: Client, is_back: Callable[[], None]) -> None:
        """is_back: called when the server is there again."""
        self.client = client
        self._is_back = is_back
        self._inbox = ""
        self._numbers = count(1)
        self._unconfirmed: dict[int, int] = {}
        self._unconfirmed_bytes = 0
        self._problem: Exception | None = None
        self._progress = asyncio.Event()
        self._pull_inbox = ""
        self._outstanding = 0
        self._pull_deadline = 0.0
        self._consumer_missing = False
        self._orders: deque[Msg] = deque()
        self._arrived = asyncio.Event()

    async def open(self) -> None:
        self._inbox = self.client.new_inbox()
        await self.client.subscribe(f"{self._inbox}.ack.*", cb=self._on_confirmation)
        await self.client.subscribe(f"{self._inbox}.pull.*", cb=self._on_pulled)

    async def on_disconnected(self) -> None:
        self._fail(BusAway("the connection to NATS was lost"))

    async def on_reconnected(self) -> None:
        # The server forgot the pull with the connection.
        self._outstanding = 0
        self._arrived.set()
        self._is_back()

    async def publish(self, messages: Sequence[tuple[str, bytes]], traces: Sequence[str] = ()) -> None:
        """In order, at most WINDOW_MESSAGES and about WINDOW_BYTES unconfirmed."""
        self._unconfirmed.clear()
        self._unconfirmed_bytes = 0
        self._problem = None
        for position, (subject, body) in enumerate(messages):
            while len(self._unconfirmed) >= WINDOW_MESSAGES or self._unconfirmed_bytes >= WINDOW_BYTES:
                await self._wait_for_progress()
            if self._problem is not None:
                raise self._problem
            number = next(self._numbers)
            self._unconfirmed[number] = len(body)
            self._unconfirmed_bytes += len(body)
            headers = {TRACEPARENT: traces[position]} if traces and traces[position] else None
            await self.client.publish(subject, body, reply=f"{self._inbox}.ack.{number}", headers=headers)
        while self._unconfirmed:
            await self._wait_for_progress()
        if self._problem is not None:
            raise self._problem

    async def _wait_for_progress(self) -> None:
        self._progress.clear()
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT_SECONDS):
                await self._progress.wait()
        except TimeoutError:
            raise BusUnavailable(f"{len(self._unconfirmed)} publishes were not confirmed in time") from None
        if self._problem is not None:
            raise self._problem

    async def _on_confirmation(self, message: Msg) -> None:
        number = int(message.subject.rsplit(".", 1)[1])
        size = self._unconfirmed.pop(number, None)
        if size is None:
            return
        self._unconfirmed_bytes -= size
        half_empty = self._unconfirmed_bytes < WINDOW_BYTES // 2 <= self._unconfirmed_bytes + size
        if problem := _problem_in(message):
            self._fail(problem)
        # Waking at every confirmation would cost more than the confirmation.
        elif half_empty or len(self._unconfirmed) in (0, WINDOW_MESSAGES // 2):
            self._progress.set()

    def _fail(self, problem: Exception) -> None:
        self._problem = problem
        self._progress.set()

    async def next_orders(self, subject: str, limit: int, timeout_seconds: float) -> list[OrderDelivery]:
        """What has come, else what comes within the timeout. What came late for one call is for the next."""
        if not self._orders:
            if self._outstanding == 0 or time.monotonic() > self._pull_deadline:
                await self._ask(subject, limit, timeout_seconds)
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        if self._consumer_missing:
            self._consumer_missing = False
            await asyncio.sleep(min(NO_CONSUMER_PAUSE_SECONDS, timeout_seconds))
        taken = [self._orders.popleft() for _ in range(min(limit, len(self._orders)))]
        return [OrderDelivery(message.subject, message.data, message) for message in taken]

    async def _ask(self, subject: str, limit: int, timeout_seconds: float) -> None:
        self._pull_inbox = f"{self._inbox}.pull.{next(self._numbers)}"
        self._outstanding = limit
        self._pull_deadline = time.monotonic() + timeout_seconds + PULL_GRACE_SECONDS
        request = {"batch": limit, "max_bytes": PULL_BYTES, "expires": int(timeout_seconds * 1e9)}
        await self.client.publish(subject, json.dumps(request).encode(), reply=self._pull_inbox)

    async def _on_pulled(self, message: Msg) -> None:
        if message.reply:
            self._orders.append(message)
            self._outstanding -= 1
        elif message.subject == self._pull_inbox:
            # Expired, or the consumer was made anew, or there is none: the pull is over.
            self._outstanding = 0
            headers = message.headers or {}
            ending = headers.get("Description") or headers.get("Status", "")
            # A full batch ends like an error does, with 409: only what is worth waiting for is waited for.
            self._consumer_missing = ending not in PULL_ENDINGS
        self._arrived.set()


def _problem_in(message: Msg) -> Exception | None:
    if (message.headers or {}).get("Status") == "503":
        return BusUnavailable("no stream takes this: not admitted, or the centre's streams are not made yet")
    try:
        error = _decoder.decode(message.data).error
    except msgspec.MsgspecError:
        return BusUnavailable("the stream's confirmation cannot be read")
    if error is None:
        return None
    if error.code < 500 or error.err_code == STORE_REFUSED:
        return PublishRefused(error.description)
    return BusUnavailable(error.description)
