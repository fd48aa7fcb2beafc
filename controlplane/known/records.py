"""Records as Postgres holds them. Frozen: a change is a new record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from controlplane.fleet.headroom import Make
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Stamp, Taint


class Standing(StrEnum):
    """How the centre stands to a cluster. Whether it is heard from is known from its beats."""

    JOINED = "Joined"
    CUT_OFF = "CutOff"
    REMOVED = "Removed"


class Request(StrEnum):
    """What an operator asked the leader to do about a cluster; kept until it is done."""

    NONE = ""
    RECOVERY = "Recovery"
    RELEASE = "Release"
    READMISSION = "Readmission"


@dataclass(frozen=True)
class ClusterRecord:
    """id: public key of its NATS account. labels: the operator's, over what the agent reports.

    floor: the highest version that its agent held when it was recovered; orders up to it are issued anew.
    headroom: nodes that may come to be there.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    cluster_uid: str
    agent_key: str
    sealing_key: bytes
    standing: Standing
    standing_reason: str
    incarnation: int
    resource_version: int
    joined_at: float
    requested: Request = Request.NONE
    floor: Version | None = None
    headroom: tuple[Make, ...] = ()


@dataclass(frozen=True)
class DocumentRecord:
    """A Tenant, an Interpreter, ...: kept by kind and name. spec: of its manifest, as it was written."""

    name: str
    spec: Mapping[str, Any]
    resource_version: int


@dataclass(frozen=True)
class WorkloadRecord:
    """The newest revision of a workload. spec: the manifest's `spec`; values of Secrets in it are sealed.

    resource_version: changes with every write, also of a rollback, a delete or a request to decide again.
    rescheduled: the resource version with which it was last asked to be placed anew, 0 for never.
    trace: the traceparent of the last write, "" for none.
    """

    uid: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    tenant: str
    revision: int
    resource_version: int
    spec: Mapping[str, Any]
    deleted: bool
    created_at: float
    updated_at: float
    rescheduled: int = 0
    trace: str = ""


@dataclass(frozen=True)
class RevisionRecord:
    workload: str
    revision: int
    spec: Mapping[str, Any]
    created_at: float
    created_by: str
    cause: str


@dataclass(frozen=True)
class PlacementRecord:
    """`replicas` of one revision of a workload, promised to one cluster by the order of `version`.

    template and requests are what the promise is charged with until the pods are bound.
    """

    workload: str
    cluster: str
    replicas: int
    revision: int
    version: Version
    template: str


@dataclass(frozen=True)
class OutboxRecord:
    """The newest order for (cluster, workload): what ORDERS is the shadow of. trace: of its decision."""

    cluster: str
    workload: str
    verb: Verb
    version: Version
    body: bytes
    signature: bytes
    published_sequence: int | None = None
    acknowledged: Version | None = None
    trace: str = ""


@dataclass(frozen=True)
class DecisionRecord:
    """What was decided of a workload, and why. `explanation` is the JSON that `explain` shows.

    In it, `affinity` is the group that took it last, and `rescheduled` the last request to place it anew
    that was carried out: the next decision begins with both.
    """

    workload: str
    resource_version: int
    revision: int
    placed: bool
    reason: str
    message: str
    explanation: Mapping[str, Any]
    decided_at: float

    @property
    def affinity_name(self) -> str:
        return str(self.explanation.get("affinity", ""))

    @property
    def rescheduled(self) -> int:
        return int(self.explanation.get("rescheduled", 0))


class Cause(StrEnum):
    """Why an entry stands in the ledger."""

    PLACED = "Placed"
    RELEASED = "Released"
    DRIFTED = "Drifted"
    MOVED = "Moved"
    """Between tenants or flavors, by a change of what was declared: nothing began or ended."""


@dataclass(frozen=True)
class LedgerLine:
    """`amount` more, or fewer, of one resource. workload: uid, "" for pods that are no workload's.

    version: of the order that it belongs to. Drift is kept apart from charges: cause tells.
    """

    tenant: str
    workload: str
    cluster: str
    flavor: str
    resource: str
    amount: int
    cause: Cause
    version: Version | None = None


