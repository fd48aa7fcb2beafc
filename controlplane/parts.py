"""What runs beside each other in one process, until it is told to stop or one of them ends."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import structlog

log = structlog.get_logger()


class Parts:
    """stack: what is to be taken down, in reverse. stopping: set when all of it is to end."""

    def __init__(self, stack: AsyncExitStack, stopping: asyncio.Event) -> None:
        self.stack = stack
        self.stopping = stopping

    def start(self, name: str, running: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run beside the others; when it ends by itself, everything ends."""
        task = asyncio.create_task(running, name=name)

        def ended(task: "asyncio.Task[None]") -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("ended", part=name, exc_info=error)
            self.stopping.set()

        task.add_done_callback(ended)
        self.stack.push_async_callback(_cancel, task)
        return task

    async def wait_until(self, holds: Callable[[], bool]) -> bool:
        """Whether it holds; not where everything ends before. For what tells of itself by a flag only."""
        while not holds() and not self.stopping.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return not self.stopping.is_set()


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
