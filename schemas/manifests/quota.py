"""Quota as people write it, in Kueue's words: on Tenants and Cohorts, per flavor and resource."""

import re
from calendar import monthrange
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schemas.manifests.base import Name, Quantity, Strict
from schemas.quantities import quantity_amount

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")
_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_RESOURCE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,315}[A-Za-z0-9])?")
Weekday = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def resource_name(name: str) -> str:
    if not _RESOURCE.fullmatch(name):
        raise ValueError(
            f"{name!r} is no resource: cpu, memory, nvidia.com/gpu, pods, objects, addresses/POOL, ..."
        )
    return name


def weight(value: Quantity) -> Quantity:
    """A share counts in thousandths: `0.5`, `2`. ValueError for what is none."""
    try:
        quantity_amount("cpu", value)
    except ValueError as error:
        raise ValueError(f"{value!r} is negative, or no number: a weight is 0 or more, as 0.5") from error
    return value


def money(value: Quantity) -> Quantity:
    """0 or more, up to six digits after the point: counted in millionths."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is no amount of money: a number, as 0.035") from error
    if not amount.is_finite() or amount < 0 or amount > 10**12 or amount * 10**6 != int(amount * 10**6):
        raise ValueError(f"{value!r}: 0 to 1e12, with up to six digits after the point")
    return value


def time_of_day(value: str) -> str:
    if not _TIME.fullmatch(value):
        raise ValueError(f"{value!r} is no time of day: 00:00 to 24:00")
    return value


def _in_quotes(value: object) -> object:
    """YAML reads 20:00 without quotes as a number in the base of 60."""
    if isinstance(value, int):
        raise ValueError(f"{value} is no time of day: in quotes, as '20:00'")
    return value


def zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is no time zone: as Europe/Berlin") from error
    return value


def calendar_day(value: str) -> str:
    found = _DAY.fullmatch(value)
    year, month, day = map(int, found.groups()) if found else (0, 0, 0)
    if not (1970 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]):
        raise ValueError(f"{value!r} is no day: in quotes, as '2026-12-31'")
    return value


def off(value: object) -> object:
    """In YAML `Off` without quotes is False."""
    return "Off" if value is False else value


Weight = Annotated[Quantity, AfterValidator(weight)]
Money = Annotated[Quantity, AfterValidator(money)]
TimeOfDay = Annotated[str, BeforeValidator(_in_quotes), AfterValidator(time_of_day)]
ResourceName = Annotated[str, AfterValidator(resource_name)]


class Amount(Strict):
    """nominalQuota: what is its own. borrowingLimit, lendingLimit: left out, without a limit."""

    nominal_quota: Quantity
    borrowing_limit: Quantity | None = None
    lending_limit: Quantity | None = None


class Window(Amount):
    """While it is open, its amounts stand in place of the others. weekdays: left out, every day.

    opens, closes: on the clock of `timezone`; one that closes at or before it opens ends on the next day,
    and belongs to the day on which it opens. firstDay, lastDay: of the calendar, both are part of it.
    """

    name: Name
    weekdays: Annotated[list[Weekday], Field(max_length=7)] = []
    opens: TimeOfDay = "00:00"
    closes: TimeOfDay = "24:00"
    timezone: Annotated[str, AfterValidator(zone)] = "UTC"
    first_day: Annotated[str, AfterValidator(calendar_day)] | None = None
    last_day: Annotated[str, AfterValidator(calendar_day)] | None = None


class ResourceQuota(Amount):
    """name: cpu, memory, an extended resource, pods, objects, or addresses/POOL."""

    name: ResourceName
    windows: Annotated[list[Window], Field(max_length=50)] = []


class FlavorQuota(Strict):
    """name: of a Flavor."""

    name: Name
    resources: Annotated[list[ResourceQuota], Field(min_length=1, max_length=100)]


def _once(flavors: list[FlavorQuota]) -> list[FlavorQuota]:
    twice = [name for name, count in Counter(each.name for each in flavors).items() if count > 1]
    if twice:
        raise ValueError(f"flavor {twice[0]} stands there more than once")
    return flavors


Flavors = Annotated[list[FlavorQuota], Field(max_length=100), AfterValidator(_once)]


class BorrowWithinCohort(Strict):
    policy: Literal["Never", "LowerPriority"] = "Never"
    max_priority_threshold: int | None = None


class PreemptionPolicy(Strict):
    """Kueue's, with other defaults: what is nominally the tenant's can always be reclaimed."""

    reclaim_within_cohort: Literal["Never", "LowerPriority", "Any"] = "Any"
    borrow_within_cohort: BorrowWithinCohort = BorrowWithinCohort()
    within_tenant: Literal["Never", "LowerPriority", "LowerOrNewerEqualPriority"] = "LowerPriority"


class Budget(Strict):
    """Money for a period, from the prices of the flavors. warnAt: the share of it, in percent."""

    amount: Money
    currency: Annotated[str, Field(min_length=1, max_length=16)]
    period: Literal["Day", "Week", "Month", "Quarter", "Year"] = "Month"
    timezone: Annotated[str, AfterValidator(zone)] = "UTC"
    warn_at: Annotated[int, Field(ge=1, le=100)] = 80


class QuotaSpec(Strict):
    """flavors: in the order in which they are tried. Two of them cover the same resources or none in common.

    cohort: left out, it neither borrows nor lends. uncovered: what becomes of a workload that asks for what
    no flavor here covers. limits: ResourceQuota objects in the tenant's namespaces in the clusters.
    """

    cohort: Name | None = None
    weight: Weight = 1
    flavors: Flavors = []
    uncovered: Literal["Refuse", "Allow"] = "Refuse"
    queueing: Literal["BestEffortFIFO", "StrictFIFO"] = "BestEffortFIFO"
    preemption: PreemptionPolicy = PreemptionPolicy()
    budget: Budget | None = None
    limits: Annotated[Literal["Off", "Observe", "Enforce"], BeforeValidator(off)] = "Off"

    @model_validator(mode="after")
    def _groups(self) -> Self:
        covered = [(each.name, frozenset(one.name for one in each.resources)) for each in self.flavors]
        for index, (name, resources) in enumerate(covered):
            for other, others in covered[:index]:
                shared = resources & others
                if shared and resources != others:
                    raise ValueError(
                        f"flavors {other} and {name} both cover {min(shared)}, but not all the same: give "
                        "them the same resources, or none in common"
                    )
        return self
