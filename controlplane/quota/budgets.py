"""Money: what tenants spend in a period, from what is charged to them and the prices of flavors. Exact.

Spending is counted in grains, of which `GRAINS` make one millionth of the currency: a price for an hour of a
core or a GiB, times millicores or bytes, times microseconds, is a whole number of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from controlplane.known.records import SpentRecord
from controlplane.quota.declared import millionths
from controlplane.quota.quota import Amounts, Flavor
from controlplane.quota.windows import instant, local_day
from schemas.manifests.quota import Budget

_MICROSECONDS = 10**6
_PER_CORE = 1000
_PER_GIB = 2**30
_PER_HOUR = 3600 * _MICROSECONDS
GRAINS = _PER_CORE * _PER_GIB * _PER_HOUR
_IN_BYTES = ("memory", "ephemeral-storage", "storage", "requests.storage")


def is_in_bytes(resource: str) -> bool:
    return resource in _IN_BYTES or resource.startswith("hugepages-")


@dataclass(frozen=True)
class Period:
    """since: part of it; until: not. Unix seconds."""

    since: float
    until: float


def period_of(budget: Budget, at: float) -> Period:
    """The one in which `at` lies, by the calendar of the budget's time zone; weeks begin on Monday."""
    day = date.fromordinal(local_day(budget.timezone, at))
    match budget.period:
        case "Day":
            first, after = day, day + timedelta(days=1)
        case "Week":
            first = day - timedelta(days=day.weekday())
            after = first + timedelta(days=7)
        case "Month":
            first, after = _months(day, 1)
        case "Quarter":
            first, after = _months(day, 3)
        case "Year":
            first, after = _months(day, 12)
    return Period(instant(budget.timezone, first.toordinal()), instant(budget.timezone, after.toordinal()))


def _months(day: date, count: int) -> tuple[date, date]:
    first = day.replace(month=(day.month - 1) // count * count + 1, day=1)
    month = first.month + count
    return first, date(first.year + (month - 1) // 12, (month - 1) % 12 + 1, 1)


def rate(flavors: Mapping[str, Flavor], amounts: Amounts, currency: str) -> int:
    """Grains per microsecond. What has no price in that currency costs nothing."""
    total = 0
    for (name, resource), amount in amounts.items():
        flavor = flavors.get(name)
        if flavor is not None and flavor.currency == currency:
            total += flavor.prices.get(resource, 0) * amount * _scale(resource)
    return total


def _scale(resource: str) -> int:
    if resource == "cpu":
        return _PER_GIB
    return _PER_CORE if is_in_bytes(resource) else _PER_CORE * _PER_GIB


def hourly(grains_per_microsecond: int) -> int:
    """Of a rate, millionths of the currency in an hour, rounded up."""
    return -(-grains_per_microsecond * _PER_HOUR // GRAINS)


def spent_millionths(spent: SpentRecord) -> int:
    """Of the currency, rounded down."""
    return spent.amount // GRAINS


def spent_until(
    tenant: str, budget: Budget, spent: SpentRecord | None, grains_per_microsecond: int, at: float
) -> SpentRecord:
    """Brought up to `at`, at the rate that was in force since it was last; a new period begins at 0.

    Counting begins now where there is none, or none of this currency and kind of period: what was before is
    not known in them.
    """
    now = period_of(budget, at)
    fresh = SpentRecord(tenant, budget.currency, now.since, at, 0)
    if spent is None or spent.currency != budget.currency:
        return fresh
    if spent.since != period_of(budget, spent.until).since:
        return fresh
    if at <= spent.until:
        return spent
    since = max(spent.until, now.since)
    more = grains_per_microsecond * (_microseconds(at) - _microseconds(since))
    before = spent.amount if spent.since == now.since else 0
    return replace(fresh, amount=before + more)


def _microseconds(at: float) -> int:
    return round(at * _MICROSECONDS)


def is_exhausted(budget: Budget, spent: SpentRecord) -> bool:
    return spent.amount >= millionths(budget.amount) * GRAINS


def is_warned(budget: Budget, spent: SpentRecord) -> bool:
    """Whether the share is reached at which people want to hear of it."""
    return spent.amount * 100 >= millionths(budget.amount) * GRAINS * budget.warn_at


def spent_percent(budget: Budget, spent: SpentRecord) -> int:
    """Of the budget, rounded down; 100 where there is none to spend."""
    amount = millionths(budget.amount) * GRAINS
    return spent.amount * 100 // amount if amount else 100
