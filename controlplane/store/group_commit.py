"""Writes that arrive while one transaction runs share the next: one sync to disk for all of them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from controlplane.known.records import WorkloadRecord
from controlplane.loops.ports import StoreUnavailable
from controlplane.store.workloads import Request

TOGETHER = 256
WAITING = 4 * TOGETHER

Commit = Callable[[Sequence[Request]], Awaitable[Sequence[WorkloadRecord | Exception]]]
Waiting = tuple[Request, asyncio.Future[WorkloadRecord]]


class GroupCommit:
    """`commit` writes many requests at once and answers each, or raises for all of them."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._waiting: deque[Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    async def put(self, request: Request) -> WorkloadRecord:
        """Its answer, when it is committed. StoreUnavailable also when too many wait already."""
        if len(self._waiting) >= WAITING:
            raise StoreUnavailable(f"{WAITING} writes wait for Postgres already")
        answer: asyncio.Future[WorkloadRecord] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="store-group-commit")
        return await answer

    async def close(self) -> None:
        """When everything that waited is answered."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            count = min(TOGETHER, len(self._waiting))
            together = [self._waiting.popleft() for _ in range(count)]
            try:
                await self._answer(together)
            finally:
                for _, answer in together:
                    answer.cancel()

    async def _answer(self, together: Sequence[Waiting]) -> None:
        try:
            results = await self._commit([request for request, _ in together])
        except StoreUnavailable as error:
            results = [error] * len(together)
        except Exception as error:
            if len(together) > 1:
                # One of them is what Postgres does not take; alone, it fails alone.
                for one in together:
                    await self._answer([one])
                return
            results = [error]
        for (_, answer), result in zip(together, results, strict=True):
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
