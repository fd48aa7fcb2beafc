"""What every loop does alike: run on a wake-up and on a period, always from state; say so; back off."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from controlplane.loops.ports import BusAway, BusUnavailable, LeaseLost, StoreUnavailable, StreamBatch
from controlplane.troubles import Trouble

log = structlog.get_logger()

MOST_REST_SECONDS = 0.05

LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LAG_LOOK_SECONDS = 0.05


class LoopMetrics:
    """Rate, errors, duration, lag and depth of each loop, and how long the event loop kept others waiting.

    depth: what waits for a loop that keeps a line of its own. wait: from a wake-up until the pass begins.
    behind: for how long what is due now has been so. Of what does not run here both are 0.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        self.passes = Counter("muster_loop_passes", "Passes of a loop", ["loop"], registry=registry)
        self.errors = Counter(
            "muster_loop_errors", "Passes that failed", ["loop", "reason"], registry=registry
        )
        self.seconds = Histogram(
            "muster_loop_pass_seconds", "Duration of a pass", ["loop"], registry=registry
        )
        self.wait = Histogram(
            "muster_loop_wait_seconds",
            "From a wake-up until the pass",
            ["loop"],
            buckets=LAG_SECONDS,
            registry=registry,
        )
        self.depth = Gauge(
            "muster_loop_depth", "What waits in the line of a loop", ["loop"], registry=registry
        )
        self.behind = Gauge(
            "muster_loop_behind_seconds",
            "How long what is due has waited for a pass that goes well",
            ["loop"],
            registry=registry,
        )
        self.stream_lag = Gauge(
            "muster_stream_lag_messages", "Messages of a stream not read yet", ["stream"], registry=registry
        )
        self.buried = Counter(
            "muster_dead_letters", "Messages that were not understood", ["kind"], registry=registry
        )
        for kind in ("report", "alert"):
            # There from the start: what first appears with 1 has not increased.
            self.buried.labels(kind)
        self.lag = Histogram(
            "muster_loop_lag_seconds",
            "How late the event loop runs what is due",
            buckets=LAG_SECONDS,
            registry=registry,
        )
        self.reports = Counter("muster_reports", "Reports taken in", ["kind", "outcome"], registry=registry)
        self.orders = Counter("muster_orders", "Orders by outcome", ["outcome"], registry=registry)
        self.decisions = Counter("muster_decisions", "Decisions by reason", ["reason"], registry=registry)
        self.ledger_differences = Counter(
            "muster_ledger_differences", "Balances that memory had otherwise", registry=registry
        )
        self.unreachable = Gauge("muster_clusters_unreachable", "Clusters that are lost", registry=registry)
        self.suspected = Gauge(
            "muster_network_suspected", "1 while too many clusters are silent at once", registry=registry
        )
        self.alerts = Counter("muster_alerts_committed", "Alerts committed", registry=registry)
        self.leads = Gauge("muster_leads", "1 while this process decides", registry=registry)

    def read(self, stream: str, loop: str, batch: StreamBatch) -> None:
        """A batch of a stream came: what waits behind it, and how old its last message is."""
        self.stream_lag.labels(stream).set(batch.pending)
        self.depth.labels(loop).set(batch.pending)
        last = batch.messages[-1].stored_at if batch.messages and batch.pending else 0.0
        self.behind.labels(loop).set(max(0.0, time.time() - last) if last else 0.0)

    @contextmanager
    def reading(self, stream: str, loop: str) -> Generator[None]:
        """While a loop reads that stream: what it leaves unread is the next reader's."""
        try:
            yield
        finally:
            for gauge in (self.stream_lag.labels(stream), self.depth.labels(loop), self.behind.labels(loop)):
                gauge.set(0.0)

    @contextmanager
    def passing(self, loop: str) -> Generator[None]:
        """A pass of what is not run by `keep_running`. What is raised is counted, and raised."""
        try:
            with self.seconds.labels(loop).time():
                yield
            self.passes.labels(loop).inc()
        except Exception as error:
            self.errors.labels(loop, type(error).__name__).inc()
            raise

    @contextmanager
    def watched(
        self, loop: str, behind: Callable[[], float], depth: Callable[[], float] | None = None
    ) -> Generator[None]:
        """While it runs, both are asked when somebody looks."""
        asked = [(self.behind.labels(loop), behind)]
        asked += [(self.depth.labels(loop), depth)] if depth is not None else []
        for gauge, tell in asked:
            gauge.set_function(tell)
        try:
            yield
        finally:
            for gauge, _ in asked:
                gauge.set_function(_nothing)


