"""Clusters and nodes as readers see them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controlplane.fleet import NodeRow, Totals
from controlplane.known.known import Known
from controlplane.known.records import ClusterRecord, Standing
from controlplane.placement.headroom import as_data
from controlplane.placement.rules import ENVIRONMENT_LABEL
from controlplane.queries.paging import Page, Query
from controlplane.queries.rows import Amounts, ClusterRow, EffectiveTaintRow, NodeView, TaintRow
from controlplane.queries.tables import Table
from controlplane.rollout import UNREACHABLE
from schemas.wire.reports import Facts, Taint

FEATURE_PREFIX = "feature.node.kubernetes.io/"
READY = "Ready"
_NOTHING = Totals(nodes=0, ready=0, allocatable={}, foreign={}, bound={}, promised={}, used={})


def amounts_sum(*parts: Amounts) -> dict[str, int]:
    """Sums by resource."""
    total: dict[str, int] = {}
    for part in parts:
        for resource, amount in part.items():
            total[resource] = total.get(resource, 0) + amount
    return total


def _share(part: Amounts, whole: Amounts, resource: str) -> float | None:
    return round(part[resource] / whole[resource], 4) if whole.get(resource) and resource in part else None


CLUSTERS: Table[ClusterRow] = Table(
    fields={
        "name": lambda row: row.name,
        "id": lambda row: row.id,
        "standing": lambda row: row.standing,
        "status": lambda row: row.status,
        "provider": lambda row: row.provider,
        "region": lambda row: row.region,
        "zone": lambda row: row.zones,
        "environment": lambda row: row.environment,
        "kubernetes_version": lambda row: row.kubernetes_version,
        "nodes": lambda row: row.nodes,
        "nodes_ready": lambda row: row.nodes_ready,
        "workloads": lambda row: row.workloads,
        "cpu": lambda row: row.allocatable.get("cpu", 0),
        "cpu_requested": lambda row: _share(row.requested, row.allocatable, "cpu"),
        "cpu_used": lambda row: _share(row.used, row.allocatable, "cpu"),
        "memory": lambda row: row.allocatable.get("memory", 0),
        "memory_requested": lambda row: _share(row.requested, row.allocatable, "memory"),
        "memory_used": lambda row: _share(row.used, row.allocatable, "memory"),
        "joined_at": lambda row: row.joined_at,
    },
    identity=lambda row: row.name,
    labels=lambda row: row.labels,
)

NODES: Table[NodeView] = Table(
    fields={
        "cluster": lambda row: row.cluster,
        "name": lambda row: row.name,
        "ready": lambda row: row.ready,
        "condition": lambda row: row.conditions,
        "taint": lambda row: tuple(taint.key for taint in row.taints),
        "feature": lambda row: tuple(row.features),
        "cpu": lambda row: row.allocatable.get("cpu", 0),
        "cpu_free": lambda row: row.free.get("cpu", 0),
        "cpu_requested": lambda row: _share(row.requested, row.allocatable, "cpu"),
        "cpu_used": lambda row: _share(row.used, row.allocatable, "cpu"),
        "memory": lambda row: row.allocatable.get("memory", 0),
        "memory_free": lambda row: row.free.get("memory", 0),
        "memory_requested": lambda row: _share(row.requested, row.allocatable, "memory"),
        "memory_used": lambda row: _share(row.used, row.allocatable, "memory"),
        "gpu": lambda row: row.allocatable.get("nvidia.com/gpu", 0),
        "gpu_free": lambda row: row.free.get("nvidia.com/gpu", 0),
    },
    # The separator is below every character of a name, so that clusters follow each other whole.
    identity=lambda row: f"{row.cluster}\0{row.name}",
    labels=lambda row: {
        **row.labels,
        **{f"{FEATURE_PREFIX}{name}": value for name, value in row.features.items()},
    },
)


def labels_of(known: Known, record: ClusterRecord) -> dict[str, str]:
    """What the agent reports, under what the operator set."""
    facts = known.fleet.facts(record.id)
    return {**(facts.labels if facts is not None else {}), **record.labels}


class ClusterListing:
    """A page of clusters, one cluster a step: each is summed over its nodes, and others may run between."""

    def __init__(self, known: Known, query: Query, now: float) -> None:
        self._known, self._now = known, now
        self._terms, self._builder = CLUSTERS.filter(query), CLUSTERS.builder(query)

    def steps(self) -> Iterator[None]:
        placed = placed_counts(self._known)
        for record in list(self._known.clusters.values()):
            if record.standing is not Standing.REMOVED and record.id in self._known.clusters:
                row = cluster_row(self._known, record, self._now, placed)
                if CLUSTERS.holds(self._terms, row):
                    self._builder.add((row,))
            yield

    def page(self) -> Page[ClusterRow]:
        return self._builder.page()


def get_cluster(known: Known, name: str, now: float) -> ClusterRow | None:
    record = known.cluster_named(name)
    return None if record is None else cluster_row(known, record, now, placed_counts(known))


def placed_counts(known: Known) -> dict[str, int]:
    counts: dict[str, int] = {}
    for placements in known.placements.values():
        for cluster in placements:
            counts[cluster] = counts.get(cluster, 0) + 1
    return counts


def cluster_row(known: Known, record: ClusterRecord, now: float, placed: Mapping[str, int]) -> ClusterRow:
    facts, heard = known.fleet.facts(record.id), known.heard.get(record.id)
    totals = known.fleet.totals(record.id) if record.id in known.fleet.clusters else _NOTHING
    obstacle = known.obstacle(record.id, now)
    labels = labels_of(known, record)
    return ClusterRow(
        name=record.name,
        id=record.id,
        standing=record.standing.value,
        status=READY if obstacle is None else obstacle[0].value,
        message="" if obstacle is None else obstacle[1],
        labels=labels,
        taints=taint_rows(record.taints),
        effective_taints=_effective_taints(known, record),
        provider=facts.provider if facts else "",
        region=facts.region if facts else "",
        zones=tuple(facts.zones) if facts else (),
        environment=labels.get(ENVIRONMENT_LABEL, ""),
        kubernetes_version=facts.kubernetes_version if facts else "",
        nodes=totals.nodes,
        nodes_ready=totals.ready,
        workloads=placed.get(record.id, 0),
        unordered=len(known.unordered.get(record.id, ())),
        allocatable=totals.allocatable,
        requested=amounts_sum(totals.foreign, totals.bound),
        promised=totals.promised,
        used=totals.used,
        metrics_served=facts.metrics_served if facts else False,
        agent_version=heard.beat.agent_version if heard else "",
        spool_depth=heard.beat.spool_depth if heard else 0,
        heard_at=heard.at if heard else 0.0,
        joined_at=record.joined_at,
        resource_version=record.resource_version,
        headroom=tuple(as_data(make, left) for make, left in known.fleet.headroom(record.id)),
        asked=record.requested.value,
        rights=_rights(facts),
    )


def _rights(facts: Facts | None) -> tuple[Mapping[str, Any], ...] | None:
    if facts is None or facts.rights is None:
        return None
    return tuple(
        {"namespaces": each.namespaces, "kinds": each.kinds, "verbs": each.verbs} for each in facts.rights
    )


def _effective_taints(known: Known, record: ClusterRecord) -> tuple[EffectiveTaintRow, ...]:
    theirs = tuple(EffectiveTaintRow(each.key, each.effect, each.value) for each in record.taints)
    since = known.losses.unreachable.get(record.id)
    if since is None:
        return theirs
    ours = EffectiveTaintRow(UNREACHABLE.key, UNREACHABLE.effect, UNREACHABLE.value, since)
    return (*theirs, ours)


def taint_rows(taints: Iterable[Taint]) -> tuple[TaintRow, ...]:
    return tuple(TaintRow(taint.key, taint.effect, taint.value) for taint in taints)


class NodeListing:
    """A page of nodes, read cluster by cluster, so that the caller may let others run between two of them."""

    def __init__(self, known: Known, query: Query) -> None:
        self._known, self._terms, self._sorted = known, NODES.filter(query), bool(query.sort)
        self._builder = NODES.builder(query)

    def steps(self) -> Iterator[None]:
        for record in self._clusters():
            if record.id in self._known.fleet.clusters:
                rows = (node_view(record.name, node) for node in self._nodes(record.id))
                self._builder.add(row for row in rows if NODES.holds(self._terms, row))
            if self._builder.full and not self._sorted:
                return
            yield

    def page(self) -> Page[NodeView]:
        return self._builder.page()

    def _clusters(self) -> list[ClusterRecord]:
        named = self._terms.only("cluster")
        first = "" if self._sorted else self._builder.starts_at.partition("\0")[0]
        living = [
            record
            for record in self._known.clusters.values()
            if record.standing is not Standing.REMOVED
            and (named is None or record.name in named)
            and record.name >= first
        ]
        return sorted(living, key=lambda record: record.name)

    def _nodes(self, cluster: str) -> list[NodeRow]:
        ready = self._terms.only("ready")
        labels = {
            term.key: term.values[0]
            for term in self._terms.terms
            if term.is_label and term.operator == "in" and len(term.values) == 1
        }
        wanted = None if ready not in (("true",), ("false",)) else ready == ("true",)
        return self._known.fleet.nodes(cluster, labels=labels or None, ready=wanted)


def get_node(known: Known, cluster: str, name: str) -> NodeView | None:
    record = known.cluster_named(cluster)
    if record is None or record.id not in known.fleet.clusters:
        return None
    found = (node for node in known.fleet.nodes(record.id, name_contains=name) if node.name == name)
    node = next(found, None)
    return None if node is None else node_view(record.name, node)


def node_view(cluster: str, node: NodeRow) -> NodeView:
    features = {
        key.removeprefix(FEATURE_PREFIX): value
        for key, value in node.labels.items()
        if key.startswith(FEATURE_PREFIX)
    }
    return NodeView(
        cluster=cluster,
        name=node.name,
        ready=node.ready,
        conditions=node.conditions,
        taints=taint_rows(node.taints),
        labels={key: value for key, value in node.labels.items() if not key.startswith(FEATURE_PREFIX)},
        features=features,
        allocatable=node.allocatable,
        requested=amounts_sum(node.foreign, node.bound),
        used=node.used,
        free=node.free,
    )
