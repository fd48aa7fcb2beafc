"""When the way to NATS is back: whoever waits for it is woken."""

import asyncio


class Returns:
    """How often the way to NATS was found, or found again. One a bus."""

    def __init__(self) -> None:
        self.count = 0
        self._happened = asyncio.Event()

    def happened(self) -> None:
        self.count += 1
        self._happened.set()
        self._happened = asyncio.Event()

    async def after(self, count: int) -> None:
        """Once there are more than that."""
        while self.count <= count:
            await self._happened.wait()
