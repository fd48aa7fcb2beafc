"""What is answered to readers: frozen, of plain values, so that it encodes as it stands.

Amounts are by resource: cpu in millicores, everything else in units. Times are Unix seconds, 0 for never.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Amounts = Mapping[str, int]
FlavorAmounts = Mapping[str, Amounts]
"""By flavor, then resource. Flavor "": what no quota of its tenant covers."""


@dataclass(frozen=True)
class TaintRow:
    key: str
    effect: str
    value: str = ""


@dataclass(frozen=True)
class EffectiveTaintRow:
    """since: when Muster set it, 0 for one of the operator's."""

    key: str
    effect: str
    value: str = ""
    since: float = 0.0


@dataclass(frozen=True)
class ClusterRow:
    """status: `Ready`, or the reason why nothing new is placed there; message says it for people.

    labels: what the agent reports, under what the operator set. promised: ordered and not yet bound.
    unordered: workloads that its agent runs by orders which this database does not know.
    taints: the operator's. effective_taints: these, and what Muster sets by itself.
    headroom: nodes that an autoscaler may add, by make; `left` of `count` may still come.
    rights: what its agent may do, of what Muster needs; None where that is everything, or not known.
    asked: what an operator asked for and is not done yet (Recovery, Release, Readmission); "" for nothing.
    """

    name: str
    id: str
    standing: str
    status: str
    message: str
    labels: Mapping[str, str]
    taints: tuple[TaintRow, ...]
    effective_taints: tuple[EffectiveTaintRow, ...]
    provider: str
    region: str
    zones: tuple[str, ...]
    environment: str
    kubernetes_version: str
    nodes: int
    nodes_ready: int
    workloads: int
    unordered: int
    allocatable: Amounts
    requested: Amounts
    promised: Amounts
    used: Amounts
    metrics_served: bool
    agent_version: str
    spool_depth: int
    heard_at: float
    joined_at: float
    resource_version: int
    headroom: tuple[Mapping[str, Any], ...] = ()
    asked: str = ""
    rights: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True)
class StreamRow:
    """What went to and fro with one cluster since the answering process started.

    reports_behind: subjects that do not stand at the last report that the agent's beat named. subjects: all.
    alerts_committed: (incarnation of the spool, sequence) up to which alerts are committed.
    """

    cluster: str
    subjects: int
    reports_received: int
    reports_behind: int
    orders_sent: int
    orders_carried_out: int
    orders_repeated: int
    spool_depth: int
    alerts_committed: tuple[int, int]


@dataclass(frozen=True)
class NodeView:
    """features: labels of node-feature-discovery without their prefix; labels: all others.

    requested: by pods of others and of Muster's. used: empty where the cluster serves no metrics.
    """

    cluster: str
    name: str
    ready: bool
    conditions: tuple[str, ...]
    taints: tuple[TaintRow, ...]
    labels: Mapping[str, str]
    features: Mapping[str, str]
    allocatable: Amounts
    requested: Amounts
    used: Amounts
    free: Amounts


@dataclass(frozen=True)
class RefusalRow:
    reason: str
    message: str
    object: str = ""


@dataclass(frozen=True)
class ObjectRow:
    api_version: str
    kind: str
    namespace: str
    name: str
    healthy: bool
    desired: int
    ready: int
    updated: int
    message: str


@dataclass(frozen=True)
class PlacementRow:
    """One workload in one cluster.

    order: what the outbox says (Queued, Published, Acknowledged). state: Progressing, Running, Finished,
    Unreachable, or what the agent says of it (Refused, Failed, Held, Withdrawing; Unknown for what this
    release has no word for). Refused and Queued: it is not sent while the agent may not carry it out.
    version: (epoch, generation) of the order.
    """

    workload: str
    cluster: str
    state: str
    replicas: int
    ready: int
    pods: int
    revision: int
    version: tuple[int, int]
    verb: str
    order: str
    message: str
    refusals: tuple[RefusalRow, ...]
    objects: tuple[ObjectRow, ...]
    workload_uid: str
    cluster_id: str