def _nothing() -> float:
    return 0.0


class Wake:
    """A wake-up that many may ask for and one loop takes; asking twice wakes once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._asked_at = 0.0

    def up(self) -> None:
        if not self._event.is_set():
            self._asked_at = time.monotonic()
            self._event.set()

    async def wait(self, period_seconds: float) -> None:
        try:
            async with asyncio.timeout(period_seconds):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()

    @property
    def asked_at(self) -> float | None:
        """When the first asked for the next pass, by the monotonic clock; None where nobody did."""
        return self._asked_at or None

    def begin(self) -> float | None:
        """The pass begins: `asked_at`, once."""
        asked_at, self._asked_at = self.asked_at, 0.0
        return asked_at


class Lateness:
    """How long what is due waits: from its wake-up, or its time, until a pass that goes well."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._due_at: float | None = None

    def begun(self, due_at: float) -> None:
        if self._due_at is None:
            self._due_at = due_at

    def went_well(self) -> None:
        self._due_at = None

    def seconds(self) -> float:
        due = [at for at in (self._due_at, self._wake.asked_at) if at is not None]
        return max(0.0, time.monotonic() - min(due)) if due else 0.0


async def keep_running(
    name: str,
    run_pass: Callable[[], Awaitable[None]],
    wake: Wake,
    metrics: LoopMetrics,
    *,
    period_seconds: float,
    gather_seconds: float = 0.0,
    back_off_seconds: float = 1.0,
    depth: Callable[[], float] | None = None,
) -> None:
    """Run passes until cancelled or LeaseLost. An error ends its pass, never the loop.

    depth: how much waits for it, asked when somebody looks at the metrics.
    gather_seconds: how long a wake-up waits for others, so that under load one pass serves many; and there a
    pass is followed by a rest as long as it took: few transactions carry much for less than many do.
    """
    loop = asyncio.get_running_loop()
    late, trouble = Lateness(wake), Trouble("pass_failed", "passes_go_on", loop=name)
    with metrics.watched(name, late.seconds, depth):
        while True:
            began = loop.time()
            late.begun(_begin(name, wake, metrics))
            try:
                with metrics.seconds.labels(name).time():
                    await run_pass()
                metrics.passes.labels(name).inc()
            except LeaseLost:
                raise
            except Exception as error:
                _failed(name, error, metrics, trouble)
                await asyncio.sleep(back_off_seconds)
                continue
            late.went_well()
            trouble.over()
            ended = loop.time()
            await wake.wait(period_seconds)
            if gather_seconds:
                rested_at = ended + min(ended - began, MOST_REST_SECONDS)
                await asyncio.sleep(max(gather_seconds, rested_at - loop.time()))


def _begin(name: str, wake: Wake, metrics: LoopMetrics) -> float:
    """Since when the pass that begins now is due, by the monotonic clock."""
    now = time.monotonic()
    asked_at = wake.begin()
    if asked_at is None:
        return now
    metrics.wait.labels(name).observe(now - asked_at)
    return asked_at


def _failed(name: str, error: Exception, metrics: LoopMetrics, trouble: Trouble) -> None:
    reason = type(error).__name__
    if isinstance(error, BusAway):
        reason = BusUnavailable.__name__
    elif isinstance(error, StoreUnavailable | BusUnavailable):
        trouble.met(reason=reason, detail=str(error))
    else:
        log.exception("pass_failed", loop=name, reason=reason)
    metrics.errors.labels(name, reason).inc()


async def measure_lag(metrics: LoopMetrics) -> None:
    """How late the event loop runs what is due; of a process, whatever it runs. Until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_LOOK_SECONDS
        await asyncio.sleep(LAG_LOOK_SECONDS)
        metrics.lag.observe(max(0.0, loop.time() - due))
