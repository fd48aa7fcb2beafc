"""Writes that arrive while one transaction runs share the next: one sync to disk for all of them.

Where several come at once, the next waits a moment for more: a transaction costs as much as many of its rows.
Who writes alone does not wait.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from controlplane.loops.ports import StoreUnavailable

TOGETHER = 256
MOST_REST_SECONDS = 0.01
WAITING = 4 * TOGETHER

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class GroupCommit(Generic[Request, Answer]):
    """`commit` writes many requests at once and answers each, or raises for all of them."""

    def __init__(
        self, commit: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | Exception]]]
    ) -> None:
        self._commit = commit
        self._waiting: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def put(self, request: Request) -> Answer:
        """Its answer, when it is committed. StoreUnavailable also when too many wait already."""
        if len(self._waiting) >= WAITING:
            raise StoreUnavailable(f"{WAITING} writes wait for Postgres already")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="store-group-commit")
        return await answer

    async def close(self) -> None:
        """When everything that waited is answered."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            began = loop.time()
            count = min(TOGETHER, len(self._waiting))
            together = [self._waiting.popleft() for _ in range(count)]
            try:
                await self._answer(together)
            finally:
                for _, answer in together:
                    answer.cancel()
            if count > 1 and len(self._waiting) < TOGETHER:
                await asyncio.sleep(min(loop.time() - began, MOST_REST_SECONDS))

    async def _answer(self, together: Sequence[tuple[Request, asyncio.Future[Answer]]]) -> None:
        results: Sequence[Answer | Exception]
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
