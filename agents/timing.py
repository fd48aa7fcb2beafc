"""Waiting on the given clock: bounded, so that nothing waits for ever and no test waits for luck."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

from agents.ports import Clock
from agents.returning import Returns

SPREAD_SECONDS = 3.0
"""Thousands of agents are back at once: over so long they come."""
T = TypeVar("T")


async def within(clock: Clock, work: Coroutine[Any, Any, T], seconds: float) -> T | None:
    """The result of `work`, None when it took longer: then it is cancelled and has ended."""
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        await ended(task, alarm)


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs and wait until all have ended; what they raised is left to who awaits them."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()


async def signalled(clock: Clock, event: asyncio.Event, seconds: float) -> bool:
    """Whether `event` was set within that time; it is cleared then."""
    if not event.is_set():
        await within(clock, _wait(event), seconds)
    happened = event.is_set()
    event.clear()
    return happened


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


class Backoff:
    """Growing pauses with jitter, so that many agents do not come as one."""

    def __init__(self, random: Random, *, first_seconds: float = 0.5, longest_seconds: float = 30.0) -> None:
        self._random = random
        self._first = first_seconds
        self._longest = longest_seconds
        self._failures = 0

    @property
    def failures(self) -> int:
        return self._failures

    def failed(self) -> float:
        """How long to pause now, in seconds."""
        length = min(self._longest, self._first * 2 ** min(self._failures, 16))
        self._failures += 1
        return length * (0.5 + self._random.random() / 2)

    def succeeded(self) -> None:
        self._failures = 0


class Pauses:
    """Of one who tries the bus again. A pause that grew while it was away would go on when it is back."""

    def __init__(self, returns: Returns, clock: Clock, random: Random) -> None:
        self._returns = returns
        self._clock = clock
        self._random = random
        self._seen = returns.count

    async def pause(self, seconds: float) -> bool:
        """So long, or until the bus is back, and a moment. Whether it is: meanwhile, or since the last."""
        until = self._clock.now() + seconds
        if self._returns.count == self._seen:
            await within(self._clock, self._returns.after(self._seen), seconds)
        if self._returns.count == self._seen:
            return False
        self._seen = self._returns.count
        moment = self._random.random() * SPREAD_SECONDS
        await self._clock.sleep(max(0.0, min(until - self._clock.now(), moment)))
        return True


class Retrying:
    """Growing pauses between attempts, which begin anew when the bus is back."""

    def __init__(
        self, returns: Returns, clock: Clock, random: Random, *, longest_seconds: float = 30.0
    ) -> None:
        self._pauses = Pauses(returns, clock, random)
        self._backoff = Backoff(random, longest_seconds=longest_seconds)

    async def failed(self) -> None:
        """Returns when it is time for the next attempt."""
        if await self._pauses.pause(self._backoff.failed()):
            self._backoff.succeeded()

    def succeeded(self) -> None:
        self._backoff.succeeded()
