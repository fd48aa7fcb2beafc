"""The deciding loop with budgets: what costs more waits once the money is spent, until there is more."""

from typing import Any

import pytest

from controlplane.loops.budgeting import Budgeting
from schemas.reasons import Reason
from tests.conformance.store_worlds import ME
from tests.simulation.test_admitting import Centre, quota

pytestmark = pytest.mark.promise(2)
PRICED = {"prices": {"currency": "EUR", "perHour": {"cpu": 1}}}
HOUR = 3600


def budget(amount: int, **more: Any) -> dict[str, Any]:
    spec = quota(cpu=50)
    spec["quota"]["budget"] = {"amount": amount, "currency": "EUR", "period": "Month", **more}
    return spec


class Money:
    """A centre with a tenant that has a budget. rooms: how often it was said that there may be room again."""

    def __init__(self) -> None:
        self.centre = Centre()
        self.rooms = 0

    async def begin(self, amount: int, **more: Any) -> None:
        await self.centre.begin(shop=quota(cpu=50))
        store = self.centre.fleet.around.store
        await store.submit_document("Flavor", "default", PRICED, ME)
        await self.centre.change("shop", budget(amount, **more))

    async def look(self) -> None:
        around = self.centre.fleet.around
        await Budgeting(around.store, around.known, around.clock, self._freed).run_pass()

    def _freed(self) -> None:
        self.rooms += 1

    async def hours(self, count: float) -> None:
        self.centre.fleet.around.clock.seconds += count * HOUR
        await self.centre.lead_anew()
        await self.look()


async def test_what_costs_more_waits_until_there_is_money_again() -> None:
    money = Money()
    await money.begin(8)
    centre = money.centre
    await centre.submit("web", "shop", 4)
    await centre.decide()
    await money.hours(3)
    await centre.submit("api", "shop", 1)
    await centre.decide()
    assert (centre.said("web"), centre.said("api")) == ("Placed", Reason.BUDGET_EXHAUSTED)
    assert "tenant shop has spent its budget of 8 EUR for this month" in centre.message("api")
    assert await centre.charged() == {"shop": 4}
    await centre.change("shop", budget(100))
    await centre.decide()
    await money.look()
    assert money.rooms == 1
    await centre.decide()
    assert centre.said("api") == "Placed"


async def test_the_next_period_begins_with_all_of_it() -> None:
    money = Money()
    await money.begin(8, period="Day")
    centre = money.centre
    await centre.submit("web", "shop", 4)
    await centre.decide()
    await money.hours(3)
    await centre.submit("api", "shop", 1)
    await centre.decide()
    assert centre.said("api") == Reason.BUDGET_EXHAUSTED
    await money.hours(22)
    await centre.decide()
    assert centre.said("api") == "Placed"


async def test_the_store_refuses_though_memory_has_not_looked_yet() -> None:
    money = Money()
    await money.begin(8)
    centre = money.centre
    await centre.submit("web", "shop", 4)
    await centre.decide()
    centre.fleet.around.clock.seconds += 3 * HOUR
    await centre.lead_anew()
    centre.known.spending.exhausted = {}
    await centre.submit("api", "shop", 1)
    await centre.decide()
    assert await centre.charged() == {"shop": 4}
    await money.look()
    await centre.decide()
    assert centre.said("api") == Reason.BUDGET_EXHAUSTED
