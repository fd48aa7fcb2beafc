"""Decisions are made while the last ones are written: what is under way counts, until it is undone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from controlplane.loops.place import RETRY_SECONDS
from controlplane.loops.ports import LeaseLost, NewDecision, StoreUnavailable
from controlplane.loops.turns import Turns
from schemas.reasons import Reason
from tests.simulation.test_admitting import Centre, quota

pytestmark = pytest.mark.promise(2)

BOUND_SECONDS = 5.0
Meanwhile = Callable[[], Awaitable[None]]


class Slow(Centre):
    """One decision a transaction; the first waits until `awaits` were decided, and `meanwhile` is done."""

    def __init__(self) -> None:
        super().__init__()
        self.decided: list[str] = []
        self.written: list[str] = []

    async def decide_slowly(
        self, awaits: int, meanwhile: Meanwhile | None = None, fails: Exception | None = None
    ) -> None:
        enough = self._when_decided(awaits)
        store = self.fleet.around.store
        commit, calls = store.commit_decisions, [0]

        async def slowly(lease: Any, decisions: list[NewDecision], quota_version: int = 0) -> Any:
            calls[0] += 1
            if calls[0] == 1:
                async with asyncio.timeout(BOUND_SECONDS):
                    await enough.wait()
                if meanwhile is not None:
                    await meanwhile()
                if fails is not None:
                    raise fails
            skipped = await commit(lease, decisions, quota_version)
            self.written += [self._name(each.workload) for each in decisions if each.workload not in skipped]
            return skipped

        store.commit_decisions = slowly  # type: ignore[method-assign]
        try:
            await self.decide()
        finally:
            store.commit_decisions = commit  # type: ignore[method-assign]

    def _when_decided(self, count: int) -> asyncio.Event:
        place, enough = self.place, asyncio.Event()
        place._committing.at_once = 1  # pyright: ignore[reportPrivateUsage]
        deciding = place._deciding  # pyright: ignore[reportPrivateUsage]
        decide = deciding.decide

        def recorded(record: Any, views: Any) -> Any:
            self.decided.append(record.name)
            if len(self.decided) == count:
                enough.set()
            return decide(record, views)

        deciding.decide = recorded  # type: ignore[method-assign]
        return enough

    def _name(self, uid: str) -> str:
        return self.known.workloads[uid].name

    async def submit_in_order(self, **cpu: int) -> None:
        for name, cores in cpu.items():
            self.fleet.around.clock.seconds += 1
            await self.submit(name, "shop", cores)


async def test_what_is_under_way_counts_for_the_next() -> None:
    centre = Slow()
    await centre.begin(shop=quota(cpu=10))
    await centre.submit_in_order(web=6, api=6)
    await centre.decide_slowly(awaits=2)
    assert centre.decided == ["web", "api"]
    assert (centre.said("web"), centre.said("api")) == ("Placed", Reason.QUOTA_EXCEEDED)
    assert await centre.charged() == {"shop": 6}


async def test_what_was_skipped_is_undone_and_who_was_refused_for_it_is_let_in() -> None:
    centre = Slow()
    await centre.begin(shop=quota(cpu=10))
    await centre.submit_in_order(web=6, api=6)
    await centre.decide_slowly(awaits=2, meanwhile=lambda: centre.delete("web"))
    assert await centre.charged() == {}
    await centre.decide()
    assert centre.said("api") == "Placed"
    assert await centre.charged() == {"shop": 6}


async def test_what_was_decided_on_another_quota_is_skipped_also_where_it_came_second() -> None:
    centre = Slow()
    await centre.begin(shop=quota(cpu=10))
    await centre.submit_in_order(web=6, api=3)
    await centre.decide_slowly(awaits=2, meanwhile=lambda: centre.change("shop", quota(cpu=6)))
    assert centre.written == []
    assert await centre.charged() == {}
    await centre.decide()
    await centre.decide()
    assert sum((await centre.charged()).values()) <= 6
    assert Reason.QUOTA_EXCEEDED in {centre.said("web"), centre.said("api")}


async def test_what_was_to_be_anothers_is_whose_it_was_where_that_is_skipped() -> None:
    centre = Slow()
    await centre.begin(shop=quota(cpu=10), other=quota(cpu=10))
    await centre.submit("web", "shop", 6)
    await centre.decide()
    await centre.submit("web", "other", 6)
    await centre.decide_slowly(awaits=1, meanwhile=lambda: centre.submit("web", "other", 60))
    assert not centre.known.quotas.charges.leaving()
    await centre.submit("api", "shop", 6)
    await centre.decide()
    assert (centre.said("web"), centre.said("api")) == (Reason.QUOTA_EXCEEDED, Reason.QUOTA_EXCEEDED)
    assert not centre.known.quotas.claims, "nobody waits for what runs on"
    assert await centre.charged() == {"shop": 6}


@pytest.mark.parametrize("failure", [LeaseLost("led by another"), StoreUnavailable("cut off")])
async def test_who_leads_no_more_writes_nothing_after_it(failure: Exception) -> None:
    centre = Slow()
    await centre.begin(shop=quota(cpu=10))
    await centre.submit_in_order(web=4, api=4)
    with pytest.raises(LeaseLost):
        await centre.decide_slowly(awaits=2, fails=failure)
    assert centre.written == []
    assert (await centre.fleet.around.store.load()).balances == ()
    await centre.lead_anew()
    await centre.decide()
    assert await centre.charged() == {"shop": 8}


async def test_what_cannot_be_written_is_undone_with_what_was_decided_on_it() -> None:
    centre = Slow()
    await centre.begin(shop=quota(cpu=10))
    await centre.submit_in_order(web=6, api=4, more=6)
    with pytest.raises(ValueError, match="no such column"):
        await centre.decide_slowly(awaits=2, fails=ValueError("no such column"))
    assert await centre.charged() == {}
    await centre.decide()
    assert await centre.charged() == {"shop": 10}


async def test_what_is_written_and_cannot_be_taken_in_ends_the_leadership() -> None:
    """Its orders are in the outbox, and nobody who goes on would know of them."""
    centre = Centre()
    await centre.begin(shop=quota(cpu=10))
    await centre.submit("web", "shop", 6)
    due = centre.place._due  # pyright: ignore[reportPrivateUsage]

    def fails(*_: Any) -> None:
        raise KeyError("no such cluster")

    due.written = fails  # type: ignore[method-assign]
    with pytest.raises(LeaseLost, match="could not be taken in"):
        await centre.decide()
    await centre.lead_anew()
    await centre.decide()
    assert centre.said("web") == "Placed"
    assert await centre.charged() == {"shop": 6}


async def test_whoever_asks_for_the_ledger_gets_it_between_two_transactions() -> None:
    centre = Slow()
    await centre.begin(shop=quota(cpu=10))
    await centre.submit_in_order(web=2, api=2, more=2, last=2)
    ledger = centre.place._ledger  # pyright: ignore[reportPrivateUsage]
    seen: list[int] = []

    async def look() -> None:
        async with ledger:
            seen.append(len(centre.written))
            assert await centre.charged() == {"shop": 2 * len(centre.written)}, "nothing is on its way"

    looking: list[asyncio.Task[None]] = []

    async def ask() -> None:
        looking.append(asyncio.create_task(look()))
        await asyncio.sleep(0)

    await centre.decide_slowly(awaits=2, meanwhile=ask)
    await asyncio.gather(*looking)
    assert seen
    assert seen[0] < 4
    assert await centre.charged() == {"shop": 8}


async def test_one_that_is_under_way_is_not_decided_again_before_it_is_known() -> None:
    centre = Slow()
    await centre.begin(
        shop=quota(cpu=8, preemption={"withinTenant": "LowerPriority"}),
    )
    await centre.submit("batch", "shop", 8)
    await centre.decide()
    centre.fleet.around.clock.seconds += RETRY_SECONDS
    await centre.submit("web", "shop", 8, priority=9)
    await centre.decide_slowly(awaits=1)
    assert (centre.said("batch"), centre.said("web")) == (Reason.PREEMPTED, Reason.QUOTA_AWAITED)
    assert await centre.charged() == {"shop": 8}, "what gives way stays charged"


async def test_turns_are_asked_for_only_while_somebody_else_waits() -> None:
    turns = Turns()
    async with turns:
        assert not turns.awaited
        other = asyncio.create_task(turns.acquire())
        await asyncio.sleep(0)
        assert turns.awaited
    await other
    assert not turns.awaited
    turns.release()
