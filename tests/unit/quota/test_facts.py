"""What alert rules see of a tenant's quota and budget."""

from typing import Any

import pytest

from controlplane.known.known import Known
from controlplane.known.records import BalanceRecord, DocumentRecord, SpentRecord
from controlplane.known.ruling import compiled_rule
from controlplane.known.views import Views
from controlplane.queries.facts import Facts, sample
from controlplane.quota.budgets import GRAINS
from schemas.manifests.alert_rule import AlertRuleSpec

NOW = 1_790_000_000.0
BUDGET = {"amount": 100, "currency": "EUR", "period": "Year"}


def known(quota: dict[str, Any] | None, used: int = 0, spent: int = 0) -> Known:
    made = Known()
    flavor = {"prices": {"currency": "EUR", "perHour": {"cpu": 1}}}
    made.documents["Flavor"].put(DocumentRecord("cpu", flavor, 1))
    made.documents["Cohort"].put(
        DocumentRecord("all", {"flavors": [{"name": "cpu", "resources": [amount(10)]}]}, 1)
    )
    spec: dict[str, Any] = {"namespaces": ["shop-*"]} | ({"quota": quota} if quota is not None else {})
    made.documents["Tenant"].put(DocumentRecord("shop", spec, 1))
    made.quotas.refresh(made.documents, NOW)
    if used:
        made.quotas.replace_balances([BalanceRecord("shop", "w", "c", "cpu", "cpu", False, used)])
    begins = 1_767_225_600.0
    made.spending.take([SpentRecord("shop", "EUR", begins, NOW, spent * 10**6 * GRAINS)])
    return made


def amount(nominal: int) -> dict[str, Any]:
    return {"name": "cpu", "nominalQuota": nominal}


def quota(**fields: Any) -> dict[str, Any]:
    return {"flavors": [{"name": "cpu", "resources": [amount(4)]}], **fields}


FACTS = {
    "no quota": (None, 8000, 0, (0, 0, 0, 0, 0)),
    "half of it": (quota(), 2000, 0, (50, 50, 0, 0, 0)),
    "more than its own": (quota(cohort="all"), 7000, 0, (175, 50, 1, 0, 0)),
    "its budget": (quota(budget=BUDGET), 0, 79, (0, 0, 0, 0, 79)),
    "all of its budget": (quota(budget=BUDGET), 0, 100, (0, 0, 0, 0, 100)),
}


@pytest.mark.parametrize(("given", "used", "spent", "expected"), FACTS.values(), ids=FACTS.keys())
def test_figures(given: dict[str, Any] | None, used: int, spent: int, expected: tuple[int, ...]) -> None:
    made = known(given, used, spent)
    (thing,) = Facts(made, Views(made), NOW).things(AlertRuleSpec(over="tenant", expr="true"))
    names = ("quota_used_percent", "quota_possible_percent", "quota_borrowed", "quota_waiting")
    assert tuple(thing.row[name] for name in (*names, "budget_spent_percent")) == expected


@pytest.mark.parametrize(
    "expr",
    [
        "tenant.budget_spent_percent >= 80",
        "tenant.quota_used_percent > 100 && tenant.quota_waiting == 0",
        "tenant.quota_borrowed > 0 && tenant.cohort == 'all'",
    ],
)
def test_a_rule_over_them_is_taken(expr: str) -> None:
    rule = compiled_rule("quota", AlertRuleSpec(over="tenant", expr=expr))
    rule.try_on(sample("tenant"), NOW)
