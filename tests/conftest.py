"""Real servers for tests: one NATS and one Postgres a process; in them an account and a database a test."""

import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from controlplane.bus import NatsBus
from controlplane.embedded import EmbeddedNats, EmbeddedPostgres
from controlplane.identity import keys
from controlplane.identity.server_configuration import Trust
from controlplane.store.migrations import migrate
from schemas.wire.subjects import Subjects
from tests.databases import CleanDatabases
from tests.installation import SMALL_BOUNDS, NatsInstallation, NatsServer

# No test is timed: on a busy machine a deadline finds the machine, not a fault.
settings.register_profile("muster", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("muster")

# Centres and agents are started a hundred times: each would compile all of its modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# And so would the next run of the tests, in each of its workers: eight seconds of each.
sys.dont_write_bytecode = False

pytest_plugins = ["tests.kube.fixtures", "tests.circle", "tests.workers"]


@pytest.fixture(scope="session")
def open_folder() -> Generator[Path, None, None]:
    """A folder that `nobody` may enter, unlike pytest's own: Postgres does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="muster-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server(open_folder: Path) -> AsyncGenerator[EmbeddedPostgres, None]:
    server = EmbeddedPostgres(open_folder / "postgres", durable=False)
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """The name of a database that the migrations ran on once; copying it is faster than running them."""
    await migrate(await postgres_server.create_database("migrated"))
    return "migrated"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_door(
    postgres_server: EmbeddedPostgres,
) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]", None]:
    """One connection for all databases that come and go: another for each costs more than the database."""
    connection = await asyncpg.connect(postgres_server.dsn())
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def clean_databases(
    postgres_server: EmbeddedPostgres,
    postgres_door: "asyncpg.Connection[asyncpg.Record]",
    migrated_template: str,
) -> CleanDatabases:
    return CleanDatabases(postgres_server, postgres_door, migrated_template)


@pytest_asyncio.fixture(loop_scope="session")
async def database(clean_databases: CleanDatabases) -> AsyncGenerator[str, None]:
    """The DSN of a migrated database without rows."""
    name = await clean_databases.take()
    yield clean_databases.server.dsn(name)
    await clean_databases.give_back(name)


@pytest_asyncio.fixture(loop_scope="session")
async def empty_database(
    postgres_server: EmbeddedPostgres, postgres_door: "asyncpg.Connection[asyncpg.Record]"
) -> AsyncGenerator[str, None]:
    """The DSN of a database in which nothing ran yet, dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    await postgres_door.execute(f"create database {name}")
    yield postgres_server.dsn(name)
    await postgres_door.execute(f"drop database {name} with (force)")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_server(open_folder: Path) -> AsyncGenerator[NatsServer, None]:
    own = keys.generate()
    trust = Trust.of(own, (Subjects(),), int(time.time()))
    async with EmbeddedNats(open_folder / "nats", trust) as server:
        yield NatsServer(server=server, keys=own)


@pytest_asyncio.fixture
async def nats_installation(nats_server: NatsServer) -> AsyncGenerator[NatsInstallation, None]:
    """A centre account under the session's operator: what other tests left behind is not seen from it."""
    fresh = keys.generate()
    own = replace(
        fresh,
        operator=nats_server.keys.operator,
        system_account=nats_server.keys.system_account,
        system_user=nats_server.keys.system_user,
    )
    subjects = Subjects(f"t{secrets.token_hex(4)}")
    bus = NatsBus([nats_server.server.url], own, subjects, time.time, SMALL_BOUNDS)
    await bus.open()
    yield NatsInstallation(url=nats_server.server.url, keys=own, subjects=subjects, bus=bus)
    await bus.delete_streams()
    await bus.close()
