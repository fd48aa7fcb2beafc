"""What the store in memory holds: dictionaries of frozen records, so that a copy of them is a backup."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, fields

from controlplane.intent import JoinDraft
from controlplane.known.journal import Journal
from controlplane.known.records import (
    Change,
    ClusterRecord,
    DecisionRecord,
    DocumentRecord,
    LedgerLine,
    OutboxRecord,
    PlacementRecord,
    QuotaRequestRecord,
    RevisionRecord,
    SpentRecord,
    WorkloadRecord,
)
from controlplane.loops.ports import AlertLink, DeadLetter
from controlplane.store.ledger import Key as BalanceKey
from controlplane.store.outcomes import Place
from controlplane.store.settlement import Answer, Key
from schemas.wire.reports import Stamp


@dataclass(frozen=True)
class LeaseRow:
    holder: str
    epoch: int
    expires_at: float


@dataclass(frozen=True)
class Invitation:
    draft: JoinDraft
    redeemed_by: str = ""


@dataclass
class Tables:
    """epochs: (role, epoch) -> first generation. revisions: by (workload, revision). answers: with time.

    documents: by (kind, name). alerts: links by (cluster, stamp), in the order of commits.
    dead_letters: the oldest first. ledger: lines with the time at which they were entered.
    """

    leases: dict[str, LeaseRow] = field(default_factory=dict[str, LeaseRow])
    epochs: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    generation: int = 0
    resource_version: int = 0
    clusters: dict[str, ClusterRecord] = field(default_factory=dict[str, ClusterRecord])
    account_seeds: dict[str, bytes] = field(default_factory=dict[str, bytes])
    invitations: dict[bytes, Invitation] = field(default_factory=dict[bytes, Invitation])
    documents: dict[tuple[str, str], DocumentRecord] = field(
        default_factory=dict[tuple[str, str], DocumentRecord]
    )
    workloads: dict[str, WorkloadRecord] = field(default_factory=dict[str, WorkloadRecord])
    revisions: dict[tuple[str, int], RevisionRecord] = field(
        default_factory=dict[tuple[str, int], RevisionRecord]
    )
    decisions: dict[str, DecisionRecord] = field(default_factory=dict[str, DecisionRecord])
    placements: dict[Place, PlacementRecord] = field(default_factory=dict[Place, PlacementRecord])
    outbox: dict[Place, OutboxRecord] = field(default_factory=dict[Place, OutboxRecord])
    changes: list[Change] = field(default_factory=list[Change])
    answers: dict[Key, tuple[Answer, float]] = field(default_factory=dict[Key, tuple[Answer, float]])
    alert_cursors: dict[str, Stamp] = field(default_factory=dict[str, Stamp])
    alerts: dict[tuple[str, Stamp], AlertLink] = field(default_factory=dict[tuple[str, Stamp], AlertLink])
    dead_letters: dict[str, tuple[DeadLetter, ...]] = field(default_factory=dict[str, tuple[DeadLetter, ...]])
    quota_version: int = 1
    ledger: list[tuple[float, LedgerLine]] = field(default_factory=list[tuple[float, LedgerLine]])
    balances: dict[BalanceKey, int] = field(default_factory=dict[BalanceKey, int])
    quota_requests: dict[int, QuotaRequestRecord] = field(default_factory=dict[int, QuotaRequestRecord])
    spent: dict[str, SpentRecord] = field(default_factory=dict[str, SpentRecord])
    journal: list[Journal] = field(default_factory=list[Journal])

    def backup(self) -> "Tables":
        """As it is now, untouched by what is written later."""
        return Tables(**{column.name: copy(getattr(self, column.name)) for column in fields(self)})

    def next_resource_version(self) -> int:
        self.resource_version += 1
        return self.resource_version

    def standing_workloads(self) -> dict[str, WorkloadRecord]:
        """By name; deleted ones have none."""
        return {record.name: record for record in self.workloads.values() if not record.deleted}

    def replicas(self, workload: str) -> Mapping[str, int]:
        return {
            placement.cluster: placement.replicas
            for placement in self.placements.values()
            if placement.workload == workload
        }
