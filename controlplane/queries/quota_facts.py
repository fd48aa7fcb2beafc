"""What alert rules over tenants see of quota and budget: whole numbers, of all that each tenant has."""

from collections import Counter
from collections.abc import Mapping

from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord
from controlplane.queries.quota_tallies import waits_for_quota

QUOTA_FIELDS = (
    "quota_used_percent",
    "quota_possible_percent",
    "quota_borrowed",
    "quota_waiting",
    "budget_spent_percent",
)
"""Of the flavor and resource of which most is used: of what is nominally the tenant's own, and of all that it
could have with what it may borrow. Then how much of its quota it borrows of, and how many workloads wait."""


class QuotaFacts:
    """Of one look. Of a tenant without a quota, or a budget, they are 0."""

    def __init__(self, known: Known, now: float) -> None:
        self._known, self._now = known, now
        self._waiting = Counter(
            record.tenant for uid, record in list(known.workloads.items()) if waits_for_quota(known, uid)
        )

    def of(self, tenant: DocumentRecord) -> Mapping[str, int]:
        quotas = self._known.quotas
        quota, used = quotas.tenants.get(tenant.name), quotas.usage.of(tenant.name)
        owned, possible, borrowed = 0, 0, 0
        for key, limits in quota.limits.items() if quota is not None else ():
            amount = used.get(key, 0)
            owned = max(owned, _percent(amount, limits.nominal))
            possible = max(possible, _percent(amount, quotas.usage.potential(tenant.name, key)))
            borrowed += amount > limits.nominal
        spent = self._known.spending.percent(tenant, quotas, self._now)
        figures = (owned, possible, borrowed, self._waiting[tenant.name], spent)
        return dict(zip(QUOTA_FIELDS, figures, strict=True))


def _percent(amount: int, whole: int) -> int:
    """Of what is used where nothing is there, all."""
    return amount * 100 // whole if whole > 0 else 100 if amount else 0
