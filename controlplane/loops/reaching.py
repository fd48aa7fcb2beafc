"""Whether NATS answers this process: one that nobody hears must not keep others from leading."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from controlplane.loops.ports import BusUnavailable

log = structlog.get_logger()

PERIOD_SECONDS = 0.5


class Reaching:
    """reach: returns when NATS answers; None where there is nothing to ask. patience_seconds: of silence."""

    def __init__(self, reach: Callable[[], Awaitable[object]] | None, patience_seconds: float) -> None:
        self._reach = reach
        self._patience_seconds = patience_seconds
        self._answered_at: float | None = None

    @property
    def is_reached(self) -> bool:
        """Whether it has answered lately."""
        return self.silent_seconds <= self._patience_seconds

    @property
    def silent_seconds(self) -> float:
        """Since it answered; infinite before it first did."""
        if self._reach is None:
            return 0.0
        if self._answered_at is None:
            return float("inf")
        return asyncio.get_running_loop().time() - self._answered_at

    async def run(self) -> None:
        """Ask until cancelled."""
        while self._reach is not None:
            asked_at = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(self._patience_seconds):
                    await self._reach()
                self._answered_at = asked_at
            except (BusUnavailable, TimeoutError):
                pass
            await asyncio.sleep(PERIOD_SECONDS)

    async def until_silent(self) -> None:
        """Raises BusUnavailable once it has not answered for so long."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS / 2)
            if not self.is_reached:
                raise BusUnavailable(f"NATS has not answered for {self._patience_seconds:g} s")
