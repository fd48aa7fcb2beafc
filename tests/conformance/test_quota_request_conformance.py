"""Requests for quota, of Postgres and of the memory: who asks does not grant, and what each step leaves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from controlplane.intent import (
    MayNot,
    NotFound,
    PreconditionFailed,
    QuotaAmounts,
    QuotaDraft,
    QuotaGrant,
    Taken,
    Unfit,
    Write,
)
from controlplane.known.records import Cause, LedgerLine, QuotaRequestRecord, RequestState
from controlplane.store.quota_asking import MOST_PENDING
from tests.conformance.store_worlds import AnyStore, PostgresWorld, World, decision, draft, lead, order, raw

pytest_plugins = ["tests.conformance.store_fixtures"]
BOB, MAX, EVE = Write("bob"), Write("max"), Write("eve")
TEN: QuotaAmounts = {"default": {"cpu": "10", "memory": "64Gi"}}
SIX: QuotaAmounts = {"default": {"cpu": "6"}}
FAR = 4_000_000_000.0


def quota(cpu: str, cohort: str = "all", **more: Any) -> Mapping[str, Any]:
    resources = [{"name": "cpu", "nominalQuota": cpu, **more}, {"name": "memory", "nominalQuota": "1Ti"}]
    return {
        "namespaces": ["*"],
        "quota": {"cohort": cohort, "flavors": [{"name": "default", "resources": resources}]},
    }


@pytest.fixture
async def asked_of(store: AnyStore) -> AnyStore:
    """shop and bank share, with 10 cores each; alone has 10 and shares with nobody; loose is not bounded."""
    await store.submit_document("Cohort", "all", {}, EVE)
    await store.submit_document("Flavor", "default", {}, EVE)
    await store.submit_document("Flavor", "gpu", {}, EVE)
    for name, spec in {
        "shop": quota("10"),
        "bank": quota("10"),
        "alone": quota("10", cohort="own"),
        "loose": {"namespaces": ["*"]},
    }.items():
        await store.submit_document("Tenant", name, spec, EVE)
    return store


def ten(
    tenant: str = "shop", amounts: QuotaAmounts = TEN, until: float = FAR, why: str = "sale"
) -> QuotaDraft:
    return QuotaDraft(tenant, amounts, until, why)


async def uses(store: AnyStore, tenant: str, cpu: int) -> None:
    """So many millicores are charged to a tenant."""
    lease = await lead(store)
    record = await store.submit_workload(draft(f"of-{tenant}"), EVE)
    generation = (await store.reserve_generations(lease, 1))[0]
    made = decision(record, order("north", lease, generation))
    line = LedgerLine(tenant, record.uid, "north", "default", "cpu", cpu, Cause.PLACED)
    version = (await store.read_quota()).version
    skipped = await store.commit_decisions(lease, [replace(made, lines=(line,))], version)
    assert not skipped


async def last_changes(store: AnyStore, count: int) -> list[tuple[str, str, str]]:
    changes = [each for each in await store.changes(0, 1000) if each.kind == "QuotaRequest"]
    return [(each.name, each.what, each.by) for each in changes[-count:]]


class TestAsking:
    async def test_it_waits_and_is_recorded(self, asked_of: AnyStore) -> None:
        store = asked_of
        version = (await store.read_quota()).version
        record = await store.request_quota(ten(), BOB)
        assert (record.tenant, record.amounts, record.until, record.why) == ("shop", TEN, FAR, "sale")
        assert (record.state, record.requested_by) == (RequestState.PENDING, "bob")
        assert await store.quota_request(record.id) == record
        change = (await store.changes(0, 1000))[-1]
        assert (change.kind, change.name, change.what, change.by) == (
            "QuotaRequest",
            str(record.id),
            "Requested",
            "bob",
        )
        assert (change.detail["tenant"], change.detail["amounts"]) == ("shop", TEN)
        state = await store.read_quota()
        assert (state.version, list(state.grants)) == (version, [])

    async def test_the_same_key_is_the_same_request(self, asked_of: AnyStore) -> None:
        keyed = Write("bob", idempotency_key="once")
        first = await asked_of.request_quota(ten(), keyed)
        assert await asked_of.request_quota(ten(), keyed) == first
        with pytest.raises(Taken, match="another request"):
            await asked_of.request_quota(ten(why="other"), keyed)
        assert len(await asked_of.quota_requests()) == 1

    @pytest.mark.parametrize(
        ("wrong", "field", "says"),
        [
            (ten("ghost"), "tenant", "no tenant 'ghost'"),
            (ten("loose"), "tenant", "not bounded"),
            (ten(amounts={"tpu": {"cpu": "1"}}), "amounts.tpu", "no flavor 'tpu'"),
            (ten(amounts={}), "amounts", "0 amounts"),
            (ten(amounts={"default": {}}), "amounts", "0 amounts"),
            (ten(amounts={"default": {"cpu": "-1"}}), "amounts.default.cpu", "negative"),
            (ten(amounts={"default": {"cpu": "0"}}), "amounts.default.cpu", "more than 0"),
            (ten(amounts={"default": {"cpu": "much"}}), "amounts.default.cpu", "no quantity"),
            (ten(amounts={"default": {"memory": "9e30"}}), "amounts.default.memory", "below 2"),
            (ten(until=1.0), "until", "passed"),
            (ten(why=" "), "why", "missing"),
        ],
    )
    async def test_what_cannot_be_is_named(
        self, asked_of: AnyStore, wrong: QuotaDraft, field: str, says: str
    ) -> None:
        with pytest.raises(Unfit, match=says) as raised:
            await asked_of.request_quota(wrong, BOB)
        assert raised.value.problems[0][0] == field
        assert await asked_of.quota_requests() == []

    async def test_a_flavor_that_the_tenant_does_not_have_yet_can_be_asked_for(
        self, asked_of: AnyStore
    ) -> None:
        record = await asked_of.request_quota(ten(amounts={"gpu": {"nvidia.com/gpu": "2"}}), BOB)
        assert record.state is RequestState.PENDING

    async def test_more_than_so_many_do_not_wait(self, asked_of: AnyStore) -> None:
        for _ in range(MOST_PENDING):
            await asked_of.request_quota(ten(), BOB)
        with pytest.raises(Taken, match="100 requests of tenant 'shop' wait"):
            await asked_of.request_quota(ten(), BOB)
        await asked_of.request_quota(ten("bank"), BOB)

    async def test_they_are_listed_the_newest_first(self, asked_of: AnyStore) -> None:
        store = asked_of
        made = [await store.request_quota(ten(name), BOB) for name in ("shop", "bank", "shop", "shop")]
        await store.withdraw_quota_request(made[2].id, BOB)
        listed = await store.quota_requests()
        assert [each.id for each in listed] == [each.id for each in reversed(made)]
        assert [each.id for each in await store.quota_requests(tenant="bank")] == [made[1].id]
        waiting = await store.quota_requests(tenant="shop", states=[RequestState.PENDING])
        assert [each.id for each in waiting] == [made[3].id, made[0].id]
        assert [each.id for each in await store.quota_requests(before=made[2].id, limit=1)] == [made[1].id]
        with pytest.raises(NotFound, match="no request 99"):
            await store.quota_request(99)


Step = Callable[[AnyStore, int, Write], Awaitable[QuotaRequestRecord]]
STEPS: dict[str, Step] = {
    "withdraw": lambda store, id_, write: store.withdraw_quota_request(id_, write),
    "approve": lambda store, id_, write: store.approve_quota_request(id_, QuotaGrant(), write),
    "refuse": lambda store, id_, write: store.refuse_quota_request(id_, "no", write),
    "give back": lambda store, id_, write: store.give_back_quota(id_, None, write),
}


class TestDeciding:
    @pytest.mark.parametrize(
        ("before", "step", "by", "after"),
        [
            ([], "withdraw", BOB, RequestState.WITHDRAWN),
            ([], "withdraw", MAX, MayNot),
            ([], "approve", BOB, MayNot),
            ([], "approve", MAX, RequestState.GRANTED),
            ([], "refuse", BOB, MayNot),
            ([], "refuse", MAX, RequestState.REFUSED),
            ([], "give back", BOB, Taken),
            ([("approve", MAX)], "approve", EVE, Taken),
            ([("approve", MAX)], "refuse", MAX, Taken),
            ([("approve", MAX)], "withdraw", BOB, Taken),
            ([("approve", MAX)], "give back", BOB, RequestState.GIVEN_BACK),
            ([("refuse", MAX)], "approve", MAX, Taken),
            ([("withdraw", BOB)], "approve", MAX, Taken),
            ([("approve", MAX), ("give back", BOB)], "give back", BOB, Taken),
        ],
    )
    async def test_a_step(
        self,
        asked_of: AnyStore,
        before: list[tuple[str, Write]],
        step: str,
        by: Write,
        after: RequestState | type[Exception],
    ) -> None:
        store = asked_of
        record = await store.request_quota(ten(), BOB)
        for each, write in before:
            record = await STEPS[each](store, record.id, write)
        seen = len(await store.changes(0, 1000))
        if isinstance(after, RequestState):
            made = await STEPS[step](store, record.id, by)
            assert made.state is after
            assert made.resource_version > record.resource_version
            assert await store.quota_request(record.id) == made
            assert await last_changes(store, 1) == [(str(record.id), after.value, by.principal)]
        else:
            with pytest.raises(after):
                await STEPS[step](store, record.id, by)
            assert await store.quota_request(record.id) == record
            assert len(await store.changes(0, 1000)) == seen

    async def test_who_decided_when_and_why_stays(self, asked_of: AnyStore) -> None:
        record = await asked_of.request_quota(ten(), BOB)
        made = await asked_of.refuse_quota_request(record.id, "not this year", MAX)
        assert (made.decided_by, made.decision) == ("max", "not this year")
        assert made.decided_at >= made.requested_at

    async def test_it_can_be_granted_smaller_for_longer_and_out_of_something(
        self, asked_of: AnyStore
    ) -> None:
        store = asked_of
        record = await store.request_quota(ten(), BOB)
        less = {"default": {"cpu": "4"}}
        grant = QuotaGrant(("Tenant", "bank"), FAR + 1, less, "a part")
        made = await store.approve_quota_request(record.id, grant, MAX)
        assert (made.amounts, made.until, made.taken_from) == (less, FAR + 1, ("Tenant", "bank"))
        change = (await store.changes(0, 1000))[-1]
        assert change.detail == {
            "tenant": "shop",
            "amounts": less,
            "requested": TEN,
            "until": FAR + 1,
            "taken_from": "Tenant/bank",
            "decision": "a part",
        }
        assert list((await store.read_quota()).grants) == [made]

    @pytest.mark.parametrize(
        ("grant", "field", "says"),
        [
            (QuotaGrant(amounts={"default": {"cpu": "11"}}), "amounts.default.cpu", "10 was asked for"),
            (QuotaGrant(amounts={"gpu": {"cpu": "1"}}), "amounts.gpu.cpu", "0 was asked for"),
            (QuotaGrant(amounts={}), "amounts", "0 amounts"),
            (QuotaGrant(until=1.0), "until", "passed"),
            (QuotaGrant(("Tenant", "shop")), "taken_from", "who asks"),
            (QuotaGrant(("Tenant", "ghost")), "taken_from", "no tenant 'ghost'"),
            (QuotaGrant(("Tenant", "loose")), "taken_from", "no tenant 'loose' with a quota"),
            (QuotaGrant(("Cohort", "none")), "taken_from", "no cohort 'none'"),
            (QuotaGrant(("Cohort", "all")), "taken_from", "cohort 'all' has 0 cpu of flavor default: 10"),
        ],
    )
    async def test_a_grant_that_cannot_be_is_named(
        self, asked_of: AnyStore, grant: QuotaGrant, field: str, says: str
    ) -> None:
        record = await asked_of.request_quota(ten(), BOB)
        version = (await asked_of.read_quota()).version
        with pytest.raises(Unfit, match=says) as raised:
            await asked_of.approve_quota_request(record.id, grant, MAX)
        assert raised.value.problems[0][0] == field
        assert await asked_of.quota_request(record.id) == record
        assert (await asked_of.read_quota()).version == version

    async def test_what_one_grant_took_the_next_does_not_find(self, asked_of: AnyStore) -> None:
        store = asked_of
        six = ten(amounts=SIX)
        first, second = [await store.request_quota(six, BOB) for _ in range(2)]
        from_bank = QuotaGrant(("Tenant", "bank"))
        await store.approve_quota_request(first.id, from_bank, MAX)
        with pytest.raises(Unfit, match="tenant 'bank' has 4 cpu of flavor default: 6 are wanted"):
            await store.approve_quota_request(second.id, from_bank, MAX)

    @pytest.mark.parametrize(
        ("tenant", "used", "donor", "says"),
        [
            ("alone", 5000, "alone", "tenant alone uses 5 cpu of flavor default: that would be 1 more"),
            ("alone", 4000, "alone", ""),
            # It borrows what shop has left.
            ("bank", 10_000, "bank", ""),
        ],
    )
    @pytest.mark.promise(2)
    async def test_nobody_is_left_with_less_than_is_used(
        self, asked_of: AnyStore, tenant: str, used: int, donor: str, says: str
    ) -> None:
        store = asked_of
        await uses(store, tenant, used)
        record = await store.request_quota(ten(amounts=SIX), BOB)
        grant = QuotaGrant(("Tenant", donor))
        if not says:
            assert (await store.approve_quota_request(record.id, grant, MAX)).state is RequestState.GRANTED
            return
        with pytest.raises(Unfit, match=says):
            await store.approve_quota_request(record.id, grant, MAX)

    async def test_a_resource_version_that_is_not_current_decides_nothing(self, asked_of: AnyStore) -> None:
        record = await asked_of.request_quota(ten(), BOB)
        stale = Write("max", if_match=record.resource_version - 1)
        with pytest.raises(PreconditionFailed):
            await asked_of.approve_quota_request(record.id, QuotaGrant(), stale)
        current = Write("max", if_match=record.resource_version)
        assert (await asked_of.approve_quota_request(record.id, QuotaGrant(), current)).decided_by == "max"

    async def test_of_many_deciders_one_decides(self, asked_of: AnyStore) -> None:
        store = asked_of
        record = await store.request_quota(ten(), BOB)
        version = (await store.read_quota()).version
        answers = await asyncio.gather(
            *(store.approve_quota_request(record.id, QuotaGrant(), Write(f"max-{n}")) for n in range(5)),
            *(store.refuse_quota_request(record.id, "no", Write(f"moritz-{n}")) for n in range(5)),
            return_exceptions=True,
        )
        made = [each for each in answers if isinstance(each, QuotaRequestRecord)]
        assert len(made) == 1
        assert [type(each) for each in answers if each is not made[0]] == [Taken] * 9
        moved = made[0].state is RequestState.GRANTED
        assert (await store.read_quota()).version == version + moved
        assert [what for _, what, _ in await last_changes(store, 2)] == ["Requested", made[0].state.value]


class TestGivingBack:
    async def granted(self, store: AnyStore, **grant: Any) -> QuotaRequestRecord:
        record = await store.request_quota(ten(), BOB)
        return await store.approve_quota_request(record.id, QuotaGrant(**grant), MAX)

    async def test_a_part_leaves_the_rest(self, asked_of: AnyStore) -> None:
        store = asked_of
        record = await self.granted(store)
        made = await store.give_back_quota(record.id, {"default": {"cpu": "2500m"}}, BOB)
        assert made.state is RequestState.GRANTED
        assert made.amounts == {"default": {"cpu": "7500m", "memory": "64Gi"}}
        change = (await store.changes(0, 1000))[-1]
        assert (change.what, change.by) == ("GivenBack", "bob")
        assert change.detail["amounts"] == {"default": {"cpu": "2500m"}}
        assert change.detail["left"] == made.amounts
        made = await store.give_back_quota(record.id, {"default": {"memory": "64Gi"}}, BOB)
        assert made.amounts == {"default": {"cpu": "7500m"}}
        made = await store.give_back_quota(record.id, {"default": {"cpu": "7500m"}}, BOB)
        assert made.state is RequestState.GIVEN_BACK
        assert list((await store.read_quota()).grants) == []

    async def test_no_more_than_is_granted(self, asked_of: AnyStore) -> None:
        record = await self.granted(asked_of)
        with pytest.raises(Unfit, match="10 is granted"):
            await asked_of.give_back_quota(record.id, {"default": {"cpu": "11"}}, BOB)

    @pytest.mark.promise(2)
    async def test_not_what_is_in_use(self, asked_of: AnyStore) -> None:
        store = asked_of
        record = await store.request_quota(ten("alone"), BOB)
        await store.approve_quota_request(record.id, QuotaGrant(), MAX)
        await uses(store, "alone", 15_000)
        with pytest.raises(Unfit, match=r"tenant alone uses 15 cpu .* 5 more than it may"):
            await store.give_back_quota(record.id, None, BOB)
        made = await store.give_back_quota(record.id, {"default": {"cpu": "5"}}, BOB)
        assert made.amounts["default"]["cpu"] == "5"

    async def test_the_same_key_gives_back_once(self, asked_of: AnyStore) -> None:
        record = await self.granted(asked_of)
        keyed = Write("bob", idempotency_key="once")
        part = {"default": {"cpu": "1"}}
        first = await asked_of.give_back_quota(record.id, part, keyed)
        assert await asked_of.give_back_quota(record.id, part, keyed) == first
        assert (await asked_of.quota_request(record.id)).amounts["default"]["cpu"] == "9"


class TestRunningOut:
    async def test_what_waits_and_what_is_granted_ends_by_itself(
        self, asked_of: AnyStore, world: World
    ) -> None:
        store = asked_of
        soon = await world.now() + 5.0
        waits = await store.request_quota(ten(until=soon + 1.0), BOB)
        granted = await store.request_quota(ten(until=soon), BOB)
        granted = await store.approve_quota_request(granted.id, QuotaGrant(), MAX)
        lasting = await store.request_quota(ten(until=0.0), BOB)
        await store.approve_quota_request(lasting.id, QuotaGrant(), MAX)
        version = (await store.read_quota()).version
        assert await store.expire_quota_requests(await lead(store), 10) == 0
        await run_out(world, [waits.id, granted.id])
        lease = await lead(store)
        assert await store.expire_quota_requests(lease, 10) == 2
        assert await store.expire_quota_requests(lease, 10) == 0
        assert await last_changes(store, 2) == [
            (str(granted.id), "Expired", "muster"),
            (str(waits.id), "Expired", "muster"),
        ]
        ended = await store.quota_request(granted.id)
        assert (ended.state, ended.decided_by) == (RequestState.EXPIRED, "max")
        state = await store.read_quota()
        assert (state.version, [each.id for each in state.grants]) == (version + 1, [lasting.id])

    async def test_what_waited_moves_no_quota(self, asked_of: AnyStore, world: World) -> None:
        record = await asked_of.request_quota(ten(until=await world.now() + 5.0), BOB)
        version = (await asked_of.read_quota()).version
        await run_out(world, [record.id])
        with pytest.raises((Taken, Unfit), match=r"run out|passed"):
            await asked_of.approve_quota_request(record.id, QuotaGrant(), MAX)
        assert await asked_of.expire_quota_requests(await lead(asked_of), 10) == 1
        assert (await asked_of.read_quota()).version == version

    async def test_so_many_at_once_the_first_due_first(self, asked_of: AnyStore, world: World) -> None:
        store = asked_of
        now = await world.now()
        made = [await store.request_quota(ten(until=now + 60 - n), BOB) for n in range(5)]
        await run_out(world, [each.id for each in made])
        lease = await lead(store)
        assert await store.expire_quota_requests(lease, 2) == 2
        assert [name for name, _, _ in await last_changes(store, 2)] == [str(made[4].id), str(made[3].id)]
        assert [await store.expire_quota_requests(lease, 2) for _ in range(3)] == [2, 1, 0]

    @pytest.mark.promise(2)
    async def test_a_grant_that_is_in_use_runs_out_all_the_same(
        self, asked_of: AnyStore, world: World
    ) -> None:
        """Nothing is stopped by it, and nothing refuses it: what is used beyond its own is recorded."""
        store = asked_of
        record = await store.request_quota(ten("alone", until=await world.now() + 5.0), BOB)
        await store.approve_quota_request(record.id, QuotaGrant(), MAX)
        await uses(store, "alone", 15_000)
        await run_out(world, [record.id])
        assert await store.expire_quota_requests(await lead(store), 10) == 1
        assert (await store.quota_request(record.id)).state is RequestState.EXPIRED
        change = (await store.changes(0, 1000))[-1]
        assert (change.detail["was"], change.detail["beyond"]) == ("Granted", {"default": {"cpu": "5"}})


class TestOfADeletedTenant:
    async def test_its_requests_and_grants_end_with_it(self, asked_of: AnyStore) -> None:
        """Another one of its name starts with what is declared, and the donor has its own again."""
        store = asked_of
        waits, granted, other = [await store.request_quota(ten(of), BOB) for of in ("shop", "shop", "bank")]
        await store.approve_quota_request(granted.id, QuotaGrant(("Tenant", "alone"), amounts=SIX), MAX)
        version = (await store.read_quota()).version
        await store.delete_document("Tenant", "shop", EVE)
        states = [(await store.quota_request(each.id)).state for each in (waits, granted, other)]
        assert states == [RequestState.EXPIRED, RequestState.EXPIRED, RequestState.PENDING]
        assert (await store.quota_request(waits.id)).decision == "its tenant is deleted"
        quota = await store.read_quota()
        assert (quota.version > version, list(quota.grants)) == (True, [])
        changes = (await store.changes(0, 1000))[-3:]
        assert [(each.kind, each.name, each.what, each.by) for each in changes] == [
            ("QuotaRequest", str(waits.id), "Expired", "eve"),
            ("QuotaRequest", str(granted.id), "Expired", "eve"),
            ("Tenant", "shop", "Deleted", "eve"),
        ]

    async def test_it_stays_while_another_uses_what_was_granted_to_it(self, asked_of: AnyStore) -> None:
        store = asked_of
        await store.submit_document("Tenant", "shop", quota("0"), EVE)
        granted = await store.request_quota(ten(amounts=SIX), BOB)
        await store.approve_quota_request(granted.id, QuotaGrant(), MAX)
        await uses(store, "bank", 15_000)
        version = (await store.read_quota()).version
        with pytest.raises(Taken, match="tenant bank uses 15 cpu"):
            await store.delete_document("Tenant", "shop", EVE)
        quota_now = await store.read_quota()
        assert (quota_now.version, [each.id for each in quota_now.grants]) == (version, [granted.id])

    async def test_while_somebody_approves_it_one_of_the_two_comes_first(self, asked_of: AnyStore) -> None:
        store = asked_of
        made = [await store.request_quota(ten(), BOB) for _ in range(4)]
        await asyncio.gather(
            *(store.approve_quota_request(each.id, QuotaGrant(), MAX) for each in made),
            store.delete_document("Tenant", "shop", EVE),
            return_exceptions=True,
        )
        assert list((await store.read_quota()).grants) == []


async def run_out(world: World, ids: list[int]) -> None:
    """A minute passes. Of a server's clock: all that it was asked for lies a minute further back."""
    if isinstance(world, PostgresWorld):
        async with raw(world.dsn) as connection:
            await connection.execute(
                "update quota_request set until = until - interval '61 seconds' where id = any($1)", ids
            )
    else:
        await world.pass_time(61.0)
