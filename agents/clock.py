"""The clocks of a real process."""

import asyncio
import time
from collections.abc import Callable


class SystemClock:
    """The machine's time of day, whoever sets it: times of alerts are compared with it."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SteadyClock(SystemClock):
    """The same; but where that is set back, this one goes at half its pace until both agree again: who waits
    for a moment shall not wait the difference longer, and be silent for it."""

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._last, self._last_monotonic = wall(), monotonic()

    def now(self) -> float:
        monotonic = self._monotonic()
        slowed = self._last + (monotonic - self._last_monotonic) / 2
        self._last, self._last_monotonic = max(self._wall(), slowed), monotonic
        return self._last
