"""The ports Store and Intent in memory, deterministic: every call is one transaction, in the order of calls.

What both stores must agree on, they ask of the same pure modules (settlement, outcomes, alerts.following);
the rest is held together by tests/conformance/test_store_conformance.py.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeVar

from controlplane.alerts.entry import Entry
from controlplane.known.records import (
    Change,
    ClusterRecord,
    DocumentRecord,
    EpochRecord,
    Lease,
    Loaded,
    OutboxRecord,
    Request,
    Standing,
    WorkloadRecord,
)
from controlplane.loops.ports import (
    AlertLink,
    Clock,
    DeadLetter,
    LeaseLost,
    NewDecision,
    OrderMark,
    StoreUnavailable,
)
from controlplane.store import alerts, dead_letters, leases, ledger
from controlplane.store.codecs import plain
from controlplane.store.outcomes import DECIDER, Outcome, Outcomes, Subject
from controlplane.store.wakes import Wakes
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Stamp
from tests.simulation.memory_intent import MemoryIntent
from tests.simulation.memory_ledger import MemoryLedger
from tests.simulation.memory_tables import LeaseRow, Tables
from tests.simulation.network import Fate

T = TypeVar("T")


class MemoryStore(MemoryLedger, MemoryIntent):
    """One database; it outlives the centres that use it.

    fate: drawn for every call: LOST and LATE did not happen, ANSWER_LOST and TWICE did; of these, LOST, LATE
    and ANSWER_LOST end in StoreUnavailable. seed: of the uids, which a restore does not bring back.
    """

    def __init__(self, clock: Clock, *, seed: int = 0, fate: Callable[[], Fate] | None = None) -> None:
        super().__init__(seed)
        self.tables = Tables()
        self._clock = clock
        self._fate = fate
        self._wakes = Wakes()

    def snapshot(self) -> Tables:
        return self.tables.backup()

    def restore(self, snapshot: Tables) -> None:
        """All of it goes back: leases, epochs, generations, resource versions, change ids."""
        self.tables = snapshot.backup()
        self._wakes.wake()

    def now(self) -> float:
        return self._clock.now()

    async def carry(self, effect: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        fate = self._fate() if self._fate is not None else Fate.DONE
        if fate in (Fate.LOST, Fate.LATE):
            raise StoreUnavailable("the database did not answer")
        result = effect()
        if fate is Fate.ANSWER_LOST:
            raise StoreUnavailable("the database's answer was lost")
        return result

    def append(self, changes: Sequence[Change]) -> None:
        for change in changes:
            number = self.tables.changes[-1].id + 1 if self.tables.changes else 1
            self.tables.changes.append(replace(change, id=number, at=self.now(), detail=plain(change.detail)))
        if changes:
            self._wakes.wake()

    async def take_lease(self, role: str, holder: str, ttl_seconds: float) -> Lease | None:
        return await self.carry(lambda: self._take_lease(role, holder, ttl_seconds))

    def _take_lease(self, role: str, holder: str, ttl_seconds: float) -> Lease | None:
        row = self.tables.leases.get(role)
        alive = row is not None and row.expires_at > self.now()
        if row is not None and alive and row.holder != holder:
            return None
        epoch = row.epoch if row is not None and alive else self._begin_epoch(role)
        self.tables.leases[role] = LeaseRow(holder, epoch, self.now() + ttl_seconds)
        return Lease(role, holder, epoch)

    async def renew_lease(self, lease: Lease, ttl_seconds: float) -> bool:
        def effect() -> bool:
            row = self.tables.leases.get(lease.role)
            alive = row is not None and row.expires_at > self.now()
            if row is None or not alive or (row.holder, row.epoch) != (lease.holder, lease.epoch):
                return False
            self.tables.leases[lease.role] = replace(row, expires_at=self.now() + ttl_seconds)
            return True

        return await self.carry(effect)

    def _begin_epoch(self, role: str) -> int:
        last = max((epoch for of, epoch in self.tables.epochs if of == role), default=0)
        epoch = max(last + 1, int(self.now()))
        self.tables.epochs[role, epoch] = self.tables.generation
        return epoch

    async def release_lease(self, lease: Lease) -> None:
        await self.carry(lambda: self._release_lease(lease))

    def _release_lease(self, lease: Lease) -> None:
        row = self.tables.leases.get(lease.role)
        if row is not None and (row.holder, row.epoch) == (lease.holder, lease.epoch):
            self.tables.leases[lease.role] = replace(row, expires_at=float("-inf"))

    def hold(self, lease: Lease) -> None:
        row = self.tables.leases.get(lease.role)
        if row is None:
            raise LeaseLost(f"{lease.role}: nobody has ever led")
        leases.check(lease, row.holder, row.epoch, alive=row.expires_at > self.now())

    async def carry_held(self, lease: Lease, effect: Callable[[], T]) -> T:
        def under_lease() -> T:
            self.hold(lease)
            return effect()

        return await self.carry(under_lease)

    async def load(self) -> Loaded:
        return await self.carry(self._load)

    def _load(self) -> Loaded:
        tables = self.tables
        workloads = {uid: record for uid, record in tables.workloads.items() if self._is_decided_on(record)}
        return Loaded(
            clusters=tuple(tables.clusters.values()),
            documents=self._documents(),
            workloads=tuple(workloads.values()),
            placements=tuple(tables.placements.values()),
            decisions=tuple(decided for uid, decided in tables.decisions.items() if uid in workloads),
            outbox=tuple(tables.outbox.values()),
            epochs=tuple(
                EpochRecord(epoch, first)
                for (role, epoch), first in sorted(tables.epochs.items())
                if role == leases.DECIDING
            ),
            last_generation=tables.generation,
            alert_watermarks=dict(tables.alert_cursors),
            change_cursor=tables.changes[-1].id if tables.changes else 0,
            quota_version=tables.quota_version,
            balances=tuple(ledger.balance_at(*item) for item in tables.balances.items()),
            grants=self.grants(),
            spent=tuple(tables.spent.values()),
            journal=self.journal_end(),
        )

    def _documents(self) -> dict[str, tuple[DocumentRecord, ...]]:
        rows = sorted(self.tables.documents.items())
        kinds = dict.fromkeys(kind for (kind, _), _ in rows)
        return {kind: tuple(record for (of, _), record in rows if of == kind) for kind in kinds}

    def _is_decided_on(self, record: WorkloadRecord) -> bool:
        decision = self.tables.decisions.get(record.uid)
        return (
            not record.deleted
            or decision is None
            or decision.resource_version != record.resource_version
            or any(workload == record.uid for _, workload in self.tables.outbox)
            or bool(self.tables.replicas(record.uid))
        )

    async def changes(self, after: int, limit: int) -> Sequence[Change]:
        self._wakes.about_to_read()
        return await self.carry(
            lambda: [change for change in self.tables.changes if change.id > after][:limit]
        )

    async def wait_for_change(self, timeout_seconds: float) -> None:
        await self._wakes.wait(timeout_seconds)

    async def read_workloads(self, uids: Collection[str]) -> Sequence[WorkloadRecord]:
        return await self.carry(lambda: [row for uid, row in self.tables.workloads.items() if uid in uids])

    async def read_clusters(self, ids: Collection[str]) -> Sequence[ClusterRecord]:
        return await self.carry(lambda: [row for id_, row in self.tables.clusters.items() if id_ in ids])

    async def read_documents(self, kind: str, names: Collection[str]) -> Sequence[DocumentRecord]:
        rows = self.tables.documents.items()
        return await self.carry(
            lambda: [row for (of, name), row in sorted(rows) if of == kind and name in names]
        )

    async def reserve_generations(self, lease: Lease, count: int) -> range:
        leases.check_issues_generations(lease)
        return await self.carry_held(lease, lambda: self._reserve(count))

    def _reserve(self, count: int) -> range:
        self.tables.generation += count
        return range(self.tables.generation - count + 1, self.tables.generation + 1)

    async def record_request_done(
        self, lease: Lease, cluster: str, request: Request, floor: Version | None
    ) -> None:
        def effect() -> None:
            record = self.tables.clusters.get(cluster)
            if record is not None and record.requested is request:
                done = replace(record, requested=Request.NONE, floor=floor or record.floor)
                self.put_cluster(done, f"{request.value}Done", DECIDER)

        await self.carry_held(lease, effect)

    async def raise_floor(self, lease: Lease, version: Version) -> None:
        leases.check_issues_generations(lease)
        await self.carry_held(lease, lambda: self._raise_floor(lease, version))

    def _raise_floor(self, lease: Lease, version: Version) -> None:
        tables, role = self.tables, lease.role
        later = [key for key in tables.epochs if key[0] == role and key[1] > version.epoch]
        first = min((tables.epochs[key] for key in later), default=tables.generation)
        tables.epochs.setdefault((role, version.epoch), first)
        for key in later:
            tables.epochs[key] = max(tables.epochs[key], version.generation)
        tables.generation = max(tables.generation, version.generation)
        if version.epoch > lease.epoch:
            self._release_lease(lease)

    async def commit_decisions(
        self, lease: Lease, decisions: Sequence[NewDecision], quota_version: int = 0
    ) -> Collection[str]:
        return await self.carry_held(lease, lambda: self._commit_decisions(decisions, quota_version))

    def _commit_decisions(self, decisions: Sequence[NewDecision], quota_version: int) -> Collection[str]:
        tables = self.tables
        uids = dict.fromkeys(decision.workload for decision in decisions)
        outcomes = Outcomes(
            subjects={
                uid: Subject(record.name, record.resource_version, record.deleted)
                for uid in uids
                if (record := tables.workloads.get(uid)) is not None
            },
            removed={row.id for row in tables.clusters.values() if row.standing is Standing.REMOVED},
            names={row.id: row.name for row in tables.clusters.values()},
            orders={place: order.version for place, order in tables.outbox.items()},
            last={
                uid: Outcome(row.placed, row.reason, row.revision, tables.replicas(uid))
                for uid in uids
                if (row := tables.decisions.get(uid)) is not None
            },
            now=self.now(),
            quota_moved=quota_version != tables.quota_version,
            exhausted=self.settle({line.tenant for decision in decisions for line in decision.lines}),
        )
        outcomes.take(decisions)
        self.enter_lines(outcomes.lines)
        for uid, decided in outcomes.decided.items():
            tables.decisions[uid] = replace(decided, explanation=plain(decided.explanation))
        for place in outcomes.withdrawn:
            tables.placements.pop(place, None)
        tables.placements.update(outcomes.placements)
        for place, order in outcomes.outbox.items():
            before = tables.outbox.get(place)
            tables.outbox[place] = replace(order, acknowledged=before.acknowledged if before else None)
        self.note(
            decided=outcomes.decided, charged=((line.workload, line.cluster) for line in outcomes.lines)
        )
        self.append(outcomes.changes)
        return outcomes.skipped

    async def commit_orders(self, lease: Lease, orders: Sequence[OutboxRecord]) -> None:
        await self.carry_held(lease, lambda: self._commit_orders(orders))

    def _commit_orders(self, orders: Sequence[OutboxRecord]) -> None:
        for order in orders:
            place = order.cluster, order.workload
            before, cluster = self.tables.outbox.get(place), self.tables.clusters.get(order.cluster)
            is_newer = before is None or before.version < order.version
            if is_newer and cluster is not None and cluster.standing is not Standing.REMOVED:
                acknowledged = before.acknowledged if before else None
                self.tables.outbox[place] = replace(order, published_sequence=None, acknowledged=acknowledged)
        self.note(ordered=(order.workload for order in orders))

    async def unpublished(self, limit: int) -> Sequence[OutboxRecord]:
        def waiting() -> list[OutboxRecord]:
            rows = [row for row in self.tables.outbox.values() if row.published_sequence is None]
            return sorted(rows, key=lambda row: row.version)[:limit]

        return await self.carry(waiting)

    async def mark_published(self, lease: Lease, marks: Sequence[OrderMark]) -> None:
        await self.carry_held(
            lease,
            lambda: self._mark(marks, lambda row, mark: replace(row, published_sequence=mark.sequence)),
        )

    async def mark_acknowledged(self, lease: Lease, marks: Sequence[OrderMark]) -> None:
        await self.carry_held(
            lease, lambda: self._mark(marks, lambda row, mark: replace(row, acknowledged=mark.version))
        )

    async def remove_withdrawn(self, lease: Lease, marks: Sequence[OrderMark]) -> None:
        await self.carry_held(
            lease,
            lambda: self._mark(marks, lambda row, _: None if row.verb is Verb.WITHDRAW else row),
        )

    def _mark(
        self,
        marks: Sequence[OrderMark],
        marked: Callable[[OutboxRecord, OrderMark], OutboxRecord | None],
    ) -> None:
        for mark in marks:
            place = mark.cluster, mark.workload
            row = self.tables.outbox.get(place)
            if row is None or row.version != mark.version:
                continue
            after = marked(row, mark)
            if after is None:
                del self.tables.outbox[place]
            else:
                self.tables.outbox[place] = after
        self.note(ordered=(mark.workload for mark in marks))

    async def commit_alerts(self, lease: Lease, cluster: str, links: Sequence[AlertLink]) -> Stamp:
        return await self.carry_held(lease, lambda: self._commit_alerts(cluster, links))

    def _commit_alerts(self, cluster: str, links: Sequence[AlertLink]) -> Stamp:
        before = self.tables.alert_cursors.get(cluster, alerts.START)
        taken, cursor = alerts.following(before, links)
        for link in taken:
            self.tables.alerts[cluster, link.stamp] = link
        if taken:
            self.tables.alert_cursors[cluster] = cursor
        return cursor

    async def read_entries(self, after: int, limit: int) -> Sequence[tuple[int, Entry]]:
        """What agents brought, in the order of commits."""
        entries = [entry for link in self.tables.alerts.values() for entry in link.entries]
        return await self.carry(lambda: list(enumerate(entries, 1))[after : after + limit])

    async def record_changes(self, lease: Lease, changes: Sequence[Change]) -> None:
        await self.carry_held(lease, lambda: self.append(changes))

    async def record_incarnation(self, lease: Lease, cluster: str, incarnation: int) -> None:
        def effect() -> None:
            row = self.tables.clusters.get(cluster)
            if row is not None:
                highest = max(row.incarnation, incarnation)
                self.tables.clusters[cluster] = replace(row, incarnation=highest)

        await self.carry_held(lease, effect)

    async def record_standing(self, lease: Lease, cluster: str, standing: Standing, reason: str) -> None:
        def effect() -> None:
            row = self.tables.clusters.get(cluster)
            if row is None or row.standing is Standing.REMOVED:
                return
            if (row.standing, row.standing_reason) != (standing, reason):
                self.put_cluster(
                    replace(row, standing=standing, standing_reason=reason), standing.value, DECIDER
                )

        await self.carry_held(lease, effect)

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        def effect() -> None:
            for letter in map(dead_letters.shortened, letters):
                kept = (*self.tables.dead_letters.get(letter.cluster, ()), letter)
                self.tables.dead_letters[letter.cluster] = kept[-dead_letters.KEPT :]

        await self.carry(effect)

    async def dead_letters(self, cluster: str, limit: int) -> Sequence[DeadLetter]:
        """The newest first."""
        return await self.carry(lambda: self.tables.dead_letters.get(cluster, ())[::-1][:limit])

    async def change_horizon(self) -> tuple[int, int]:
        last = len(self.tables.changes)
        return await self.carry(lambda: (1, last))
