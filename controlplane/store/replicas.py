"""Which processes of the centre there are: each writes its row every few seconds, and reads the others'."""

from collections.abc import Sequence

from controlplane.known.replicas import FORGOTTEN_SECONDS, Replica
from controlplane.store.codecs import Connection

_WRITE = """
insert into replica (name, loops, version, wanted, hears, ready) values ($1, $2, $3, $4, $5, $6)
on conflict (name) do update set loops = $2, version = $3, wanted = $4, hears = $5, ready = $6,
    started_at = case when $7 then clock_timestamp() else replica.started_at end,
    seen_at = clock_timestamp()
"""
READ = """
select name, loops, version, wanted, hears, ready,
    extract(epoch from clock_timestamp() - started_at)::float8 as started_seconds,
    extract(epoch from clock_timestamp() - seen_at)::float8 as seen_seconds
from replica order by name limit 200
"""


async def see(connection: Connection, own: Replica, *, first: bool) -> Sequence[Replica]:
    """All of them. first: it has started since it was written last."""
    await connection.execute(
        "delete from replica where seen_at < clock_timestamp() - make_interval(secs => $1)", FORGOTTEN_SECONDS
    )
    row = own.name, own.loops, own.version, own.wanted, own.hears, own.ready
    await connection.execute(_WRITE, *row, first)
    return [Replica(**dict(row)) for row in await connection.fetch(READ)]


async def leave(connection: Connection, name: str) -> None:
    await connection.execute("delete from replica where name = $1", name)
