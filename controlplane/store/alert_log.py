"""The log that every replica reads: entries, numbered in the order of commits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controlplane.alerts.entering import happened_by
from controlplane.alerts.entry import Arrived, Entry
from controlplane.alerts.notice import Happened
from controlplane.alerts.silence import Acknowledgement, Silence
from controlplane.store import alert_history
from controlplane.store.alert_codec import entry_of, entry_row, pack
from controlplane.store.codecs import Connection, clean, transposed
from controlplane.store.namespaces import ALERTS, notify

# The one row of alert_head is the lock: whoever has it commits before the next one numbers its own.
_APPEND = f"""
with head as (
    update alert_head set last_id = last_id + $1 returning last_id - $1 as before
), notified as materialized (
    select {notify(ALERTS)}
), inserted as (
    insert into alert_log (id, at, kind, body, trace)
    select before + n, at, kind, body, trace
    from head, notified,
         unnest($2::float8[], $3::text[], $4::bytea[], $5::text[])
         with ordinality as new (at, kind, body, trace, n)
)
select before from head
"""


@dataclass(frozen=True)
class Appending:
    """Entries of one caller, encoded before they wait for others."""

    rows: tuple[tuple[float, str, bytes, str], ...]
    silences: tuple[Silence, ...] = ()
    acknowledgements: tuple[Acknowledgement, ...] = ()
    happened: tuple[Happened, ...] = ()


def appending(entries: Sequence[Entry]) -> Appending:
    return Appending(
        tuple((*entry_row(entry), _trace_of(entry)) for entry in entries),
        tuple(entry for entry in entries if isinstance(entry, Silence)),
        tuple(entry for entry in entries if isinstance(entry, Acknowledgement)),
        tuple(line for entry in entries for line in happened_by(entry)),
    )


async def append(connection: Connection, appendings: Sequence[Appending]) -> list[range]:
    """The ids of each. Late in a transaction: from here until its commit, nobody else appends."""
    silences = {silence.id: silence for each in appendings for silence in each.silences}
    acknowledged = {
        (each.fingerprint, each.starts_at): each for some in appendings for each in some.acknowledgements
    }
    if silences:
        await _put_silences(connection, list(silences.values()))
    if acknowledged:
        await _put_acknowledgements(connection, list(acknowledged.values()))
    await alert_history.append(connection, [line for each in appendings for line in each.happened])
    rows = [row for each in appendings for row in each.rows]
    if not rows:
        return [range(0) for _ in appendings]
    before: int = await connection.fetchval(_APPEND, len(rows), *transposed(rows, 4))
    ranges: list[range] = []
    for each in appendings:
        ranges.append(range(before + 1, before + 1 + len(each.rows)))
        before += len(each.rows)
    return ranges


async def _put_silences(connection: Connection, silences: Sequence[Silence]) -> None:
    rows = [(clean(silence.id), silence.ends_at, pack(silence)) for silence in silences]
    await connection.execute(
        "insert into silence (id, ends_at, body) select * from unnest($1::text[], $2::float8[], $3::bytea[])"
        " on conflict (id) do update set ends_at = excluded.ends_at, body = excluded.body",
        *transposed(rows, 3),
    )


async def _put_acknowledgements(connection: Connection, given: Sequence[Acknowledgement]) -> None:
    rows = [
        (each.fingerprint, each.starts_at, each.at, clean(each.by), clean(each.comment)) for each in given
    ]
    await connection.execute(
        "insert into acknowledgement (fingerprint, starts_at, at, by, comment)"
        " select * from unnest($1::text[], $2::float8[], $3::float8[], $4::text[], $5::text[])"
        " on conflict (fingerprint, starts_at) do update"
        " set (at, by, comment) = (excluded.at, excluded.by, excluded.comment)",
        *transposed(rows, 5),
    )


async def read(connection: Connection, after: int, limit: int) -> list[tuple[int, Entry]]:
    rows = await connection.fetch(
        "select id, kind, body, trace from alert_log where id > $1 order by id limit $2", after, limit
    )
    return [(row["id"], _traced(entry_of(row["kind"], row["body"]), row["trace"])) for row in rows]


def _trace_of(entry: Entry) -> str:
    return entry.trace if isinstance(entry, Arrived) else ""


def _traced(entry: Entry, trace: str) -> Entry:
    """Beside the body, which older releases read too."""
    return replace(entry, trace=trace) if trace and isinstance(entry, Arrived) else entry


async def horizon(connection: Connection) -> tuple[int, int]:
    """(first id that is kept, last id given): whoever is below the first must load anew."""
    row = await connection.fetchrow(
        "select last_id, coalesce((select min(id) from alert_log), last_id + 1) as first from alert_head"
    )
    assert row is not None  # noqa: S101 - the migration inserts it
    return row["first"], row["last_id"]
