"""Everything of one service's in Postgres, out and in again, table by table, each in one transaction.

By COPY as text, and by our own migrations for the shape: any Postgres will do, on either side, and a backup
of an older release is brought up to date on its way in. pg_dump refuses a server that is newer than itself.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Protocol

import asyncpg
import msgspec

from controlplane.loops.ports import StoreUnavailable
from controlplane.store import migrations
from controlplane.store.codecs import Connection
from controlplane.store.hosts import connect
from controlplane.store.leases import DECIDING
from controlplane.store.migrations import Migration
from controlplane.store.namespaces import migration_lock, quoted, schema_of
from controlplane.store.pool import CONNECT_SECONDS, unavailable

WRITE_BYTES = 1024 * 1024
LOCK_SECONDS = 10
_MADE = re.compile(r"^(create|drop) (table|sequence) (?:if (?:not )?exists )?(\w+)", re.MULTILINE)
_SETTINGS = {
    "application_name": "muster-backup",
    "DateStyle": "ISO",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lock_timeout": str(LOCK_SECONDS * 1000),
}
_GENERATION = "generation"


class CannotKeep(Exception):
    """There is nothing to back up, or this release does not know all of it; the text says what to do."""


class CannotRestore(Exception):
    """Nothing was changed; the text says why, and what to do."""


class Table(msgspec.Struct, frozen=True):
    name: str
    columns: list[str]
    rows: int


class Contents(msgspec.Struct, frozen=True):
    """migrations: number and name of each that was applied. sequences: name -> (last value, is called).

    tables: in an order in which none refers to one behind it.
    """

    postgres: str
    migrations: list[tuple[int, str]]
    tables: list[Table]
    sequences: dict[str, tuple[int, bool]]


class Writer(Protocol):
    def write(self, data: bytes, /) -> object: ...


OpenMember = Callable[[str], AbstractContextManager[Writer]]
ReadMember = Callable[[str], Iterator[bytes]]


def made_by(all_of_them: Sequence[Migration]) -> tuple[list[str], list[str]]:
    """Tables and sequences that are there after these migrations, in the order in which they were made."""
    found: dict[str, list[str]] = {"table": [], "sequence": []}
    for each in all_of_them:
        for does, what, name in _MADE.findall(each.sql):
            if does == "create":
                found[what].append(name)
            else:
                found[what].remove(name)
    return found["table"], found["sequence"]


async def dump(dsn: str, namespace: str, open_member: OpenMember) -> Contents:
    """One snapshot, while the service goes on. Raises StoreUnavailable, CannotKeep."""
    async with _connected(dsn, namespace, CannotKeep) as connection:
        if await connection.fetchval("select to_regclass('migration')") is None:
            raise CannotKeep("this database has nothing of Muster's: is it the right one?")
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            rows = await connection.fetch("select number, name from migration order by number")
            applied = [(int(row["number"]), str(row["name"])) for row in rows]
            shape = _known_of(applied)
            if shape is None:
                raise CannotKeep("a later release migrated this database: back it up with that one")
            tables, plain_sequences = made_by(shape)
            done = [await _copy_out(connection, namespace, table, open_member) for table in tables]
            sequences = await _sequences(connection, tables, plain_sequences)
            sequences[_GENERATION] = (await _last_issued(connection), True)
            postgres = await connection.fetchval("show server_version")
    return Contents(postgres, applied, done, sequences)


async def load(
    dsn: str,
    namespace: str,
    contents: Contents,
    read_member: ReadMember,
    *,
    replace: bool,
    before_commit: Callable[[], None] = lambda: None,
) -> list[str]:
    """All or nothing. The names of later migrations that were applied on top.

    replace: what is there goes. before_commit: done when everything is in, and not yet for good; raises to
    leave all as it was. Raises StoreUnavailable, CannotRestore.
    """
    shape = _known_of(contents.migrations)
    if shape is None:
        raise CannotRestore("this backup is of a later release: restore it with that one")
    async with _connected(dsn, namespace, CannotRestore) as connection, connection.transaction():
        await _make_room(connection, namespace, replace=replace)
        await migrations.prepare(connection)
        for migration in shape:
            await migrations.apply(connection, migration)
        tables, _ = made_by(shape)
        if sorted(tables) != sorted(table.name for table in contents.tables):
            raise CannotRestore("the tables in it are not those of its migrations: this is no backup of ours")
        await connection.execute("truncate " + ", ".join(map(quoted, tables)))
        for table in contents.tables:
            await _copy_in(connection, namespace, table, read_member)
        for name, (last, called) in contents.sequences.items():
            await connection.execute("select setval($1::text::regclass, $2, $3)", quoted(name), last, called)
        # Whoever led when it was taken does not lead now.
        await connection.execute("update lease set expires_at = '-infinity'")
        later = [migration for migration in migrations.known() if migration not in shape]
        for migration in later:
            await migrations.apply(connection, migration)
        before_commit()
    return [migration.name for migration in later]


@asynccontextmanager
async def _connected(
    dsn: str, namespace: str, refusal: type[CannotKeep] | type[CannotRestore]
) -> AsyncGenerator[Connection]:
    with unavailable():
        connection = await connect(dsn, timeout=CONNECT_SECONDS * 5, server_settings=_SETTINGS)
        try:
            await connection.execute("select pg_advisory_lock($1)", migration_lock(namespace))
            await connection.execute(f"set search_path = {quoted(schema_of(namespace))}")
            yield connection
        except asyncpg.LockNotAvailableError as error:
            raise StoreUnavailable("somebody uses this database: stop every centre of it first") from error
        except (
            asyncpg.DataError,
            asyncpg.IntegrityConstraintViolationError,
            asyncpg.SyntaxOrAccessError,
        ) as error:
            raise refusal(f"Postgres refuses: {error}") from error
        finally:
            connection.terminate()


def _known_of(applied: Sequence[tuple[int, str]]) -> list[Migration] | None:
    """The migrations of these numbers and names, None where this release does not know one of them."""
    by_key = {(each.number, each.name): each for each in migrations.known()}
    found = [by_key.get((number, name)) for number, name in applied]
    return None if None in found else [each for each in found if each is not None]


async def _copy_out(connection: Connection, namespace: str, table: str, open_member: OpenMember) -> Table:
    rows = await connection.fetch(
        "select attname from pg_attribute where attrelid = $1::text::regclass and attnum > 0"
        " and not attisdropped order by attnum",
        quoted(table),
    )
    columns = [str(row["attname"]) for row in rows]
    waiting = bytearray()
    with open_member(table) as member:

        async def take(data: bytes) -> None:
            waiting.extend(data)
            if len(waiting) >= WRITE_BYTES:
                member.write(bytes(waiting))
                waiting.clear()

        status = await connection.copy_from_table(
            table, columns=columns, schema_name=schema_of(namespace), output=take, format="text"
        )
        member.write(bytes(waiting))
    return Table(table, columns, _counted(status))


async def _copy_in(connection: Connection, namespace: str, table: Table, read_member: ReadMember) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in read_member(table.name):
            yield chunk

    status = await connection.copy_to_table(
        table.name,
        columns=table.columns,
        schema_name=schema_of(namespace),
        source=chunks(),
        format="text",
    )
    if _counted(status) != table.rows:
        raise CannotRestore(f"{table.name}: {_counted(status):,} rows came in, {table.rows:,} went out")


def _counted(status: str) -> int:
    """Of `COPY 12`."""
    return int(status.rpartition(" ")[2])


async def _sequences(
    connection: Connection, tables: Sequence[str], plain: Sequence[str]
) -> dict[str, tuple[int, bool]]:
    """With those behind identity columns. No snapshot holds them: they are at or above what is in it."""
    owned = await connection.fetch(
        "select c.relname from pg_class c join pg_depend d on d.objid = c.oid and d.deptype = 'i'"
        " join pg_class t on t.oid = d.refobjid"
        " where c.relkind = 'S' and c.relnamespace = current_schema()::regnamespace"
        " and t.relname = any($1::text[]) order by 1",
        list(tables),
    )
    found: dict[str, tuple[int, bool]] = {}
    for name in (*plain, *(str(row["relname"]) for row in owned)):
        row = await connection.fetchrow(f"select last_value, is_called from {quoted(name)}")
        assert row is not None  # noqa: S101 - a sequence is one row
        found[name] = (row["last_value"], row["is_called"])
    return found


async def _last_issued(connection: Connection) -> int:
    """The last generation that this snapshot knows of, not the end of the block that was reserved.

    What is issued of that block from now on would otherwise count as issued by the restored database, and
    nobody would be told that its agents are ahead.
    """
    return await connection.fetchval(
        "select greatest((select max(generation) from outbox), (select max(generation) from placement),"
        " (select max(first_generation) from epoch where role = $1),"
        " (select max(floor_generation) from cluster), 0)",
        DECIDING,
    )


async def _make_room(connection: Connection, namespace: str, *, replace: bool) -> None:
    if namespace:
        await connection.execute(f"create schema if not exists {quoted(schema_of(namespace))}")
    if await connection.fetchval("select to_regclass('migration')") is None:
        return
    if not replace:
        raise CannotRestore(
            "this database is not empty: name an empty one, or --replace, and what is in it is gone"
        )
    await migrations.prepare(connection)
    await _nobody_uses_it(connection, namespace)
    applied = await migrations.applied_to(connection)
    every = migrations.known()
    if applied.keys() - {each.number for each in every}:
        raise CannotRestore("a later release migrated this database: restore with that one, or into another")
    tables, sequences = made_by([each for each in every if each.number in applied])
    names = ", ".join(map(quoted, [*tables, "migration"]))
    await connection.execute(f"drop table {names}")
    if sequences:
        await connection.execute(f"drop sequence {', '.join(map(quoted, sequences))}")


async def _nobody_uses_it(connection: Connection, namespace: str) -> None:
    holder = await connection.fetchval(
        "select holder from lease where expires_at > clock_timestamp() order by role limit 1"
    )
    if holder is not None:
        raise CannotRestore(f"{holder} leads by this database: stop every centre of it first")
    shared = namespace or await connection.fetchval(
        "select exists (select from pg_namespace where nspname like 'muster\\_%')"
    )
    # Whose connection it is cannot be seen where several services share the database.
    connected = (
        0
        if shared
        else await connection.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database()"
            " and application_name = 'muster'"
        )
    )
    if connected:
        raise CannotRestore(f"a centre has {connected} connections to this database: stop every one first")
