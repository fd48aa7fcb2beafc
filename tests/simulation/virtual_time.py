"""An event loop in virtual time: where nothing is ready it jumps to the next timer. No threads, no I/O.

Equal programs take equal steps: tasks hash by the order in which they were made, so that even the order in
which a set of tasks is cancelled does not depend on addresses.
"""

import asyncio
from asyncio.base_events import BaseEventLoop
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")
EPOCH0_SECONDS = 1_767_225_600.0
"""2026-01-01 in Unix seconds: where every world begins."""

RESOLUTION_SECONDS = 1e-6
MOST_TIMERS = 100
"""Beyond so many, those that were cancelled are thrown away where they are half of them."""


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


class Call:
    """What is to be called next; stands for a Handle, without what a Handle carries for people who debug."""

    __slots__ = ("args", "callback", "context", "is_cancelled")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self.callback, self.args, self.context = callback, args, context
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled


class Timer(float):
    """What is to be called then: the instant itself, so that a heap compares them without any Python."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "is_waiting", "loop")
    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: Context
    is_cancelled: bool
    is_waiting: bool
    loop: "VirtualLoop"

    def cancel(self) -> None:
        if not self.is_cancelled:
            self.is_cancelled = True
            if self.is_waiting:
                self.loop.cancelled_timers += 1

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return float(self)


class VirtualLoop(BaseEventLoop):
    """`time()` starts at 0 and moves only when every task waits.

    Turns are those of the standard loop, call by call; written out here, since a world is 30,000 of them.
    """

    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._next: deque[Call | Timer] = deque()
        self._timers: list[Timer] = []
        self.cancelled_timers = 0
        # Every future and every task asks: not by a method written in Python.
        self.get_debug = bool
        self._numbers = count(1)
        self.set_task_factory(self._make_task)
        self.unhandled: list[str] = []
        self.set_exception_handler(self._remember)

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        call = Call(callback, args, context or copy_context())
        self._next.append(call)
        return call

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        timer = Timer(when)
        timer.callback, timer.args, timer.context = callback, args, context or copy_context()
        timer.is_cancelled, timer.is_waiting, timer.loop = False, True, self
        heappush(self._timers, timer)
        return timer

    def _run_once(self) -> None:
        """Turns until somebody stops the loop."""
        following = self._next
        while True:
            self._pass_time()
            for _ in range(len(following)):
                call = following.popleft()
                if call.is_cancelled:
                    continue
                try:
                    call.context.run(call.callback, *call.args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": f"in {call.callback!r}", "exception": error})
            if self._stopping:
                return

    def _pass_time(self) -> None:
        """Where nothing is to be called now, until the next timer; whatever is due then is called next."""
        timers = self._timers
        if len(timers) > MOST_TIMERS and self.cancelled_timers > len(timers) / 2:
            timers[:] = [timer for timer in timers if not timer.is_cancelled]
            heapify(timers)
            self.cancelled_timers = 0
        while timers and timers[0].is_cancelled:
            self.cancelled_timers -= 1
            heappop(timers).is_waiting = False
        if not self._next and not self._stopping:
            if not timers:
                raise Deadlock(f"nothing is ready at {self._now:.3f} s, and no timer runs")
            self._now += max(0.0, timers[0] - self._now)
        due = self._now + RESOLUTION_SECONDS
        while timers and timers[0] < due:
            timer = heappop(timers)
            timer.is_waiting = False
            self._next.append(timer)

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Generator[Any, None, Any] | Coroutine[Any, Any, Any],
        context: Context | None = None,
    ) -> NumberedTask:
        return NumberedTask(coroutine, loop=loop, number=next(self._numbers), context=context)

    def _remember(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.unhandled.append(f"{context.get('message')}: {context.get('exception')!r}")

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
