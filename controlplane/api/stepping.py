"""Long looks of the API, a step after the other: half a million nodes shall not hold up a lease."""

import asyncio
import time
from collections.abc import Iterable

TURN_SECONDS = 0.003


async def stepped(steps: Iterable[None]) -> None:
    """Take all of them; others run between two steps every few milliseconds."""
    began = time.perf_counter()
    for _ in steps:
        if time.perf_counter() - began > TURN_SECONDS:
            await asyncio.sleep(0)
            began = time.perf_counter()
