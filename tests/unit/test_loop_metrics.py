"""What the metrics say of a loop: how much waits for it, and for how long what is due has waited."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from controlplane.loops.ports import (
    BusAway,
    BusUnavailable,
    LeaseLost,
    StoreUnavailable,
    StreamBatch,
    StreamMessage,
)
from controlplane.loops.running import LoopMetrics, Wake, keep_running
from tests.circle import eventually

BOUND_SECONDS = 10.0


@dataclass
class Line:
    """A loop whose passes go as the test says, until it is let go."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    wake: Wake = field(default_factory=Wake)
    waiting: list[str] = field(default_factory=list[str])
    fails: Exception | None = None
    hangs: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self.metrics = LoopMetrics(self.registry)

    async def run_pass(self) -> None:
        if self.hangs is not None:
            await self.hangs.wait()
        if self.fails is not None:
            raise self.fails
        self.waiting.clear()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        running = asyncio.create_task(
            keep_running(
                *("line", self.run_pass, self.wake, self.metrics),
                period_seconds=60.0,
                back_off_seconds=0.01,
                depth=lambda: len(self.waiting),
            )
        )
        await eventually("it has run", lambda: self.told("passes_total"), bound_seconds=BOUND_SECONDS)
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def offer(self) -> None:
        self.waiting.append("one")
        self.wake.up()

    def told(self, what: str, **labels: str) -> float:
        found = self.registry.get_sample_value(f"muster_loop_{what}", {"loop": "line", **labels})
        return found or 0.0


async def test_nothing_is_due_in_between() -> None:
    line = Line()
    async with line.running():
        assert (line.told("depth"), line.told("behind_seconds")) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(StoreUnavailable("away"), "StoreUnavailable"), (BusAway("away"), "BusUnavailable")],
)
async def test_what_fails_is_behind_until_a_pass_goes_well(error: Exception, reason: str) -> None:
    line = Line()
    async with line.running():
        line.fails = error
        line.offer()
        await eventually("it fails, twice", lambda: line.told("errors_total", reason=reason) >= 2)
        first, depth = line.told("behind_seconds"), line.told("depth")
        assert (depth, first > 0) == (1.0, True)
        await eventually("longer and longer", lambda: line.told("behind_seconds") > first)
        line.fails = None
        await eventually("it is not", lambda: (line.told("depth"), line.told("behind_seconds")) == (0, 0))


async def test_what_hangs_is_behind_and_what_ended_is_not() -> None:
    line = Line()
    async with line.running():
        line.hangs = asyncio.Event()
        line.offer()
        await eventually("it is behind", lambda: line.told("behind_seconds") > 0.05)
        assert line.told("depth") == 1.0
    assert (line.told("depth"), line.told("behind_seconds")) == (0.0, 0.0), "whoever leads now has the line"


def test_a_stream_is_behind_by_the_age_of_what_was_read_while_more_waits() -> None:
    line = Line()
    message = StreamMessage("s", b"", 1, stored_at=1.0)
    line.metrics.read("state", "line", StreamBatch([message], True, 1.0, pending=7))
    assert line.told("depth") == 7.0
    assert line.told("behind_seconds") > 1_000_000_000
    line.metrics.read("state", "line", StreamBatch([message], True, 1.0))
    assert (line.told("depth"), line.told("behind_seconds")) == (0.0, 0.0)


@pytest.mark.parametrize(
    "ends", [LeaseLost("another leads"), BusUnavailable("away"), asyncio.CancelledError()]
)
def test_a_stream_that_is_read_no_more_is_not_behind(ends: BaseException) -> None:
    line = Line()
    message = StreamMessage("s", b"", 1, stored_at=1.0)
    with suppress(type(ends)), line.metrics.reading("alerts", "line"):
        line.metrics.read("alerts", "line", StreamBatch([message], True, 1.0, pending=9_000))
        raise ends
    unread = line.registry.get_sample_value("muster_stream_lag_messages", {"stream": "alerts"})
    assert (line.told("depth"), line.told("behind_seconds"), unread) == (0.0, 0.0, 0.0)
