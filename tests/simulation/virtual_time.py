"""An event loop in virtual time: where nothing is ready it jumps to the next timer. No threads, no I/O.

Equal programs take equal steps: tasks hash by the order in which they were made, so that even the order in
which a set of tasks is cancelled does not depend on addresses.
"""

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")
EPOCH0_SECONDS = 1_767_225_600.0
"""2026-01-01 in Unix seconds: where every world begins."""


class Deadlock(RuntimeError):
    """Nothing is ready and nothing will be: the program waits for itself."""


class NumberedTask(asyncio.Task[Any]):
    """A task that hashes by the order of creation."""

    def __init__(
        self,
        coroutine: Generator[Any, None, Any] | Coroutine[Any, Any, Any],
        *,
        loop: asyncio.AbstractEventLoop,
        number: int,
        name: str | None = None,
        context: Context | None = None,
    ) -> None:
        self._number = number
        super().__init__(coroutine, loop=loop, name=name or f"task-{number}", context=context)

    def __hash__(self) -> int:
        return self._number


class _Timers:
    """Stands where the selector stands: told how long to wait, it lets that time pass at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise Deadlock(f"nothing is ready at {self.now:.3f} s, and no timer runs")
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(BaseEventLoop):
    """`time()` starts at 0 and moves only when every task waits."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Timers()
        self._clock_resolution = 1e-6
        self._numbers = count(1)
        self.set_task_factory(self._make_task)
        self.unhandled: list[str] = []
        self.set_exception_handler(self._remember)

    def time(self) -> float:
        return self._selector.now

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Generator[Any, None, Any] | Coroutine[Any, Any, Any],
        context: Context | None = None,
    ) -> NumberedTask:
        return NumberedTask(coroutine, loop=loop, number=next(self._numbers), context=context)

    def _remember(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.unhandled.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _process_events(self, event_list: list[object]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        raise RuntimeError(f"{func!r}: a world in virtual time has no threads")

    def run_to_end(self, main: Coroutine[Any, Any, T]) -> T:
        """The result of `main`; whatever is left running is cancelled, and the loop closed."""
        asyncio.set_event_loop(self)
        try:
            return self.run_until_complete(main)
        finally:
            left = sorted(asyncio.all_tasks(self), key=hash)
            for task in left:
                task.cancel()
            self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.run_until_complete(self.shutdown_asyncgens())
            asyncio.set_event_loop(None)
            self.close()


@dataclass(frozen=True)
class WorldClock:
    """The clock of one party, `skew_seconds` ahead of the world's."""

    loop: asyncio.AbstractEventLoop
    skew_seconds: float = 0.0

    def now(self) -> float:
        return EPOCH0_SECONDS + self.loop.time() + self.skew_seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
