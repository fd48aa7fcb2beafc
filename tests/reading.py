"""A connection to a centre's Postgres that is held over tests, whatever loop each of them runs in.

Tests that wait ask twenty times a second: a connection for each would be half a core of a small machine.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import asyncpg

_GONE = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.OperatorInterventionError)


class HeldConnection:
    """Made when it is first asked, and anew when the server was away meanwhile. dsn: asked each time."""

    def __init__(self, dsn: Callable[[], str]) -> None:
        self._dsn = dsn
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._turn = asyncio.Lock()

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """What asyncpg raises where the server is not there."""
        if not self._thread.is_alive():
            self._thread.start()
        asked = asyncio.run_coroutine_threadsafe(self._rows(query, arguments), self._loop)
        return await asyncio.wrap_future(asked)

    def close(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._forget(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
        self._loop.close()

    async def _rows(self, query: str, arguments: tuple[object, ...]) -> list[dict[str, Any]]:
        async with self._turn:
            was_held = self._connection is not None
            try:
                return await self._fetched(query, arguments)
            except _GONE:
                await self._forget()
                if not was_held:
                    raise
            return await self._fetched(query, arguments)

    async def _fetched(self, query: str, arguments: tuple[object, ...]) -> list[dict[str, Any]]:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._dsn())
        return [dict(row) for row in await self._connection.fetch(query, *arguments)]

    async def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
            # Its transport is let go of in the next turn of the loop.
            await asyncio.sleep(0)