@dataclass(frozen=True)
class WorkloadRow:
    """state: Deciding, Unplaced, Progressing, Running, Finished, Refused, Failed, Held, Deleting.

    replicas: promised over all clusters, whole sets of a kind that is placed whole; clusters: the same by
    cluster name. pods: that are there, ready ones among them. reason: of the last decision. flavors: of
    its tenant's quota that it is of.
    """

    name: str
    uid: str
    tenant: str
    state: str
    reason: str
    message: str
    kinds: tuple[str, ...]
    replicas: int
    ready: int
    pods: int
    clusters: Mapping[str, int]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    revision: int
    resource_version: int
    created_at: float
    updated_at: float
    priority: int = 0
    flavors: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChargeRow:
    """What is charged of quota in one cluster. leaving: of it, what is on its way out. drift: beyond it."""

    cluster: str
    tenant: str
    charged: FlavorAmounts
    leaving: FlavorAmounts
    drift: FlavorAmounts


@dataclass(frozen=True)
class WorkloadDetail:
    """The row, what was written (values of Secrets hidden), and how it stands in each cluster.

    warnings: of what was just written; sentences that name the field.
    """

    status: WorkloadRow
    manifest: Mapping[str, Any]
    placements: tuple[PlacementRow, ...]
    warnings: tuple[str, ...] = ()
    charged: tuple[ChargeRow, ...] = ()


@dataclass(frozen=True)
class RevisionRow:
    revision: int
    created_at: float
    created_by: str
    cause: str
    current: bool
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class ChangeRow:
    id: int
    at: float
    kind: str
    name: str
    uid: str
    what: str
    by: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class ScoreRow:
    """value: 0 to 100 (preferred taints: -100 to 0), null where there is none, and `lacks` says why.

    adds: value times weight.
    """

    part: str
    value: float | None
    weight: float
    adds: float
    lacks: str = ""


@dataclass(frozen=True)
class StepRow:
    """field: of the workload. cluster: where it is to be done, "" for the workload itself."""

    kind: str
    field: str
    text: str
    cluster: str = ""


@dataclass(frozen=True)
class SuggestionRow:
    """What would help, all of `steps` together; it was tried. replicas: that fit, or are placed, then.

    but: why the workload cannot be placed even then.
    """

    text: str
    replicas: int
    steps: tuple[StepRow, ...]
    but: str = ""


@dataclass(frozen=True)
class ShareRow:
    """weight: null where the division knows none. had: before."""

    cluster: str
    weight: int | None
    had: int
    gets: int


@dataclass(frozen=True)
class DivisionRow:
    """mode: Duplicated, StaticWeight, DynamicWeight, Aggregated."""

    mode: str
    how: str
    shares: tuple[ShareRow, ...]


@dataclass(frozen=True)
class ClusterVerdict:
    """One cluster's answer. verdict: Chosen, Passed (could, and was not chosen), LeftOut.

    replicas: what the decision gives it now. available: how many more would fit. nodes: why, by node.
    node_counts: the same as numbers; of several components by their names.
    placement: how the order and the work stand there, where there is one.
    scores: of one that passes, every part. changes: what would let it in, the smallest first.
    """

    cluster: str
    verdict: str
    replicas: int
    available: int
    score: float
    reasons: tuple[RefusalRow, ...]
    nodes: str
    node_counts: Mapping[str, Any]
    placement: PlacementRow | None = None
    scores: tuple[ScoreRow, ...] = ()
    changes: tuple[SuggestionRow, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """placed, reason, message: as decided now over what is known. decided: the last decision as committed.

    affinity: the group that takes it. changes: what would let it run, the smallest first. warnings: of what
    was submitted. flavors: by component, then resource, as committed. charged: of quota, at this moment.
    """

    workload: str
    uid: str
    placed: bool
    reason: str
    message: str
    clusters: tuple[ClusterVerdict, ...]
    decided: Mapping[str, Any] = field(default_factory=dict[str, Any])
    affinity: str = ""
    division: DivisionRow | None = None
    changes: tuple[SuggestionRow, ...] = ()
    warnings: tuple[str, ...] = ()
    priority: int = 0
    flavors: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    charged: tuple[ChargeRow, ...] = ()
