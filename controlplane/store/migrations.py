"""Brings a database to the shape that this program knows. Forward only."""

import asyncio
import re
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from controlplane.store.namespaces import migration_lock, quoted, schema_of
from controlplane.store.pool import CONNECT_SECONDS, unavailable

MIGRATION_SECONDS = 120.0
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class DatabaseNewer(RuntimeError):
    """The database was migrated by a later release; the text says how far."""


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    sql: str


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
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS)
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
    await connection.execute(
        "create table if not exists migration ("
        " number int primary key, name text not null, applied_at timestamptz not null default now())"
    )
    applied = {row["number"] for row in await connection.fetch("select number from migration")}
    migrations = known()
    if beyond := applied - {migration.number for migration in migrations}:
        raise DatabaseNewer(f"the database is at migration {max(beyond)}, which this release does not know")
    missing = [migration for migration in migrations if migration.number not in applied]
    for migration in missing:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into migration (number, name) values ($1, $2)", migration.number, migration.name
            )
    return [migration.name for migration in missing]
