"""A replica that follows knows what one that has just loaded knows, whatever was decided in between."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from controlplane.known.charged import CHARGED, told
from controlplane.known.known import Known
from controlplane.known.records import Cause, Lease, LedgerLine, OutboxRecord, WorkloadRecord
from controlplane.loops import following as following_loop
from controlplane.loops.centre import Centre
from controlplane.loops.centre_ports import Ports
from controlplane.loops.ports import LeaseLost, NewDecision, OrderMark
from controlplane.loops.running import LoopMetrics
from controlplane.quota.quota import FlavorResource
from schemas.wire.orders import Verb, Version
from schemas.wire.subjects import Subjects
from tests.conformance.store_worlds import (
    ME,
    TTL_SECONDS,
    AnyStore,
    MemoryWorld,
    PostgresWorld,
    SettableClock,
    World,
    decision,
    draft,
    joined,
    lead,
    order,
    raw,
)
from tests.simulation.ledger import Ledger
from tests.simulation.memory_bus import MemoryNats

pytest_plugins = ["tests.conformance.store_fixtures"]

KEY: FlavorResource = ("amd", "cpu")
LOOKS = 40


def replica(store: AnyStore) -> Centre:
    """One process of the centre, of which no loop runs: it follows when it is told to."""
    clock, subjects = SettableClock(), Subjects()
    return Centre(
        Ports(
            store=store,
            bus=MemoryNats(subjects, clock.now).connect_centre(),
            clock=clock,
            signer=Ledger(0),
            subjects=subjects,
            metrics=LoopMetrics(CollectorRegistry()),
            holder="replica",
        )
    )


def what_is_known(known: Known) -> dict[str, Any]:
    """All that follows from Postgres, apart from what neither decisions nor readers look at."""
    charges = known.quotas.charges
    return {
        "clusters": known.clusters,
        "workloads": known.workloads,
        "names": {record.name: known.workload(record.name) for record in known.workloads.values()},
        "decisions": known.decisions,
        "placements": {uid: dict(placed) for uid, placed in known.placements.items() if placed},
        "orders": {uid: dict(orders) for uid, orders in known.orders.items() if orders},
        "orders_in": {cluster: dict(orders) for cluster, orders in known.orders_in.items() if orders},
        "unpublished": known.unpublished,
        "balances": set(charges.balances()),
        "leaving": charges.all_leaving(),
        "used": {tenant: dict(known.quotas.usage.of(tenant)) for tenant in ("shop", "other")},
        "charged": {tenant: set(known.quotas.workloads_of(tenant)) for tenant in ("shop", "other")},
        "documents": {kind: dict(shelf.records) for kind, shelf in known.documents.items()},
        "quota_version": known.quotas.version,
        "epochs": known.epochs,
    }


async def loaded(store: AnyStore) -> Known:
    known = Known()
    known.replace_records(await store.load())
    return known


@dataclass
class Deciders:
    """Random transactions of a leader and of people, each valid by what is stored."""

    store: AnyStore
    random: Random
    lease: Lease
    clusters: list[str] = field(default_factory=list[str])
    steps: int = 0

    async def step(self) -> None:
        self.steps += 1
        acts: list[Callable[[], Awaitable[None]]] = [
            self._submit,
            self._decide,
            self._decide,
            self._withdraw,
            self._mark,
            self._mark,
            self._remove_withdrawn,
            self._release,
            self._drift,
            self._delete,
            self._limits,
            self._lead_anew,
            self._purge,
        ]
        await self.random.choice(acts)()

    async def _workload(self) -> WorkloadRecord | None:
        found = sorted((await self.store.load()).workloads, key=lambda record: record.name)
        return self.random.choice(found) if found else None

    async def _submit(self) -> None:
        name = f"w{self.random.randrange(6)}"
        tenant = self.random.choice(["shop", "other"])
        await self.store.submit_workload(replace(draft(name, step=self.steps), tenant=tenant), ME)

    async def _decide(self) -> None:
        record = await self._workload()
        if record is None or record.deleted:
            return
        clusters = self.random.sample(self.clusters, self.random.randint(0, len(self.clusters)))
        generations = await self.store.reserve_generations(self.lease, len(clusters) + 1)
        orders = [
            order(*each) for each in zip(clusters, [self.lease] * len(clusters), generations, strict=False)
        ]
        asked = {cluster: {KEY: self.random.randint(1, 5)} for cluster in clusters}
        lines = [
            LedgerLine(record.tenant, record.uid, cluster, *KEY, amounts[KEY], Cause.PLACED)
            for cluster, amounts in asked.items()
        ]
        new = replace(
            decision(record, *orders, placed=bool(orders), reason=f"of step {self.steps}"),
            explanation={CHARGED: told(asked)},
            lines=tuple(lines),
        )
        await self._commit(new)

    async def _withdraw(self) -> None:
        record = await self._workload()
        if record is None:
            return
        placed = [row.cluster for row in (await self.store.load()).placements if row.workload == record.uid]
        generations = await self.store.reserve_generations(self.lease, len(placed) + 1)
        orders = [
            order(cluster, self.lease, generation, verb=Verb.WITHDRAW)
            for cluster, generation in zip(placed, generations, strict=False)
        ]
        await self._commit(decision(record, *orders, placed=False, reason="withdrawn"))

    async def _commit(self, new: NewDecision) -> None:
        await self.store.commit_decisions(self.lease, [new], (await self.store.read_quota()).version)

    async def _outbox(self) -> list[OutboxRecord]:
        rows = list((await self.store.load()).outbox)
        return self.random.sample(rows, min(len(rows), 3))

    async def _mark(self) -> None:
        rows = await self._outbox()
        marks = [OrderMark(row.cluster, row.workload, row.version, self.steps) for row in rows]
        if self.random.random() < 0.5:
            await self.store.mark_published(self.lease, marks)
        else:
            await self.store.mark_acknowledged(self.lease, marks)

    async def _remove_withdrawn(self) -> None:
        rows = await self._outbox()
        marks = [OrderMark(row.cluster, row.workload, row.version) for row in rows]
        await self.store.remove_withdrawn(self.lease, marks)

    async def _release(self) -> None:
        balances = [row for row in (await self.store.load()).balances if row.workload]
        lines = [
            LedgerLine(row.tenant, row.workload, row.cluster, *KEY, -row.amount, Cause.RELEASED)
            for row in self.random.sample(balances, min(len(balances), 2))
            if not row.drift
        ]
        await self.store.commit_lines(self.lease, lines)

    async def _drift(self) -> None:
        cluster, amount = self.random.choice(self.clusters), self.random.randint(1, 3)
        line = LedgerLine("shop", "", cluster, *KEY, amount, Cause.DRIFTED)
        await self.store.commit_lines(self.lease, [line])

    async def _delete(self) -> None:
        record = await self._workload()
        if record is not None and not record.deleted:
            await self.store.delete_workload(record.name, ME)

    async def _limits(self) -> None:
        (generation,) = await self.store.reserve_generations(self.lease, 1)
        version = Version(self.lease.epoch, generation)
        row = OutboxRecord(
            self.random.choice(self.clusters), "limits-of-shop", Verb.APPLY, version, b"limits", b"signed"
        )
        await self.store.commit_orders(self.lease, [row])

    async def _lead_anew(self) -> None:
        await self.store.release_lease(self.lease)
        self.lease = await lead(self.store, f"holder-{self.steps}")

    async def decide_as(self, holder: str, count: int) -> None:
        await self.store.release_lease(self.lease)
        self.lease = await lead(self.store, holder)
        for _ in range(count):
            await self._submit()
            await self._decide()

    async def _purge(self) -> None:
        await self.store.record_purged(self.lease, [Subjects().profile(self.clusters[0], "abc")])


async def deciders(store: AnyStore, seed: int) -> Deciders:
    clusters = [(await joined(store, name)).id for name in ("north", "south", "west")]
    return Deciders(store, Random(seed), await lead(store), clusters)


def compared(known: Known, fresh: Known) -> None:
    ours, theirs = what_is_known(known), what_is_known(fresh)
    assert {each: ours[each] for each in ours if ours[each] != theirs[each]} == {
        each: theirs[each] for each in ours if ours[each] != theirs[each]
    }


@pytest.mark.promise(2)
@pytest.mark.parametrize("seed", range(2))
async def test_it_knows_what_one_that_loads_now_knows(world: World, seed: int) -> None:
    store = world.store
    acting = await deciders(store, seed)
    following = replica(store)
    for _ in range(LOOKS):
        for _ in range(acting.random.randint(1, 4)):
            await acting.step()
        await following.following.run_pass()
        fresh = await loaded(store)
        following.known.epochs = fresh.epochs
        compared(following.known, fresh)


async def test_a_removed_cluster_is_gone_from_its_memory_too(world: World) -> None:
    store = world.store
    acting = await deciders(store, 7)
    following = replica(store)
    await acting.step()
    for _ in range(30):
        await acting.step()
    await following.following.run_pass()
    await store.remove_cluster("north", ME)
    await following.following.run_pass()
    compared(following.known, await loaded(store))


@pytest.mark.promise(2)
async def test_who_takes_the_lease_catches_up_and_stands_where_its_predecessor_stood(world: World) -> None:
    store = world.store
    acting = await deciders(store, 11)
    following = replica(store)
    await following.following.run_pass()
    for _ in range(40):
        await acting.step()
    await store.release_lease(acting.lease)
    lease = await lead(store, "replica")
    following.ingest.drained.set()
    async with following.following.leading(lease):
        compared(following.known, await loaded(store))
        with pytest.raises(LeaseLost):
            await store.reserve_generations(acting.lease, 1)


async def test_where_the_journal_is_of_another_database_everything_is_loaded_anew(
    memory_world: MemoryWorld,
) -> None:
    """Of a dump that was restored beneath a replica, which has read more of the journal than there is."""
    world = memory_world
    acting = await deciders(world.store, 13)
    following = replica(world.store)
    for _ in range(20):
        await acting.step()
    await world.backup()
    for _ in range(20):
        await acting.step()
    await following.following.run_pass()
    await world.restore()
    await world.pass_time(TTL_SECONDS + 1)
    acting.lease = await lead(world.store, "after")
    for _ in range(40):
        await acting.step()
    await following.following.run_pass()
    compared(following.known, await loaded(world.store))


async def test_what_was_trimmed_below_it_has_it_load_anew(postgres_world: PostgresWorld) -> None:
    store = postgres_world.store
    acting = await deciders(store, 17)
    following = replica(store)
    await following.following.run_pass()
    for _ in range(20):
        await acting.step()
    async with raw(postgres_world.dsn) as connection:
        await connection.execute("delete from journal where id < (select max(id) from journal)")
    await following.following.run_pass()
    compared(following.known, await loaded(store))


@pytest.mark.parametrize("leads", [False, True], ids=["led meanwhile", "leads"])
async def test_what_an_earlier_release_decided_is_known_though_it_kept_no_journal(
    postgres_world: PostgresWorld, monkeypatch: pytest.MonkeyPatch, leads: bool
) -> None:
    monkeypatch.setattr(following_loop, "UNJOURNALED_SECONDS", 0.0)
    store = postgres_world.store
    acting = await deciders(store, 19)
    for _ in range(10):
        await acting.step()
    following = replica(store)
    await following.following.run_pass()
    read = following.known.journal
    await acting.decide_as("an earlier release", 20)
    async with raw(postgres_world.dsn) as connection:
        await connection.execute("delete from journal where id > $1", read.id)
        await connection.execute("update epoch set journaled = false where epoch = $1", acting.lease.epoch)
    if not leads:
        await acting.decide_as("a later one", 1)
    await following.following.run_pass()
    compared(following.known, await loaded(store))


async def test_what_people_wrote_to_another_database_is_forgotten_also_where_nothing_was_decided_since(
    memory_world: MemoryWorld,
) -> None:
    world = memory_world
    acting = await deciders(world.store, 23)
    for _ in range(20):
        await acting.step()
    following = replica(world.store)
    await following.following.run_pass()
    await world.backup()
    await world.store.submit_workload(draft("lost"), ME)
    await following.following.run_pass()
    await world.restore()
    await world.store.submit_workload(draft("kept"), ME)
    await world.store.submit_workload(draft("kept-too"), ME)
    await following.following.run_pass()
    compared(following.known, await loaded(world.store))
