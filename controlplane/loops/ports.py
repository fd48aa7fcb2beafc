"""What the loops need of Postgres, of NATS and of time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from controlplane.alerts.entry import Entry
from controlplane.known.journal import Bearings, Journal, ReadAgain
from controlplane.known.records import (
    BalanceRecord,
    Change,
    ClusterRecord,
    DocumentRecord,
    Lease,
    LedgerLine,
    Loaded,
    OutboxRecord,
    Position,
    QuotaRequestRecord,
    Request,
    SpentRecord,
    Standing,
    WorkloadRecord,
)
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Stamp


class LeaseLost(Exception):
    """The row says that another leads, or that our time is up: nothing was committed."""


class StoreUnavailable(Exception):
    """Postgres did not answer within its bounds: nothing is known to be committed."""


class BusUnavailable(Exception):
    """NATS did not answer within its bounds."""


class BusAway(BusUnavailable):
    """There is no connection, which the bus itself has said: who meets this need not say it again."""


class NewerStored(Exception):
    """The subject moved on since it was read: `sequence` is the last one there."""

    def __init__(self, sequence: int) -> None:
        super().__init__(f"the subject is at sequence {sequence}")
        self.sequence = sequence


@dataclass(frozen=True)
class NewOrder:
    """replicas, template, revision: of its placement; of a withdrawal they say nothing."""

    cluster: str
    verb: Verb
    version: Version
    body: bytes
    signature: bytes
    replicas: int
    template: str
    revision: int


@dataclass(frozen=True)
class NewDecision:
    """One decision and all that follows from it. Committed whole, or skipped whole.

    resource_version: of the workload that was decided on; when the row moved on, the decision is skipped.
    orders: applies replace the placement of their cluster, withdrawals remove it. Clusters not named stay.
    lines: what it charges; with any, it stands only while the quota is that of `quota_version`.
    trace: its traceparent, with which its orders go on.
    """

    workload: str
    resource_version: int
    revision: int
    placed: bool
    reason: str
    message: str
    explanation: Mapping[str, Any]
    orders: tuple[NewOrder, ...] = ()
    lines: tuple[LedgerLine, ...] = ()
    trace: str = ""


@dataclass(frozen=True)
class OrderMark:
    """(cluster, workload) at `version`: what a mark is about. `sequence`: of ORDERS, where published."""

    cluster: str
    workload: str
    version: Version
    sequence: int = 0


@dataclass(frozen=True)
class QuotaState:
    """version: at least that of the documents which are read after it. grants: that are in force."""

    version: int
    grants: Sequence[QuotaRequestRecord]


@dataclass(frozen=True)
class AlertLink:
    """One link of a cluster's gap-free log: its stamp, and what it comes to; nothing where it was buried."""

    stamp: Stamp
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class DeadLetter:
    cluster: str
    subject: str
    reason: str
    body: bytes


