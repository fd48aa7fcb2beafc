"""What transactions under the lease wrote to, in the order of commits, for replicas that do not lead.

It says what is to be read again, never what it is: a reader that is late, or reads twice, is right all the
same.
"""

from collections.abc import Iterable

from controlplane.known.journal import Journal, Place
from controlplane.known.records import Position
from controlplane.store.codecs import Connection, transposed

KEPT = 10_000
NOTHING: tuple[str, ...] = ()

# Only whoever holds the lease writes here, one transaction after the other: ids have no gaps.
_APPEND = """
insert into journal (id, decided, ordered, charged_workloads, charged_clusters, purged)
select coalesce(max(id), 0) + 1, $1, $2, $3, $4, $5 from journal
"""
_NEXT = """
select id, extract(epoch from at)::float8 as at, decided, ordered, charged_workloads, charged_clusters, purged
from journal where id > $1 order by id limit $2
"""
_WHERE = "select id, extract(epoch from at)::float8 as at from journal"


async def append(
    connection: Connection,
    *,
    decided: Iterable[str] = NOTHING,
    ordered: Iterable[str] = NOTHING,
    charged: Iterable[Place] = (),
    purged: Iterable[str] = NOTHING,
) -> None:
    """Under the lease. Workloads by uid; charged: (workload, cluster)."""
    places = transposed(set(charged), 2)
    columns = (list(set(decided)), list(set(ordered)), *places, list(purged))
    if any(columns):
        await connection.execute(_APPEND, *columns)


async def end(connection: Connection) -> Position:
    """Where it ends."""
    row = await connection.fetchrow(f"{_WHERE} order by id desc limit 1")
    return Position(row["id"], row["at"]) if row is not None else Position()


async def read(connection: Connection, after: Position, limit: int) -> Journal | None:
    """None where it does not go on from there: it was trimmed, or the database is another than it was."""
    if after.id:
        row = await connection.fetchrow(f"{_WHERE} where id = $1", after.id)
        if row is None or row["at"] != after.at:
            return None
    rows = await connection.fetch(_NEXT, after.id, limit)
    if not rows:
        return Journal(after)
    if rows[0]["id"] != after.id + 1:
        return None
    return Journal(
        Position(rows[-1]["id"], rows[-1]["at"]),
        frozenset(uid for row in rows for uid in row["decided"]),
        frozenset(uid for row in rows for uid in row["ordered"]),
        frozenset(
            place
            for row in rows
            for place in zip(row["charged_workloads"], row["charged_clusters"], strict=True)
        ),
        tuple(subject for row in rows for subject in row["purged"]),
        is_whole=len(rows) < limit,
    )


async def trim(connection: Connection, kept: int = KEPT) -> None:
    await connection.execute("delete from journal where id <= (select max(id) - $1 from journal)", kept)
