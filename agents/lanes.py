"""Work that is serial per key, parallel over keys, and bounded in all."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine

Work = Callable[[], Coroutine[None, None, None]]


class Lanes:
    """`in_flight` pieces of work are accepted before `put` waits; how many of them do the same is theirs."""

    def __init__(self, group: asyncio.TaskGroup, *, in_flight: int) -> None:
        self._group = group
        self._room = asyncio.Semaphore(in_flight)
        self._queues: dict[str, deque[Work]] = {}

    def busy(self, key: str) -> bool:
        return key in self._queues

    async def put(self, key: str, work: Work) -> None:
        """Wait for room, then queue behind what is under way for the same key."""
        await self._room.acquire()
        queue = self._queues.get(key)
        if queue is not None:
            queue.append(work)
            return
        self._queues[key] = deque((work,))
        self._group.create_task(self._run(key))

    async def _run(self, key: str) -> None:
        queue = self._queues[key]
        while queue:
            work = queue.popleft()
            try:
                await work()
            finally:
                self._room.release()
        del self._queues[key]
