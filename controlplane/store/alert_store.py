"""`loops.alert_ports.AlertStore` on Postgres: each method is a transaction, its SQL lies with its concept."""

from collections.abc import Collection, Mapping, Sequence

from controlplane.alerts.configuration import History
from controlplane.alerts.entry import Entry, SavedAlert, SavedBoard, SavedGroup
from controlplane.alerts.history import AttemptLine, HistoryLine, HistoryQuery
from controlplane.alerts.notice import Flush, Happened
from controlplane.alerts.rules import Key
from controlplane.known.records import Lease
from controlplane.loops.alert_ports import Attempted, Tried
from controlplane.store import alert_board, alert_heartbeats, alert_history, alert_log, alert_rules, leases
from controlplane.store.codecs import clean
from controlplane.store.group_commit import GroupCommit
from controlplane.store.listener import Listener
from controlplane.store.pool import Pool

LOAD_SECONDS = 60.0


class PostgresAlertStore:
    def __init__(self, pool: Pool, listener: Listener) -> None:
        self._pool = pool
        self._listener = listener
        self._appends: GroupCommit[alert_log.Appending, range] = GroupCommit(self._append)

    async def close(self) -> None:
        """When the entries that wait are committed."""
        await self._appends.close()

    async def append_entries(self, entries: Sequence[Entry]) -> Sequence[int]:
        return await self._appends.put(alert_log.appending(entries))

    async def read_entries(self, after: int, limit: int) -> Sequence[tuple[int, Entry]]:
        self._listener.alerts.about_to_read()
        async with self._pool.connection() as connection:
            return await alert_log.read(connection, after, limit)

    async def entry_horizon(self) -> tuple[int, int]:
        async with self._pool.connection() as connection:
            return await alert_log.horizon(connection)

    async def wait_for_entry(self, timeout_seconds: float) -> None:
        await self._listener.alerts.wait(timeout_seconds)

    async def load_board(self) -> SavedBoard:
        async with self._pool.transaction(LOAD_SECONDS, snapshot=True) as connection:
            return await alert_board.load(connection)

    async def commit_flushes(
        self, lease: Lease, flushes: Sequence[Flush], groups: Sequence[SavedGroup]
    ) -> None:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            await alert_board.put_flushes(connection, flushes, groups)

    async def record_attempts(self, lease: Lease, attempts: Sequence[Attempted]) -> None:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            new = await alert_history.put_attempts(connection, [each.attempt for each in attempts])
            await alert_board.put_sent(connection, [each.sent for each in attempts if each.sent is not None])
            groups = [each.group for each in attempts if each.group is not None]
            await alert_board.put_groups(connection, groups)
            lines = [
                line
                for each in attempts
                if (clean(each.attempt.key), each.attempt.number, each.attempt.at) in new
                for line in each.happened
            ]
            await alert_history.append(connection, lines)

    async def recent_messages(self, since: float, keys: Collection[str]) -> Sequence[Tried]:
        async with self._pool.connection() as connection:
            return await alert_history.recent_messages(connection, since, keys)

    async def record_happened(self, lease: Lease, happened: Sequence[Happened]) -> None:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            await alert_history.append(connection, happened)

    async def checkpoint(
        self, lease: Lease, applied: int, alerts: Sequence[SavedAlert], gone: Collection[str]
    ) -> None:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            await alert_board.checkpoint(connection, applied, alerts, gone)

    async def trim(self, lease: Lease, now: float, bounds: History) -> bool:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            return await alert_history.trim(connection, now, bounds)

    async def read_pending(self) -> Mapping[tuple[str, Key], float]:
        async with self._pool.connection() as connection:
            return await alert_rules.read_pending(connection)

    async def write_pending(
        self, lease: Lease, begun: Mapping[tuple[str, Key], float], ended: Sequence[tuple[str, Key]]
    ) -> None:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            await alert_rules.write_pending(connection, begun, ended)

    async def read_heartbeats(self) -> Mapping[str, float]:
        async with self._pool.connection() as connection:
            return await alert_heartbeats.read(connection)

    async def write_heartbeats(self, lease: Lease, heard: Mapping[str, float]) -> None:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            await alert_heartbeats.write(connection, heard)

    # For the API

    async def read_history(self, query: HistoryQuery) -> Sequence[HistoryLine]:
        async with self._pool.connection() as connection:
            return await alert_history.read(connection, query)

    async def read_attempts(
        self, *, receiver: str = "", key: str = "", before: int = 0, limit: int = 100
    ) -> Sequence[AttemptLine]:
        async with self._pool.connection() as connection:
            return await alert_history.read_attempts(connection, receiver, key, before, limit)

    async def _append(self, appendings: Sequence[alert_log.Appending]) -> Sequence[range]:
        async with self._pool.transaction() as connection:
            return await alert_log.append(connection, appendings)
