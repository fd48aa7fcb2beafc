"""The clock of a real process."""

import asyncio
import time


class SystemClock:
    """Implements `agents.ports.Clock`."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
