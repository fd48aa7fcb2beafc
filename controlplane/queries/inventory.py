"""What the fleet has below its clusters' sums: runtime classes, networks, GPUs, features. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from controlplane.fleet import Fleet
from controlplane.known.known import Known
from controlplane.known.records import ClusterRecord, Standing
from controlplane.queries.inventory_hardware import Networks, Runtimes
from controlplane.queries.inventory_nodes import Features, Gpus
from controlplane.queries.inventory_rows import (
    MOST_NAMED,
    FeatureRow,
    GpuRow,
    NetworkRow,
    RuntimeRow,
)
from controlplane.queries.paging import Order, Page, Query, parse_sort
from controlplane.queries.tables import Table

Row = TypeVar("Row", RuntimeRow, NetworkRow, GpuRow, FeatureRow)
RowOut = TypeVar("RowOut", RuntimeRow, NetworkRow, GpuRow, FeatureRow, covariant=True)


@dataclass(frozen=True)
class InventoryTable(Table[Row]):
    """lists: fields of any number of names: only to filter by, since a cursor could not hold all of them."""

    lists: tuple[str, ...] = ("cluster", "lacking")

    def order(self, query: Query) -> Order[Row]:
        parse_sort(query.sort, [name for name in self.fields if name not in self.lists])
        return super().order(query)


def _clusters(row: RuntimeRow | NetworkRow | GpuRow | FeatureRow) -> tuple[str, ...]:
    return tuple(part.cluster for part in row.where)


RUNTIMES: InventoryTable[RuntimeRow] = InventoryTable(
    fields={
        "name": lambda row: row.name,
        "handler": lambda row: row.handler,
        "sandboxed": lambda row: row.sandboxed,
        "conflict": lambda row: row.conflict,
        "nodes": lambda row: row.nodes,
        "clusters": lambda row: row.clusters,
        "clusters_lacking": lambda row: row.clusters_lacking,
        "cluster": _clusters,
        "lacking": lambda row: row.lacking,
    },
    identity=lambda row: f"{row.name}\0{row.handler}",
)
NETWORKS: InventoryTable[NetworkRow] = InventoryTable(
    fields={
        "kind": lambda row: row.kind,
        "name": lambda row: row.name,
        "type": lambda row: row.types,
        "resource": lambda row: row.resources,
        "addresses": lambda row: row.addresses,
        "addresses_free": lambda row: row.addresses_free,
        "interfaces": lambda row: row.interfaces,
        "interfaces_free": lambda row: row.interfaces_free,
        "clusters": lambda row: row.clusters,
        "clusters_lacking": lambda row: row.clusters_lacking,
        "clusters_exhausted": lambda row: row.clusters_exhausted,
        "cluster": _clusters,
        "lacking": lambda row: row.lacking,
        "exhausted": lambda row: row.exhausted,
    },
    identity=lambda row: f"{row.kind}\0{row.name}",
    lists=("cluster", "lacking", "exhausted", "type", "resource"),
)
GPUS: InventoryTable[GpuRow] = InventoryTable(
    fields={
        "resource": lambda row: row.resource,
        "product": lambda row: row.product,
        "memory": lambda row: row.memory,
        "mig": lambda row: row.mig,
        "sharing": lambda row: row.sharing,
        "device_class": lambda row: row.device_class,
        "count": lambda row: row.count,
        "free": lambda row: row.free,
        "nodes": lambda row: row.nodes,
        "clusters": lambda row: row.clusters,
        "clusters_lacking": lambda row: row.clusters_lacking,
        "cluster": _clusters,
        "lacking": lambda row: row.lacking,
    },
    identity=lambda row: "\0".join(
        (row.product, row.resource, str(row.memory), row.mig, row.sharing, str(row.replicas))
    ),
)
FEATURES: InventoryTable[FeatureRow] = InventoryTable(
    fields={
        "name": lambda row: row.name,
        "domain": lambda row: row.domain,
        "value": lambda row: tuple(row.values),
        "distinct": lambda row: row.distinct,
        "nodes": lambda row: row.nodes,
        "clusters": lambda row: row.clusters,
        "clusters_lacking": lambda row: row.clusters_lacking,
        "cluster": _clusters,
        "lacking": lambda row: row.lacking,
    },
    identity=lambda row: row.name,
    lists=("cluster", "lacking", "value"),
)


class Gathering(Protocol[RowOut]):
    """Takes cluster by cluster, then has the rows."""

    def take(self, fleet: Fleet, cluster: str, name: str) -> None: ...

    def rows(self) -> Iterable[RowOut]: ...


class InventoryListing(Generic[Row]):
    """A page of one inventory, read cluster by cluster, so that the caller may let others run between two."""

    def __init__(
        self,
        known: Known,
        table: InventoryTable[Row],
        gathering: Gathering[Row],
        query: Query,
        cluster: str = "",
    ) -> None:
        self._known, self._query, self._cluster = known, query, cluster
        self._table, self._gathering = table, gathering
        # What is wrong with the query is said before anything is read.
        table.filter(query)
        table.builder(query)

    def steps(self) -> Iterator[None]:
        for record in self._clusters():
            if record.id in self._known.fleet.clusters:
                self._gathering.take(self._known.fleet, record.id, record.name)
            yield

    def page(self) -> Page[Row]:
        page = self._table.page(self._gathering.rows(), self._query)
        return Page(tuple(_shortened(row) for row in page.items), page.next)

    def _clusters(self) -> list[ClusterRecord]:
        return [
            record
            for record in self._known.clusters.values()
            if record.standing is not Standing.REMOVED and self._cluster in ("", record.name)
        ]


def runtimes(known: Known, query: Query, cluster: str = "") -> InventoryListing[RuntimeRow]:
    return InventoryListing(known, RUNTIMES, Runtimes(), query, cluster)


def networks(known: Known, query: Query, cluster: str = "") -> InventoryListing[NetworkRow]:
    return InventoryListing(known, NETWORKS, Networks(), query, cluster)


def gpus(known: Known, query: Query, cluster: str = "") -> InventoryListing[GpuRow]:
    return InventoryListing(known, GPUS, Gpus(), query, cluster)


def features(known: Known, query: Query, cluster: str = "") -> InventoryListing[FeatureRow]:
    names = FEATURES.filter(query).only("name")
    return InventoryListing(known, FEATURES, Features(names), query, cluster)


def _shortened(row: Row) -> Row:
    short = replace(row, where=row.where[:MOST_NAMED], lacking=row.lacking[:MOST_NAMED])
    if isinstance(short, NetworkRow):
        return replace(short, exhausted=short.exhausted[:MOST_NAMED])
    return short
