"""The tree of quota: whose it is, who uses it, borrows and lends it, and what waits for it."""

from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord
from controlplane.queries.paging import Page, Query
from controlplane.queries.quota_money import budget_row
from controlplane.queries.quota_rows import BudgetRow, QuotaLine, QuotaRow
from controlplane.queries.quota_tallies import Tallies
from controlplane.queries.tables import Table
from controlplane.quota.overview import Figures, Overview
from controlplane.quota.quota import UNFLAVORED, FlavorResource
from controlplane.quota.tree import Kind, Node
from controlplane.quota.windows import opened
from schemas.manifests import CohortSpec, TenantSpec
from schemas.manifests.quota import FlavorQuota

_ROWS_AT_ONCE = 50
_MOST_RESTARTS = 3

QUOTA: Table[QuotaRow] = Table(
    fields={
        "kind": lambda row: row.kind,
        "name": lambda row: row.name,
        "parent": lambda row: row.parent,
        "root": lambda row: row.root,
        "below": lambda row: row.path[:-1],
        "depth": lambda row: row.depth,
        "bounded": lambda row: row.bounded,
        "waiting": lambda row: row.waiting,
        "share": lambda row: float("inf") if isinstance(row.share, str) else row.share,
        "flavor": lambda row: tuple({each.flavor for each in row.quotas}),
        "resource": lambda row: tuple({each.resource for each in row.quotas}),
        "borrows": lambda row: any(each.borrowed for each in row.quotas),
        "lends": lambda row: any(each.lent for each in row.quotas),
        "drifts": lambda row: any(each.drift for each in row.quotas),
    },
    identity=lambda row: "\0".join(_place(row)),
)


def _place(row: QuotaRow) -> Iterator[str]:
    """Sorted by these, rows are in the order of the tree: cohorts before tenants, above what they hold."""
    for name in row.path[:-1]:
        yield f"1{name}"
    yield f"{1 if row.kind == Kind.COHORT.value else 2}{row.name}"


class QuotaListing:
    """Rows of the whole tree, worked out in steps, between which others may run; then a page of them."""

    def __init__(self, known: Known, query: Query, now: float) -> None:
        self._known, self._now = known, now
        self._builder, self._query = QUOTA.builder(query), query
        self._terms = QUOTA.filter(query)
        self._rows: list[QuotaRow] = []

    def steps(self) -> Iterator[None]:
        for attempt in range(_MOST_RESTARTS + 1):
            self._known.quotas.refresh(self._known.documents, self._now)
            refreshed, whole = self._known.quotas.refreshed, True
            looking = Looking(self._known, self._now)
            yield from looking.steps()
            self._rows = []
            for index, row in enumerate(looking.rows()):
                self._rows.append(row)
                if attempt < _MOST_RESTARTS and index % _ROWS_AT_ONCE == _ROWS_AT_ONCE - 1:
                    yield
                    whole = self._known.quotas.refreshed == refreshed
                if not whole:
                    break
            if whole:
                return

    def page(self) -> Page[QuotaRow]:
        self._builder.add(row for row in self._rows if QUOTA.holds(self._terms, row))
        return self._builder.page()


