"""One row for each (cluster, workload): the newest order. ORDERS is its shadow."""

from collections.abc import Sequence
from typing import Any

from controlplane.known.records import Lease, OutboxRecord, Standing
from controlplane.loops.ports import OrderMark
from controlplane.store.codecs import Connection, transposed, version_of
from controlplane.store.leases import hold
from schemas.wire.orders import Verb, Version

COLUMNS = (
    "cluster, workload, verb, epoch, generation, body, signature, published_sequence,"
    " acknowledged_epoch, acknowledged_generation, trace"
)
_MARKED = (
    "unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])"
    " as mark (cluster, workload, epoch, generation, sequence)"
    " where (o.cluster, o.workload, o.epoch, o.generation)"
    " = (mark.cluster, mark.workload, mark.epoch, mark.generation)"
)


async def put(connection: Connection, orders: Sequence[OutboxRecord]) -> None:
    """Replace older orders, unpublished again; what was acknowledged stays known."""
    if not orders:
        return
    rows = (
        (
            order.cluster,
            order.workload,
            order.verb.value,
            order.version.epoch,
            order.version.generation,
            order.body,
            order.signature,
            order.trace,
        )
        for order in orders
    )
    await connection.execute(
        "insert into outbox as o (cluster, workload, verb, epoch, generation, body, signature, trace)"
        " select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],"
        " $6::bytea[], $7::bytea[], $8::text[])"
        " on conflict (cluster, workload) do update set"
        " (verb, epoch, generation, body, signature, trace, published_sequence)"
        " = (excluded.verb, excluded.epoch, excluded.generation, excluded.body, excluded.signature,"
        " excluded.trace, null)"
        " where (excluded.epoch, excluded.generation) > (o.epoch, o.generation)",
        *transposed(rows, 8),
    )


async def commit(connection: Connection, lease: Lease, orders: Sequence[OutboxRecord]) -> None:
    """As `put`, but for clusters that are removed by now. Raises LeaseLost."""
    await hold(connection, lease)
    rows = await connection.fetch(
        "select id from cluster where id = any($1) and standing <> $2 order by id for share",
        sorted({order.cluster for order in orders}),
        Standing.REMOVED,
    )
    clusters = {row["id"] for row in rows}
    await put(connection, [order for order in orders if order.cluster in clusters])


async def unpublished(connection: Connection, limit: int) -> list[OutboxRecord]:
    """The oldest versions first."""
    rows = await connection.fetch(
        f"select {COLUMNS} from outbox where published_sequence is null order by epoch, generation limit $1",
        limit,
    )
    return [record_of(dict(row)) for row in rows]


async def mark_published(connection: Connection, marks: Sequence[OrderMark]) -> None:
    await connection.execute(
        f"update outbox o set published_sequence = mark.sequence from {_MARKED}", *_columns(marks)
    )


async def mark_acknowledged(connection: Connection, marks: Sequence[OrderMark]) -> None:
    await connection.execute(
        "update outbox o set acknowledged_epoch = mark.epoch, acknowledged_generation = mark.generation"
        f" from {_MARKED}",
        *_columns(marks),
    )


async def remove_withdrawn(connection: Connection, marks: Sequence[OrderMark]) -> None:
    await connection.execute(
        f"delete from outbox o using {_MARKED} and o.verb = '{Verb.WITHDRAW}'", *_columns(marks)
    )


async def remove_cluster(connection: Connection, cluster: str) -> None:
    """Orders and promises of a cluster that is gone: nothing will carry them out or report them.

    What ran there is to be decided again, also by a leader that never sees the change.
    """
    await connection.execute(
        "update decision set resource_version = 0"
        " where workload in (select workload from placement where cluster = $1)",
        cluster,
    )
    await connection.execute("delete from outbox where cluster = $1", cluster)
    await connection.execute("delete from placement where cluster = $1", cluster)


def record_of(row: dict[str, Any]) -> OutboxRecord:
    return OutboxRecord(
        cluster=row["cluster"],
        workload=row["workload"],
        verb=Verb(row["verb"]),
        version=Version(row["epoch"], row["generation"]),
        body=row["body"],
        signature=row["signature"],
        published_sequence=row["published_sequence"],
        acknowledged=version_of(row["acknowledged_epoch"], row["acknowledged_generation"]),
        trace=row["trace"],
    )


def _columns(marks: Sequence[OrderMark]) -> list[list[Any]]:
    rows = (
        (mark.cluster, mark.workload, mark.version.epoch, mark.version.generation, mark.sequence)
        for mark in marks
    )
    return transposed(rows, 5)