@dataclass(frozen=True)
class LedgerEntry:
    """A line as it was entered. ids grow in the order of commits, with gaps."""

    id: int
    at: float
    line: LedgerLine


@dataclass(frozen=True)
class LedgerQuery:
    """Which entries: None for any. since, until: Unix seconds, the latter is not part of it.

    after: the id of the last entry of the page before; newest_first: then the next one's are below it.
    """

    tenant: str | None = None
    workload: str | None = None
    cluster: str | None = None
    flavor: str | None = None
    resource: str | None = None
    since: float | None = None
    until: float | None = None
    after: int | None = None
    limit: int = 100
    newest_first: bool = True


@dataclass(frozen=True)
class BalanceRecord:
    """The sum of the ledger's lines of one key. drift: what is seen beyond what was charged."""

    tenant: str
    workload: str
    cluster: str
    flavor: str
    resource: str
    drift: bool
    amount: int


@dataclass(frozen=True)
class LedgerDifference:
    """A balance that is not the sum of its lines, `entered`. Of one that is not there the amount is 0."""

    balance: BalanceRecord
    entered: int


class RequestState(StrEnum):
    """Of a request for quota."""

    PENDING = "Pending"
    GRANTED = "Granted"
    REFUSED = "Refused"
    WITHDRAWN = "Withdrawn"
    EXPIRED = "Expired"
    GIVEN_BACK = "GivenBack"


@dataclass(frozen=True)
class QuotaRequestRecord:
    """amounts: by flavor, then resource, as they were written. Times in Unix seconds, 0 for none.

    taken_from: (kind, name) of the Tenant or Cohort whose nominal quota it is taken from, if from any.
    """

    id: int
    tenant: str
    amounts: Mapping[str, Mapping[str, str]]
    until: float
    why: str
    state: RequestState
    requested_by: str
    requested_at: float
    decided_by: str = ""
    decided_at: float = 0.0
    decision: str = ""
    taken_from: tuple[str, str] | None = None
    resource_version: int = 0


@dataclass(frozen=True)
class Change:
    """One row of the `change` table, in the order of commits. kind: Workload, Tenant, Cluster, ..."""

    id: int
    at: float
    kind: str
    name: str
    uid: str
    what: str
    by: str
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Lease:
    """Leadership of `role`. Every deciding transaction compares holder and epoch with the row, under lock."""

    role: str
    holder: str
    epoch: int


@dataclass(frozen=True)
class EpochRecord:
    """first_generation: generations issued in this epoch are above it, all earlier ones are not."""

    epoch: int
    first_generation: int


@dataclass(frozen=True)
class SpentRecord:
    """What a tenant has spent by `until` in the period that began at `since`.

    amount: in grains of `currency`, `quota.budgets.GRAINS` of which make a millionth.
    """

    tenant: str
    currency: str
    since: float
    until: float
    amount: int


@dataclass(frozen=True)
class Position:
    """In the journal of what was decided, or among changes: what was read last, and when it was written."""

    id: int = 0
    at: float = 0.0


@dataclass(frozen=True)
class Loaded:
    """Everything that a leader decides on, read in one snapshot. documents: by kind.

    quota_version: changes with everything that bounds anybody's quota. grants: requests that are granted.
    journal: where it ends.
    """

    clusters: tuple[ClusterRecord, ...]
    documents: Mapping[str, tuple[DocumentRecord, ...]]
    workloads: tuple[WorkloadRecord, ...]
    placements: tuple[PlacementRecord, ...]
    decisions: tuple[DecisionRecord, ...]
    outbox: tuple[OutboxRecord, ...]
    epochs: tuple[EpochRecord, ...]
    last_generation: int
    alert_watermarks: Mapping[str, Stamp]
    change_cursor: int
    quota_version: int = 0
    balances: tuple[BalanceRecord, ...] = ()
    grants: tuple[QuotaRequestRecord, ...] = ()
    spent: tuple[SpentRecord, ...] = ()
    journal: Position = Position()
