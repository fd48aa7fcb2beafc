"""The clock of a real process."""

import asyncio
import time
from collections.abc import Callable


class WallClock:
    """Implements `loops.ports.Clock`. The machine's time of day; but where that is set back, this one goes
    at half its pace until both are the same: whoever waits for a moment shall not wait the difference more."""

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._last, self._last_monotonic = wall(), monotonic()

    def now(self) -> float:
        """Unix seconds."""
        monotonic = self._monotonic()
        slowed = self._last + (monotonic - self._last_monotonic) / 2
        self._last, self._last_monotonic = max(self._wall(), slowed), monotonic
        return self._last

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
