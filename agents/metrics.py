"""What an agent says of itself at `/metrics` of its door: read from what it holds when somebody asks.

Nothing is counted on the way of an order for it, and no label is what people name: states, reasons and
outcomes are enums.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agents.spool import Spool


class Told(Protocol):
    """What a term tells of itself.

    heard_at: when the centre answered last, Unix seconds, 0 for never. states: workloads by state.
    order_outcomes: orders that came, by `recorded` or the reason why not.
    """

    @property
    def heard_at(self) -> float: ...

    @property
    def reports_pending(self) -> int: ...

    @property
    def states(self) -> Mapping[str, int]: ...

    @property
    def reasons(self) -> Mapping[str, int]: ...

    @property
    def order_outcomes(self) -> Mapping[str, int]: ...

    @property
    def orders_repeated(self) -> int: ...

    @property
    def holding(self) -> bool: ...


class AgentMetrics(Collector):
    """term: of now, None while another agent acts. alerts: that came to the door, by outcome."""

    def __init__(
        self,
        spool: Spool,
        term: Callable[[], Told | None],
        alerts: Callable[[], Mapping[str, int]],
        now: Callable[[], float],
    ) -> None:
        self._spool, self._term, self._alerts, self._now = spool, term, alerts, now
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def page(self) -> bytes:
        """In the text format of Prometheus."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing is worked out before somebody asks."""
        return []

    def collect(self) -> Iterator[Metric]:
        term, spool = self._term(), self._spool
        yield _gauge("acting", "1 while this process speaks for its cluster", float(term is not None))
        yield _gauge("spool_batches", "Batches of alerts that the centre has not committed", spool.depth)
        yield _gauge("spool_bytes", "What they take", spool.size)
        yield _gauge("spool_fullness_ratio", "Of what the spool takes, 1 is full", spool.fullness)
        yield _counters("alerts", "Alerts that came to the door", "outcome", self._alerts())
        if term is None:
            return
        silent = self._now() - term.heard_at if term.heard_at else 0.0
        yield _gauge("centre_silent_seconds", "Since the centre answered last", max(0.0, silent))
        yield _gauge("reports_pending", "Reports that are not published", term.reports_pending)
        yield _gauge("holding", "1 while removals wait for a release", float(term.holding))
        yield _counters("orders", "Orders that came", "outcome", term.order_outcomes)
        yield _counters("orders_repeated", "Orders carried out once more", "", {"": term.orders_repeated})
        yield _gauges("workloads", "Workloads by state", "state", term.states)
        yield _gauges("workloads_refused", "Workloads not carried out, by reason", "reason", term.reasons)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"muster_agent_{name}", text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"muster_agent_{name}", text, labels=[label])
    for each, value in sorted(values.items()):
        family.add_metric([each], value)
    return family


def _counters(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"muster_agent_{name}", text, labels=[label] if label else [])
    for each, value in sorted(values.items()):
        family.add_metric([each] if label else [], value)
    return family
