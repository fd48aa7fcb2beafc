"""What a placement is decided on, compiled once from the manifest: frozen, without I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controlplane.fleet.demand import Requirement, Toleration
from controlplane.fleet.preferences import Preferences
from controlplane.placement.rights import AgentRights, Written
from schemas.reasons import Reason
from schemas.wire.hardware import Attachment, Hardware, RuntimeClass
from schemas.wire.reports import Taint

ENVIRONMENT_LABEL = "muster.dev/environment"
PRICE_LABEL = "muster.dev/price-per-core-hour"


@dataclass(frozen=True)
class ClusterHardware:
    """What a cluster says of itself below its sum. runtimes by name, attachments by `namespace/name`."""

    runtimes: Mapping[str, RuntimeClass] = field(default_factory=dict[str, RuntimeClass])
    attachments: Mapping[str, Attachment] = field(default_factory=dict[str, Attachment])
    device_classes: frozenset[str] = frozenset()

    @staticmethod
    def of(report: Hardware | None) -> "ClusterHardware":
        """Nothing at all where nothing was reported."""
        if report is None:
            return ClusterHardware()
        return ClusterHardware(
            {each.name: each for each in report.runtime_classes},
            {each.key: each for each in report.attachments},
            frozenset(report.device_classes),
        )


@dataclass(frozen=True)
class ClusterView:
    """One cluster as a placement sees it. id: opaque; name: for people, and for ties.

    served: `group/version/Kind`, core kinds as `v1/Kind`; None where it is not known (what-if files).
    capabilities: what its agent says that it can do; None where it is not known.
    hardware: None where it is not known (what-if files), and then nothing is refused for it.
    standing: why nothing new may go there at this moment, None when it may; standing_message: for people.
    price: of a core for an hour, as the operator says; None where he does not.
    lacks: what of the workload's needs below the cluster's sum is not there.
    rights: what its agent may do; None where that is everything, or not known.
    """

    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    provider: str = ""
    region: str = ""
    zones: tuple[str, ...] = ()
    taints: tuple[Taint, ...] = ()
    served: frozenset[str] | None = None
    capabilities: frozenset[str] | None = None
    hardware: ClusterHardware | None = None
    standing: Reason | None = None
    standing_message: str = ""
    price: float | None = None
    lacks: "tuple[Refused, ...]" = ()
    rights: AgentRights | None = None

    @property
    def environment(self) -> str:
        return self.labels.get(ENVIRONMENT_LABEL, "")


@dataclass(frozen=True)
class Affinity:
    """Karmada's: `exclude` wins, then labels and fields and names; an empty part matches all."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()
    names: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()


class Division(StrEnum):
    DUPLICATED = "Duplicated"
    STATIC = "StaticWeight"
    DYNAMIC = "DynamicWeight"
    AGGREGATED = "Aggregated"


@dataclass(frozen=True)
class StaticWeight:
    target: Affinity
    weight: int


@dataclass(frozen=True)
class ReplicaBounds:
    """How many replicas each cluster that `target` selects may have. most: None for no bound."""

    target: Affinity
    least: int = 0
    most: int | None = None


@dataclass(frozen=True)
class Spread:
    """Over how many groups. by: cluster, zone, region or provider; "" for the values of the label.

    max_groups: 0 for no bound.
    """

    by: str = "cluster"
    label: str = ""
    min_groups: int = 1
    max_groups: int = 0

    def __str__(self) -> str:
        return f"label {self.label}" if self.label else self.by


@dataclass(frozen=True)
class AffinityGroup:
    """One of several to try in order. overflow: tiers that take what those before have no room for."""

    name: str
    affinity: Affinity
    overflow: tuple[Affinity, ...] = ()


@dataclass(frozen=True)
class ScoreWeights:
    """How much each part of a score counts, 0 for not at all. The defaults are Karmada's: see `score.py`."""

    locality: float = 1.0
    balance: float = 0.0
    slack: float = 0.0
    cost: float = 0.0
    preferred_features: float = 1.0
    preferred_taints: float = 1.0


_EVERYWHERE = Affinity()


@dataclass(frozen=True)
class TenantRule:
    """Where a tenant may go: a hard filter. Empty `environments` means every environment."""

    name: str
    clusters: Affinity = Affinity()
    environments: frozenset[str] = frozenset()

    @property
    def is_everywhere(self) -> bool:
        return not self.environments and self.clusters == _EVERYWHERE


@dataclass(frozen=True)
class PlacementRequest:
    """uid decides ties. replicas: 0 with has_pods False for objects without pods, which go everywhere.

    current: replicas by cluster id as placed now; empty at first. kinds: what the manifests need served.
    whole: a replica is a set of pods that go together, so that no cluster takes what does not fit.
    selection: what the pods select nodes by, for people.
    written: kinds and namespaces of its objects. capabilities: what its orders need of an agent.
    claimants: other tenants that claim a namespace of it.
    overflow: tiers after `affinity`. groups: tried in order instead of `affinity`, from `affinity_name` on.
    within: (whose, clusters) beside which nothing is taken: of the flavors that it is given.
    fresh: as if it were placed for the first time; what it holds now counts as room.
    preferences: of the pod, for nodes. measures: parts of the score by cluster id, 0 to 100, as `score.py`
    has them: those that the request and the cluster alone do not tell.
    """

    uid: str
    replicas: int
    has_pods: bool = True
    whole: bool = False
    selection: str = ""
    affinity: Affinity = Affinity()
    overflow: tuple[Affinity, ...] = ()
    groups: tuple[AffinityGroup, ...] = ()
    affinity_name: str = ""
    tolerations: tuple[Toleration, ...] = ()
    division: Division = Division.DUPLICATED
    weights: tuple[StaticWeight, ...] = ()
    bounds: tuple[ReplicaBounds, ...] = ()
    spread: tuple[Spread, ...] = ()
    fresh: bool = False
    kinds: tuple[str, ...] = ()
    written: tuple[Written, ...] = ()
    capabilities: tuple[str, ...] = ()
    tenant: TenantRule | None = None
    claimants: tuple[TenantRule, ...] = ()
    within: tuple[tuple[str, Affinity], ...] = ()
    current: Mapping[str, int] = field(default_factory=dict[str, int])
    score: ScoreWeights = ScoreWeights()
    preferences: Preferences = ()
    measures: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])


@dataclass(frozen=True)
class Refused:
    """Why not: `reason` for machines, `message` for people."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Decision:
    """assignments: replicas by cluster id; refusals: of every cluster left out; scores: who passed.

    error: why the workload cannot be placed at all; then nothing moves, and assignments is empty.
    affinity_name: of the affinity group that took it. score_parts: what each score is the sum of.
    """

    assignments: Mapping[str, int]
    refusals: Mapping[str, tuple[Refused, ...]]
    scores: Mapping[str, float]
    available: Mapping[str, int]
    error: Refused | None = None
    affinity_name: str = ""
    score_parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
