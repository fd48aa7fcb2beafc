"""Several writers at once on a real Postgres: whoever looks, whenever, nobody is above his quota.

Two deciders take the lease from each other and go on with what they remember until they are told; people
raise and lower limits, move tenants, and are granted quota; an observer compares, in one snapshot of its own,
the ledger, the balances, and what the tree of that moment gives.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import asyncpg
import pytest

from controlplane.intent import QuotaDraft, QuotaGrant, Taken, Unfit, WorkloadDraft, Write
from controlplane.known.documents import Shelf
from controlplane.known.known import Known
from controlplane.known.quotas import Quotas
from controlplane.known.records import (
    BalanceRecord,
    Cause,
    DocumentRecord,
    Lease,
    LedgerLine,
    WorkloadRecord,
)
from controlplane.loops.follow import Follow
from controlplane.loops.ports import LeaseLost, NewDecision
from controlplane.store import quota_head
from controlplane.store.codecs import set_codecs
from controlplane.store.store import PostgresStore
from tests.conformance.store_worlds import ME, PostgresWorld, raw

pytest_plugins = ["tests.conformance.store_fixtures"]
SECONDS = 60.0
TTL_SECONDS = 30.0
GPU = "nvidia.com/gpu"
KEY = ("amd", GPU)
COHORTS = ("all", "left", "right")
TENANTS = tuple(f"t{number}" for number in range(5))
WORKLOADS = 6
"""Of each tenant."""
ENOUGH = {
    "committed": 300,
    "skipped": 100,
    "released": 300,
    "lease lost": 4,
    "written": 40,
    "refused": 40,
    "granted": 4,
    "observed": 300,
    "borrowing": 100,
}
"""Of everything that is to have happened, so that the test says something."""
ASKS, APPROVES = Write("asks"), Write("approves")


def amount(random: Random) -> dict[str, Any]:
    nominal = random.randrange(0, 16)
    limits: dict[str, Any] = {"name": GPU, "nominalQuota": nominal}
    if random.random() < 0.4:
        limits["borrowingLimit"] = random.randrange(0, 10)
    if random.random() < 0.4:
        limits["lendingLimit"] = random.randrange(0, nominal + 1)
    return {"name": "amd", "resources": [limits]}


def tenant(random: Random) -> dict[str, Any]:
    cohort = random.choice(["left", "left", "left", "right", "right", "all"])
    return {"namespaces": ["n"], "quota": {"cohort": cohort, "flavors": [amount(random)]}}


def cohort(name: str, random: Random) -> dict[str, Any]:
    if name == "all":
        nominal = {"name": GPU, "nominalQuota": random.randrange(0, 5)}
        return {"flavors": [{"name": "amd", "resources": [nominal]}]}
    return {"parent": "all", "flavors": [amount(random)]}


@dataclass
class Happened:
    """What happened how often; done when it is enough."""

    counts: Counter[str] = field(default_factory=Counter[str])
    until: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    @property
    def done(self) -> bool:
        missing = {name for name, count in ENOUGH.items() if self.counts[name] < count}
        assert time.monotonic() < self.until, f"not enough happened in {SECONDS} s: {missing}, {self.counts}"
        return not missing


class Decider:
    """Decides on what it remembers, by the very parts that the leader decides with."""

    def __init__(self, store: PostgresStore, holder: str, happened: Happened, random: Random) -> None:
        self._store, self._holder, self._happened, self._random = store, holder, happened, random
        self._known = Known()

    async def run(self) -> None:
        while not self._happened.done:
            lease = await self._store.take_lease("deciding", self._holder, TTL_SECONDS)
            if lease is None:
                await asyncio.sleep(0.005)
                continue
            self._known = Known()
            self._known.replace_records(await self._store.load())
            follow = Follow(self._store, self._known)
            try:
                while not self._happened.done:
                    if self._random.random() < 0.2:
                        await follow.take_changes()
                    self._known.quotas.refresh(self._known.documents, time.time())
                    if self._random.random() < 0.5:
                        await self._release(lease)
                    elif await self._charge(lease):
                        await follow.take_changes()
            except LeaseLost:
                self._happened.counts["lease lost"] += 1

    async def _charge(self, lease: Lease) -> bool:
        """Whether something was skipped."""
        made = list(self._decisions())
        # Between a decision and its commit others come.
        await asyncio.sleep(self._random.random() * 0.01)
        skipped = await self._store.commit_decisions(lease, made, self._known.quotas.version)
        for each in made:
            if each.workload in skipped:
                back = [LedgerLine(*_place(line), -line.amount, Cause.RELEASED) for line in each.lines]
                self._known.quotas.enter(back)
        self._happened.counts["skipped"] += len(skipped)
        self._happened.counts["committed"] += len(made) - len(skipped)
        return bool(skipped)

    def _decisions(self) -> Iterator[NewDecision]:
        quotas = self._known.quotas
        works = sorted(self._known.workloads.values(), key=lambda record: record.name)
        for work in self._random.sample(works, self._random.randrange(1, 7)):
            needs = {KEY: self._random.randrange(1, 7)}
            if quotas.usage.lacking(work.tenant, needs):
                continue
            self._happened.counts["borrowing"] += quotas.usage.borrows(work.tenant, needs)
            line = LedgerLine(
                work.tenant, work.uid, self._random.choice("ab"), *KEY, needs[KEY], Cause.PLACED
            )
            quotas.enter([line])
            version = work.resource_version
            yield NewDecision(work.uid, version, work.revision, True, "", "", {}, lines=(line,))

    async def _release(self, lease: Lease) -> None:
        charged = list(self._known.quotas.charges.balances())
        lines = [
            LedgerLine(*_place(each), -self._random.randrange(1, each.amount + 1), Cause.RELEASED)
            for each in self._random.sample(charged, min(len(charged), 2))
        ]
        await self._store.commit_lines(lease, lines)
        self._known.quotas.enter(lines)
        self._happened.counts["released"] += len(lines)


def _place(each: LedgerLine | BalanceRecord) -> tuple[str, str, str, str, str]:
    return each.tenant, each.workload, each.cluster, each.flavor, each.resource


async def depose(dsn: str, happened: Happened) -> None:
    """The leader's time is up without its knowing: as after a long sleep of its host."""
    async with raw(dsn) as connection:
        while not happened.done:
            await asyncio.sleep(0.5)
            lost = happened.counts["lease lost"]
            await connection.execute("update lease set expires_at = '-infinity'")
            while happened.counts["lease lost"] == lost and not happened.done:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def write(store: PostgresStore, happened: Happened, random: Random) -> None:
    """Limits up and down, tenants from one cohort to another."""
    while not happened.done:
        kind, name = (
            ("Cohort", random.choice(COHORTS))
            if random.random() < 0.3
            else ("Tenant", random.choice(TENANTS))
        )
        spec = cohort(name, random) if kind == "Cohort" else tenant(random)
        try:
            await store.submit_document(kind, name, spec, ME)
            happened.counts["written"] += 1
        except (Taken, Unfit):
            happened.counts["refused"] += 1
        await asyncio.sleep(random.random() * 0.2)


