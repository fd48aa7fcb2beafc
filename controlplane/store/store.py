"""The store as the rest of Muster sees it: each method is a transaction, its SQL lies with its concept."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import structlog

from controlplane.fleet.headroom import Make
from controlplane.intent import JoinDraft, WorkloadDraft, Write
from controlplane.known.records import (
    Change,
    ClusterRecord,
    DocumentRecord,
    Lease,
    Loaded,
    OutboxRecord,
    Request,
    RevisionRecord,
    Standing,
    WorkloadRecord,
)
from controlplane.known.replicas import Replica
from controlplane.loops.ports import (
    AlertLink,
    DeadLetter,
    NewDecision,
    OrderMark,
    StoreUnavailable,
)
from controlplane.store import (
    alerts,
    answered,
    clusters,
    dead_letters,
    documents,
    journal,
    leases,
    outbox,
    replicas,
    snapshot,
    tokens,
    workloads,
)
from controlplane.store import changes as change_log
from controlplane.store import decisions as decided
from controlplane.store.alert_store import PostgresAlertStore
from controlplane.store.group_commit import GroupCommit
from controlplane.store.journal_store import Journaled
from controlplane.store.ledger_store import Ledger
from controlplane.store.listener import Listener
from controlplane.store.migrations import migrate
from controlplane.store.pool import Pool
from controlplane.store.quota_store import QuotaRequests
from schemas.wire.orders import Version
from schemas.wire.reports import Stamp, Taint

LOAD_SECONDS = 60.0
EXPIRY_SECONDS = 600.0
LEASE_CONNECTIONS = 2
LEASE_SECONDS = 1.0
"""Within which a lease is renewed, or it is tried anew by another connection."""
log = structlog.get_logger()


class PostgresStore(Ledger, Journaled, QuotaRequests):
    """Implements the ports Store and Intent on one database, or on the schema of a namespace in it.

    alerting: the port AlertStore on the same connections.
    """

    def __init__(self, dsn: str, *, connections: int = 10, namespace: str = "") -> None:
        self._dsn = dsn
        self._namespace = namespace
        self._pool = Pool(dsn, size=connections, namespace=namespace)
        # Leases are renewed also while everybody else waits for a connection.
        self._lease_pool = Pool(dsn, size=LEASE_CONNECTIONS, namespace=namespace)
        self._listener = Listener(self._pool)
        self._writes: GroupCommit[workloads.Request, WorkloadRecord] = GroupCommit(self._settle)
        self.alerting = PostgresAlertStore(self._pool, self._listener)
        self._expiry: asyncio.Task[None] | None = None
        self._trimming: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Migrate, connect, listen. Raises StoreUnavailable, DatabaseNewer."""
        await migrate(self._dsn, self._namespace)
        await self._pool.open()
        await self._lease_pool.open()
        self._listener.open()
        self._expiry = asyncio.create_task(self._expire_forever(), name="store-expiry")
        self._trimming = asyncio.create_task(self.trim_forever(), name="store-trimming")

    async def close(self) -> None:
        """When the writes that wait are answered."""
        await self._writes.close()
        await self.alerting.close()
        for task in (self._expiry, self._trimming):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._listener.close()
        await self._lease_pool.close()
        await self._pool.close()

    async def __aenter__(self) -> "PostgresStore":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # The port Store

    async def take_lease(self, role: str, holder: str, ttl_seconds: float) -> Lease | None:
        async with self._lease_pool.transaction(min(ttl_seconds, LEASE_SECONDS)) as connection:
            return await leases.take(connection, role, holder, ttl_seconds)

    async def renew_lease(self, lease: Lease, ttl_seconds: float) -> bool:
        async with self._lease_pool.transaction(min(ttl_seconds, LEASE_SECONDS)) as connection:
            return await leases.renew(connection, lease, ttl_seconds)

    async def release_lease(self, lease: Lease) -> None:
        async with self._lease_pool.transaction() as connection:
            await leases.release(connection, lease)

    async def load(self) -> Loaded:
        async with self._pool.transaction(LOAD_SECONDS, snapshot=True) as connection:
            return await snapshot.load(connection)

    async def changes(self, after: int, limit: int) -> Sequence[Change]:
        self._listener.wakes.about_to_read()
        async with self._pool.connection() as connection:
            return await change_log.read(connection, after, limit)

    async def wait_for_change(self, timeout_seconds: float) -> None:
        await self._listener.wakes.wait(timeout_seconds)

    async def read_workloads(self, uids: Collection[str]) -> Sequence[WorkloadRecord]:
        async with self._pool.connection() as connection:
            return await workloads.read(connection, uids)

    async def read_clusters(self, ids: Collection[str]) -> Sequence[ClusterRecord]:
        async with self._pool.connection() as connection:
            return await clusters.read(connection, ids)

    async def read_documents(self, kind: str, names: Collection[str]) -> Sequence[DocumentRecord]:
        async with self._pool.connection() as connection:
            return await documents.read(connection, kind, names)

    async def reserve_generations(self, lease: Lease, count: int) -> range:
        async with self._pool.transaction() as connection:
            return await leases.reserve_generations(connection, lease, count)

    async def commit_decisions(
        self, lease: Lease, decisions: Sequence[NewDecision], quota_version: int = 0
    ) -> Collection[str]:
        async with self._pool.transaction() as connection:
            return await decided.commit(connection, lease, decisions, quota_version)

    async def commit_orders(self, lease: Lease, orders: Sequence[OutboxRecord]) -> None:
        async with self._pool.transaction() as connection:
            await outbox.commit(connection, lease, orders)
            await journal.append(connection, ordered=(order.workload for order in orders))

    async def unpublished(self, limit: int) -> Sequence[OutboxRecord]:
        async with self._pool.connection() as connection:
            return await outbox.unpublished(connection, limit)

    async def mark_published(self, lease: Lease, marks: Sequence[OrderMark]) -> None:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            await outbox.mark_published(connection, marks)
            await journal.append(connection, ordered=(mark.workload for mark in marks))

    async def mark_acknowledged(self, lease: Lease, marks: Sequence[OrderMark]) -> None:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            await outbox.mark_acknowledged(connection, marks)
            await journal.append(connection, ordered=(mark.workload for mark in marks))

    async def remove_withdrawn(self, lease: Lease, marks: Sequence[OrderMark]) -> None:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            await outbox.remove_withdrawn(connection, marks)
            await journal.append(connection, ordered=(mark.workload for mark in marks))

    async def commit_alerts(self, lease: Lease, cluster: str, links: Sequence[AlertLink]) -> Stamp:
        async with self._pool.transaction() as connection:
            return await alerts.commit(connection, lease, cluster, links)

    async def record_changes(self, lease: Lease, changes: Sequence[Change]) -> None:
        async with self._pool.transaction() as connection:
            await leases.hold(connection, lease)
            await change_log.append(connection, changes)

    async def record_incarnation(self, lease: Lease, cluster: str, incarnation: int) -> None:
        async with self._pool.transaction() as connection:
            await clusters.record_incarnation(connection, lease, cluster, incarnation)

    async def record_standing(self, lease: Lease, cluster: str, standing: Standing, reason: str) -> None:
        async with self._pool.transaction() as connection:
            await clusters.record_standing(connection, lease, cluster, standing, reason)

    async def see_replica(self, own: Replica, *, first: bool) -> Sequence[Replica]:
        async with self._pool.transaction() as connection:
            return await replicas.see(connection, own, first=first)

    async def who_decides(self) -> str:
        async with self._pool.connection() as connection:
            return await leases.holder(connection, leases.DECIDING)

    async def leave_replica(self, name: str) -> None:
        async with self._pool.connection() as connection:
            await replicas.leave(connection, name)

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        async with self._pool.transaction() as connection:
            await dead_letters.bury(connection, letters)

    async def record_request_done(
        self, lease: Lease, cluster: str, request: Request, floor: Version | None
    ) -> None:
        async with self._pool.transaction() as connection:
            await clusters.record_request_done(connection, lease, cluster, request, floor)

    async def raise_floor(self, lease: Lease, version: Version) -> None:
        async with self._pool.transaction() as connection:
            await leases.raise_floor(connection, lease, version)

    # The port Intent

    async def submit_workload(self, draft: WorkloadDraft, write: Write) -> WorkloadRecord:
        return await self._writes.put(workloads.submission(draft, write))

    async def rollback_workload(self, name: str, revision: int, write: Write) -> WorkloadRecord:
        return await self._writes.put(workloads.rollback(name, revision, write))

    async def delete_workload(self, name: str, write: Write) -> WorkloadRecord:
        return await self._writes.put(workloads.deletion(name, write))

    async def reschedule_workload(self, name: str, write: Write) -> WorkloadRecord:
        return await self._writes.put(workloads.rescheduling(name, write))

    async def revisions(self, uid: str) -> Sequence[RevisionRecord]:
        async with self._pool.connection() as connection:
            return await workloads.read_revisions(connection, uid)

    async def submit_document(
        self, kind: str, name: str, spec: Mapping[str, Any], write: Write
    ) -> DocumentRecord:
        return await self._pool.retried(
            lambda connection: documents.submit(connection, kind, name, spec, write)
        )

    async def delete_document(self, kind: str, name: str, write: Write) -> None:
        await self._pool.retried(lambda connection: documents.delete(connection, kind, name, write))

    async def invite_cluster(self, draft: JoinDraft, write: Write) -> None:
        await self._pool.retried(lambda connection: tokens.invite(connection, draft, write))

    async def join_cluster(
        self,
        token_hash: bytes,
        *,
        cluster: str,
        cluster_uid: str,
        agent_key: str,
        sealing_key: bytes,
        account_seed: bytes,
    ) -> ClusterRecord:
        joining = tokens.Joining(cluster, cluster_uid, agent_key, sealing_key, account_seed)
        return await self._pool.retried(lambda connection: tokens.join(connection, token_hash, joining))

    async def change_cluster(
        self,
        name: str,
        labels: Mapping[str, str],
        taints: tuple[Taint, ...],
        write: Write,
        headroom: tuple[Make, ...] | None = None,
    ) -> ClusterRecord:
        return await self._pool.retried(
            lambda connection: clusters.change(connection, name, labels, taints, write, headroom)
        )

    async def remove_cluster(self, name: str, write: Write) -> ClusterRecord:
        return await self._pool.retried(lambda connection: clusters.remove(connection, name, write))

    async def request(self, name: str, request: Request, write: Write) -> ClusterRecord:
        return await self._pool.retried(lambda connection: clusters.request(connection, name, request, write))

    # For the API and the command, beyond the ports

    async def account_seed(self, cluster: str) -> bytes:
        """The sealed seed of the cluster's account. Raises NotFound."""
        async with self._pool.connection() as connection:
            return await clusters.account_seed(connection, cluster)

    async def join_invitations(self) -> Sequence[JoinDraft]:
        """Those that can still be redeemed."""
        async with self._pool.connection() as connection:
            return await tokens.join_invitations(connection)

    async def dead_letters(self, cluster: str, limit: int) -> Sequence[DeadLetter]:
        """The newest first; bodies are cut to `dead_letters.KEPT_BODY_BYTES`."""
        async with self._pool.connection() as connection:
            return await dead_letters.read(connection, cluster, limit)

    async def change_horizon(self) -> tuple[int, int]:
        """(first change that is kept, last one given); whoever is below the first must load anew."""
        async with self._pool.connection() as connection:
            return await change_log.horizon(connection)

    async def _settle(self, requests: Sequence[workloads.Request]) -> Sequence[WorkloadRecord | Exception]:
        return await self._pool.retried(lambda connection: workloads.settle(connection, requests))

    async def _expire_forever(self) -> None:
        while True:
            try:
                async with self._pool.connection() as connection:
                    await answered.expire(connection)
                    await tokens.expire(connection)
                    await change_log.trim(connection)
            except StoreUnavailable as error:
                log.warning("expiry_postponed", detail=str(error))
            await asyncio.sleep(EXPIRY_SECONDS)
