"""What changed, in the order of commits: none ever appears below one that was read."""

from collections.abc import Sequence

from controlplane.known.records import Change
from controlplane.store.codecs import Connection
from controlplane.store.namespaces import CHANGES, notify

KEPT = 1_000_000

# The one row of change_head is the lock: whoever has it commits before the next one numbers its own.
_APPEND = f"""
with head as (
    update change_head set last_id = last_id + $1 returning last_id - $1 as before
), notified as materialized (
    select {notify(CHANGES)}
)
insert into change (id, at, kind, name, uid, what, by, detail)
select before + n, clock_timestamp(), kind, name, uid, what, by, detail
from head, notified, rows from (
    jsonb_to_recordset($2) as (kind text, name text, uid text, what text, by text, detail jsonb)
) with ordinality as new (kind, name, uid, what, by, detail, n)
"""


async def append(connection: Connection, changes: Sequence[Change]) -> None:
    """Late in a transaction: from here until its commit, nobody else commits a change."""
    if not changes:
        return
    await connection.execute(_APPEND, len(changes), list(changes))


async def read(connection: Connection, after: int, limit: int) -> list[Change]:
    rows = await connection.fetch(
        "select id, extract(epoch from at)::float8 as at, kind, name, uid, what, by, detail"
        " from change where id > $1 order by id limit $2",
        after,
        limit,
    )
    return [Change(*row) for row in rows]


async def horizon(connection: Connection) -> tuple[int, int]:
    """(first id that is kept, last id given); a reader below the first has missed some."""
    row = await connection.fetchrow(
        "select last_id, coalesce((select min(id) from change), last_id + 1) as first from change_head"
    )
    assert row is not None  # noqa: S101 - the migration inserts it
    return row["first"], row["last_id"]


async def trim(connection: Connection, kept: int = KEPT) -> None:
    await connection.execute("delete from change where id <= (select last_id - $1 from change_head)", kept)
