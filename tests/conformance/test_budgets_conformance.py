"""What is spent of budgets, asked of Postgres and of the memory: exact, and at the prices of its time."""

from dataclasses import replace
from typing import Any

import pytest

from controlplane.intent import Taken, Unfit
from controlplane.known.records import Cause, Lease, SpentRecord, WorkloadRecord
from controlplane.quota.budgets import GRAINS
from tests.conformance.store_worlds import ME, AnyStore, World, decision, draft, lead
from tests.conformance.test_ledger_conformance import line, version

pytest_plugins = ["tests.conformance.store_fixtures"]
HOUR = 3600.0
EURO = 10**6 * GRAINS


def flavor(price: float = 1, currency: str = "EUR") -> dict[str, Any]:
    return {"prices": {"currency": currency, "perHour": {"cpu": price}}}


def tenant(amount: float | None = 100, currency: str = "EUR", **budget: Any) -> dict[str, Any]:
    resources = [{"name": "cpu", "nominalQuota": 100}]
    quota: dict[str, Any] = {"flavors": [{"name": "amd", "resources": resources}]}
    if amount is not None:
        quota["budget"] = {"amount": amount, "currency": currency, "period": "Year", **budget}
    return {"namespaces": ["shop-*"], "quota": quota}


async def declared(store: AnyStore, amount: float = 100, **budget: Any) -> None:
    await store.submit_document("Flavor", "amd", flavor(), ME)
    await store.submit_document("Tenant", "shop", tenant(amount, **budget), ME)


async def placed(store: AnyStore, lease: Lease, name: str, millicores: int) -> tuple[WorkloadRecord, bool]:
    """(the workload, whether it was charged)"""
    work = await store.submit_workload(draft(name), ME)
    new = replace(decision(work), lines=(line(work.uid, millicores),))
    return work, not await store.commit_decisions(lease, [new], await version(store))


async def spent(store: AnyStore) -> SpentRecord:
    await store.settle_budgets()
    (found,) = await store.read_spent()
    return found


async def told(store: AnyStore) -> list[str]:
    changes = await store.changes(0, 1000)
    return [each.what for each in changes if each.kind == "Tenant" and each.what.startswith("Budget")]


def about(amount: int, euros: float) -> bool:
    """Between two steps of a test, a clock goes on."""
    return euros * EURO <= amount < (euros + 0.1) * EURO