async def grant(store: PostgresStore, happened: Happened, random: Random) -> None:
    """Quota that is asked for, granted, and given back."""
    held: list[int] = []
    while not happened.done:
        try:
            if held and random.random() < 0.5:
                await store.give_back_quota(random.choice(held), None, ASKS)
            else:
                amounts = {"amd": {GPU: str(random.randrange(1, 6))}}
                asked = await store.request_quota(
                    QuotaDraft(random.choice(TENANTS), amounts, 0.0, "more"), ASKS
                )
                donors = [None, ("Cohort", "all"), *(("Tenant", name) for name in TENANTS)]
                donor = random.choice(donors)
                try:
                    await store.approve_quota_request(asked.id, QuotaGrant(taken_from=donor), APPROVES)
                    held.append(asked.id)
                    happened.counts["granted"] += 1
                except (Taken, Unfit):
                    await store.refuse_quota_request(asked.id, "no", APPROVES)
        except (Taken, Unfit):
            happened.counts["refused"] += 1
        await asyncio.sleep(random.random() * 0.3)


async def observe(dsn: str, happened: Happened) -> None:
    async with raw(dsn) as connection:
        await set_codecs(connection)
        while not happened.done:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                documents = await connection.fetch("select kind, name, spec, resource_version from document")
                grants = await connection.fetch(quota_head.GRANTED)
                balances = await connection.fetch("select * from balance")
                sums = await connection.fetch(
                    "select workload, cluster, tenant, flavor, resource, sum(amount) as amount from ledger"
                    " group by workload, cluster, tenant, flavor, resource having sum(amount) <> 0"
                )
            assert {_sum_of(row) for row in sums} == {_sum_of(row) for row in balances}
            check_tree(documents, grants, balances)
            happened.counts["observed"] += 1
            await asyncio.sleep(0)


def _sum_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("workload", "cluster", "tenant", "flavor", "resource", "amount"))


