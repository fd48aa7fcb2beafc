"""The ledger of quota, in memory."""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from controlplane.known.records import (
    BalanceRecord,
    Lease,
    LedgerDifference,
    LedgerEntry,
    LedgerLine,
    LedgerQuery,
    QuotaRequestRecord,
    RequestState,
    SpentRecord,
)
from controlplane.loops.ports import QuotaState
from controlplane.store import ledger, ledger_reading
from tests.simulation.memory_journal import MemoryJournal
from tests.simulation.memory_spent import MemorySpent

T = TypeVar("T")


class MemoryLedger(MemorySpent, MemoryJournal):
    """What it stands on (tables, time, carrying) is the store's."""

    async def carry(self, effect: Callable[[], T]) -> T:
        raise NotImplementedError

    async def carry_held(self, lease: Lease, effect: Callable[[], T]) -> T:
        raise NotImplementedError

    def enter_lines(self, lines: Sequence[LedgerLine]) -> None:
        ledger.check(lines)
        after = ledger.settled(self.tables.balances, lines)
        self.tables.ledger += [(self.now(), ledger.kept(line)) for line in lines]
        for key, amount in after.items():
            if amount:
                self.tables.balances[key] = amount
            else:
                del self.tables.balances[key]

    async def commit_lines(self, lease: Lease, lines: Sequence[LedgerLine]) -> None:
        ledger.check_undecided(lines)

        await self.carry_held(lease, lambda: self._commit_lines(lines))

    async def move_lines(self, lease: Lease, lines: Sequence[LedgerLine], quota_version: int) -> bool:
        ledger.check_undecided(lines)

        def effect() -> bool:
            if quota_version != self.tables.quota_version:
                return False
            self._commit_lines(lines)
            return True

        return await self.carry_held(lease, effect)

    def _commit_lines(self, lines: Sequence[LedgerLine]) -> None:
        self.settle({line.tenant for line in lines})
        self.enter_lines(lines)
        self.note(charged=((line.workload, line.cluster) for line in lines))

    async def settle_budgets(self) -> None:
        await self.carry(lambda: self.settle() and None)

    async def read_spent(self) -> Sequence[SpentRecord]:
        return await self.carry(lambda: list(self.tables.spent.values()))

    async def balances_after(self, after: tuple[str, str], places: int) -> Sequence[BalanceRecord]:
        def effect() -> list[BalanceRecord]:
            found = {key[:2] for key in self.tables.balances if key[:2] > after}
            return self._balances(sorted(found)[:places])

        return await self.carry(effect)

    async def balances_of(self, places: Collection[tuple[str, str]]) -> Sequence[BalanceRecord]:
        return await self.carry(lambda: self._balances(places))

    def _balances(self, places: Collection[tuple[str, str]]) -> list[BalanceRecord]:
        rows = sorted(self.tables.balances.items())
        return [ledger.balance_at(*row) for row in rows if row[0][:2] in places]

    async def ledger_lines(self, query: LedgerQuery) -> Sequence[LedgerEntry]:
        def effect() -> list[LedgerEntry]:
            entries = [LedgerEntry(n, at, line) for n, (at, line) in enumerate(self.tables.ledger, 1)]
            found = [entry for entry in entries if ledger_reading.fits(entry, query)]
            page = found[::-1] if query.newest_first else found
            return page[: min(query.limit, ledger_reading.AT_MOST)]

        return await self.carry(effect)

    async def check_ledger(self) -> Sequence[LedgerDifference]:
        return await self.carry(
            lambda: ledger_reading.unequal((line for _, line in self.tables.ledger), self.tables.balances)
        )

    async def read_quota(self) -> QuotaState:
        return await self.carry(lambda: QuotaState(self.tables.quota_version, self.grants()))

    def grants(self) -> tuple[QuotaRequestRecord, ...]:
        rows = sorted(self.tables.quota_requests.items())
        return tuple(row for _, row in rows if row.state is RequestState.GRANTED)
