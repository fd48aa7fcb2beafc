"""What a journal names, read again; and what a new leader needs beside it."""

from collections.abc import Mapping

from controlplane.known.journal import Bearings, Journal, ReadAgain
from controlplane.known.records import Standing
from controlplane.store import alerts, decisions, leases, ledger_reading, outbox
from controlplane.store.codecs import Connection, transposed
from schemas.wire.orders import Version

_MARKS = outbox.COLUMNS.replace("body, signature", "''::bytea as body, ''::bytea as signature")
_HELD = (
    "(cluster, workload, epoch, generation)"
    " in (select * from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[]))"
)


async def read_again(
    connection: Connection, journal: Journal, held: Mapping[tuple[str, str], Version]
) -> ReadAgain:
    """Within one snapshot. held: orders by (cluster, workload), whose bodies are not read again."""
    decided, ordered = list(journal.decided), list(journal.decided | journal.ordered)
    versions = transposed([(*place, each.epoch, each.generation) for place, each in held.items()], 4)
    rows = [
        *await connection.fetch(
            f"select {outbox.COLUMNS} from outbox where workload = any($1) and not ({_HELD})",
            ordered,
            *versions,
        ),
        *await connection.fetch(
            f"select {_MARKS} from outbox where workload = any($1) and {_HELD}", ordered, *versions
        ),
    ]
    return ReadAgain(
        decisions=tuple(
            decisions.decision_of(dict(row))
            for row in await connection.fetch(
                f"select {decisions.DECISION} from decision where workload = any($1)", decided
            )
        ),
        placements=tuple(
            decisions.placement_of(dict(row))
            for row in await connection.fetch(
                f"select {decisions.PLACEMENT} from placement where workload = any($1)", decided
            )
        ),
        outbox=tuple(outbox.record_of(dict(row)) for row in rows),
        balances=tuple(await ledger_reading.balances_of(connection, journal.charged)),
    )


async def bearings(connection: Connection) -> Bearings:
    unjournaled = await connection.fetch(
        "select epoch from epoch where role = $1 and not journaled", leases.DECIDING
    )
    incarnations = await connection.fetch(
        "select id, incarnation from cluster where standing <> $1", Standing.REMOVED
    )
    return Bearings(
        epochs=await leases.epochs(connection),
        last_generation=await leases.last_generation(connection),
        alert_watermarks=await alerts.watermarks(connection),
        incarnations={row["id"]: row["incarnation"] for row in incarnations},
        unjournaled=frozenset(row["epoch"] for row in unjournaled),
    )
