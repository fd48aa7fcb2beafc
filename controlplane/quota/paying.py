"""Budgets brought up to a moment, all at once: what is spent, who has no more, what people are to be told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.known.records import SpentRecord
from controlplane.quota import budgets
from controlplane.quota.quota import Amounts, Flavor
from schemas.manifests.quota import Budget

WARNED, EXHAUSTED = "BudgetWarned", "BudgetExhausted"


@dataclass(frozen=True)
class Told:
    """what: WARNED or EXHAUSTED, the first time in its period."""

    tenant: str
    what: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Paid:
    """spent: of every tenant with a budget. exhausted: who may be charged nothing more."""

    spent: tuple[SpentRecord, ...] = ()
    exhausted: frozenset[str] = frozenset()
    told: tuple[Told, ...] = ()


def paid(
    before: Mapping[str, Budget],
    after: Mapping[str, Budget],
    held: Mapping[str, SpentRecord],
    flavors: Mapping[str, Flavor],
    charged: Mapping[str, Amounts],
    now: float,
) -> Paid:
    """By tenant: budgets in force until now, and from now on; what was settled last, and charged since.

    flavors: with the prices that were in force until now.
    """
    spent: list[SpentRecord] = []
    told: list[Told] = []
    for tenant, budget in sorted(after.items()):
        was, old = held.get(tenant), before.get(tenant)
        current = was
        if old is not None:
            at_rate = budgets.rate(flavors, charged.get(tenant, {}), old.currency)
            current = budgets.spent_until(tenant, old, was, at_rate, now)
        current = budgets.spent_until(tenant, budget, current, 0, now)
        spent.append(current)
        told += _told(old, was, budget, current)
    exhausted = frozenset(each.tenant for each in spent if budgets.is_exhausted(after[each.tenant], each))
    return Paid(tuple(spent), exhausted, tuple(told))


def _told(old: Budget | None, was: SpentRecord | None, budget: Budget, current: SpentRecord) -> list[Told]:
    same = was is not None and (was.since, was.currency) == (current.since, current.currency)
    found: list[Told] = []
    for what, holds in ((WARNED, budgets.is_warned), (EXHAUSTED, budgets.is_exhausted)):
        before = same and old is not None and was is not None and holds(old, was)
        if holds(budget, current) and not before:
            detail = {
                "percent": budgets.spent_percent(budget, current),
                "budget": str(budget.amount),
                "currency": budget.currency,
                "until": budgets.period_of(budget, current.until).until,
            }
            found.append(Told(current.tenant, what, detail))
    return found
