"""What tenants have spent of their budgets, as it was settled last and as it goes on from there."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import ValidationError

from controlplane.known.quotas import Quotas
from controlplane.known.records import DocumentRecord, SpentRecord
from controlplane.quota.budgets import is_exhausted, period_of, rate, spent_percent, spent_until
from schemas.manifests.quota import Budget


class Spending:
    """exhausted: by tenant, what is told of it. By the last look: the store knows to the moment."""

    def __init__(self) -> None:
        self.exhausted: Mapping[str, str] = {}
        self._spent: dict[str, SpentRecord] = {}
        self._budgets: dict[str, tuple[Mapping[str, Any], Budget | None]] = {}

    def take(self, records: Iterable[SpentRecord]) -> None:
        """Instead of all that was known."""
        self._spent = {each.tenant: each for each in records}

    def settled(self, tenant: str) -> SpentRecord | None:
        """As it was settled last."""
        return self._spent.get(tenant)

    def budget(self, tenant: DocumentRecord) -> Budget | None:
        """None for a tenant without one, and for one that is not understood: as in the store."""
        quota: Any = tenant.spec.get("quota")
        given: Any = cast(Mapping[str, Any], quota).get("budget") if quota else None
        if not given:
            self._budgets.pop(tenant.name, None)
            return None
        written = cast(Mapping[str, Any], given)
        held = self._budgets.get(tenant.name)
        if held is None or held[0] is not written:
            held = self._budgets[tenant.name] = written, _understood(written)
        return held[1]

    def now(self, tenant: DocumentRecord, quotas: Quotas, now: float) -> tuple[Budget, SpentRecord] | None:
        """Brought up to `now` by what is charged; None for a tenant without a budget."""
        budget = self.budget(tenant)
        if budget is None:
            return None
        speed = rate(quotas.flavors, quotas.usage.of(tenant.name), budget.currency)
        return budget, spent_until(tenant.name, budget, self.settled(tenant.name), speed, now)

    def percent(self, tenant: DocumentRecord, quotas: Quotas, now: float) -> int:
        """Of its budget; 0 for a tenant without one."""
        found = self.now(tenant, quotas, now)
        return spent_percent(*found) if found is not None else 0

    def look(self, tenants: Mapping[str, DocumentRecord], quotas: Quotas, now: float) -> list[str]:
        """See who has nothing left; the tenants that have again what they had not."""
        exhausted: dict[str, str] = {}
        for name, record in list(tenants.items()):
            found = self.now(record, quotas, now)
            if found is not None and is_exhausted(*found):
                budget = found[0]
                until = int(period_of(budget, now).until)
                exhausted[name] = (
                    f"tenant {name} has spent its budget of {budget.amount} {budget.currency} for this"
                    f" {budget.period.lower()}: the next one begins in {_hours(until - now)}"
                )
        back = [name for name in self.exhausted if name not in exhausted]
        self.exhausted = exhausted
        return back


def _understood(written: Mapping[str, Any]) -> Budget | None:
    try:
        return Budget.model_validate(written)
    except ValidationError:
        return None


def _hours(seconds: float) -> str:
    hours = max(1, round(seconds / 3600))
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
