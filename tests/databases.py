"""Migrated databases without rows: one that a test is done with is emptied for the next, which takes a sixth
of the processor time of making another. One whose schema a test changed is dropped."""

import secrets
from dataclasses import dataclass, field

import asyncpg

from controlplane.embedded import EmbeddedPostgres

_TABLES = "select tablename from pg_tables where schemaname = 'public' order by 1"
_SHAPE = """
select (select (count(*), max(oid::int8)) from pg_class where relnamespace <> 'pg_toast'::regnamespace)::text,
       (select (count(*), max(oid::int8)) from pg_proc)::text,
       (select (count(*), max(oid::int8)) from pg_trigger)::text,
       (select (count(*), max(oid::int8)) from pg_constraint)::text,
       (select (count(*), max(oid::int8)) from pg_namespace)::text,
       (select md5(string_agg((attrelid, attnum, attname, atttypid, atttypmod, attnotnull)::text, ''
                              order by attrelid, attnum)) from pg_attribute where attrelid >= 16384),
       (select count(*) from pg_db_role_setting
        where setdatabase = (select oid from pg_database where datname = current_database()))::text
"""
"""What tells one schema from another; names and numbers are those of the template in every copy of it."""
_EMPTY = """
do $$
declare each record; filled boolean;
begin
    set local session_replication_role = replica;
    for each in select tablename as name from pg_tables where schemaname = 'public' loop
        execute format('select exists (select from %I)', each.name) into filled;
        if filled then execute format('delete from %I', each.name); end if;
    end loop;
end $$
"""
_NUMBERS = """
select coalesce(string_agg(format('select setval(%L, %s, %L)', sequencename,
                                  coalesce(last_value, start_value), last_value is not null), ';'), '')
from pg_sequences where schemaname = 'public'
"""
"""Statements that let sequences go on from where they are."""
_OTHERS = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1"


@dataclass
class CleanDatabases:
    """door: a connection to another database of the server. template: the name of a migrated one."""

    server: EmbeddedPostgres
    door: "asyncpg.Connection[asyncpg.Record]"
    template: str
    _free: list[str] = field(default_factory=list[str])
    _shape: str = ""
    _rows: dict[str, str] = field(default_factory=dict[str, str])
    """By table: what migrations write, as JSON."""
    _numbers: str = ""

    async def take(self) -> str:
        """A name."""
        if not self._shape:
            await self._look()
        if self._free:
            return self._free.pop()
        name = f"test_{secrets.token_hex(6)}"
        await self.door.execute(f"create database {name} template {self.template}")
        return name

    async def give_back(self, name: str) -> None:
        """Whoever still uses it is cut off."""
        if await self._emptied(name):
            self._free.append(name)
        else:
            await self.door.execute(f"drop database if exists {name} with (force)")

    async def _look(self) -> None:
        """The template may be copied while nobody is in it."""
        connection = await asyncpg.connect(self.server.dsn(self.template))
        try:
            self._shape = str(await connection.fetchrow(_SHAPE))
            self._numbers = await connection.fetchval(_NUMBERS)
            for (table,) in await connection.fetch(_TABLES):
                rows = await connection.fetchval(f'select json_agg(each)::text from "{table}" as each')
                if rows is not None:
                    self._rows[table] = rows
        finally:
            await connection.close()

    async def _emptied(self, name: str) -> bool:
        await self.door.execute(_OTHERS.replace("$1", f"'{name}'"))
        try:
            connection = await asyncpg.connect(self.server.dsn(name))
        except asyncpg.InvalidCatalogNameError:
            return False
        try:
            if str(await connection.fetchrow(_SHAPE)) != self._shape:
                return False
            async with connection.transaction():
                await connection.execute(_EMPTY)
                await connection.execute(self._numbers)
                await connection.execute("set local session_replication_role = replica")
                for table, rows in self._rows.items():
                    await connection.execute(
                        f'insert into "{table}" overriding system value'
                        f' select * from json_populate_recordset(null::"{table}", $1::json)',
                        rows,
                    )
            return True
        finally:
            await connection.close()