class Passing:
    """Time, with the lease kept."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def hours(self, count: float) -> Lease:
        await self._world.pass_time(count * HOUR)
        return await lead(self._world.store)


async def test_what_is_charged_is_paid_by_the_hour(world: World) -> None:
    store, lease = world.store, await lead(world.store)
    await declared(store)
    assert (await spent(store)).amount == 0
    await placed(store, lease, "web", 4000)
    lease = await Passing(world).hours(2)
    assert about((await spent(store)).amount, 8)
    await placed(store, lease, "more", 1000)
    await Passing(world).hours(1)
    assert about((await spent(store)).amount, 13)


async def test_what_is_released_costs_no_more(world: World) -> None:
    store, lease = world.store, await lead(world.store)
    await declared(store)
    work, _ = await placed(store, lease, "web", 4000)
    lease = await Passing(world).hours(1)
    await store.commit_lines(lease, [line(work.uid, -4000, Cause.RELEASED)])
    await Passing(world).hours(5)
    assert about((await spent(store)).amount, 4)


async def test_a_new_price_is_of_what_comes_not_of_what_was(world: World) -> None:
    store, lease = world.store, await lead(world.store)
    await declared(store)
    await placed(store, lease, "web", 4000)
    await Passing(world).hours(2)
    await store.submit_document("Flavor", "amd", flavor(price=10), ME)
    assert about((await spent(store)).amount, 8)
    await Passing(world).hours(1)
    assert about((await spent(store)).amount, 48)


@pytest.mark.promise(2)
async def test_a_spent_budget_refuses_what_costs_more_and_nothing_else(world: World) -> None:
    store, lease = world.store, await lead(world.store)
    await declared(store, amount=8, warnAt=50)
    work, taken = await placed(store, lease, "web", 4000)
    assert taken
    lease = await Passing(world).hours(1.1)
    assert (await placed(store, lease, "more", 1000))[1]
    assert await told(store) == ["BudgetWarned"]
    lease = await Passing(world).hours(1)
    assert not (await placed(store, lease, "late", 1000))[1]
    await store.settle_budgets()
    assert await told(store) == ["BudgetWarned", "BudgetExhausted"]
    await store.commit_lines(lease, [line(work.uid, -1000, Cause.RELEASED)])
    assert not await store.commit_decisions(lease, [decision(work)], await version(store))
    await store.submit_document("Tenant", "shop", tenant(100), ME)
    assert (await placed(store, lease, "now", 1000))[1]


async def test_a_budget_runs_out_while_nothing_is_charged(world: World) -> None:
    store, lease = world.store, await lead(world.store)
    await declared(store, amount=8)
    await placed(store, lease, "web", 4000)
    await Passing(world).hours(3)
    for _ in range(2):
        await store.settle_budgets()
    assert await told(store) == ["BudgetWarned", "BudgetExhausted"]


async def test_without_a_budget_nothing_is_counted(world: World) -> None:
    store, lease = world.store, await lead(world.store)
    await declared(store)
    await placed(store, lease, "web", 4000)
    await Passing(world).hours(1)
    await store.submit_document("Tenant", "shop", tenant(None), ME)
    assert await store.read_spent() == []
    await Passing(world).hours(1)
    await store.submit_document("Tenant", "shop", tenant(100), ME)
    assert about((await spent(store)).amount, 0)


async def test_another_period_begins_anew(world: World) -> None:
    store, lease = world.store, await Passing(world).hours(30)
    await declared(store)
    await placed(store, lease, "web", 4000)
    await Passing(world).hours(1)
    await store.submit_document("Tenant", "shop", tenant(100, period="Day"), ME)
    assert about((await spent(store)).amount, 0)


class TestDocuments:
    """Of the same rules in both; the tables are those of the API."""

    @pytest.mark.parametrize(
        ("kind", "name", "spec", "field"),
        [
            ("Cohort", "a", {"parent": "b"}, "spec.parent"),
            ("Tenant", "bank", tenant(10, currency="USD"), "spec.quota.budget.currency"),
            (
                "Cohort",
                "c",
                {"flavors": [{"name": "gpu", "resources": [{"name": "cpu", "nominalQuota": 1}]}]},
                "spec.flavors[0].name",
            ),
        ],
    )
    async def test_what_contradicts_is_refused_and_nothing_moves(
        self, store: AnyStore, kind: str, name: str, spec: dict[str, Any], field: str
    ) -> None:
        await declared(store)
        await store.submit_document("Cohort", "a", {}, ME)
        await store.submit_document("Cohort", "b", {"parent": "a"}, ME)
        before = await version(store)
        with pytest.raises(Unfit) as refused:
            await store.submit_document(kind, name, spec, ME)
        assert field in [where for where, _ in refused.value.problems]
        assert await version(store) == before
        assert all(each.spec != spec for each in await store.read_documents(kind, [name]))

    async def test_less_than_is_used_is_refused(self, store: AnyStore) -> None:
        lease = await lead(store)
        await declared(store)
        await placed(store, lease, "web", 4000)
        less = tenant()
        less["quota"]["flavors"][0]["resources"][0]["nominalQuota"] = 3
        with pytest.raises(Taken, match="tenant shop uses 4 cpu of flavor amd"):
            await store.submit_document("Tenant", "shop", less, ME)
        with pytest.raises(Taken, match="Tenant shop"):
            await store.delete_document("Flavor", "amd", ME)
