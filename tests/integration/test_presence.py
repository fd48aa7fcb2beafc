"""Who is there, by what each process of the centre says in Postgres."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import inf

import asyncpg
import pytest
import structlog

from controlplane.known.replicas import Replica
from controlplane.loops.centre import PATIENCE
from controlplane.presence import HEARS_SECONDS, PERIOD_SECONDS, Presence
from controlplane.readiness import DEAF_SECONDS
from controlplane.store.store import PostgresStore
from tests.circle import eventually

LOOPS = "deciding,alerting,api"
DEAF = 60.0


@asynccontextmanager
async def there(
    store: PostgresStore,
    name: str,
    silent_seconds: float = 0.0,
    ready: Callable[[], bool] = lambda: True,
) -> AsyncGenerator[Presence]:
    presence = Presence(store, Replica(name, LOOPS, "1", 2, hears=False), lambda: silent_seconds, ready, 0.1)
    running = asyncio.create_task(presence.run())
    try:
        await eventually(f"{name} has said that it is there", lambda: presence.replicas, bound_seconds=10)
        yield presence
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.timeout(60)
async def test_each_says_that_it_is_there_and_that_it_ends(database: str) -> None:
    async with PostgresStore(database, connections=2) as store, there(store, "a", DEAF) as first:
        async with there(store, "b") as second:
            found = {each.name: (each.hears, each.wanted, each.is_present) for each in second.replicas}
            assert found == {"a": (False, 2, True), "b": (True, 2, True)}
            await eventually("a knows who could answer better", first.hearing, ["b"].__eq__)
            assert second.hearing() == []
        await eventually("b said that it ends", first.hearing, [].__eq__)


@pytest.mark.timeout(60)
async def test_who_hears_but_is_not_ready_takes_nobody_out(database: str) -> None:
    loaded = asyncio.Event()
    async with (
        PostgresStore(database, connections=2) as store,
        there(store, "a", DEAF) as cut_off,
        there(store, "b", 0.0, loaded.is_set) as loading,
    ):
        await eventually(
            "a sees that b hears", lambda: [each.hears for each in cut_off.replicas], [False, True].__eq__
        )
        assert (cut_off.hearing(), loading.hearing()) == ([], [])
        loaded.set()
        await eventually("b has loaded", cut_off.hearing, ["b"].__eq__)


@pytest.mark.timeout(60)
async def test_with_nats_away_for_all_nobody_names_another_however_long_a_lease_is(database: str) -> None:
    """Both were answered 4 s ago, which with a lease of 60 s is no reason to lead no more."""
    silent_seconds = 4.0
    assert silent_seconds < PATIENCE * 60.0
    async with (
        PostgresStore(database, connections=2) as store,
        there(store, "a", silent_seconds) as first,
        there(store, "b", silent_seconds) as second,
    ):
        await eventually(
            "a sees both", lambda: [each.hears for each in first.replicas], [False, False].__eq__
        )
        assert (first.hearing(), second.hearing()) == ([], [])
    assert HEARS_SECONDS + 2 * PERIOD_SECONDS < DEAF_SECONDS, "it is said and read before one is deaf"


@pytest.mark.timeout(60)
async def test_who_leads_without_a_row_keeps_one_that_nats_never_answered_from_being_ready(
    database: str,
) -> None:
    """As in the upgrade that brings these rows: the old processes write none, and hold the lease."""
    async with (
        PostgresStore(database, connections=2) as store,
        there(store, "new:8420", inf) as wrong,
        there(store, "other:8420", DEAF) as cut_off,
    ):
        lease = await store.take_lease("deciding", "old-host-7-abc", 60.0)
        assert lease is not None
        await eventually("it is seen", wrong.hearing, ["old-host-7-abc"].__eq__)
        assert cut_off.hearing() == [], "NATS has answered it: this may be for all"
        await store.release_lease(lease)
        await eventually("nobody leads", wrong.hearing, [].__eq__)


async def test_who_died_is_known_for_an_hour(database: str) -> None:
    async with PostgresStore(database, connections=2) as store:
        own, connection = Replica("a", LOOPS, "1", 0, hears=True), await asyncpg.connect(database)
        for name, ago in (("dead", "4 minutes"), ("forgotten", "2 hours")):
            await store.see_replica(Replica(name, LOOPS, "1", 0, hears=True), first=True)
            seen_at = f"now() - interval '{ago}'"
            await connection.execute(f"update replica set seen_at = {seen_at} where name = $1", name)
        await connection.close()
        found = await store.see_replica(own, first=True)
    assert [(each.name, each.is_present) for each in found] == [("a", True), ("dead", False)]
    assert 230 < found[1].seen_seconds < 300


@pytest.mark.timeout(60)
async def test_a_table_that_is_missing_ends_nobody(database: str) -> None:
    connection = await asyncpg.connect(database)
    async with PostgresStore(database, connections=2) as store, there(store, "a") as first:
        await connection.execute("alter table replica rename to elsewhere")
        try:
            with structlog.testing.capture_logs() as logs:
                await eventually("it is said", lambda: [each["event"] for each in logs], bool)
                await asyncio.sleep(0.3)
                assert [each["reason"] for each in logs] == ["UndefinedTableError"], "once, not each time"
        finally:
            await connection.execute("alter table elsewhere rename to replica")
            await connection.execute("delete from replica")
            await connection.close()
        async with there(store, "b") as second:
            await eventually("a goes on", lambda: [each.name for each in second.replicas], ["a", "b"].__eq__)
        assert first.replicas
