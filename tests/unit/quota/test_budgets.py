"""Money: periods by calendar and zone, rates from prices, spending that is exact however it is settled."""

from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.known.records import SpentRecord
from controlplane.quota.budgets import (
    GRAINS,
    hourly,
    is_exhausted,
    is_warned,
    period_of,
    rate,
    spent_millionths,
    spent_percent,
    spent_until,
)
from controlplane.quota.quota import Amounts, Flavor
from schemas.manifests.quota import Budget

GIB = 2**30
EURO = 10**6 * GRAINS
BERLIN = "Europe/Berlin"


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def budget(amount: Any = 100, **fields: Any) -> Budget:
    return Budget.model_validate({"amount": amount, "currency": "EUR", **fields})


PERIODS = {
    "a day": ("Day", "UTC", "2026-11-23T12:00", "2026-11-23", "2026-11-24"),
    "a day of 23 hours": ("Day", BERLIN, "2026-03-29T12:00", "2026-03-29", "2026-03-30"),
    "a week begins on Monday": ("Week", "UTC", "2026-11-29T23:59", "2026-11-23", "2026-11-30"),
    "a month": ("Month", BERLIN, "2026-02-28T23:59", "2026-02-01", "2026-03-01"),
    "its first moment": ("Month", BERLIN, "2026-03-01T00:00", "2026-03-01", "2026-04-01"),
    "December": ("Month", "UTC", "2026-12-31T00:00", "2026-12-01", "2027-01-01"),
    "a quarter": ("Quarter", "UTC", "2026-11-23T12:00", "2026-10-01", "2027-01-01"),
    "the first quarter": ("Quarter", "UTC", "2026-03-31T12:00", "2026-01-01", "2026-04-01"),
    "a year": ("Year", "Asia/Shanghai", "2026-11-23T12:00", "2026-01-01", "2027-01-01"),
}


@pytest.mark.parametrize(("period", "zone", "moment", "since", "until"), PERIODS.values(), ids=PERIODS.keys())
def test_periods(period: str, zone: str, moment: str, since: str, until: str) -> None:
    found = period_of(budget(period=period, timezone=zone), at(moment, zone))
    assert (found.since, found.until) == (at(since, zone), at(until, zone))


FLAVORS = {
    "cpu": Flavor("cpu", currency="EUR", prices={"cpu": 50_000, "memory": 7_000, "hugepages-2Mi": 7_000}),
    "gpu": Flavor("gpu", currency="EUR", prices={"nvidia.com/gpu": 2_500_000}),
    "other": Flavor("other", currency="USD", prices={"cpu": 1}),
}
RATES: dict[str, tuple[Amounts, int]] = {
    "a core": ({("cpu", "cpu"): 1000}, 50_000),
    "half a core": ({("cpu", "cpu"): 500}, 25_000),
    "a GiB": ({("cpu", "memory"): GIB}, 7_000),
    "huge pages are bytes too": ({("cpu", "hugepages-2Mi"): 2 * GIB}, 14_000),
    "a GPU": ({("gpu", "nvidia.com/gpu"): 2}, 5_000_000),
    "all of it": ({("cpu", "cpu"): 1000, ("gpu", "nvidia.com/gpu"): 1}, 2_550_000),
    "in another currency": ({("other", "cpu"): 10**9}, 0),
    "without a price": ({("cpu", "pods"): 100, ("", "cpu"): 100, ("gone", "cpu"): 1}, 0),
    "less than a millionth is rounded up": ({("cpu", "memory"): 1}, 1),
}


@pytest.mark.parametrize(("amounts", "expected"), RATES.values(), ids=RATES.keys())
def test_what_an_hour_costs(amounts: Amounts, expected: int) -> None:
    assert hourly(rate(FLAVORS, amounts, "EUR")) == expected


NOON = at("2026-11-23T12:00")
MONTH = at("2026-11-01T00:00")
AN_HOUR_FOR_ONE_EURO = rate({"f": Flavor("f", currency="EUR", prices={"x": 10**6})}, {("f", "x"): 1}, "EUR")


def spent(amount: int = 0, since: float = MONTH, until: float = NOON, currency: str = "EUR") -> SpentRecord:
    return SpentRecord("shop", currency, since, until, amount)


SPENDING = {
    "nothing was counted yet": (None, NOON, spent()),
    "an hour": (spent(EURO), NOON + 3600, spent(2 * EURO, until=NOON + 3600)),
    "no time": (spent(EURO), NOON, spent(EURO)),
    "a clock that is behind": (spent(EURO), NOON - 60, spent(EURO)),
    "a new month begins at 0": (
        spent(EURO, until=at("2026-11-30T23:00")),
        at("2026-12-01T02:00"),
        spent(2 * EURO, since=at("2026-12-01T00:00"), until=at("2026-12-01T02:00")),
    ),
    "months later": (
        spent(EURO),
        at("2027-02-01T01:00"),
        spent(EURO, since=at("2027-02-01T00:00"), until=at("2027-02-01T01:00")),
    ),
    "in another currency": (spent(EURO, currency="USD"), NOON + 60, spent(0, until=NOON + 60)),
    "of another kind of period": (
        spent(EURO, since=at("2026-11-23T00:00")),
        NOON + 60,
        spent(0, until=NOON + 60),
    ),
}


@pytest.mark.parametrize(("before", "moment", "expected"), SPENDING.values(), ids=SPENDING.keys())
def test_what_is_spent_by_then(before: SpentRecord | None, moment: float, expected: SpentRecord) -> None:
    assert spent_until("shop", budget(), before, AN_HOUR_FOR_ONE_EURO, moment) == expected


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=20), st.integers(0, 10**40))
def test_however_often_it_is_settled_it_comes_to_the_same(steps: list[int], speed: int) -> None:
    year = budget(period="Year")
    begins = at("2026-01-01T00:00")
    moments = [begins]
    for each in steps:
        moments.append(moments[-1] + each / 10**6)
    once = spent_until("shop", year, spent(since=begins, until=begins), speed, moments[-1])
    often = spent(since=begins, until=begins)
    for _, moment in pairwise(moments):
        often = spent_until("shop", year, often, speed, moment)
    assert often == once


@pytest.mark.parametrize(
    ("amount", "grains", "percent", "warned", "exhausted"),
    [
        (100, 0, 0, False, False),
        (100, 80 * EURO - 1, 79, False, False),
        (100, 80 * EURO, 80, True, False),
        (100, 100 * EURO - 1, 99, True, False),
        (100, 100 * EURO, 100, True, True),
        ("0.000001", GRAINS - 1, 99, True, False),
        (0, 0, 100, True, True),
    ],
)
def test_who_is_warned_and_who_has_no_more(
    amount: Any, grains: int, percent: int, warned: bool, exhausted: bool
) -> None:
    given_budget, found = budget(amount), spent(grains)
    assert spent_percent(given_budget, found) == percent
    assert is_warned(given_budget, found) is warned
    assert is_exhausted(given_budget, found) is exhausted


def test_what_is_shown_is_rounded_down() -> None:
    assert spent_millionths(spent(EURO - 1)) == 10**6 - 1
