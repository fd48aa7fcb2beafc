"""What one process knows, counted when somebody asks: how much waits, which clusters are lost, who has quota.

It is counted in steps, between which others may run: there may be 50,000 workloads, and more orders. Nothing
is labelled by what people name without a bound: clusters and quota are told up to MOST_SERIES, those
with the most first, and how many were left out is a number too.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controlplane.known.known import Known
from controlplane.known.records import Standing
from controlplane.quota.lending import borrowed
from controlplane.quota.tree import Kind

MOST_SERIES = 1_000
AT_A_STEP = 1_000
PENDING = "Pending"
"""Of a workload that nobody has decided on."""


class KnownMetrics(Collector):
    """Of one moment: made anew for each look; asked for its page after its steps. now: Unix seconds."""

    def __init__(self, known: Known, now: float) -> None:
        self._known, self._now = known, now
        self._left_out = self._undecided = self._unacknowledged = 0
        self._reasons = Counter[str]()

    def steps(self) -> Iterator[None]:
        """Count, a slice at each step."""
        known = self._known
        for uids in _slices(known.workloads):
            for uid in uids:
                self._count(uid)
            yield
        for uids in _slices(known.orders):
            self._unacknowledged += sum(
                order.published_sequence is not None and order.acknowledged != order.version
                for uid in uids
                for order in known.orders.get(uid, {}).values()
            )
            yield

    def page(self) -> bytes:
        """In the text format of Prometheus."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        self._left_out = 0
        yield from self._workloads()
        yield from self._clusters()
        yield from self._quota()
        yield _one("muster_series_left_out", "Series beyond the bound of labels", self._left_out)

    def _count(self, uid: str) -> None:
        record, decision = self._known.workloads.get(uid), self._known.decisions.get(uid)
        if record is None:
            return
        self._reasons[decision.reason if decision is not None else PENDING] += 1
        self._undecided += decision is None or decision.resource_version < record.resource_version

    def _workloads(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("muster_workloads", "Workloads by their last decision", labels=["reason"])
        for reason, count in sorted(self._reasons.items()):
            family.add_metric([reason], count)
        yield family
        yield _one(
            "muster_workloads_undecided", "Workloads written since their last decision", self._undecided
        )
        unpublished = len(self._known.unpublished)
        yield _one("muster_orders_unpublished", "Orders in the outbox that are not published", unpublished)
        yield _one(
            "muster_orders_unacknowledged",
            "Orders published and not recorded by an agent",
            self._unacknowledged,
        )

    def _clusters(self) -> Iterator[Metric]:
        known, now = self._known, self._now
        standings = Counter(record.standing.value for record in known.clusters.values())
        family = GaugeMetricFamily("muster_clusters", "Clusters by their standing", labels=["standing"])
        for standing in Standing:
            family.add_metric([standing.value], standings[standing.value])
        yield family
        heard = {
            record.name: known.heard[record.id]
            for record in known.clusters.values()
            if record.standing is Standing.JOINED and record.id in known.heard
        }
        oldest = max((now - each.at for each in heard.values()), default=0.0)
        yield _one(
            "muster_beat_oldest_seconds", "Since the beat of the cluster that is silent longest", oldest
        )
        yield from self._by_cluster(
            "muster_spool_depth_batches",
            "Batches of alerts that an agent has spooled, as its last beat said",
            {name: float(each.beat.spool_depth) for name, each in heard.items()},
        )
        yield from self._by_cluster(
            "muster_cluster_lost_seconds",
            "Since when a cluster is lost",
            {
                known.clusters[cluster].name: now - since
                for cluster, since in known.losses.unreachable.items()
                if cluster in known.clusters
            },
        )

    def _by_cluster(self, name: str, text: str, values: dict[str, float]) -> Iterator[Metric]:
        """Those that are not 0, the largest first."""
        family = GaugeMetricFamily(name, text, labels=["cluster"])
        found = sorted(((value, each) for each, value in values.items() if value > 0), reverse=True)
        for value, each in found[:MOST_SERIES]:
            family.add_metric([each], value)
        self._left_out += max(0, len(found) - MOST_SERIES)
        yield family

    def _quota(self) -> Iterator[Metric]:
        labels = ["tenant", "flavor", "resource"]
        used = GaugeMetricFamily(
            "muster_quota_used", "Charged to a tenant, in units of the resource", labels=labels
        )
        nominal = GaugeMetricFamily("muster_quota_nominal", "Granted to a tenant", labels=labels)
        lent = GaugeMetricFamily("muster_quota_borrowed", "Used by a tenant beyond its own", labels=labels)
        usage, rows = self._known.quotas.usage, 0
        for node in usage.tree.nodes:
            if node.kind is not Kind.TENANT:
                continue
            amounts = usage.at(node)
            for key in dict.fromkeys((*node.limits, *amounts)):
                rows += 1
                if rows > MOST_SERIES:
                    continue
                values = [node.name, *key]
                used.add_metric(values, amounts.get(key, 0))
                nominal.add_metric(values, node.limits[key].nominal if key in node.limits else 0)
                lent.add_metric(values, borrowed(usage, node, key))
        self._left_out += max(0, rows - MOST_SERIES)
        yield from (used, nominal, lent)


def _slices(held: Mapping[str, object]) -> Iterator[list[str]]:
    """Keys as they are now."""
    keys = iter(list(held))
    while some := list(islice(keys, AT_A_STEP)):
        yield some


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
