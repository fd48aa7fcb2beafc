"""Waiting for a change without missing one that came between reading and waiting."""

import asyncio
from contextvars import ContextVar

_polled: ContextVar[tuple[object, int] | None] = ContextVar("_polled", default=None)
"""How many wakes there had been when this task, or the one that made it, last looked."""


class Wakes:
    """Many may wait; each is woken by what came after it last looked, whatever the others do."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: dict[asyncio.Future[None], None] = {}

    def about_to_read(self) -> None:
        """Call before reading: what comes after this moment ends the next `wait` at once."""
        _polled.set((self, self._count))

    async def wait(self, timeout_seconds: float) -> None:
        """Until a wake that came after the last `about_to_read` or `wait`, or the timeout."""
        polled = _polled.get()
        if polled is None or polled[0] is not self or polled[1] == self._count:
            await self._woken(timeout_seconds)
        self.about_to_read()

    def wake(self) -> None:
        self._count += 1
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)

    async def _woken(self, timeout_seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[woken] = None
        try:
            await asyncio.wait((woken,), timeout=timeout_seconds)
        finally:
            del self._waiting[woken]
