"""What only a real Postgres can show: crashes, backends that stop, databases that another release made."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from controlplane.alerts.entry import Arrived
from controlplane.alerts.fingerprint import fingerprint
from controlplane.embedded import EmbeddedPostgres
from controlplane.intent import Taken
from controlplane.known.records import DocumentRecord, WorkloadRecord
from controlplane.loops.ports import LeaseLost, StoreUnavailable
from controlplane.store import leases, migrations
from controlplane.store.migrations import known, migrate
from controlplane.store.store import PostgresStore
from tests.conformance.store_worlds import (
    ME,
    TTL_SECONDS,
    PostgresWorld,
    decision,
    draft,
    lead,
    order,
    raw,
    whats,
)

pytest_plugins = ["tests.conformance.store_fixtures"]
UNAVAILABLE_WITHIN_SECONDS = 4.0
BACK_WITHIN_SECONDS = 30.0


@pytest.fixture
def store(postgres_world: PostgresWorld) -> PostgresStore:
    return postgres_world.store


@pytest_asyncio.fixture
async def durable(open_folder: Path, tmp_path: Path) -> AsyncGenerator[EmbeddedPostgres]:
    """A server that syncs: what it says it has committed must be there after it is killed."""
    async with EmbeddedPostgres(open_folder / f"durable-{tmp_path.name}") as server:
        yield server


@contextmanager
def stopped(pid: int) -> Generator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def unavailable_soon() -> Generator[None]:
    begin = time.monotonic()
    with pytest.raises(StoreUnavailable):
        yield
    assert time.monotonic() - begin < UNAVAILABLE_WITHIN_SECONDS


class TestStopped:
    async def test_a_backend_that_holds_the_lease_row_makes_the_store_unavailable(
        self, postgres_world: PostgresWorld
    ) -> None:
        store = postgres_world.store
        lease = await lead(store)
        async with raw(postgres_world.dsn) as connection:
            await connection.execute("begin; select from lease for update")
            with stopped(await connection.fetchval("select pg_backend_pid()")):
                with unavailable_soon():
                    await store.reserve_generations(lease, 1)
                with unavailable_soon():
                    await store.take_lease("deciding", lease.holder, TTL_SECONDS)
                assert await store.take_lease("deciding", "second", TTL_SECONDS) is None
                assert (await store.load()).last_generation == 0
            await connection.execute("rollback")
        assert await store.reserve_generations(lease, 1) == range(1, 2)

    @pytest.mark.promise(2)
    @pytest.mark.parametrize("holder", ["first", "second"])
    async def test_whoever_takes_the_lease_waits_for_what_is_still_written_under_it(
        self, postgres_world: PostgresWorld, holder: str
    ) -> None:
        """Also by itself, before it lost its connection: it would decide without what that commits."""
        store = postgres_world.store
        lease = await lead(store)
        async with raw(postgres_world.dsn) as connection:
            await connection.execute("begin")
            await leases.hold(connection, lease)
            assert await store.renew_lease(lease, TTL_SECONDS), "nobody waits who has it"
            if holder != lease.holder:
                await postgres_world.store.release_lease(lease)
            taking = asyncio.create_task(lead(store, holder))
            done, _ = await asyncio.wait([taking], timeout=0.3)
            assert not done
            await connection.execute("commit")
        assert (await taking).holder == holder

    async def test_a_leader_that_stands_still_in_a_transaction_is_thrown_out(
        self, postgres_world: PostgresWorld
    ) -> None:
        lease = await lead(postgres_world.store)
        async with raw(postgres_world.dsn) as connection:
            await connection.execute("set idle_in_transaction_session_timeout = '300ms'")
            await connection.execute("begin; select from lease for update")
            assert await postgres_world.store.reserve_generations(lease, 1) == range(1, 2)

    async def test_our_own_backend_that_stops_answering_is_left_behind(
        self, postgres_world: PostgresWorld
    ) -> None:
        store = PostgresStore(postgres_world.dsn, connections=1)
        await store.open()
        try:
            assert await store.read_documents("Tenant", ["any"]) == []
            async with raw(postgres_world.dsn) as connection:
                # Whichever of its connections that was: leases have one of their own.
                pid = await connection.fetchval(
                    "select pid from pg_stat_activity where application_name = 'muster'"
                    " and datname = current_database() order by state_change desc limit 1"
                )
            with stopped(pid):
                begin = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    await store.read_documents("Tenant", ["any"])
                assert time.monotonic() - begin < 8
                assert await store.read_documents("Tenant", ["any"]) == []
        finally:
            await store.close()


class TestKilled:
    @pytest.mark.promise(1)
    async def test_nothing_is_half_there_and_nothing_answered_is_lost(
        self, durable: EmbeddedPostgres
    ) -> None:
        dsn = await durable.create_database("crashing")
        async with PostgresStore(dsn) as store:
            lease = await lead(store)
            answered: list[WorkloadRecord] = []
            enough = asyncio.Event()

            async def write(writer: int) -> None:
                for number in range(10_000):
                    record = await store.submit_workload(draft(f"w{writer}-{number}"), ME)
                    answered.append(record)
                    if len(answered) >= 60:
                        enough.set()
                    (generation,) = await store.reserve_generations(lease, 1)
                    await store.commit_decisions(lease, [decision(record, order("a", lease, generation))])

            writers = [asyncio.create_task(write(writer)) for writer in range(6)]
            await asyncio.wait_for(enough.wait(), BACK_WITHIN_SECONDS)
            os.kill(durable.pid, signal.SIGKILL)
            ends = await asyncio.gather(*writers, return_exceptions=True)
            assert [end for end in ends if not isinstance(end, StoreUnavailable)] == []
            await durable.kill()
            await durable.start()
            await _check_whole(store, answered)
            assert (await _answering(store)).resource_version > max(row.resource_version for row in answered)

    async def test_the_listener_comes_back(self, durable: EmbeddedPostgres) -> None:
        dsn = await durable.create_database("listening")
        async with PostgresStore(dsn) as store, PostgresStore(dsn) as other:
            await store.wait_for_change(1.0)
            await durable.stop()
            await durable.start()
            await _answering(other)
            seen = await store.changes(0, 100)
            assert whats(seen) == ["Created"]
            deadline = time.monotonic() + BACK_WITHIN_SECONDS
            number = 0
            while time.monotonic() < deadline:
                begin = time.monotonic()
                waiting = asyncio.create_task(store.wait_for_change(1.0))
                await asyncio.sleep(0)
                await other.submit_document("Tenant", f"t{(number := number + 1)}", {}, ME)
                await waiting
                if number > 3 and time.monotonic() - begin < 0.5:
                    return
            pytest.fail("no change was heard of after the server came back")


async def _answering(store: PostgresStore) -> WorkloadRecord:
    deadline = time.monotonic() + BACK_WITHIN_SECONDS
    while True:
        try:
            return await store.submit_workload(draft("after the crash"), ME)
        except StoreUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


async def _check_whole(store: PostgresStore, answered: list[WorkloadRecord]) -> None:
    deadline = time.monotonic() + BACK_WITHIN_SECONDS
    while True:
        try:
            loaded = await store.load()
            break
        except StoreUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
    assert {record.uid for record in answered} <= {record.uid for record in loaded.workloads}
    decided = {row.workload for row in loaded.decisions}
    assert {row.workload for row in loaded.placements} == decided
    assert {row.workload for row in loaded.outbox} == decided
    assert max(row.version.generation for row in loaded.outbox) <= loaded.last_generation
    changes = await store.changes(0, 1_000_000)
    assert [change.id for change in changes] == list(range(1, loaded.change_cursor + 1))
    assert {change.uid for change in changes if change.what == "Created"} == {
        record.uid for record in loaded.workloads
    }
    assert {change.uid for change in changes if change.what == "Placed"} == decided
    for record in loaded.workloads:
        assert [row.revision for row in await store.revisions(record.uid)] == [1]


class TestTwoProcesses:
    async def test_writers_of_the_same_names_never_wait_in_a_circle(
        self, postgres_world: PostgresWorld
    ) -> None:
        store = postgres_world.store
        lease = await lead(store)
        names = [f"w{number}" for number in range(12)]
        async with PostgresStore(postgres_world.dsn) as other:

            async def write(through: PostgresStore, begin: int) -> None:
                for step in range(30):
                    name = names[(begin + step * (1 if begin % 2 else -1)) % len(names)]
                    await through.submit_workload(draft(name, step=step, of=[begin, through is store]), ME)

            async def decide() -> None:
                for _ in range(30):
                    workloads = (await store.load()).workloads
                    block = await store.reserve_generations(lease, len(names))
                    await store.commit_decisions(
                        lease,
                        [
                            decision(row, order("a", lease, generation))
                            for row, generation in zip(workloads, block, strict=False)
                        ],
                    )

            await asyncio.gather(
                *(write(through, begin) for begin in range(6) for through in (store, other)), decide()
            )
        loaded = await store.load()
        assert sum(row.revision for row in loaded.workloads) == 6 * 2 * 30
        assert [change.id for change in await store.changes(0, 10_000)] == list(
            range(1, loaded.change_cursor + 1)
        )

    async def test_a_poisoned_write_fails_alone(self, store: PostgresStore) -> None:
        # A name too long for an index: Postgres refuses the whole statement that it stands in.
        names = ["before", os.urandom(50_000).hex(), "after"]
        answers = await asyncio.gather(
            *(store.submit_workload(draft(name), ME) for name in ("first", *names)), return_exceptions=True
        )
        assert [isinstance(answer, WorkloadRecord) for answer in answers] == [True, True, False, True]

    async def test_an_old_leader_that_wakes_up_commits_nothing(self, postgres_world: PostgresWorld) -> None:
        store = postgres_world.store
        old, work = await lead(store), await store.submit_workload(draft(), ME)
        async with PostgresStore(postgres_world.dsn) as other:
            await postgres_world.pass_time(TTL_SECONDS + 1)
            new = await lead(other, "second")
            stale, fresh = await asyncio.gather(
                store.commit_decisions(old, [decision(work, order("a", old, 1))]),
                other.commit_decisions(new, [decision(work, order("a", new, 2))]),
                return_exceptions=True,
            )
        assert isinstance(stale, LeaseLost)
        assert fresh == set()
        assert [row.version.epoch for row in (await store.load()).outbox] == [new.epoch]


class TestMigrations:
    async def test_are_applied_once_by_many_at_once(self, postgres_server: EmbeddedPostgres) -> None:
        dsn = await postgres_server.create_database("unmigrated")
        applied = await asyncio.gather(*(migrate(dsn) for _ in range(4)))
        await postgres_server.drop_database("unmigrated")
        assert sorted(applied) == [[], [], [], [migration.name for migration in known()]]

    async def test_tenants_and_interpreters_become_documents(
        self, postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dsn, every = await postgres_server.create_database("older"), known()
        monkeypatch.setattr(migrations, "known", lambda: every[:4])
        await migrate(dsn)
        async with raw(dsn) as connection:
            await connection.execute(
                "insert into tenant (name, spec, resource_version) values ('shop', '{\"n\": 1}', 7);"
                "insert into interpreter (name, target, spec, resource_version)"
                ' values (\'w\', \'a.io/W\', \'{"group": "a.io", "kind": "W"}\', 8)'
            )
        monkeypatch.setattr(migrations, "known", lambda: every)
        spec = {"group": "a.io", "kind": "W"}
        async with PostgresStore(dsn) as store:
            assert (await store.load()).documents == {
                "Interpreter": (DocumentRecord("w", spec, 8),),
                "Tenant": (DocumentRecord("shop", {"n": 1}, 7),),
            }
            with pytest.raises(Taken, match=r"a\.io/W is declared by interpreter 'w' already"):
                await store.submit_document("Interpreter", "other", spec, ME)
        await postgres_server.drop_database("older")

    @pytest.mark.promise(1)
    async def test_alerts_of_before_enter_the_log(
        self, postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each batch one entry, in the order of arrival; whatever numbers an agent once sent."""
        dsn, every = await postgres_server.create_database("older_alerts"), known()
        monkeypatch.setattr(migrations, "known", lambda: every[:5])
        await migrate(dsn)
        async with raw(dsn) as connection:
            await connection.execute(
                "insert into cluster (id, name, labels, taints, cluster_uid, agent_key, sealing_key,"
                " account_seed, standing) values ('AC1', 'north', '{}', '[]', 'u', 'k', '', '', 'Joined');"
                "insert into alert values"
                ' (\'AC1\', 1, 2, 0, \'{"alertname": "Down", "cluster": "liar"}\', \'{"a": "b"}\','
                "  1000, 0, 'http://p', 2000, 10),"
                " ('AC1', 1, 1, 0, '{\"alertname\": \"Far\"}', '{}', 1e308, 1e308, '', 1500, 0),"
                " ('AC1', 1, 1, 1, '{\"alertname\": \"Past\"}', '{}', 1000, 1400, '', 1500, 7),"
                " ('GONE', 1, 1, 0, '{\"alertname\": \"Left\"}', '{}', 0, 9000, '', 1e308, 1e308)"
            )
        monkeypatch.setattr(migrations, "known", lambda: every)
        async with PostgresStore(dsn) as store:
            entries = [entry for _, entry in await store.alerting.read_entries(0, 10)]
            assert await store.alerting.entry_horizon() == (1, 3)
            alerts = [alert for entry in entries if isinstance(entry, Arrived) for alert in entry.alerts]
            times = [(alert.identity["alertname"], alert.starts_at, alert.ends_at) for alert in alerts]
            assert times[:3] == [
                ("Far", 1500, 1800),
                ("Past", 1000, 1400),
                ("Down", 1000, 2310),
            ]
            assert alerts[3].starts_at == alerts[3].ends_at <= time.time()
            down = alerts[2]
            assert down.identity == {"alertname": "Down", "cluster": "north"}
            assert down.fingerprint == fingerprint(down.identity)
            assert (down.annotations, down.generator_url, down.source) == ({"a": "b"}, "http://p", "AC1")
            assert (down.updated_at, down.timed, entries[1].at) == (2010, True, 2010)
        await postgres_server.drop_database("older_alerts")


async def test_no_server_is_said_to_be_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await PostgresStore("postgresql://muster:secret@127.0.0.1:9/muster").open()
