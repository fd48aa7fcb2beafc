"""Wakes whoever waits for a change or an alert: one LISTEN connection, made again whenever it is lost."""

import asyncio
from typing import Any

import asyncpg

from controlplane.loops.ports import StoreUnavailable
from controlplane.store.namespaces import ALERTS, CHANGES, channel
from controlplane.store.pool import BOUND_SECONDS, Pool
from controlplane.store.wakes import Wakes

PROBE_SECONDS = 5.0
RETRY_SECONDS = 0.5


class Listener:
    """wakes: of changes. alerts: of entries of the log of alerts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.wakes = Wakes()
        self.alerts = Wakes()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._listen(), name="store-listener")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _listen(self) -> None:
        while True:
            try:
                connection = await self._pool.connect()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                for name, wakes in ((CHANGES, self.wakes), (ALERTS, self.alerts)):
                    await self._follow(connection, name, wakes)
                await self._probe(connection)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                connection.terminate()

    async def _follow(
        self, connection: "asyncpg.Connection[asyncpg.Record]", name: str, wakes: Wakes
    ) -> None:
        def notified(*_: Any) -> None:
            wakes.wake()

        await connection.add_listener(await connection.fetchval(f"select {channel(name)}"), notified)
        # What was committed while nobody listened is found by reading once more.
        wakes.wake()

    async def _probe(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        while not lost.is_set():
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await lost.wait()
            except TimeoutError:
                # A way that was cut in silence is noticed only by saying something.
                async with asyncio.timeout(BOUND_SECONDS):
                    await connection.execute("select 1")
