"""Budgets, and what contradicts in declared quota, in memory."""

from collections.abc import Collection, Sequence

from controlplane.known.records import BalanceRecord, Change, DocumentRecord, RequestState
from controlplane.queries.documents import part
from controlplane.quota.changing import BOUNDING, SpecCache, declared_of, problems_of_change
from controlplane.quota.paying import Paid, paid
from controlplane.quota.problems import Declared
from controlplane.quota.quota import Amounts, FlavorResource
from controlplane.store.ledger import balance_at
from controlplane.store.quota_documents import as_it_was, changed_budgets, moves, refuse
from controlplane.store.spent import budgets_of, changes_of, priced
from schemas.manifests.cohort import FlavorSpec
from tests.simulation.memory_tables import Tables


class MemorySpent:
    """What it stands on (tables, time, changes) is the store's."""

    tables: Tables

    def now(self) -> float:
        raise NotImplementedError

    def append(self, changes: Sequence[Change]) -> None:
        raise NotImplementedError

    def settle(self, tenants: Collection[str] | None = None) -> frozenset[str]:
        """Of these, None for all; who may be charged nothing more."""
        budgets = budgets_of(
            (name, part(record.spec, "quota").get("budget"))
            for (kind, name), record in self.tables.documents.items()
            if kind == "Tenant" and (tenants is None or name in tenants)
        )
        if not budgets:
            return frozenset()
        flavors = SpecCache().read("Flavor", FlavorSpec, self._bounding().get("Flavor", ()))
        return self._enter_paid(
            paid(budgets, budgets, self.tables.spent, priced(flavors), self._used(), self.now())
        )

    def _enter_paid(self, found: Paid) -> frozenset[str]:
        self.tables.spent.update({each.tenant: each for each in found.spent})
        self.append(changes_of(found.told))
        return found.exhausted

    def check_and_settle(
        self, kind: str, before: DocumentRecord | None, after: DocumentRecord | None
    ) -> None:
        """As if `after` were there already. Raises Unfit, Taken; then nothing is changed."""
        record = after or before
        if not moves(kind, before, after) or record is None:
            return
        stored = self._bounding()
        kept = [each for each in stored.get(kind, []) if each.name != record.name]
        stored[kind] = [*kept, after] if after is not None else kept
        specs = SpecCache()
        old = declared_of(as_it_was(stored, kind, after, before), specs)
        new = declared_of(stored, specs)
        grants = [each for each in self.tables.quota_requests.values() if each.state is RequestState.GRANTED]
        used = self._used()
        refuse(problems_of_change(old, new, used, grants, self.now()), kind, record.name)
        self._settle_changed(old, new, used)

    def _settle_changed(self, old: Declared, new: Declared, used: dict[str, Amounts]) -> None:
        was, becomes = changed_budgets(old, new)
        self._enter_paid(paid(was, becomes, self.tables.spent, priced(old.flavors), used, self.now()))
        for tenant in was.keys() - becomes.keys():
            self.tables.spent.pop(tenant, None)

    def _bounding(self) -> dict[str, list[DocumentRecord]]:
        found: dict[str, list[DocumentRecord]] = {kind: [] for kind in BOUNDING}
        for (kind, _), record in self.tables.documents.items():
            if kind in found:
                found[kind].append(record)
        return found

    def _used(self) -> dict[str, Amounts]:
        found: dict[str, dict[FlavorResource, int]] = {}
        for each in self._every_balance():
            amounts = found.setdefault(each.tenant, {})
            key = each.flavor, each.resource
            amounts[key] = amounts.get(key, 0) + each.amount
        return dict(found)

    def _every_balance(self) -> list[BalanceRecord]:
        return [balance_at(key, amount) for key, amount in self.tables.balances.items()]
