"""Wakes whoever waits for a change: one LISTEN connection, made again whenever it is lost."""

import asyncio
from contextvars import ContextVar
from typing import Any

import asyncpg

from controlplane.loops.ports import StoreUnavailable
from controlplane.store.changes import CHANNEL
from controlplane.store.pool import BOUND_SECONDS, Pool

PROBE_SECONDS = 5.0
RETRY_SECONDS = 0.5

_polled: ContextVar[tuple[object, int] | None] = ContextVar("_polled", default=None)
"""How many wakes there had been when this task, or the one that made it, last read the changes."""


class Listener:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._wakes = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._listen(), name="store-listener")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def about_to_read(self) -> None:
        """Call before reading changes: what is committed after this moment ends the next `wait` at once."""
        _polled.set((self, self._wakes))

    async def wait(self, timeout_seconds: float) -> None:
        """Until a wake that came after the last `about_to_read`, or the timeout."""
        polled = _polled.get()
        self.about_to_read()
        if polled is not None and polled[0] is self and polled[1] != self._wakes:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(woken)
        try:
            await asyncio.wait({woken}, timeout=timeout_seconds)
        finally:
            self._waiting.discard(woken)

    def _wake(self, *_: Any) -> None:
        self._wakes += 1
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await self._pool.connect()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                await connection.add_listener(CHANNEL, self._wake)
                # What was committed while nobody listened is found by reading once more.
                self._wake()
                await self._probe(connection)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                connection.terminate()

    async def _probe(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        while not lost.is_set():
            try:
                await asyncio.wait_for(lost.wait(), PROBE_SECONDS)
            except TimeoutError:
                # A way that was cut in silence is noticed only by saying something.
                await asyncio.wait_for(connection.execute("select 1"), BOUND_SECONDS)