class Looking:
    """What rows of the moment are made of. Of the tree as it is when this is made: see `Quotas.refreshed`."""

    def __init__(self, known: Known, now: float) -> None:
        self.known, self.now = known, now
        self.overview = Overview(known.quotas.usage)
        self._tallies = Tallies(known, now)

    def steps(self) -> Iterator[None]:
        """Before anything is asked of it."""
        yield from self._tallies.steps()
        yield from self.overview.steps()

    def rows(self) -> Iterator[QuotaRow]:
        """In the order of the tree; then tenants that are not bounded, of which something is used."""
        for node in self.overview.nodes():
            yield self.row(node)
        usage, tree = self.known.quotas.usage, self.known.quotas.tree
        for name in sorted(self.known.tenants):
            if tree.tenant(name) is None and usage.of(name):
                yield self.unbounded(name)

    def row(self, node: Node) -> QuotaRow:
        share, path = self.known.quotas.usage.share_at(node), _path(node)
        lines = [self._line(node, key, each) for key, each in self.overview.figures(node).items()]
        if node.kind is Kind.TENANT:
            lines += self._loose(node.name)
        return QuotaRow(
            kind=node.kind.value,
            name=node.name,
            parent=node.parent.name if node.parent else "",
            root=path[0] if node.root.kind is Kind.COHORT else "",
            path=path,
            depth=node.depth,
            declared=self._record(node) is not None,
            bounded=True,
            weight=node.weight / 1000,
            share="infinite" if share.infinite else share.value,
            share_resource=share.resource,
            waiting=self._tallies.waiting(node.kind, node.name),
            quotas=tuple(lines),
            budget=self._budget(node.name) if node.kind is Kind.TENANT else None,
        )

    def unbounded(self, tenant: str) -> QuotaRow:
        return QuotaRow(
            kind=Kind.TENANT.value,
            name=tenant,
            parent="",
            root="",
            path=(tenant,),
            depth=0,
            declared=True,
            bounded=False,
            weight=1.0,
            share=0,
            share_resource="",
            waiting=self._tallies.waiting(Kind.TENANT, tenant),
            quotas=tuple(self._loose(tenant)),
        )

    def _loose(self, tenant: str) -> Iterator[QuotaLine]:
        """What is counted and not bounded."""
        bounded = self.known.quotas.tree.tenant(tenant) is not None
        for key, used in sorted(self.known.quotas.usage.of(tenant).items()):
            if bounded and key[0] != UNFLAVORED:
                continue
            yield QuotaLine(
                *key,
                nominal=0,
                granted=0,
                total=0,
                borrowing_limit=None,
                lending_limit=None,
                used=used,
                drift=self._tallies.drift(Kind.TENANT, tenant, key),
                leaving=self._tallies.leaving(Kind.TENANT, tenant, key),
                borrowed=0,
                lent=0,
                available=None,
                potential=None,
            )

    def _line(self, node: Node, key: FlavorResource, figures: Figures) -> QuotaLine:
        tallies, who = self._tallies, (node.kind, node.name)
        return QuotaLine(
            *key,
            nominal=figures.limits.nominal,
            granted=tallies.granted(*who, key),
            total=figures.total,
            borrowing_limit=figures.limits.borrowing,
            lending_limit=figures.limits.lending,
            used=figures.used,
            drift=tallies.drift(*who, key),
            leaving=tallies.leaving(*who, key),
            borrowed=figures.borrowed,
            lent=figures.lent,
            available=figures.available,
            potential=figures.potential,
            window=self._window(node, key),
        )

    def _budget(self, tenant: str) -> BudgetRow | None:
        record, quotas = self.known.tenants.get(tenant), self.known.quotas
        found = self.known.spending.now(record, quotas, self.now) if record is not None else None
        return budget_row(*found, quotas.flavors, quotas.usage.of(tenant), self.now) if found else None

    def _record(self, node: Node) -> DocumentRecord | None:
        return self.known.documents[node.kind.value].records.get(node.name)

    def _window(self, node: Node, key: FlavorResource) -> str:
        """The one that is open."""
        record = self._record(node)
        for flavor in declared_flavors(record) if record is not None else ():
            for each in flavor.resources:
                if (flavor.name, each.name) == key and each.windows:
                    found = opened(each.windows, self.now)
                    return found.name if found is not None else ""
        return ""


def declared_flavors(record: DocumentRecord) -> list[FlavorQuota]:
    """With windows, where it has any: what has none is not read."""
    spec: Mapping[str, Any] = record.spec.get("quota") or record.spec
    written = spec.get("flavors") or ()
    if not any(resource.get("windows") for flavor in written for resource in flavor["resources"]):
        return []
    if "quota" in record.spec:
        quota = TenantSpec.model_validate(record.spec).quota
        return list(quota.flavors) if quota is not None else []
    return list(CohortSpec.model_validate(record.spec).flavors)


def _path(node: Node) -> tuple[str, ...]:
    names: list[str] = []
    at: Node | None = node
    while at is not None:
        names.append(at.name)
        at = at.parent
    return tuple(reversed(names))
