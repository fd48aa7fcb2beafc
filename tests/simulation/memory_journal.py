"""The journal of what was decided, in memory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from controlplane.known.journal import Bearings, Journal, Place, ReadAgain
from controlplane.known.records import EpochRecord, Lease, Position, Standing
from controlplane.store import leases, ledger
from schemas.wire.orders import Version
from tests.simulation.memory_tables import Tables

T = TypeVar("T")


class MemoryJournal:
    """What it stands on (tables, time, carrying) is the store's."""

    tables: Tables

    def now(self) -> float:
        raise NotImplementedError

    async def carry(self, effect: Callable[[], T]) -> T:
        raise NotImplementedError

    async def carry_held(self, lease: Lease, effect: Callable[[], T]) -> T:
        raise NotImplementedError

    def note(
        self,
        *,
        decided: Iterable[str] = (),
        ordered: Iterable[str] = (),
        charged: Iterable[Place] = (),
        purged: Iterable[str] = (),
    ) -> None:
        columns = frozenset(decided), frozenset(ordered), frozenset(charged), tuple(purged)
        if any(columns):
            end = Position(len(self.tables.journal) + 1, self.now())
            self.tables.journal.append(Journal(end, *columns))

    def journal_end(self) -> Position:
        return self.tables.journal[-1].end if self.tables.journal else Position()

    async def read_journal(self, after: Position, limit: int) -> Journal | None:
        def effect() -> Journal | None:
            entries = self.tables.journal
            if after.id and (after.id > len(entries) or entries[after.id - 1].end != after):
                return None
            some = entries[after.id : after.id + limit]
            if not some:
                return Journal(after)
            return Journal(
                some[-1].end,
                frozenset(uid for each in some for uid in each.decided),
                frozenset(uid for each in some for uid in each.ordered),
                frozenset(place for each in some for place in each.charged),
                tuple(subject for each in some for subject in each.purged),
                is_whole=len(some) < limit,
            )

        return await self.carry(effect)

    async def read_again(self, named: Journal, held: Mapping[tuple[str, str], Version]) -> ReadAgain:
        def effect() -> ReadAgain:
            tables = self.tables
            ordered = named.decided | named.ordered
            return ReadAgain(
                tuple(tables.decisions[uid] for uid in sorted(named.decided) if uid in tables.decisions),
                tuple(row for row in tables.placements.values() if row.workload in named.decided),
                tuple(
                    replace(row, body=b"", signature=b"") if held.get(place) == row.version else row
                    for place, row in tables.outbox.items()
                    if row.workload in ordered
                ),
                tuple(
                    ledger.balance_at(key, amount)
                    for key, amount in sorted(tables.balances.items())
                    if key[:2] in named.charged
                ),
            )

        return await self.carry(effect)

    async def read_bearings(self) -> Bearings:
        def effect() -> Bearings:
            tables = self.tables
            return Bearings(
                tuple(
                    EpochRecord(epoch, first)
                    for (role, epoch), first in sorted(tables.epochs.items())
                    if role == leases.DECIDING
                ),
                tables.generation,
                dict(tables.alert_cursors),
                {
                    row.id: row.incarnation
                    for row in tables.clusters.values()
                    if row.standing is not Standing.REMOVED
                },
            )

        return await self.carry(effect)

    async def record_purged(self, lease: Lease, subjects: Sequence[str]) -> None:
        await self.carry_held(lease, lambda: self.note(purged=subjects))
