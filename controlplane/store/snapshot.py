"""Everything that a leader decides on, read in one snapshot."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from controlplane.known.records import Loaded
from controlplane.store import (
    alerts,
    clusters,
    decisions,
    documents,
    journal,
    leases,
    ledger,
    outbox,
    quota_head,
    workloads,
)
from controlplane.store.codecs import Connection

SLICE = 500
"""Rows made into records at once: between two slices the loop does other things."""
T = TypeVar("T")

# A deleted workload counts until its last decision is made and its last order is carried out.
_DECIDED_ON = """
    not w.deleted
    or exists (select from placement p where p.workload = w.uid)
    or exists (select from outbox o where o.workload = w.uid)
    or not exists (
        select from decision d where d.workload = w.uid and d.resource_version = w.resource_version)
"""


async def load(connection: Connection) -> Loaded:
    read = _Reader(connection)
    return Loaded(
        clusters=await read(f"select {clusters.COLUMNS} from cluster", clusters.record_of),
        documents=await documents.read_all(connection),
        workloads=await read(
            f"select {workloads.COLUMNS} from workload w where {_DECIDED_ON}", workloads.record_of
        ),
        placements=await read(f"select {decisions.PLACEMENT} from placement", decisions.placement_of),
        decisions=await read(
            f"select {decisions.DECISION} from decision"
            f" where workload in (select uid from workload w where {_DECIDED_ON})",
            decisions.decision_of,
        ),
        outbox=await read(f"select {outbox.COLUMNS} from outbox", outbox.record_of),
        epochs=await leases.epochs(connection),
        last_generation=await leases.last_generation(connection),
        alert_watermarks=await alerts.watermarks(connection),
        change_cursor=await connection.fetchval("select last_id from change_head"),
        quota_version=await quota_head.version(connection),
        balances=await read(ledger.BALANCE, ledger.balance_of),
        grants=await read(quota_head.GRANTED, quota_head.request_of),
        spent=await read(ledger.SPENT, ledger.spent_of),
        journal=await journal.end(connection),
    )


class _Reader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __call__(self, query: str, record_of: Callable[[dict[str, Any]], T]) -> tuple[T, ...]:
        cursor = await self._connection.cursor(query)
        records: list[T] = []
        while rows := await cursor.fetch(SLICE):
            records.extend(record_of(dict(row)) for row in rows)
            await asyncio.sleep(0)
        return tuple(records)