def check_tree(
    documents: Sequence[Mapping[str, Any]],
    grants: Sequence[Mapping[str, Any]],
    balances: Sequence[Mapping[str, Any]],
) -> None:
    """Who is charged anything may be charged it, by the tree of this snapshot."""
    shelves = {kind: Shelf() for kind in ("Tenant", "Cohort", "Flavor")}
    for row in documents:
        shelves[row["kind"]].put(DocumentRecord(row["name"], row["spec"], row["resource_version"]))
    quotas = Quotas()
    quotas.take(1, [quota_head.request_of(dict(row)) for row in grants])
    quotas.refresh(shelves, time.time())
    for row in balances:
        quotas.usage.add(row["tenant"], {(row["flavor"], row["resource"]): int(row["amount"])})
    for name in TENANTS:
        used = quotas.usage.of(name).get(KEY, 0)
        left = quotas.usage.available(name, KEY)
        assert not used or left >= 0, f"{name} uses {used}, {-left} above its quota: {documents}"


async def prepare(store: PostgresStore) -> Sequence[WorkloadRecord]:
    random = Random(1)
    await store.submit_document("Flavor", "amd", {}, ME)
    for name in COHORTS:
        await store.submit_document("Cohort", name, cohort(name, random), ME)
    for name in TENANTS:
        await store.submit_document("Tenant", name, tenant(random), ME)
    return [
        await store.submit_workload(WorkloadDraft(f"{name}-{number}", {}, {}, name, {"manifests": []}), ME)
        for name in TENANTS
        for number in range(WORKLOADS)
    ]


@pytest.mark.promise(2)
@pytest.mark.parametrize("seed", range(2))
async def test_nobody_is_ever_above_the_quota_of_the_moment(postgres_world: PostgresWorld, seed: int) -> None:
    happened, dsn = Happened(), postgres_world.dsn
    await prepare(postgres_world.store)
    async with PostgresStore(dsn) as first, PostgresStore(dsn) as second, asyncio.TaskGroup() as group:
        group.create_task(Decider(first, "first", happened, Random(seed * 100 + 1)).run())
        group.create_task(Decider(second, "second", happened, Random(seed * 100 + 2)).run())
        group.create_task(depose(dsn, happened))
        for number in range(3):
            random = Random(seed * 100 + 10 + number)
            group.create_task(write(postgres_world.store, happened, random))
        group.create_task(grant(postgres_world.store, happened, Random(seed * 100 + 20)))
        group.create_task(observe(dsn, happened))
    assert await postgres_world.store.check_ledger() == []


@pytest.mark.promise(2)
async def test_who_changes_quota_for_long_ends_no_leadership(postgres_world: PostgresWorld) -> None:
    """What charges waits for it, and is decided again; what does not, and what is released, goes on."""
    store = postgres_world.store
    works = await prepare(store)
    lease = await store.take_lease("deciding", "first", TTL_SECONDS)
    assert lease is not None
    version = (await store.read_quota()).version
    charging, held, free = (_decided(work, amount) for work, amount in zip(works, (1, 5, 0), strict=False))
    assert not await store.commit_decisions(lease, [held], version)
    async with raw(postgres_world.dsn) as connection:
        await connection.execute("begin; select from quota_head for update")
        began = time.monotonic()
        assert set(await store.commit_decisions(lease, [charging, free], version)) == {charging.workload}
        assert time.monotonic() - began < 2
        released = replace(held.lines[0], amount=-5, cause=Cause.RELEASED)
        await store.commit_lines(lease, [released])
        await connection.execute("rollback")
    assert not await store.commit_decisions(lease, [charging], version)
    loaded = await store.load()
    assert [(each.workload, each.amount) for each in loaded.balances] == [(charging.workload, 1)]
    assert {each.workload for each in loaded.decisions} == {works[number].uid for number in range(3)}


async def test_a_short_change_of_quota_is_waited_for(postgres_world: PostgresWorld) -> None:
    store = postgres_world.store
    work = (await prepare(store))[0]
    lease = await store.take_lease("deciding", "first", TTL_SECONDS)
    assert lease is not None
    version = (await store.read_quota()).version
    async with raw(postgres_world.dsn) as connection:
        await connection.execute("begin; select from quota_head for update")
        committing = asyncio.create_task(store.commit_decisions(lease, [_decided(work, 1)], version))
        await _waited_for(connection)
        await connection.execute("commit")
        assert not await committing
        # Nothing of the wait is left behind on the connection.
        assert not await store.commit_decisions(lease, [_decided(work, 2)], version)


async def _waited_for(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    async with asyncio.timeout(5):
        while not await connection.fetchval(_WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


_WAITING = (
    "select exists (select from pg_stat_activity where wait_event_type = 'Lock'"
    " and datname = current_database())"
)


def _decided(work: WorkloadRecord, amount: int) -> NewDecision:
    line = LedgerLine(work.tenant, work.uid, "a", *KEY, amount, Cause.PLACED)
    lines = (line,) if amount else ()
    return NewDecision(work.uid, work.resource_version, work.revision, True, "", "", {}, lines=lines)
