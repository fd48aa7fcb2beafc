"""What every loop does alike: run on a wake-up and on a period, always from state; say so; back off."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controlplane.loops.ports import BusUnavailable, LeaseLost, StoreUnavailable

log = structlog.get_logger()


class LoopMetrics:
    """Rate, errors and duration of each loop, and how long the event loop kept others waiting."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.passes = Counter("muster_loop_passes", "Passes of a loop", ["loop"], registry=registry)
        self.errors = Counter(
            "muster_loop_errors", "Passes that failed", ["loop", "reason"], registry=registry
        )
        self.seconds = Histogram(
            "muster_loop_pass_seconds", "Duration of a pass", ["loop"], registry=registry
        )
        self.lag = Gauge(
            "muster_loop_lag_seconds", "How late the event loop runs what is due", registry=registry
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


class Wake:
    """A wake-up that many may ask for and one loop takes; asking twice wakes once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def up(self) -> None:
        self._event.set()

    async def wait(self, period_seconds: float) -> None:
        try:
            async with asyncio.timeout(period_seconds):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()


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

    gather_seconds: how long a wake-up waits for others, so that under load one pass serves many.
    """
    while True:
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
        await wake.wait(period_seconds)
        if gather_seconds:
            await asyncio.sleep(gather_seconds)
