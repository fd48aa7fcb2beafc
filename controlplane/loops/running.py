"""What every loop does alike: run on a wake-up and on a period, always from state; say so; back off."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from controlplane.loops.ports import BusUnavailable, LeaseLost, StoreUnavailable

log = structlog.get_logger()

MOST_REST_SECONDS = 0.05

LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LAG_LOOK_SECONDS = 0.05


class LoopMetrics:
    """Rate, errors, duration, lag and depth of each loop, and how long the event loop kept others waiting.

    depth: what waits for a loop that keeps a line of its own. wait: from a wake-up until the pass begins.
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

    def waited_seconds(self) -> float | None:
        """Since the first that asked for the pass that begins now, once; None where nobody did."""
        asked_at, self._asked_at = self._asked_at, 0.0
        return time.monotonic() - asked_at if asked_at else None


async def keep_running(
    name: str,
    run_pass: Callable[[], Awaitable[None]],
    wake: Wake,
    metrics: LoopMetrics,
    *,
    period_seconds: float,
    gather_seconds: float = 0.0,
    back_off_seconds: float = 1.0,
) -> None:
    """Run passes until cancelled or LeaseLost. An error ends its pass, never the loop.

    gather_seconds: how long a wake-up waits for others, so that under load one pass serves many; and there a
    pass is followed by a rest as long as it took: few transactions carry much for less than many do.
    """
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        if (waited := wake.waited_seconds()) is not None:
            metrics.wait.labels(name).observe(waited)
        try:
            with metrics.seconds.labels(name).time():
                await run_pass()
            metrics.passes.labels(name).inc()
        except LeaseLost:
            raise
        except (StoreUnavailable, BusUnavailable) as error:
            metrics.errors.labels(name, type(error).__name__).inc()
            log.warning("pass_failed", loop=name, reason=type(error).__name__, detail=str(error))
            await asyncio.sleep(back_off_seconds)
            continue
        except Exception as error:
            metrics.errors.labels(name, type(error).__name__).inc()
            log.exception("pass_failed", loop=name, reason=type(error).__name__)
            await asyncio.sleep(back_off_seconds)
            continue
        ended = loop.time()
        await wake.wait(period_seconds)
        if gather_seconds:
            rested_at = ended + min(ended - began, MOST_REST_SECONDS)
            await asyncio.sleep(max(gather_seconds, rested_at - loop.time()))
