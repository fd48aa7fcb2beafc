"""The part of the port Store that is about the ledger of quota, and its readers."""

from collections.abc import Collection, Mapping, Sequence

from controlplane.known.records import (
    BalanceRecord,
    Lease,
    LedgerDifference,
    LedgerEntry,
    LedgerLine,
    LedgerQuery,
    SpentRecord,
)
from controlplane.loops.ports import QuotaState
from controlplane.store import (
    changes,
    journal,
    leases,
    ledger,
    ledger_reading,
    ledger_running,
    quota_head,
    spent,
)
from controlplane.store.codecs import Connection
from controlplane.store.pool import Pool

CHECK_SECONDS = 60.0


class Ledger:
    """Each method is a transaction."""

    _pool: Pool

    async def commit_lines(self, lease: Lease, lines: Sequence[LedgerLine]) -> None:
        ledger.check_undecided(lines)
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            await _enter(connection, lines)

    async def move_lines(self, lease: Lease, lines: Sequence[LedgerLine], quota_version: int) -> bool:
        ledger.check_undecided(lines)
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            # Which flavor is the first that covers it, and what is left of that, is a matter of the quota.
            if await quota_head.held_soon(connection) != quota_version:
                return False
            await _enter(connection, lines)
            return True

    async def settle_budgets(self) -> None:
        """A budget that runs out while nothing is charged is told of. Anybody may, at any time."""
        async with self._pool.transaction() as connection:
            await quota_head.hold(connection)
            now = await connection.fetchval("select extract(epoch from clock_timestamp())::float8")
            settled = await spent.settle_all(connection, now)
            await changes.append(connection, settled.changes)

    async def read_quota(self) -> QuotaState:
        async with self._pool.connection() as connection:
            return await quota_head.read(connection)

    async def balances_after(self, after: tuple[str, str], places: int) -> Sequence[BalanceRecord]:
        async with self._pool.connection() as connection:
            return await ledger_reading.balances_after(connection, after, places)

    async def balances_of(self, places: Collection[tuple[str, str]]) -> Sequence[BalanceRecord]:
        async with self._pool.connection() as connection:
            return await ledger_reading.balances_of(connection, places)

    async def ledger_lines(self, query: LedgerQuery) -> Sequence[LedgerEntry]:
        """At most `ledger_reading.AT_MOST`."""
        async with self._pool.connection() as connection:
            return await ledger_reading.entries(connection, query)

    async def ledger_balances(self, ids: Collection[int]) -> Mapping[int, int]:
        """What the balance of each of these entries came to after it, by id."""
        async with self._pool.connection() as connection:
            return await ledger_running.running(connection, ids)

    async def read_spent(self) -> Sequence[SpentRecord]:
        """As it was settled last."""
        async with self._pool.connection() as connection:
            return [ledger.spent_of(dict(row)) for row in await connection.fetch(ledger.SPENT)]

    async def check_ledger(self) -> Sequence[LedgerDifference]:
        """Balances that are not the sums of their lines: none. Reads the whole ledger."""
        async with self._pool.transaction(CHECK_SECONDS, snapshot=True) as connection:
            return await ledger_reading.differences(connection)


async def _enter(connection: Connection, lines: Sequence[LedgerLine]) -> None:
    settled = await spent.settle_released(connection, {line.tenant for line in lines})
    await ledger.enter(connection, lines)
    await journal.append(connection, charged=((line.workload, line.cluster) for line in lines))
    await changes.append(connection, settled.changes)
