"""Who was granted what at this moment, and what is charged of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from math import inf
from typing import Any, TypeVar

from controlplane.known.charges import Charges
from controlplane.known.documents import Shelf
from controlplane.known.records import BalanceRecord, DocumentRecord, LedgerLine, QuotaRequestRecord
from controlplane.quota.declared import (
    cohort_quota,
    flavor_of,
    grant_amounts,
    granted,
    next_change,
    tenant_quota,
)
from controlplane.quota.quota import Candidate, CohortQuota, Flavor, TenantQuota
from controlplane.quota.tree import CohortCycle, Tree
from controlplane.quota.usage import Usage
from schemas.manifests import CohortSpec, FlavorSpec, TenantSpec

_Made = TypeVar("_Made")


class Quotas:
    """version: of what bounds anybody's quota, as it is in memory. tree: with the windows that are open.

    usage: of charges and drift. refreshed: grows with every new tree. claims: by uid, who
    waits for what is on its way out: nobody behind them may take it. faults: by kind and name, what is wrong
    with what another release has stored, or somebody by hand: it must not stop all decisions.
    """

    def __init__(self) -> None:
        self.version = 0
        self.refreshed = 0
        self.grants: tuple[QuotaRequestRecord, ...] = ()
        self.tree = Tree.of((), ())
        self.usage = Usage(self.tree)
        self.charges = Charges()
        self.flavors: Mapping[str, Flavor] = {}
        self.claims: dict[str, Candidate] = {}
        self.faults: dict[tuple[str, str], str] = {}
        self._specs: dict[tuple[str, str], tuple[DocumentRecord, Any]] = {}
        self._held: dict[tuple[str, str], tuple[Any, float, float | None, Any]] = {}
        self._made_of: tuple[object, ...] = ()
        self._changes_at: float | None = None
        self._made_at = 0.0
        self._workloads: dict[str, set[str]] = {}

    def take(self, version: int, grants: Iterable[QuotaRequestRecord]) -> None:
        """As they are stored: of a version that was read before the documents."""
        self.version, self.grants = version, tuple(grants)

    def replace_balances(self, balances: Iterable[BalanceRecord]) -> None:
        """Instead of all that was charged."""
        self.charges = Charges(balances)
        self.claims.clear()
        self._workloads.clear()
        self.usage = Usage(self.tree)
        for each in self.charges.balances():
            self.usage.add(each.tenant, {(each.flavor, each.resource): each.amount})
            if not each.drift:
                self._workloads.setdefault(each.tenant, set()).add(each.workload)

    def enter(self, lines: Iterable[LedgerLine]) -> None:
        """What was charged, released or seen to drift."""
        lines = tuple(lines)
        self.charges.take(lines)
        for line in lines:
            key = line.flavor, line.resource
            if line.amount > 0:
                self.usage.add(line.tenant, {key: line.amount})
            else:
                self.usage.take(line.tenant, {key: -line.amount})
        for tenant, uid in {(line.tenant, line.workload) for line in lines if line.workload}:
            held = self._workloads.setdefault(tenant, set())
            is_charged = any(self.charges.of(uid, each, tenant) for each in self.charges.clusters_of(uid))
            (held.add if is_charged else held.discard)(uid)

    def workloads_of(self, tenant: str) -> Iterable[str]:
        """uids of what is charged to a tenant."""
        return self._workloads.get(tenant, ())

    @property
    def tenants(self) -> Mapping[str, TenantQuota]:
        return self.tree.tenants

    def is_stale(self, documents: Mapping[str, Shelf], now: float) -> bool:
        """Whether what bounds somebody changed since it was refreshed."""
        # A clock that was set back shows windows and grants of a time that is yet to come.
        due = now < self._made_at or (self._changes_at is not None and now >= self._changes_at)
        return due or self._bounds(documents) != self._made_of

    def refresh(self, documents: Mapping[str, Shelf], now: float) -> bool:
        """Whether what bounds somebody changed since the last call."""
        if not self.is_stale(documents, now):
            return False
        made_of = self._bounds(documents)
        tenants = dict(self._tenants(documents["Tenant"]))
        cohorts = dict(self._read(documents["Cohort"], "Cohort", CohortSpec))
        flavors = self._read(documents["Flavor"], "Flavor", FlavorSpec)
        classes = {
            name: made
            for name, spec in flavors
            if (made := self._understood("Flavor", name, lambda name=name, spec=spec: flavor_of(name, spec)))
        }
        if classes != self.flavors:
            self.flavors = classes
        moments = [each.until for each in self.grants if each.until > now]
        at: dict[str, dict[str, Any]] = {"Tenant": {}, "Cohort": {}}
        for kind, specs in (("Tenant", tenants), ("Cohort", cohorts)):
            for name, spec in specs.items():
                made, until = self._at(kind, name, spec, now)
                if made is not None:
                    at[kind][name] = made
                if until is not None:
                    moments.append(until)
        self._changes_at = min(moments, default=None)
        self._made_at = now
        quotas, above = granted(
            at["Tenant"],
            at["Cohort"],
            [
                each
                for each in self.grants
                if self._understood("QuotaRequest", each.id, lambda e=each: grant_amounts(e))
            ],
            now,
        )
        self.tree = self._tree(quotas, above)
        self.usage.retree(self.tree)
        self._made_of = made_of
        self.refreshed += 1
        return True

    def _bounds(self, documents: Mapping[str, Shelf]) -> tuple[object, ...]:
        return *(documents[kind].version for kind in ("Tenant", "Cohort", "Flavor")), self.grants

    def _tenants(self, shelf: Shelf) -> Iterator[tuple[str, Any]]:
        """With a quota; None for one that is not understood."""
        understood = dict(self._read(shelf, "Tenant", TenantSpec))
        for name, record in shelf.records.items():
            spec = understood.get(name)
            if record.spec.get("quota") if spec is None else spec.quota is not None:
                yield name, spec

    def _at(self, kind: str, name: str, spec: Any, now: float) -> tuple[Any, float | None]:
        """What it comes to now, and until when: worked out anew when it is written or a window turns."""
        held = self._held.get((kind, name))
        if held is None or held[0] is not spec or not held[1] <= now < (held[2] or inf):
            bounds = spec.quota if kind == "Tenant" and spec is not None else spec
            until = next_change([bounds], now) if bounds is not None else None
            made = self._quota_at(kind, name, bounds, now)
            held = self._held[kind, name] = spec, now, until, made
        return held[3], held[2]

    def _read(self, shelf: Shelf, kind: str, model: Any) -> Iterator[tuple[str, Any]]:
        """Each version of a document is read once. Without what is not understood."""
        for name, record in shelf.records.items():
            held = self._specs.get((kind, name))
            if held is None or held[0] is not record:
                spec = self._understood(kind, name, lambda record=record: model.model_validate(record.spec))
                held = self._specs[kind, name] = record, spec
            if held[1] is not None:
                yield name, held[1]

    def _understood(self, kind: str, name: object, make: Callable[[], _Made]) -> _Made | None:
        try:
            made = make()
        except ValueError as error:
            self.faults[kind, str(name)] = str(error)
            return None
        self.faults.pop((kind, str(name)), None)
        return made

    def _quota_at(self, kind: str, name: str, spec: Any, now: float) -> TenantQuota | CohortQuota | None:
        """A tenant that is not understood has nothing, so that it is not unbounded."""
        if kind == "Cohort":
            return self._understood(kind, name, lambda: cohort_quota(name, spec, now))
        if spec is None:
            return TenantQuota(name)
        return self._understood(kind, name, lambda: tenant_quota(name, spec, now)) or TenantQuota(name)

    def _tree(self, tenants: Mapping[str, TenantQuota], cohorts: Mapping[str, CohortQuota]) -> Tree:
        """Where cohorts go round, those lend each other nothing."""
        cohorts = dict(cohorts)
        while True:
            try:
                return Tree.of(tenants.values(), cohorts.values())
            except CohortCycle as error:
                self.faults["Cohort", error.names[0]] = str(error)
                for name in error.names:
                    cohorts[name] = replace(cohorts[name], parent="")
