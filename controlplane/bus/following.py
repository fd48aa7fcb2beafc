"""Reading a stream from its first message, forever, by pulls without acknowledgement.

A push consumer would overrun the client's buffer; nats-py's own `fetch` takes a header `Status` that any
sender may write for an answer of the server.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from controlplane.bus.session import Session
from controlplane.bus.streams import replay_consumer
from controlplane.loops.ports import BusUnavailable, StreamBatch, StreamMessage
from controlplane.troubles import Trouble
from schemas.wire.traces import TRACEPARENT, traceparent

BATCH_MESSAGES = 500
BATCH_BYTES = 8 * 1024 * 1024
PULL_SECONDS = 5.0
GRACE_SECONDS = 3.0
RETRY_SECONDS = 0.5


class PullEnded(Exception):
    """The server ended the pull for a reason that needs a new consumer, or never answered it."""


class ConnectionLost(PullEnded):
    """And the pull with it."""


@dataclass
class Position:
    """How far a stream was read. `created` tells one incarnation of the stream from the next."""

    created: float = 0.0
    sequence: int = 0
    caught_up: bool = False


async def follow(session: Session, stream: str) -> AsyncGenerator[StreamBatch, None]:
    """Every message of `stream` in order; after an interruption from where it was.

    A stream that was made anew is read from its start, and is not caught up until that is read.
    """
    position = Position()
    trouble = Trouble("following_interrupted", "following_goes_on", stream=stream)
    while True:
        try:
            async for batch in _read(session, stream, position, trouble):
                yield batch
        except (PullEnded, BusUnavailable, NatsError, OSError, TimeoutError) as error:
            # That there is no connection is said already.
            if session.is_connected and not isinstance(error, ConnectionLost):
                trouble.met(error=str(error) or type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)


async def _read(
    session: Session, stream: str, position: Position, trouble: Trouble
) -> AsyncGenerator[StreamBatch, None]:
    client = await session.client()
    jetstream = client.jetstream()
    info = await jetstream.stream_info(stream)
    created = info.created.timestamp() if info.created else 0.0
    # A power cut takes the newest messages, and their sequences are given again. A consumer that starts above
    # the last one is not clamped by the server: it would wait, and miss all that comes until then.
    if created != position.created or info.state.last_seq < position.sequence:
        position.created, position.sequence, position.caught_up = created, 0, False
    consumer = await jetstream.add_consumer(stream, replay_consumer(position.sequence))
    if not position.caught_up and not consumer.num_pending:
        position.caught_up = True
        yield StreamBatch([], caught_up=True, stream_created=created)
    pull = _Pull(client, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer.name}")
    await pull.open()
    session.on_return.append(pull.on_return)
    trouble.over()
    try:
        while True:
            messages, pending = await pull.next_messages()
            # A pull that ends empty says it too: the last message may be one that nobody can deliver.
            newly_caught_up = not position.caught_up and pending == 0
            position.caught_up |= newly_caught_up
            if messages:
                position.sequence = messages[-1].sequence
            if messages or newly_caught_up:
                yield StreamBatch(messages, position.caught_up, created, max(0, pending))
    finally:
        session.on_return.remove(pull.on_return)
        await pull.close()


class _Pull:
    """One request at a time, bounded in messages and bytes, each with an inbox of its own."""

    def __init__(self, client: Client, next_subject: str) -> None:
        self._client = client
        self._next_subject = next_subject
        self._inbox = client.new_inbox()
        self._numbers = count(1)
        self._asked = ""
        self._outstanding = 0
        self._deadline = 0.0
        self._lost = False
        self._buffer: deque[Msg] = deque()
        self._arrived = asyncio.Event()

    async def open(self) -> None:
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._on_message)

    async def close(self) -> None:
        if not self._client.is_closed:
            await self._subscription.unsubscribe()

    async def on_return(self) -> None:
        self._lost = True
        self._arrived.set()

    async def next_messages(self) -> tuple[list[StreamMessage], int]:
        """What has come, in order, and how many wait behind it. Raises PullEnded."""
        if self._outstanding == 0:
            await self._ask()
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._arrived.wait()
        except TimeoutError:
            raise PullEnded("a pull was not answered") from None
        self._arrived.clear()
        if self._lost:
            raise ConnectionLost("the connection was lost, and the pull with it")
        messages: list[StreamMessage] = []
        pending = -1
        while self._buffer:
            message = self._buffer.popleft()
            # Only a message of a stream has a reply subject; its headers are the sender's: one is taken for
            # where it says that it comes from, by which nothing is decided.
            if not message.reply:
                if self._take_status(message) and not messages:
                    pending = 0
                continue
            self._outstanding -= 1
            sequence, stored_at, pending = _place(message.reply)
            trace = traceparent(message.headers.get(TRACEPARENT)) if message.headers else ""
            messages.append(StreamMessage(message.subject, message.data, sequence, stored_at, trace))
        return messages, pending

    async def _ask(self) -> None:
        self._asked = f"{self._inbox}.{next(self._numbers)}"
        request = {"batch": BATCH_MESSAGES, "max_bytes": BATCH_BYTES, "expires": int(PULL_SECONDS * 1e9)}
        self._outstanding = BATCH_MESSAGES
        self._deadline = asyncio.get_running_loop().time() + PULL_SECONDS + GRACE_SECONDS
        await self._client.publish(self._next_subject, json.dumps(request).encode(), reply=self._asked)

    def _take_status(self, message: Msg) -> bool:
        """Whether it says that nothing is waiting. Raises PullEnded for one that needs a new consumer."""
        if message.subject != self._asked:
            return False
        headers = message.headers or {}
        status, description = headers.get("Status", ""), headers.get("Description", "")
        if status in ("404", "408"):
            self._outstanding = 0
            return True
        if status == "409" and ("MaxBytes" in description or "Batch Completed" in description):
            self._outstanding = 0
            return False
        raise PullEnded(f"{status} {description}".strip())

    async def _on_message(self, message: Msg) -> None:
        self._buffer.append(message)
        self._arrived.set()


def _place(reply: str) -> tuple[int, float, int]:
    """(sequence, its time in Unix seconds, pending) of the subject that a message is acknowledged on.

    `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<sequence>.<consumer's>.<time>.<pending>`
    """
    parts = reply.split(".")
    start = 2 if len(parts) == 9 else 4
    return int(parts[start + 3]), int(parts[start + 5]) / 1e9, int(parts[start + 6])
