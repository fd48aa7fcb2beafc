"""A NATS client that a slow server does not leave half connected, and that heeds a cancellation.

A server pings a new client after a second or so, be it still at work on its CONNECT, as it is when thousands
come back at once. nats-py takes the first line for the answer to its own ping; where that is none it goes on
with neither an error nor a flusher: it reads, writes nothing ever after, and seems to be there until, minutes
later, the server drops it.
"""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg

_PING, _PONG = b"PING", b"PONG\r\n"
_INFO = b"INFO "
T = TypeVar("T")


class PatientClient(Client):
    """Waits, within the connect timeout, for the answer to its ping; what comes before is passed over."""

    async def _select_next_server(self) -> None:
        await super()._select_next_server()
        transport = self._transport
        if transport is None:
            return
        # The transport outlives its connections: its own way of reading, not what took its place before.
        read, greeted = partial(type(transport).readline, transport), False

        async def next_answer() -> bytes:
            nonlocal greeted
            while True:
                line = await read()
                if line.strip() == _PING:
                    transport.write(_PONG)
                elif greeted and line.startswith(_INFO):
                    continue
                else:
                    greeted = True
                    return line

        transport.readline = next_answer

    async def connect(self, *args: Any, **options: Any) -> None:
        await heeding(super().connect(*args, **options))

    async def request(self, *args: Any, **options: Any) -> Msg:
        return await heeding(super().request(*args, **options))

    async def flush(self, *args: Any, **options: Any) -> None:
        await heeding(super().flush(*args, **options))


async def heeding(answer: Awaitable[T]) -> T:
    """`answer`, unless this task was cancelled meanwhile.

    nats-py waits by asyncio.wait_for, which before Python 3.12 forgets a cancellation that comes along with
    the answer (CPython issue 86296): a loop that was told to end would ask again for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        return await answer
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError
