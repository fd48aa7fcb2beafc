"""What alert rules look at: the rows that the API shows, with every number a whole one, as CEL wants it."""

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, cast, get_origin, get_type_hints

import msgspec

from controlplane.alerts.rules import Row, Thing
from controlplane.known.known import Known
from controlplane.known.records import ClusterRecord, Standing
from controlplane.known.views import Views
from controlplane.placement.compiled import compiled_affinity
from controlplane.placement.filters import selected
from controlplane.queries.clusters import cluster_row, placed_counts
from controlplane.queries.quota_facts import QUOTA_FIELDS, QuotaFacts
from controlplane.queries.rows import ClusterRow, PlacementRow, StreamRow, WorkloadRow
from controlplane.queries.streams import stream_row
from controlplane.queries.tenants import TENANTS, TenantRow
from controlplane.queries.workloads import placement_rows, workload_row
from schemas.manifests.alert_rule import AlertRuleSpec

FLEET_FIELDS = (
    "clusters",
    "clusters_ready",
    "nodes",
    "nodes_ready",
    "workloads",
    "workloads_running",
    "workloads_unplaced",
)
_ROWS: Mapping[str, type] = {
    "cluster": ClusterRow,
    "workload": WorkloadRow,
    "placement": PlacementRow,
    "agent": StreamRow,
    "tenant": TenantRow,
}
_NOTHING: Mapping[object, Any] = {str: "", int: 0, float: 0, bool: False}


class Facts:
    """One look at what is known. Everything is read as it is asked for, thing by thing."""

    def __init__(self, known: Known, views: Views, now: float) -> None:
        self._known, self._views, self._now = known, views, now
        self._things: Mapping[str, Callable[[AlertRuleSpec], Iterator[Thing]]] = {
            "cluster": self._clusters,
            "workload": self._workloads,
            "placement": self._placements,
            "agent": self._agents,
            "tenant": self._tenants,
            "fleet": self._fleet,
        }

    def things(self, spec: AlertRuleSpec) -> Iterator[Thing]:
        """Those in the scope of the rule."""
        return self._things[spec.over](spec)

    def _clusters(self, spec: AlertRuleSpec) -> Iterator[Thing]:
        placed = placed_counts(self._known)
        for record in self._in_scope(spec):
            row = cluster_row(self._known, record, self._now, placed)
            yield Thing({"cluster": record.name}, plain_row(row))

    def _agents(self, spec: AlertRuleSpec) -> Iterator[Thing]:
        for record in self._in_scope(spec):
            heard = self._known.heard.get(record.id)
            silent = self._now - heard.at if heard is not None else self._now - record.joined_at
            row = {**plain_row(stream_row(self._known, record)), "silent_seconds": int(silent)}
            yield Thing({"cluster": record.name}, row)

    def _workloads(self, spec: AlertRuleSpec) -> Iterator[Thing]:
        within = {record.name for record in self._in_scope(spec)} if spec.clusters is not None else None
        for record in list(self._known.workloads.values()):
            if not _meant(spec, record.tenant):
                continue
            row = workload_row(self._known, record)
            if within is None or not within.isdisjoint(row.clusters):
                yield Thing(_labels(workload=row.name, tenant=row.tenant), plain_row(row))

    def _placements(self, spec: AlertRuleSpec) -> Iterator[Thing]:
        within = {record.id for record in self._in_scope(spec)}
        for record in list(self._known.workloads.values()):
            if not _meant(spec, record.tenant):
                continue
            for row in placement_rows(self._known, record):
                if row.cluster_id in within:
                    labels = _labels(workload=row.workload, tenant=record.tenant, cluster=row.cluster)
                    yield Thing(labels, plain_row(row))

    def _tenants(self, spec: AlertRuleSpec) -> Iterator[Thing]:
        row_of, quota = TENANTS.rows(self._known), QuotaFacts(self._known, self._now)
        for record in list(self._known.tenants.values()):
            if _meant(spec, record.name):
                row = {**plain_row(row_of(record)), **quota.of(record)}
                yield Thing({"tenant": record.name}, row)

    def _fleet(self, _: AlertRuleSpec) -> Iterator[Thing]:
        placed = placed_counts(self._known)
        clusters = [cluster_row(self._known, each, self._now, placed) for each in self._joined()]
        workloads = [workload_row(self._known, each) for each in list(self._known.workloads.values())]
        counts = (
            len(clusters),
            sum(row.status == "Ready" for row in clusters),
            sum(row.nodes for row in clusters),
            sum(row.nodes_ready for row in clusters),
            len(workloads),
            sum(row.state == "Running" for row in workloads),
            sum(row.state == "Unplaced" for row in workloads),
        )
        yield Thing({}, dict(zip(FLEET_FIELDS, counts, strict=True)))

    def _joined(self) -> Iterator[ClusterRecord]:
        for record in list(self._known.clusters.values()):
            if record.standing is not Standing.REMOVED:
                yield record

    def _in_scope(self, spec: AlertRuleSpec) -> Iterator[ClusterRecord]:
        if spec.clusters is None:
            yield from self._joined()
            return
        affinity = compiled_affinity(spec.clusters)
        for record in self._joined():
            if selected(affinity, self._views.one(record, self._now)):
                yield record


def plain_row(row: object) -> Row:
    """Fields by name, with times and shares cut to whole numbers: CEL compares like with like only."""
    return _whole(msgspec.to_builtins(row))


def sample(over: str) -> Row:
    """A thing of that kind with all its fields and nothing in them, to try an expression on."""
    if over == "fleet":
        return dict.fromkeys(FLEET_FIELDS, 0)
    row: dict[str, Any] = {
        name: _NOTHING[hint] if hint in _NOTHING else [] if get_origin(hint) is tuple else {}
        for name, hint in get_type_hints(_ROWS[over]).items()
    }
    more = {"agent": ("silent_seconds",), "tenant": QUOTA_FIELDS}.get(over, ())
    return {**row, **dict.fromkeys(more, 0)}


def _whole(value: Any) -> Any:
    if isinstance(value, float):
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_whole(each) for each in cast(list[Any], value)]
    return value


def _meant(spec: AlertRuleSpec, tenant: str) -> bool:
    return not spec.tenants or any(fnmatchcase(tenant, pattern) for pattern in spec.tenants)


def _labels(**labels: str) -> dict[str, str]:
    return {name: value for name, value in labels.items() if value}
