"""Alerts onto the disk, off the event loop: who comes while a sync is under way shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec

from agents import tracing
from agents.ports import Clock
from agents.spool import LARGEST_BATCH_BYTES, Spool, SpoolFull
from schemas.wire.alerts import Alert

MOST_IN_BATCH = 500
AT_ONCE_BYTES = 4 * 1024 * 1024
MOST_WAITING_BYTES = 32 * 1024 * 1024
T = TypeVar("T")
Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs what may take the disk's time: in a thread of its own, or (in virtual time) here and now."""
_encoder = msgspec.json.Encoder()


async def inline(work: Callable[[], Any]) -> Any:
    """A `Run` without threads."""
    return work()


@dataclass(frozen=True)
class _Waiting:
    encoded: Sequence[bytes]
    keep_firing: Sequence[Alert]
    size: int
    written: "asyncio.Future[float]"
    trace: str


class SpoolWriter:
    """Group commit. All that is written through here is in the spool, synced, when `write` returns."""

    def __init__(self, spool: Spool, clock: Clock, run: Run = inline) -> None:
        self.spool = spool
        self.run = run
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._writing: asyncio.Task[None] | None = None

    async def write(self, alerts: Sequence[Alert], *, keep_firing: bool = False) -> float:
        """When they were received, Unix seconds. Raises SpoolFull and BatchTooLarge: then none was taken."""
        encoded = [_encoder.encode(alert) for alert in alerts]
        size = sum(map(len, encoded)) + len(encoded)
        if self._waiting_bytes + size > MOST_WAITING_BYTES:
            raise SpoolFull(f"{self._waiting_bytes} bytes of alerts wait for the disk; no more are taken")
        written: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        keep = list(alerts) if keep_firing else []
        self._waiting.append(_Waiting(encoded, keep, size, written, tracing.current()))
        self._waiting_bytes += size
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        # Whoever gives up waiting takes nothing from the others.
        return await asyncio.shield(written)

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write_some(self._take())
        finally:
            self._writing = None

    def _take(self) -> list[_Waiting]:
        """The oldest, AT_ONCE_BYTES of them or one."""
        taken: list[_Waiting] = []
        size = 0
        while self._waiting and (not taken or size + self._waiting[0].size <= AT_ONCE_BYTES):
            taken.append(self._waiting.pop(0))
            size += taken[-1].size
        return taken

    async def _write_some(self, taken: list[_Waiting]) -> None:
        now = self._clock.now()
        bodies = _bodies([each for waiting in taken for each in waiting.encoded])
        keep = [alert for waiting in taken for alert in waiting.keep_firing]
        traces = list(dict.fromkeys(waiting.trace for waiting in taken if waiting.trace))
        alerts = sum(len(waiting.encoded) for waiting in taken)
        span = tracing.span(
            "spool alerts", parent=traces[0] if traces else None, links=traces[1:], alerts=alerts
        )
        append = partial(self.spool.append_bodies, received_at=now, keep_firing=keep, trace=span.traceparent)
        try:
            with span:
                await self.run(partial(append, bodies))
        except Exception as error:
            _settle(taken, error)
        except BaseException:
            _settle(taken, SpoolFull("the agent stops"))
            raise
        else:
            _settle(taken, now)
        finally:
            self._waiting_bytes -= sum(waiting.size for waiting in taken)


def _settle(taken: Sequence[_Waiting], outcome: float | Exception) -> None:
    for waiting in taken:
        if waiting.written.done():
            continue
        if isinstance(outcome, Exception):
            waiting.written.set_exception(outcome)
            # Who asked may be gone by now.
            waiting.written.exception()
        else:
            waiting.written.set_result(outcome)


def _bodies(encoded: Sequence[bytes]) -> list[bytes]:
    """JSON lists of them, each within what goes into one message."""
    bodies: list[bytes] = []
    batch: list[bytes] = []
    size = 2
    for each in encoded:
        if batch and (len(batch) >= MOST_IN_BATCH or size + len(each) + 1 > LARGEST_BATCH_BYTES):
            bodies.append(b"[" + b",".join(batch) + b"]")
            batch, size = [], 2
        batch.append(each)
        size += len(each) + 1
    if batch:
        bodies.append(b"[" + b",".join(batch) + b"]")
    return bodies
