"""What our clients get right beside nats-py: a server that pings first, a cancellation with an answer."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from nats.aio.client import Client

from agents.bus_client import PatientClient
from controlplane.bus.tolerant import TolerantClient

INFO = b"INFO " + json.dumps({"max_payload": 1 << 20, "headers": True, "proto": 1}).encode() + b"\r\n"


class SlowServer:
    """Says something else before it answers the ping that follows CONNECT. heard: lines from then on."""

    def __init__(self, before: bytes) -> None:
        self._before = before
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []
        self.answers = True

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(INFO)
        while (await reader.readline()).strip() != b"PING":
            pass
        writer.write(self._before)
        await writer.drain()
        writer.write(b"PONG\r\n")
        while line := await reader.readline():
            self.heard.put_nowait(line)
            if line.strip() == b"PING" and self.answers:
                writer.write(b"PONG\r\n")
        writer.close()


@pytest.mark.parametrize("make", [PatientClient, TolerantClient])
@pytest.mark.parametrize(
    "ask", [lambda client: client.request("asked", b"", timeout=10), lambda client: client.flush()]
)
async def test_what_is_cancelled_in_the_moment_of_its_answer_ends(
    make: type[Client], ask: Callable[[Client], Coroutine[Any, Any, Any]]
) -> None:
    """Else a loop that is told to end would go on: an agent that lost its lease beat for ever."""
    silent = SlowServer(b"")
    server = await asyncio.start_server(silent.take, "127.0.0.1", 0)
    client = make()
    try:
        await client.connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        silent.answers = False
        asking = asyncio.create_task(ask(client))
        await asyncio.sleep(0)
        for waiting in (*client._resp_map.values(), *client._pongs):
            waiting.set_result(None)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    finally:
        await client.close()
        server.close()


@pytest.mark.parametrize("before", [b"", b"PING\r\n", INFO, b"PING\r\n" + INFO + b"PING\r\n"])
@pytest.mark.parametrize("make", [PatientClient, TolerantClient])
async def test_a_client_of_a_slow_server_is_connected_whole_and_comes_back(
    make: type[Client], before: bytes
) -> None:
    slow = SlowServer(before)
    server = await asyncio.start_server(slow.take, "127.0.0.1", 0)
    client, back = make(), asyncio.Event()

    async def is_back() -> None:
        back.set()

    try:
        port = server.sockets[0].getsockname()[1]
        await client.connect(
            f"nats://127.0.0.1:{port}",
            max_reconnect_attempts=-1,
            reconnect_time_wait=0,
            reconnected_cb=is_back,
        )
        await said(client, slow, "first")
        for writer in slow.writers:
            writer.close()
        await asyncio.wait_for(back.wait(), 10)
        await said(client, slow, "second")
    finally:
        await client.close()
        server.close()


async def said(client: Client, slow: SlowServer, subject: str) -> None:
    assert client.is_connected
    await client.publish(subject, b"x")
    async with asyncio.timeout(10):
        while not (await slow.heard.get()).startswith(f"PUB {subject}".encode()):
            pass
