"""A database that a test was done with is, for the next one, as one that was just migrated."""

import asyncpg
import pytest

from tests.databases import CleanDatabases

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def contents(dsn: str) -> dict[str, list[str]]:
    """By table, each row as text; and the sequences."""
    connection = await asyncpg.connect(dsn)
    try:
        named = await connection.fetch(
            "select tablename::text from pg_tables where schemaname = 'public'"
            " union all select 'pg_sequences' order by 1"
        )
        found: dict[str, list[str]] = {}
        for (name,) in named:
            rows = await connection.fetch(f'select each::text as row from "{name}" as each order by 1')
            found[name] = [row["row"] for row in rows]
        return found
    finally:
        await connection.close()


async def changed(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_rows_are_gone_what_migrations_wrote_is_there_and_numbers_begin_anew(
    clean_databases: CleanDatabases,
) -> None:
    name = await clean_databases.take()
    dsn = clean_databases.server.dsn(name)
    before = await contents(dsn)
    await changed(
        dsn,
        "insert into lease (role, holder, epoch, expires_at) values ('deciding', 'a', 9, now())",
        "update quota_head set version = version + 7",
        "delete from change_head",
        "select setval(seqrelid::regclass, 41) from pg_sequence",
    )
    assert await contents(dsn) != before
    await clean_databases.give_back(name)
    assert await clean_databases.take() == name
    assert await contents(dsn) == before
    await clean_databases.give_back(name)


@pytest.mark.parametrize(
    "statement",
    ["create table more (id int)", "alter table lease drop column holder", "drop table quota_head cascade"],
)
async def test_one_whose_schema_was_changed_is_no_more(
    clean_databases: CleanDatabases, statement: str
) -> None:
    name = await clean_databases.take()
    await changed(clean_databases.server.dsn(name), statement)
    await clean_databases.give_back(name)
    assert not await clean_databases.server.database_exists(name)
