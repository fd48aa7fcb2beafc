"""The port AlertStore in memory, deterministic: every call is one transaction, in the order of calls.

What Postgres encodes goes through the same codec here, so that what does not survive it shows.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from controlplane.alerts.configuration import History
from controlplane.alerts.entering import happened_by
from controlplane.alerts.entry import Entry, SavedAlert, SavedBoard, SavedGroup
from controlplane.alerts.history import AttemptLine, HistoryLine, HistoryQuery
from controlplane.alerts.notice import Attempt, Flush, Happened, Notice, Sent
from controlplane.alerts.silence import Acknowledgement, Silence
from controlplane.known.records import Lease
from controlplane.loops.alert_ports import Attempted, Tried
from controlplane.loops.ports import StoreUnavailable
from controlplane.store.alert_codec import entry_of, entry_row, pack, unpack
from controlplane.store.alert_history import (
    ATTEMPT_BYTES,
    DIGESTED,
    EXPIRED_KEPT_SECONDS,
    LINE_BYTES,
    LOG_KEPT_SECONDS,
    PAGE,
)
from controlplane.store.wakes import Wakes

T = TypeVar("T")


@dataclass
class AlertTables:
    """log: id, at, kind, body. history, attempts: with ids, the oldest first."""

    last_id: int = 0
    applied: int = 0
    log: dict[int, tuple[float, str, bytes]] = field(default_factory=dict[int, tuple[float, str, bytes]])
    saved: dict[str, bytes] = field(default_factory=dict[str, bytes])
    labels: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    groups: dict[str, bytes] = field(default_factory=dict[str, bytes])
    notices: dict[str, bytes] = field(default_factory=dict[str, bytes])
    attempts: dict[tuple[str, int, float], AttemptLine] = field(
        default_factory=dict[tuple[str, int, float], AttemptLine]
    )
    sent: dict[tuple[str, str, str], bytes] = field(default_factory=dict[tuple[str, str, str], bytes])
    silences: dict[str, bytes] = field(default_factory=dict[str, bytes])
    acknowledgements: dict[tuple[str, float], Acknowledgement] = field(
        default_factory=dict[tuple[str, float], Acknowledgement]
    )
    history: dict[int, Happened] = field(default_factory=dict[int, Happened])
    heartbeats: dict[str, float] = field(default_factory=dict[str, float])


class MemoryAlertStore:
    """One database; it outlives the processes that use it.

    check: raises LeaseLost for a lease that is not alive. away: while it holds, every call fails.
    """

    def __init__(self, check: Callable[[Lease], None]) -> None:
        self.tables = AlertTables()
        self.away = False
        self._check = check
        self._wakes = Wakes()
        self._numbers = count(1)

    async def _carry(self, effect: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("the database does not answer")
        return effect()

    async def _carry_held(self, lease: Lease, effect: Callable[[], T]) -> T:
        def under_lease() -> T:
            self._check(lease)
            return effect()

        return await self._carry(under_lease)

    async def append_entries(self, entries: Sequence[Entry]) -> Sequence[int]:
        return await self._carry(lambda: self.enter(entries))

    def enter(self, entries: Sequence[Entry]) -> list[int]:
        """As a part of somebody's transaction."""
        ids: list[int] = []
        for entry in entries:
            self.tables.last_id += 1
            self.tables.log[self.tables.last_id] = entry_row(entry)
            ids.append(self.tables.last_id)
            if isinstance(entry, Silence):
                self.tables.silences[entry.id] = pack(entry)
            elif isinstance(entry, Acknowledgement):
                self.tables.acknowledgements[entry.fingerprint, entry.starts_at] = entry
            self._happened(happened_by(entry))
        self._wakes.wake()
        return ids

    async def read_entries(self, after: int, limit: int) -> Sequence[tuple[int, Entry]]:
        self._wakes.about_to_read()

        def effect() -> list[tuple[int, Entry]]:
            numbers = [number for number in sorted(self.tables.log) if number > after][:limit]
            return [(number, entry_of(*self.tables.log[number][1:])) for number in numbers]

        return await self._carry(effect)

    async def entry_horizon(self) -> tuple[int, int]:
        tables = self.tables
        return await self._carry(lambda: (min(tables.log, default=tables.last_id + 1), tables.last_id))

    async def wait_for_entry(self, timeout_seconds: float) -> None:
        await self._wakes.wait(timeout_seconds)

    async def load_board(self) -> SavedBoard:
        return await self._carry(self._load)

    def _load(self) -> SavedBoard:
        tables = self.tables
        notices = [unpack(Notice, body) for body in tables.notices.values()]
        return SavedBoard(
            applied=tables.applied,
            alerts=tuple(unpack(SavedAlert, body) for body in tables.saved.values()),
            silences=tuple(unpack(Silence, body) for body in tables.silences.values()),
            acknowledgements=tuple(tables.acknowledgements.values()),
            groups={key: unpack(SavedGroup, body) for key, body in tables.groups.items()},
            sent=tuple(unpack(Sent, body) for body in tables.sent.values()),
            pending=tuple(sorted(notices, key=lambda notice: (notice.at, notice.key))),
        )

    async def commit_flushes(
        self, lease: Lease, flushes: Sequence[Flush], groups: Sequence[SavedGroup]
    ) -> None:
        def effect() -> None:
            tables = self.tables
            for flush in flushes:
                if flush.next_at is None:
                    tables.groups.pop(flush.group_key, None)
                    for key in [key for key in tables.sent if key[0] == flush.group_key]:
                        del tables.sent[key]
            self._put_groups(groups)
            for flush in flushes:
                self._put_sent(flush.cleared)
                for notice in flush.notices:
                    tables.notices.setdefault(notice.key, pack(notice))
                self._happened(flush.happened)

        await self._carry_held(lease, effect)

    async def record_attempts(self, lease: Lease, attempts: Sequence[Attempted]) -> None:
        def effect() -> None:
            for each in attempts:
                new = self._attempted(each.attempt)
                self._put_sent([each.sent] if each.sent is not None else [])
                self._put_groups([each.group] if each.group is not None else [])
                if new:
                    self._happened(each.happened)

        await self._carry_held(lease, effect)

    def _attempted(self, attempt: Attempt) -> bool:
        body = self.tables.notices.get(attempt.key)
        notice = unpack(Notice, body) if body is not None else None
        key = attempt.key, attempt.number, attempt.at
        new = key not in self.tables.attempts
        if new:
            about = (
                (notice.group_key, notice.receiver, notice.integration, notice.why.value)
                if notice is not None
                else ("", "", "", "")
            )
            self.tables.attempts[key] = AttemptLine(next(self._numbers), attempt, *about)
        if attempt.last:
            self.tables.notices.pop(attempt.key, None)
        return new

    async def read_heartbeats(self) -> Mapping[str, float]:
        return await self._carry(lambda: dict(self.tables.heartbeats))

    async def write_heartbeats(self, lease: Lease, heard: Mapping[str, float]) -> None:
        def effect() -> None:
            self.tables.heartbeats = dict(heard)

        await self._carry_held(lease, effect)

    async def recent_messages(self, since: float, keys: Collection[str]) -> Sequence[Tried]:
        def effect() -> list[Tried]:
            lines = [
                each
                for each in self.tables.attempts.values()
                if each.attempt.at >= since or each.attempt.key in keys
            ]
            own = [each for each in lines if not each.attempt.answer.detail.startswith(DIGESTED)]
            tried = (
                Tried(each.receiver, each.integration, each.attempt.at, each.attempt.key) for each in own
            )
            return sorted(tried, key=lambda each: each.at)

        return await self._carry(effect)

    async def record_happened(self, lease: Lease, happened: Sequence[Happened]) -> None:
        await self._carry_held(lease, lambda: self._happened(happened))

    async def checkpoint(
        self, lease: Lease, applied: int, alerts: Sequence[SavedAlert], gone: Collection[str]
    ) -> None:
        def effect() -> None:
            for fingerprint in gone:
                self.tables.saved.pop(fingerprint, None)
            for saved in alerts:
                self.tables.saved[saved.alert.fingerprint] = pack(saved)
                self.tables.labels[saved.alert.fingerprint] = dict(saved.alert.labels)
            self.tables.applied = max(self.tables.applied, applied)

        await self._carry_held(lease, effect)

    async def trim(self, lease: Lease, now: float, bounds: History) -> bool:
        return await self._carry_held(lease, lambda: self._trim(now, bounds))

    def _trim(self, now: float, bounds: History) -> bool:
        tables, before = self.tables, now - bounds.days * 24 * 3600.0
        for number, (at, _, _) in list(tables.log.items()):
            if number <= tables.applied and at < now - LOG_KEPT_SECONDS:
                del tables.log[number]
        for key, line in list(tables.attempts.items()):
            if line.attempt.at < before:
                del tables.attempts[key]
        for key in list(tables.attempts)[: max(0, len(tables.attempts) - bounds.max_bytes // ATTEMPT_BYTES)]:
            del tables.attempts[key]
        for id_, body in list(tables.silences.items()):
            if unpack(Silence, body).ends_at < now - EXPIRED_KEPT_SECONDS:
                del tables.silences[id_]
        sizes = {number: _size(line) for number, line in tables.history.items()}
        over = sum(sizes.values()) - bounds.max_bytes
        for number, line in list(tables.history.items()):
            if line.at < before or over > 0:
                del tables.history[number]
            over -= sizes[number]
        return False

    async def read_history(self, query: HistoryQuery) -> Sequence[HistoryLine]:
        def wanted(number: int, line: Happened) -> bool:
            labels = self.tables.labels.get(line.fingerprint, {})
            return (
                query.fingerprint in ("", line.fingerprint)
                and query.receiver in ("", line.receiver)
                and query.what in ("", line.what.value)
                and (
                    all(labels.get(name) == value for name, value in query.matching)
                    or line.fingerprint in query.fresh
                )
                and line.at >= query.since
                and (not query.until or line.at < query.until)
                and (not query.before or number < query.before)
            )

        def effect() -> list[HistoryLine]:
            lines = [
                HistoryLine(number, line, self.tables.labels.get(line.fingerprint, {}))
                for number, line in sorted(self.tables.history.items(), reverse=True)
                if wanted(number, line)
            ]
            return lines[: min(query.limit, PAGE)]

        return await self._carry(effect)

    async def read_attempts(
        self, *, receiver: str = "", key: str = "", before: int = 0, limit: int = 100
    ) -> Sequence[AttemptLine]:
        def effect() -> list[AttemptLine]:
            lines = sorted(self.tables.attempts.values(), key=lambda line: -line.id)
            return [
                line
                for line in lines
                if receiver in ("", line.receiver)
                and key in ("", line.attempt.key)
                and (not before or line.id < before)
            ][:limit]

        return await self._carry(effect)

    def _put_groups(self, groups: Sequence[SavedGroup]) -> None:
        self.tables.groups.update((group.group_key, pack(group)) for group in groups)

    def _put_sent(self, sent: Sequence[Sent]) -> None:
        for each in sent:
            self.tables.sent[each.group_key, each.receiver, each.integration] = pack(each)

    def _happened(self, lines: Sequence[Happened]) -> None:
        self.tables.history.update((next(self._numbers), line) for line in lines)


def _size(line: Happened) -> int:
    return LINE_BYTES + len(line.receiver.encode()) + len(line.detail.encode())
