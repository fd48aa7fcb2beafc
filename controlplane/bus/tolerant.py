"""A NATS client that outlives whatever a sender puts into a subject or a header.

A cluster's agent may be anybody's program, and what it publishes lies in a stream that the centre reads again
at every start. Where nats-py stumbles over a message, its read loop ends in silence, or it reconnects and
stumbles again: one message would take the centre down for good.
"""

import asyncio
import re
from collections.abc import Awaitable
from functools import partial
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol import parser

T = TypeVar("T")
_WORD, _GAP = rb"([^ \t\r\n]+)", rb"[ \t]+"
_HEAD = _GAP + _WORD + _GAP + rb"(\d+)" + _GAP + rb"(([^ \t\r\n]+)[ \t]+)?"

# nats-py splits a line at any white space, the server at space and tab only: one with a vertical tab in its
# subject would not be understood, which the client takes for a broken connection.
parser.MSG_RE = re.compile(rb"\AMSG" + _HEAD + rb"(\d+)\r\n")
parser.HMSG_RE = re.compile(rb"\AHMSG" + _HEAD + rb"(\d+)" + _GAP + rb"(\d+)\r\n")


class TolerantClient(Client):
    """Headers that cannot be read count as none; bytes of a subject that are no UTF-8 are replaced.

    An answer to a ping that comes after whoever asked has given up is an answer all the same: nats-py puts it
    into a future that was cancelled, and takes the error for a broken connection.
    """

    async def _select_next_server(self) -> None:
        """Until its own ping is answered, nats-py takes whatever comes for that answer.

        A server pings a new client after a second or so, be it still at work on its CONNECT, as it is when
        thousands come back at once; nats-py would go on without a flusher, and write nothing ever after.
        """
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
                if line.strip() == b"PING":
                    transport.write(b"PONG\r\n")
                elif greeted and line.startswith(b"INFO "):
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

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except Exception:  # whatever it is that cannot be read
            return None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        readable = subject.decode(errors="replace").encode()
        return super()._build_message(sid, readable, reply, data, headers)


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
