"""Brings a database to the shape that this program knows. Forward only, and by expanding.

Two releases run on one database while centres are replaced one by one. So a migration only adds; what it
would take away goes by a later one, a contraction, whose file says with a line `-- needs: NNNN` which
migration a program must know to do without. That number is stored with it: an older program reads it, and
runs on whatever only expanded.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from controlplane.store.codecs import Connection
from controlplane.store.hosts import connect
from controlplane.store.namespaces import migration_lock, quoted, schema_of
from controlplane.store.pool import CONNECT_SECONDS, unavailable

MIGRATION_SECONDS = 120.0
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_NEEDS = re.compile(r"^-- needs: (\d{4})$", re.MULTILINE)


class DatabaseNewer(RuntimeError):
    """A later release took away what this program uses; the text says how far the database is."""


@dataclass(frozen=True)
class Migration:
    """needs: of a contraction, the newest migration that a program must know to run after it; 0: none."""

    number: int
    name: str
    sql: str

    @property
    def needs(self) -> int:
        match = _NEEDS.search(self.sql)
        return int(match[1]) if match else 0


def known() -> list[Migration]:
    """The migrations of this release, in order."""
    folder = files("controlplane.store") / "migrations"
    found = [
        Migration(int(match[1]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if (match := _NAME.fullmatch(entry.name))
    ]
    return sorted(found, key=lambda migration: migration.number)


async def migrate(dsn: str, namespace: str = "") -> list[str]:
    """Apply what is missing, one transaction each, while nobody else does. The names of those applied.

    namespace: makes the schema of that name, and everything in it. Raises StoreUnavailable, DatabaseNewer,
    ValueError for what is no namespace.
    """
    with unavailable():
        connection = await connect(dsn, timeout=CONNECT_SECONDS)
        try:
            async with asyncio.timeout(MIGRATION_SECONDS):
                return await _migrate(connection, namespace)
        finally:
            connection.terminate()


async def _migrate(connection: "asyncpg.Connection[asyncpg.Record]", namespace: str) -> list[str]:
    await connection.execute("select pg_advisory_lock($1)", migration_lock(namespace))
    if namespace:
        schema = quoted(schema_of(namespace))
        await connection.execute(f"create schema if not exists {schema}")
        await connection.execute(f"set search_path = {schema}")
    await prepare(connection)
    applied = await applied_to(connection)
    check_runs_on(applied)
    missing = [migration for migration in known() if migration.number not in applied]
    for migration in missing:
        async with connection.transaction():
            await apply(connection, migration)
    return [migration.name for migration in missing]


async def prepare(connection: Connection) -> None:
    """The table that remembers migrations, in the schema of the search path."""
    await connection.execute(
        "create table if not exists migration ("
        " number int primary key, name text not null, applied_at timestamptz not null default now(),"
        " needs int not null default 0)"
    )
    # A lock on the table is taken only where there is something to alter.
    if not await connection.fetchval(
        "select exists (select from pg_attribute where attrelid = to_regclass('migration')"
        " and attname = 'needs')"
    ):
        await connection.execute(
            "alter table migration add column if not exists needs int not null default 0"
        )


async def applied_to(connection: Connection) -> dict[int, int]:
    """What each migration of this database needs, by its number."""
    return {row["number"]: row["needs"] for row in await connection.fetch("select * from migration")}


def check_runs_on(applied: Mapping[int, int]) -> None:
    """Raises DatabaseNewer where a contraction that this program does not know needs more than it knows."""
    migrations = known()
    newest = migrations[-1].number
    later = {number: applied[number] for number in applied.keys() - {each.number for each in migrations}}
    if refused := [number for number, needs in later.items() if needs > newest]:
        raise DatabaseNewer(
            f"the database is at migration {max(applied)}: {min(refused)} took away what a release that ends"
            f" at {newest} uses; run one that knows at least {max(later.values())}"
        )


async def apply(connection: Connection, migration: Migration) -> None:
    """Within the caller's transaction."""
    await connection.execute(migration.sql)
    await connection.execute(
        "insert into migration (number, name, needs) values ($1, $2, $3)",
        migration.number,
        migration.name,
        migration.needs,
    )
