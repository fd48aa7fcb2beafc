"""Two releases on one database: migrations expand, and what they take away says whom it leaves behind."""

import re
from collections.abc import Sequence

import asyncpg
import pytest

from controlplane.store import migrations
from controlplane.store.migrations import DatabaseNewer, Migration, known, migrate
from controlplane.store.store import PostgresStore

SINCE = 9
"""The last migration of before there were two releases: those up to it changed what they liked."""

ADDS_COLUMN = re.compile(r"add column (?:if not exists )?\w+ (?P<rest>.*)")
NOT_NULL = re.compile(r"\bnot null\b")
TAKES_AWAY = (
    (re.compile(r"^drop (?!index)"), "drops what an older program uses"),
    (re.compile(r"^truncate "), "empties what an older program reads"),
    (re.compile(r"^alter table .*\bdrop (?!not null|default)"), "drops what an older program uses"),
    (re.compile(r"^alter table .*\brename\b"), "renames what an older program uses"),
    (re.compile(r"^alter table .*\balter (column )?\w+ (set data )?type\b"), "changes a type"),
    (re.compile(r"^alter table .*\bset not null"), "refuses rows that an older program writes"),
    (re.compile(r"^alter table .*\badd (constraint|check|unique|primary key|foreign key)\b"), "refuses rows"),
    (re.compile(r"^alter (sequence|index|type) .*\brename\b"), "renames what an older program uses"),
)


def statements(sql: str) -> list[str]:
    """In lower case, each on one line, without comments."""
    bare = re.sub(r"--[^\n]*", "", sql).lower()
    return [" ".join(each.split()) for each in bare.split(";") if each.strip()]


def contractions(sql: str) -> list[str]:
    """What in it a program of the release before would not survive."""
    made = set(re.findall(r"create table (?:if not exists )?(\w+)", sql.lower()))
    found: list[str] = []
    for statement in statements(sql):
        found += [f"{why}: {statement}" for form, why in TAKES_AWAY if form.search(statement)]
        for part in re.split(r",\s*(?=add )", statement):
            added = ADDS_COLUMN.search(part)
            if added and NOT_NULL.search(added["rest"]) and "default" not in added["rest"]:
                found.append(f"a column that an older program does not write must have a default: {part}")
        unique = re.match(r"create unique index (?:if not exists )?\w+ on (\w+)", statement)
        if unique and unique[1] not in made:
            found.append(f"refuses rows that an older program writes: {statement}")
    return found


def unfit(all_of_them: Sequence[Migration]) -> list[str]:
    """What is wrong with them, one line each."""
    numbers = {each.number for each in all_of_them}
    said: list[str] = []
    for each in all_of_them:
        if each.number <= SINCE:
            continue
        taken = contractions(each.sql)
        if taken and not each.needs:
            said += [f"{each.name}: {one}; add what is new, and drop in a later release" for one in taken]
        if each.needs and (each.needs not in numbers or each.needs >= each.number):
            said.append(f"{each.name}: needs {each.needs}, which is no earlier migration")
    return said


def test_numbers_are_given_once_and_names_say_what() -> None:
    numbers = [migration.number for migration in known()]
    assert numbers == sorted(set(numbers))


def test_every_migration_expands_or_says_whom_it_leaves_behind() -> None:
    assert unfit(known()) == []


EXPANDS = {
    "a table": "create table t (a int not null); create unique index t_a on t (a);",
    "a column with a default": "alter table outbox add column traced text not null default '';",
    "a column that may be empty": "alter table outbox add column traced text;",
    "two columns": "alter table outbox add column a int, add column b text not null default '';",
    "an index": "create index outbox_a on outbox (a); drop index outbox_b;",
    "a comment that speaks of dropping": "-- nobody shall drop table outbox\ncreate table u (a int);",
    "room for what was refused": "alter table outbox alter column body drop not null;",
    "rows of its own": "insert into change_head values (true, 0) on conflict do nothing;",
}
CONTRACTS = {
    "a table goes": "drop table outbox;",
    "a column goes": "alter table outbox drop column body;",
    "a column is renamed": "alter table outbox rename column body to content;",
    "a table is renamed": "alter table outbox rename to shadow;",
    "a type changes": "alter table outbox alter column epoch type numeric;",
    "not null": "alter table outbox alter column published_sequence set not null;",
    "a column without a default": "alter table outbox add column a int, add column b int not null;",
    "a constraint": "alter table outbox add constraint small check (epoch < 9);",
    "what was written twice": "create unique index outbox_body on outbox (body);",
}


@pytest.mark.parametrize("sql", EXPANDS.values(), ids=EXPANDS.keys())
def test_expands(sql: str) -> None:
    assert unfit([*known()[:SINCE], Migration(SINCE + 1, "x", sql)]) == []


@pytest.mark.parametrize("sql", CONTRACTS.values(), ids=CONTRACTS.keys())
def test_contracts(sql: str) -> None:
    alone = [*known()[:SINCE], Migration(SINCE + 1, "x", sql)]
    assert unfit(alone) != []
    stated = [*known()[:SINCE], Migration(SINCE + 1, "x", f"-- needs: {SINCE:04}\n{sql}")]
    assert unfit(stated) == []
    assert unfit([*known()[:SINCE], Migration(SINCE + 1, "x", f"-- needs: 0099\n{sql}")]) != []


NEWEST = known()[-1].number
LATER = {
    "it only expanded": (0, True),
    "it took away what this program no longer uses": (NEWEST, True),
    "it took away what this program uses": (NEWEST + 1, False),
}


@pytest.mark.parametrize(("needs", "runs"), LATER.values(), ids=LATER.keys())
async def test_a_database_of_a_later_release(needs: int, runs: bool, database: str) -> None:
    """A program says that it is too old only where a contraction makes it so."""
    connection = await asyncpg.connect(database)
    await connection.execute("insert into migration (number, name, needs) values (9999, 'later', $1)", needs)
    await connection.close()
    if runs:
        assert await migrate(database) == []
        return
    with pytest.raises(
        DatabaseNewer, match=f"9999.* at {NEWEST} uses; run one that knows at least {NEWEST + 1}"
    ):
        await migrate(database)


async def test_a_contraction_is_stored_with_what_it_needs_and_a_database_of_before_learns_to(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of migrations that earlier releases made has no such column."""
    every = known()
    connection = await asyncpg.connect(empty_database)
    await connection.execute("create table migration (number int primary key, name text not null)")
    await connection.execute("alter table migration add column applied_at timestamptz default now()")
    contraction = Migration(NEWEST + 1, "drop", f"-- needs: {NEWEST:04}\ndrop table dead_letter;")
    monkeypatch.setattr(migrations, "known", lambda: [*every, contraction])
    await migrate(empty_database)
    assert dict(await connection.fetch("select number, needs from migration where needs > 0")) == {
        NEWEST + 1: NEWEST
    }
    await connection.close()
    monkeypatch.setattr(migrations, "known", lambda: every)
    async with PostgresStore(empty_database) as store:
        assert (await store.load()).workloads == ()
