"""What decisions may rely on from the ledger of quota, asked of Postgres and of the memory."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.known.records import (
    BalanceRecord,
    Cause,
    Lease,
    LedgerLine,
    LedgerQuery,
    WorkloadRecord,
)
from controlplane.loops.ports import LeaseLost, NewDecision
from controlplane.store.ledger import MOST
from schemas.wire.orders import Verb, Version
from tests.conformance.store_worlds import (
    ME,
    TTL_SECONDS,
    AnyStore,
    World,
    decision,
    draft,
    lead,
    order,
)

pytest_plugins = ["tests.conformance.store_fixtures"]
KEYED = replace(ME, idempotency_key="once")


def line(
    workload: str,
    amount: int,
    cause: Cause = Cause.PLACED,
    *,
    tenant: str = "shop",
    cluster: str = "a",
    flavor: str = "amd",
    resource: str = "cpu",
    version: Version | None = None,
) -> LedgerLine:
    return LedgerLine(tenant, workload, cluster, flavor, resource, amount, cause, version)


def balance(workload: str, amount: int, *, drift: bool = False, resource: str = "cpu") -> BalanceRecord:
    return BalanceRecord("shop", workload, "a", "amd", resource, drift, amount)


async def charged(store: AnyStore, lease: Lease, amount: int = 400) -> WorkloadRecord:
    """A workload that is placed, and charged so much cpu."""
    work = await store.submit_workload(draft(), ME)
    (generation,) = await store.reserve_generations(lease, 1)
    new = decision(work, order("a", lease, generation))
    lines = (line(work.uid, amount, version=Version(lease.epoch, generation)),)
    assert not await store.commit_decisions(lease, [replace(new, lines=lines)], await version(store))
    return work


async def version(store: AnyStore) -> int:
    return (await store.read_quota()).version


async def balances(store: AnyStore) -> set[BalanceRecord]:
    assert await store.check_ledger() == []
    found = (await store.load()).balances
    assert len(found) == len(set(found))
    return set(found)


async def amounts(store: AnyStore) -> list[tuple[Cause, int]]:
    entries = await store.ledger_lines(LedgerQuery(newest_first=False))
    return [(entry.line.cause, entry.line.amount) for entry in entries]


class TestCharges:
    @pytest.mark.promise(2)
    async def test_placement_ledger_and_balances_are_there_together(self, world: World) -> None:
        store, lease = world.store, await lead(world.store)
        work, other = [await store.submit_workload(draft(name), ME) for name in ("web", "other")]
        first = Version(lease.epoch, 1)
        lines = (
            line(work.uid, 400, version=first),
            line(work.uid, 2**40, resource="memory", version=first),
            line(work.uid, 3, flavor="", resource="nvidia.com/gpu"),
        )
        new = [replace(decision(work, order("a", lease, 1)), lines=lines), decision(other)]
        assert not await store.commit_decisions(lease, new, await version(store))
        assert await balances(store) == {
            balance(work.uid, 400),
            balance(work.uid, 2**40, resource="memory"),
            BalanceRecord("shop", work.uid, "a", "", "nvidia.com/gpu", False, 3),
        }
        entries = await store.ledger_lines(LedgerQuery(newest_first=False))
        assert [entry.line for entry in entries] == list(lines)
        now = await world.now()
        assert all(abs(entry.at - now) < 60 for entry in entries)
        assert [row.cluster for row in (await store.load()).placements] == ["a"]

    async def test_lines_of_one_key_come_together(self, store: AnyStore) -> None:
        lease = await lead(store)
        work = await charged(store, lease)
        for amount in (100, 50):
            lines = (line(work.uid, amount), line(work.uid, amount))
            more = replace(decision(work), lines=lines)
            assert not await store.commit_decisions(lease, [more], await version(store))
        assert await balances(store) == {balance(work.uid, 700)}
        assert [amount for _, amount in await amounts(store)] == [400, 100, 100, 50, 50]

    @pytest.mark.promise(2)
    async def test_a_decision_that_is_skipped_charges_nothing(self, store: AnyStore) -> None:
        lease = await lead(store)
        moved, stays = [await store.submit_workload(draft(name), ME) for name in ("moved", "stays")]
        await store.submit_workload(draft("moved", replicas=9), ME)
        new = [replace(decision(work), lines=(line(work.uid, 5),)) for work in (moved, stays)]
        assert set(await store.commit_decisions(lease, new, await version(store))) == {moved.uid}
        assert await balances(store) == {balance(stays.uid, 5)}

    @pytest.mark.promise(2)
    async def test_what_is_charged_stands_on_the_quota_that_it_was_decided_on(self, store: AnyStore) -> None:
        lease = await lead(store)
        before = await version(store)
        works = [await store.submit_workload(draft(f"w{number}"), ME) for number in range(4)]
        held = replace(decision(works[2]), lines=(line(works[2].uid, 7),))
        assert not await store.commit_decisions(lease, [held], before)
        await store.submit_document("Cohort", "all", {}, ME)
        new = [
            replace(decision(works[0], order("a", lease, 1)), lines=(line(works[0].uid, 5),)),
            decision(works[1], order("a", lease, 2)),
            replace(decision(works[2]), lines=(line(works[2].uid, -7, Cause.RELEASED),)),
            replace(
                decision(works[3]),
                lines=(line(works[2].uid, -7, Cause.MOVED), line(works[3].uid, 7, Cause.MOVED)),
            ),
        ]
        skipped = await store.commit_decisions(lease, new, before)
        assert set(skipped) == {works[0].uid, works[3].uid}
        assert await balances(store) == set()
        assert [row.workload for row in (await store.load()).placements] == [works[1].uid]
        assert not await store.commit_decisions(lease, new[:1], await version(store))
        assert await balances(store) == {balance(works[0].uid, 5)}


QuotaWrite = Callable[[AnyStore], Awaitable[object]]
OWNED = {"namespaces": ["n"], "quota": {}}
QUOTA_WRITES: dict[str, tuple[QuotaWrite, int]] = {
    "a new Tenant with a quota": (lambda store: store.submit_document("Tenant", "new", OWNED, ME), 1),
    "a Tenant's quota": (
        lambda store: store.submit_document("Tenant", "shop", OWNED | {"quota": {"weight": 2}}, ME),
        1,
    ),
    "a quota taken away": (lambda store: store.submit_document("Tenant", "shop", {}, ME), 1),
    "a Tenant deleted": (lambda store: store.delete_document("Tenant", "shop", ME), 1),
    "a Cohort": (lambda store: store.submit_document("Cohort", "all", {}, ME), 1),
    "a Flavor": (lambda store: store.submit_document("Flavor", "amd", {}, ME), 1),
    "a Tenant's namespaces": (
        lambda store: store.submit_document("Tenant", "shop", OWNED | {"namespaces": ["m"]}, ME),
        0,
    ),
    "a new Tenant without a quota": (lambda store: store.submit_document("Tenant", "new", {}, ME), 0),
    "the same Tenant again": (lambda store: store.submit_document("Tenant", "shop", OWNED, ME), 0),
    "an answer given again": (lambda store: store.submit_document("Tenant", "keyed", OWNED, KEYED), 0),
    "an AlertRule": (lambda store: store.submit_document("AlertRule", "hot", {}, ME), 0),
    "a workload": (lambda store: store.submit_workload(draft(), ME), 0),
}


class TestVersion:
    @pytest.mark.promise(2)
    @pytest.mark.parametrize("case", QUOTA_WRITES)
    async def test_grows_with_every_write_that_bounds_quota(self, store: AnyStore, case: str) -> None:
        write, steps = QUOTA_WRITES[case]
        await store.submit_document("Tenant", "shop", OWNED, ME)
        await store.submit_document("Tenant", "keyed", OWNED, KEYED)
        before = await version(store)
        await write(store)
        assert await version(store) == before + steps
        assert (await store.load()).quota_version == before + steps

    async def test_a_write_that_is_refused_leaves_it(self, store: AnyStore) -> None:
        before = await version(store)
        with pytest.raises(LookupError):
            await store.delete_document("Tenant", "none", ME)
        assert await version(store) == before


class TestLines:
    async def test_what_comes_to_nothing_is_gone(self, store: AnyStore) -> None:
        lease = await lead(store)
        work = await charged(store, lease, 400)
        await store.commit_lines(lease, [line(work.uid, -150, Cause.RELEASED)])
        assert await balances(store) == {balance(work.uid, 250)}
        await store.commit_lines(lease, [line(work.uid, -250, Cause.RELEASED)])
        assert await balances(store) == set()
        assert [amount for _, amount in await amounts(store)] == [400, -150, -250]

    async def test_drift_is_kept_apart(self, store: AnyStore) -> None:
        lease = await lead(store)
        work = await charged(store, lease, 400)
        await store.commit_lines(lease, [line(work.uid, 30, Cause.DRIFTED), line("", 8, Cause.DRIFTED)])
        drifted = {balance(work.uid, 30, drift=True), balance("", 8, drift=True)}
        assert await balances(store) == {balance(work.uid, 400), *drifted}
        await store.commit_lines(lease, [line(work.uid, -400, Cause.RELEASED), line("", -8, Cause.DRIFTED)])
        assert await balances(store) == {balance(work.uid, 30, drift=True)}

    @pytest.mark.promise(2)
    async def test_what_moves_to_another_flavor_does_so_on_the_quota_that_names_it(
        self, store: AnyStore
    ) -> None:
        lease = await lead(store)
        work = await charged(store, lease, 400)
        decided_on = await version(store)
        moved = [line(work.uid, -400, Cause.MOVED), line(work.uid, 400, Cause.MOVED, flavor="arm")]
        assert await store.move_lines(lease, moved, decided_on)
        assert await balances(store) == {replace(balance(work.uid, 400), flavor="arm")}
        await store.submit_document("Cohort", "all", {}, ME)
        back = [replace(each, amount=-each.amount) for each in moved]
        assert not await store.move_lines(lease, back, decided_on)
        assert await balances(store) == {replace(balance(work.uid, 400), flavor="arm")}
        with pytest.raises(ValueError, match="charged by a decision only"):
            await store.move_lines(lease, [line(work.uid, 1, Cause.MOVED)], await version(store))

    async def test_drift_needs_no_certain_quota(self, store: AnyStore) -> None:
        lease = await lead(store)
        await store.submit_document("Cohort", "all", {}, ME)
        await store.commit_lines(lease, [line("", 8, Cause.DRIFTED)])
        assert await balances(store) == {balance("", 8, drift=True)}

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            (line("w", 1), "1 more cpu of shop: charged by a decision only"),
            (line("w", 1, Cause.MOVED), "charged by a decision only"),
            (line("w", MOST + 1, Cause.DRIFTED), "cpu of shop: 9223372036854775808 is beyond"),
            (line("w", -MOST - 1, Cause.RELEASED), "is beyond"),
        ],
    )
    async def test_what_is_no_release_and_no_drift_is_refused(
        self, store: AnyStore, wrong: LedgerLine, says: str
    ) -> None:
        lease = await lead(store)
        with pytest.raises(ValueError, match=says):
            await store.commit_lines(lease, [line("w", 5, Cause.DRIFTED), wrong])
        assert await balances(store) == set()

    async def test_sums_outgrow_a_line(self, store: AnyStore) -> None:
        lease = await lead(store)
        for _ in range(3):
            await store.commit_lines(lease, [line("w", MOST, Cause.DRIFTED)])
        assert await balances(store) == {balance("w", 3 * MOST, drift=True)}

    async def test_text_that_no_database_holds_stops_nothing(self, store: AnyStore) -> None:
        lease = await lead(store)
        for amount in (5, -3):
            await store.commit_lines(lease, [line("w", amount, Cause.DRIFTED, resource="a\x00b")])
        assert await balances(store) == {balance("w", 2, drift=True, resource="a\ufffdb")}


class TestOverdrawn:
    @pytest.mark.promise(2)
    async def test_a_release_of_more_than_is_charged_ends_the_lease_whole(self, store: AnyStore) -> None:
        """Who leads remembers what the ledger does not say: all is loaded anew."""
        lease = await lead(store)
        work = await charged(store, lease, 400)
        other = await store.submit_workload(draft("other"), ME)
        before = await store.load(), await amounts(store)
        with pytest.raises(
            LeaseLost, match=r"charge of cpu in flavor 'amd' of tenant 'shop' is 400, and 401"
        ):
            await store.commit_lines(
                lease, [line("", 8, Cause.DRIFTED), line(work.uid, -401, Cause.RELEASED)]
            )
        new = [
            replace(decision(other, order("a", lease, 9)), lines=(line(other.uid, 5),)),
            replace(decision(work), lines=(line(work.uid, -401, Cause.RELEASED),)),
        ]
        with pytest.raises(LeaseLost, match="401 is to be released"):
            await store.commit_decisions(lease, new, await version(store))
        assert (await store.load(), await amounts(store)) == before

    @pytest.mark.parametrize(
        "never",
        [
            line("w", -1, Cause.RELEASED),
            line("w", -1, Cause.DRIFTED),
            line("w", -1, Cause.RELEASED, tenant="other"),
        ],
    )
    async def test_what_was_never_charged_is_not_released(self, store: AnyStore, never: LedgerLine) -> None:
        lease = await lead(store)
        with pytest.raises(LeaseLost):
            await store.commit_lines(lease, [never])
        assert await balances(store) == set()

    async def test_lines_count_together(self, store: AnyStore) -> None:
        lease = await lead(store)
        lines = [line("w", -5, Cause.DRIFTED), line("w", 5, Cause.DRIFTED), line("w", 1, Cause.DRIFTED)]
        await store.commit_lines(lease, lines)
        assert await balances(store) == {balance("w", 1, drift=True)}


class TestReading:
    PAGES: dict[str, tuple[LedgerQuery, Sequence[int]]] = {
        "newest first": (LedgerQuery(), [6, 5, 4, 3, 2, 1]),
        "oldest first": (LedgerQuery(newest_first=False), [1, 2, 3, 4, 5, 6]),
        "so many": (LedgerQuery(limit=2), [6, 5]),
        "none": (LedgerQuery(limit=0), []),
        "a tenant's": (LedgerQuery(tenant="bank"), [3]),
        "a workload's": (LedgerQuery(workload="w2"), [6, 2]),
        "no workload's": (LedgerQuery(workload=""), [5]),
        "in a cluster": (LedgerQuery(cluster="b"), [4]),
        "of a flavor": (LedgerQuery(flavor=""), [4]),
        "of a resource": (LedgerQuery(resource="memory"), [6]),
        "of all these": (LedgerQuery(tenant="shop", workload="w2", resource="cpu"), [2]),
    }
    LINES = (
        line("w1", 1, Cause.DRIFTED),
        line("w2", 2, Cause.DRIFTED),
        line("w1", 3, Cause.DRIFTED, tenant="bank"),
        line("w1", 4, Cause.DRIFTED, cluster="b", flavor=""),
        line("", 5, Cause.DRIFTED),
        line("w2", 6, Cause.DRIFTED, resource="memory"),
    )

    @pytest.mark.parametrize("case", PAGES)
    async def test_what_is_asked_for(self, store: AnyStore, case: str) -> None:
        query, expected = self.PAGES[case]
        lease = await lead(store)
        for each in self.LINES:
            await store.commit_lines(lease, [each])
        assert [entry.line.amount for entry in await store.ledger_lines(query)] == expected

    @pytest.mark.parametrize("newest_first", [True, False])
    async def test_page_by_page_all_of_it_once(self, store: AnyStore, newest_first: bool) -> None:
        lease = await lead(store)
        for number in range(1, 8):
            await store.commit_lines(lease, [line("w", number, Cause.DRIFTED)])
        query, found = LedgerQuery(limit=3, newest_first=newest_first), list[int]()
        while page := await store.ledger_lines(query):
            found += [entry.line.amount for entry in page]
            query = replace(query, after=page[-1].id)
        assert found == (list(range(7, 0, -1)) if newest_first else list(range(1, 8)))

    async def test_by_time(self, store: AnyStore) -> None:
        lease = await lead(store)
        for number in range(1, 5):
            await store.commit_lines(lease, [line("w", number, Cause.DRIFTED)])
        times = [entry.at for entry in await store.ledger_lines(LedgerQuery(newest_first=False))]
        for query, holds in (
            (LedgerQuery(since=times[2]), lambda at: at >= times[2]),
            (LedgerQuery(until=times[2]), lambda at: at < times[2]),
            (LedgerQuery(since=times[1], until=times[3]), lambda at: times[1] <= at < times[3]),
            (LedgerQuery(since=times[3] + 1e7), lambda at: False),
            (LedgerQuery(until=times[0] - 1e7), lambda at: False),
        ):
            found = sorted(entry.at for entry in await store.ledger_lines(query))
            assert found == [at for at in times if holds(at)]

    async def test_balances_place_by_place(self, store: AnyStore) -> None:
        lease = await lead(store)
        await store.commit_lines(lease, self.LINES)
        place, found = ("", ""), list[tuple[str, str]]()
        while page := await store.balances_after(place, 2):
            places = sorted({(each.workload, each.cluster) for each in page})
            assert len(places) <= 2
            found += places
            place = places[-1]
        assert found == [("", "a"), ("w1", "a"), ("w1", "b"), ("w2", "a")]
        of = await store.balances_of([("w2", "a"), ("w9", "a"), ("w1", "b")])
        assert {(each.workload, each.amount) for each in of} == {("w2", 2), ("w2", 6), ("w1", 4)}


@dataclass(frozen=True)
class Step:
    """One thing that happens. workload: of three. version: how far the quota is behind."""

    act: str
    workload: int
    cluster: str
    resource: str
    amount: int
    behind: int = 0


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["decide", "decide", "release", "drift", "quota", "write"]),
        st.integers(0, 2),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["cpu", "memory"]),
        st.integers(-6, 9),
        st.sampled_from([0, 0, 0, 1]),
    ),
    max_size=25,
)


class Course:
    """The steps, and what the balances come to by them."""

    def __init__(self, store: AnyStore, name: str) -> None:
        self._store = store
        self._name = name
        self._seen: dict[int, WorkloadRecord] = {}
        self.expected: Counter[tuple[str, str, str, bool]] = Counter()

    async def run(self, steps: Sequence[Step]) -> None:
        lease = await lead(self._store)
        for number in range(3):
            self._seen[number] = await self._store.submit_workload(draft(f"{self._name}-{number}"), ME)
        for number, step in enumerate(steps):
            match step.act:
                case "quota":
                    spec = {"nodeLabels": {"course": f"{self._name}-{number}"}}
                    await self._store.submit_document("Flavor", "other", spec, ME)
                case "write":
                    # The decision after it is made on what was seen before.
                    await self._store.submit_workload(draft(f"{self._name}-{step.workload}", n=number), ME)
                case _:
                    await self._enter(lease, step)
            assert await self._store.check_ledger() == []
        assert await self._found() == {key: amount for key, amount in self.expected.items() if amount}

    async def _enter(self, lease: Lease, step: Step) -> None:
        work = self._seen[step.workload]
        drift = step.act == "drift"
        cause = Cause.DRIFTED if drift else Cause.PLACED if step.amount > 0 else Cause.RELEASED
        if step.act == "release":
            step = replace(step, amount=-abs(step.amount))
        new = line(work.uid, step.amount, cause, cluster=step.cluster, resource=step.resource)
        key = work.uid, step.cluster, step.resource, drift
        try:
            if step.act == "decide":
                charging = NewDecision(work.uid, work.resource_version, 1, True, "", "", {}, lines=(new,))
                at = await version(self._store) - step.behind
                skipped = await self._store.commit_decisions(lease, [charging], at)
                (row,) = await self._store.read_workloads([work.uid])
                moved = row.resource_version != work.resource_version
                assert bool(skipped) == (moved or (step.behind > 0 and step.amount > 0))
                self._seen[step.workload] = row
                if skipped:
                    return
            else:
                await self._store.commit_lines(lease, [new])
        except LeaseLost:
            assert self.expected[key] + step.amount < 0
            return
        self.expected[key] += step.amount

    async def _found(self) -> dict[tuple[str, str, str, bool], int]:
        uids = {record.uid for record in self._seen.values()}
        places = [(uid, cluster) for uid in uids for cluster in "ab"]
        return {
            (each.workload, each.cluster, each.resource, each.drift): each.amount
            for each in await self._store.balances_of(places)
        }


_COURSES = count()


class TestLaws:
    @pytest.mark.promise(2)
    @given(steps=STEPS)
    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    async def test_the_ledger_equals_the_balances_after_any_course(
        self, store: AnyStore, steps: list[Step]
    ) -> None:
        course = Course(store, f"c{next(_COURSES)}")
        await course.run(steps)
        assert all(amount >= 0 for amount in course.expected.values())


class TestLeases:
    @pytest.mark.promise(2)
    async def test_who_leads_no_more_charges_and_releases_nothing(self, world: World) -> None:
        old = await lead(world.store)
        work = await charged(world.store, old)
        await world.pass_time(TTL_SECONDS + 1)
        new = await lead(world.store, "second")
        before = await balances(world.store)
        more = replace(decision(work, order("a", old, 50, verb=Verb.WITHDRAW)), lines=(line(work.uid, 5),))
        for late in (
            world.store.commit_decisions(old, [more], await version(world.store)),
            world.store.commit_lines(old, [line(work.uid, -1, Cause.RELEASED)]),
        ):
            with pytest.raises(LeaseLost):
                await late
        assert await balances(world.store) == before
        await world.store.commit_lines(new, [line(work.uid, -1, Cause.RELEASED)])
