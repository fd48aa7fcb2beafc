"""The part of the port Store by which replicas that do not lead are as warm as the one that does."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from controlplane.known.journal import Bearings, Journal, ReadAgain
from controlplane.known.records import Lease, Position
from controlplane.loops.ports import StoreUnavailable
from controlplane.store import journal, journal_reading, leases
from controlplane.store.pool import Pool
from schemas.wire.orders import Version

TRIM_SECONDS = 30.0
"""Replicas read it twice a second."""
log = structlog.get_logger()


class Journaled:
    """Each method is a transaction."""

    _pool: Pool

    async def read_journal(self, after: Position, limit: int) -> Journal | None:
        async with self._pool.connection() as connection:
            return await journal.read(connection, after, limit)

    async def read_again(self, named: Journal, held: Mapping[tuple[str, str], Version]) -> ReadAgain:
        async with self._pool.transaction(snapshot=True) as connection:
            return await journal_reading.read_again(connection, named, held)

    async def read_bearings(self) -> Bearings:
        async with self._pool.transaction(snapshot=True) as connection:
            return await journal_reading.bearings(connection)

    async def record_purged(self, lease: Lease, subjects: Sequence[str]) -> None:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            await journal.append(connection, purged=subjects)

    async def trim_forever(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(TRIM_SECONDS)
            try:
                async with self._pool.connection() as connection:
                    await journal.trim(connection)
            except StoreUnavailable as error:
                log.warning("journal_not_trimmed", detail=str(error))
