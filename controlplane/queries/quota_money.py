"""Budgets as people look at them: what is spent of the running period, and how fast it goes on."""

from collections.abc import Mapping
from decimal import Decimal

from controlplane.known.records import SpentRecord
from controlplane.queries.quota_rows import BudgetRow
from controlplane.quota.budgets import (
    GRAINS,
    hourly,
    is_exhausted,
    is_warned,
    period_of,
    rate,
    spent_millionths,
)
from controlplane.quota.declared import MILLIONTHS, millionths
from controlplane.quota.quota import Amounts, Flavor
from schemas.manifests.quota import Budget

WITHIN, WARNED, EXHAUSTED = "Within", "Warned", "Exhausted"
_MICROSECONDS = 10**6


def budget_row(
    budget: Budget, spent: SpentRecord, flavors: Mapping[str, Flavor], used: Amounts, now: float
) -> BudgetRow:
    """spent: by now. used: all that is charged, as it goes on."""
    speed = rate(flavors, used, budget.currency)
    period, whole = period_of(budget, now), millionths(budget.amount) * GRAINS
    left = whole - spent.amount
    ends = now + left / speed / _MICROSECONDS if speed and left > 0 else 0.0
    exhausted, warned = is_exhausted(budget, spent), is_warned(budget, spent)
    return BudgetRow(
        amount=_text(millionths(budget.amount)),
        spent=_text(spent_millionths(spent)),
        currency=budget.currency,
        period=budget.period,
        since=period.since,
        until=period.until,
        share=spent.amount / whole if whole else 1.0,
        warn_at=budget.warn_at,
        state=EXHAUSTED if exhausted else WARNED if warned else WITHIN,
        per_hour=_text(hourly(speed)),
        exhausted_at=ends if ends < period.until else 0.0,
    )


def _text(amount: int) -> str:
    """Of millionths: exact, without what is 0 behind the point."""
    return f"{(Decimal(amount) / MILLIONTHS).normalize():f}"