class Store(Protocol):
    """Postgres as the deciding process needs it. Writes that name a lease raise LeaseLost, all or nothing."""

    async def take_lease(self, role: str, holder: str, ttl_seconds: float) -> Lease | None:
        """None while another holds it. One's own that is alive goes on in its epoch, else a new one begins.

        Nothing is written under it any more by who held it before, oneself included.
        The epoch is max(last + 1, Unix seconds of the store's clock), so that a restored database never
        issues an epoch again; (epoch, last generation) is recorded.
        """
        ...

    async def renew_lease(self, lease: Lease, ttl_seconds: float) -> bool:
        """Also while something is written under it; False where it is ours no more, or has expired."""
        ...

    async def release_lease(self, lease: Lease) -> None: ...

    async def load(self) -> Loaded: ...

    async def changes(self, after: int, limit: int) -> Sequence[Change]:
        """Changes with an id above `after`, in commit order: none appears later below one that was read."""
        ...

    async def wait_for_change(self, timeout_seconds: float) -> None:
        """Until somebody commits a change (NOTIFY), or the timeout."""
        ...

    async def read_workloads(self, uids: Collection[str]) -> Sequence[WorkloadRecord]: ...

    async def read_clusters(self, ids: Collection[str]) -> Sequence[ClusterRecord]: ...

    async def read_documents(self, kind: str, names: Collection[str]) -> Sequence[DocumentRecord]: ...

    async def read_journal(self, after: Position, limit: int) -> Journal | None:
        """What was decided after `after`, up to `limit` transactions; None where the journal does not go on
        from there: load everything anew."""
        ...

    async def read_again(self, named: Journal, held: Mapping[tuple[str, str], Version]) -> ReadAgain:
        """What the journal names, as it is now. held: orders by (cluster, workload), see ReadAgain."""
        ...

    async def read_bearings(self) -> Bearings: ...

    async def record_purged(self, lease: Lease, subjects: Sequence[str]) -> None:
        """Reports that are in the streams no more, for other replicas to know."""
        ...

    async def reserve_generations(self, lease: Lease, count: int) -> range:
        """`count` generations of the one sequence, never issued before or again."""
        ...

    async def commit_decisions(
        self, lease: Lease, decisions: Sequence[NewDecision], quota_version: int = 0
    ) -> Collection[str]:
        """Placements, ledger, outbox, decision and changes in one transaction. Returns the uids skipped.

        Decisions that charge something are skipped when the quota is no longer that of `quota_version`, and
        when the tenant's budget is spent.
        """
        ...

    async def commit_lines(self, lease: Lease, lines: Sequence[LedgerLine]) -> None:
        """Releases and drift: what no decision is needed for."""
        ...

    async def move_lines(self, lease: Lease, lines: Sequence[LedgerLine], quota_version: int) -> bool:
        """From flavor to flavor; nothing, and False, where the quota is no longer that of `quota_version`."""
        ...

    async def settle_budgets(self) -> None:
        """What was spent until now, also where nothing is charged; who has no more is told. By anybody."""
        ...

    async def read_spent(self) -> Sequence[SpentRecord]: ...

    async def balances_after(self, after: tuple[str, str], places: int) -> Sequence[BalanceRecord]:
        """Of the next so many places (workload, cluster) in the order of the store, each whole."""
        ...

    async def balances_of(self, places: Collection[tuple[str, str]]) -> Sequence[BalanceRecord]: ...

    async def read_quota(self) -> QuotaState: ...

    async def expire_quota_requests(self, lease: Lease, limit: int) -> int:
        """Up to `limit` requests that wait, and grants, whose time is over by the store's clock. How many."""
        ...

    async def commit_orders(self, lease: Lease, orders: Sequence[OutboxRecord]) -> None:
        """Into the outbox: orders that follow from no decision. Those for removed clusters are left out."""
        ...

    async def unpublished(self, limit: int) -> Sequence[OutboxRecord]: ...

    async def mark_published(self, lease: Lease, marks: Sequence[OrderMark]) -> None:
        """Only rows still at that version."""
        ...

    async def mark_acknowledged(self, lease: Lease, marks: Sequence[OrderMark]) -> None: ...

    async def remove_withdrawn(self, lease: Lease, marks: Sequence[OrderMark]) -> None:
        """The removal is reported: the outbox row goes, if it is still that withdrawal."""
        ...

    async def commit_alerts(self, lease: Lease, cluster: str, links: Sequence[AlertLink]) -> Stamp:
        """Entries of the log of alerts and the cluster's cursor in one transaction; what is at or below the
        cursor is left out.

        Links are consecutive from the cursor. Returns the watermark.
        """
        ...

    async def record_changes(self, lease: Lease, changes: Sequence[Change]) -> None:
        """Changes seen in clusters (ids and times are given by the store)."""
        ...

    async def record_incarnation(self, lease: Lease, cluster: str, incarnation: int) -> None: ...

    async def record_standing(self, lease: Lease, cluster: str, standing: Standing, reason: str) -> None: ...

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Into the dead-letter table, which is bounded: the oldest of the same cluster give way."""
        ...

    async def raise_floor(self, lease: Lease, version: Version) -> None:
        """After a restore: `version` counts as issued, generations go on above it (`recover`).

        Where its epoch is above the lease's, the lease ends: the next one has a later epoch still.
        """
        ...

    async def record_request_done(
        self, lease: Lease, cluster: str, request: Request, floor: Version | None
    ) -> None:
        """The request is done, if it is still that one. floor: of a recovery, else None: it stays."""
        ...


@dataclass(frozen=True)
class StreamMessage:
    """stored_at: when the stream took it, Unix seconds by its server's clock; 0: not known.

    trace: a traceparent, as its sender says; "" for none.
    """

    subject: str
    body: bytes
    sequence: int
    stored_at: float = 0.0
    trace: str = ""


@dataclass(frozen=True)
class StreamBatch:
    """caught_up: everything that lay in the stream when following began has been delivered.

    stream_created: Unix seconds; when it changes, the stream was made anew and sequences start again.
    pending: messages that lie behind these.
    """

    messages: Sequence[StreamMessage]
    caught_up: bool
    stream_created: float
    pending: int = 0


@dataclass(frozen=True)
class StoredOrder:
    sequence: int
    body: bytes


@dataclass(frozen=True)
class OrdersState:
    """Of the stream. created: Unix seconds, later each time it is made. last_sequence: 0 for none yet."""

    created: float
    last_sequence: int


class Bus(Protocol):
    """NATS as the centre needs it."""

    def follow_reports(self, *, usage: bool) -> AsyncIterator[StreamBatch]:
        """STATE, or USAGE: from the first message, forever, without acknowledging. Survives reconnects."""
        ...

    def follow_alerts(self) -> AsyncIterator[StreamBatch]:
        """ALERTS from the first message that is not purged."""
        ...

    async def purge_alerts(self, cluster: str, up_to_sequence: int) -> None: ...

    async def purge_report(self, subject: str) -> None:
        """A profile or shard that nothing refers to any more."""
        ...

    async def purge_cluster(self, cluster: str) -> None:
        """Everything that this cluster has published."""
        ...

    async def orders_state(self) -> OrdersState: ...

    async def last_order(self, cluster: str, workload: str) -> StoredOrder | None: ...

    async def publish_order(self, cluster: str, workload: str, body: bytes, *, expected_sequence: int) -> int:
        """Its sequence. NewerStored when the subject is not at `expected_sequence` (0: none there)."""
        ...

    async def purge_order(self, cluster: str, workload: str, up_to_sequence: int) -> None: ...

    async def renew_consumer(self, cluster: str) -> None:
        """Delete and make the cluster's order consumer, so that it is given every last order again."""
        ...

    async def drop_consumer(self, cluster: str) -> None: ...

    async def order_consumers(self) -> Collection[str]:
        """The clusters whose order consumer is there."""
        ...

    async def serve_beats(self, answer: Callable[[str, bytes], Awaitable[bytes | None]]) -> None:
        """Call `answer(cluster, body)` for each beat and reply, but for None; returns when subscribed."""
        ...

    async def cut_off(self, cluster: str) -> None:
        """Take the cluster's imports away and end its connections."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None: ...
