"""Alerts, and how far each cluster's log is committed: both in one transaction."""

from collections.abc import Iterable, Sequence

from controlplane.known.records import Lease
from controlplane.store.codecs import Connection, clean, transposed
from controlplane.store.leases import hold
from schemas.wire.alerts import AlertBatch, follows
from schemas.wire.reports import Stamp

START: Stamp = (0, 0)


def following(cursor: Stamp, batches: Iterable[AlertBatch]) -> tuple[list[AlertBatch], Stamp]:
    """What of `batches` comes next without a gap, and the cursor behind it. Pure.

    What lies at or below the cursor, or beyond a gap, is left out.
    """
    taken: list[AlertBatch] = []
    for batch in sorted(batches, key=lambda batch: batch.stamp):
        if batch.stamp <= cursor:
            continue
        if not follows(cursor, batch.stamp):
            break
        taken.append(batch)
        cursor = batch.stamp
    return taken, cursor


async def commit(connection: Connection, lease: Lease, cluster: str, batches: Sequence[AlertBatch]) -> Stamp:
    """Raises LeaseLost."""
    await hold(connection, lease)
    row = await connection.fetchrow(
        "select incarnation, sequence from alert_cursor where cluster = $1 for update", cluster
    )
    before = (row["incarnation"], row["sequence"]) if row else START
    taken, cursor = following(before, batches)
    if not taken:
        return before
    rows = [
        (
            batch.incarnation,
            batch.sequence,
            position,
            alert.labels,
            alert.annotations,
            alert.starts_at,
            alert.ends_at,
            clean(alert.generator_url),
            batch.received_at,
            batch.held_seconds,
        )
        for batch in taken
        for position, alert in enumerate(batch.alerts)
    ]
    await connection.execute(
        "insert into alert select $1, * from unnest($2::bigint[], $3::bigint[], $4::int[], $5::jsonb[],"
        " $6::jsonb[], $7::float8[], $8::float8[], $9::text[], $10::float8[], $11::float8[])",
        cluster,
        *transposed(rows, 10),
    )
    await connection.execute(
        "insert into alert_cursor values ($1, $2, $3) on conflict (cluster) do update"
        " set (incarnation, sequence) = (excluded.incarnation, excluded.sequence)",
        cluster,
        *cursor,
    )
    return cursor


async def watermarks(connection: Connection) -> dict[str, Stamp]:
    rows = await connection.fetch("select cluster, incarnation, sequence from alert_cursor")
    return {row["cluster"]: (row["incarnation"], row["sequence"]) for row in rows}


async def count(connection: Connection, cluster: str) -> int:
    """How many alerts of a cluster are committed."""
    return await connection.fetchval("select count(*) from alert where cluster = $1", cluster)
