"""A quota is given to what runs: what happens between its being read and what runs being counted under it."""

from collections.abc import Sequence
from typing import Any

import pytest

from controlplane.known.records import BalanceRecord, LedgerLine
from controlplane.loops import adopting, place
from controlplane.loops.budgeting import Budgeting
from controlplane.quota.quota import FlavorResource
from tests.conformance.store_worlds import ME
from tests.simulation.test_admitting import Centre, quota

pytestmark = pytest.mark.promise(2)


def of_flavor(name: str, cpu: int) -> dict[str, Any]:
    return {"quota": {"flavors": [{"name": name, "resources": [{"name": "cpu", "nominalQuota": cpu}]}]}}


async def with_what_runs(**cpu: int) -> Centre:
    """Of tenant shop, without a quota."""
    centre = Centre()
    await centre.begin(shop={})
    await centre.fleet.around.store.submit_document("Flavor", "other", {}, ME)
    for name, cores in cpu.items():
        await centre.submit(name, "shop", cores)
    await centre.decide()
    assert await centre.charged() == {"shop": sum(cpu.values())}
    return centre


async def charged(centre: Centre) -> dict[FlavorResource, int]:
    await centre.charged()
    found: dict[FlavorResource, int] = {}
    balances: Sequence[BalanceRecord] = (await centre.fleet.around.store.load()).balances
    for each in balances:
        key = each.flavor, each.resource
        found[key] = found.get(key, 0) + each.amount
    return found


async def test_it_is_never_counted_under_a_quota_that_is_another_by_then() -> None:
    centre = await with_what_runs(web=8)
    await centre.change("shop", of_flavor("default", 10))
    store = centre.fleet.around.store
    move = store.move_lines

    async def meanwhile(lease: Any, lines: Sequence[LedgerLine], quota_version: int) -> bool:
        store.move_lines = move  # type: ignore[method-assign]
        await centre.change("shop", of_flavor("other", 8))
        return await move(lease, lines, quota_version)

    store.move_lines = meanwhile  # type: ignore[method-assign]
    await centre.submit("late", "shop", 1)
    await centre.decide()
    assert await charged(centre) == {("", "cpu"): 8_000}, "neither is moved, nor is anybody let in"
    await centre.decide()
    assert await charged(centre) == {("other", "cpu"): 8_000}
    assert centre.known.quotas.usage.available("shop", ("other", "cpu")) == 0


async def test_what_stopped_it_half_way_is_no_end_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopting, "PLACES_AT_ONCE", 1)
    centre = await with_what_runs(web=3, api=3)
    await centre.change("shop", of_flavor("default", 6))
    store = centre.fleet.around.store
    move, calls = store.move_lines, [0]

    async def fails(lease: Any, lines: Sequence[LedgerLine], quota_version: int) -> bool:
        calls[0] += 1
        if calls[0] == 2:
            raise ValueError("no such column")
        return await move(lease, lines, quota_version)

    store.move_lines = fails  # type: ignore[method-assign]
    await centre.submit("late", "shop", 3)
    with pytest.raises(ValueError, match="no such column"):
        await centre.decide()
    assert await charged(centre) == {("default", "cpu"): 3_000, ("", "cpu"): 3_000}
    await centre.decide()
    assert await charged(centre) == {("default", "cpu"): 6_000}
    for name in ("web", "api"):
        record = centre.known.workload(name)
        assert record is not None
        assert centre.known.decisions[record.uid].explanation["flavors"], "it was decided which is its own"


async def test_what_could_not_be_written_with_others_is_before_everybody_else_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it comes to under a quota may be more than what was moved: here, its pods."""
    monkeypatch.setattr(place, "SLICE_SECONDS", 10.0)
    centre = await with_what_runs(web=6)
    spec = quota(cpu=100, preemption={"withinTenant": "Never"})
    spec["quota"]["flavors"][0]["resources"].append({"name": "pods", "nominalQuota": 8})
    await centre.change("shop", spec)
    await centre.submit("api", "shop", 6, priority=10)
    store = centre.fleet.around.store
    commit = store.commit_decisions

    async def fails(*_: Any) -> Any:
        store.commit_decisions = commit  # type: ignore[method-assign]
        raise ValueError("no such column")

    store.commit_decisions = fails  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="no such column"):
        await centre.decide()
    await centre.decide(after_seconds=0.1)
    await centre.decide()
    assert (await charged(centre))["default", "pods"] == 6
    assert (centre.said("web"), centre.said("api")) == ("Placed", "QuotaExceeded")


async def test_what_runs_is_counted_also_where_there_is_no_money_for_it() -> None:
    """Else it would be tried again for ever, before everybody else."""
    centre = await with_what_runs(web=6)
    spec = quota(cpu=100)
    spec["quota"]["flavors"][0]["resources"].append({"name": "pods", "nominalQuota": 8})
    spec["quota"]["budget"] = {"amount": 0, "currency": "EUR", "period": "Month"}
    priced = {"prices": {"currency": "EUR", "perHour": {"cpu": 1}}}
    await centre.fleet.around.store.submit_document("Flavor", "default", priced, ME)
    await centre.change("shop", spec)
    await centre.decide()
    assert await charged(centre) == {("default", "cpu"): 6_000, ("default", "pods"): 6}
    around = centre.fleet.around
    await Budgeting(around.store, around.known, around.clock, lambda: None).run_pass()
    await centre.submit("api", "shop", 1)
    await centre.decide()
    assert centre.said("api") == "BudgetExhausted"
