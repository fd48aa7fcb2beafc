"""What a placement is decided on, compiled once from the manifest: frozen, without I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controlplane.fleet.demand import Requirement, Toleration
from schemas.reasons import Reason
from schemas.wire.reports import Taint

ENVIRONMENT_LABEL = "muster.dev/environment"


@dataclass(frozen=True)
class ClusterView:
    """One cluster as a placement sees it. id: opaque; name: for people, and for ties.

    served: `group/version/Kind`, core kinds as `v1/Kind`; None where it is not known (what-if files).
    capabilities: what its agent says that it can do; None where it is not known.
    standing: why nothing new may go there at this moment, None when it may; standing_message: for people.
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
    standing: Reason | None = None
    standing_message: str = ""

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


@dataclass(frozen=True)
class StaticWeight:
    target: Affinity
    weight: int


@dataclass(frozen=True)
class TenantRule:
    """Where a tenant may go: a hard filter. Empty `environments` means every environment."""

    name: str
    clusters: Affinity = Affinity()
    environments: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PlacementRequest:
    """uid decides ties. replicas: 0 with has_pods False for objects without pods, which go everywhere.

    current: replicas by cluster id as placed now; empty at first. kinds: what the manifests need served.
    capabilities: what its orders need of an agent. claimants: other tenants that claim a namespace of it.
    """

    uid: str
    replicas: int
    has_pods: bool = True
    affinity: Affinity = Affinity()
    tolerations: tuple[Toleration, ...] = ()
    division: Division = Division.DUPLICATED
    weights: tuple[StaticWeight, ...] = ()
    kinds: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    tenant: TenantRule | None = None
    claimants: tuple[TenantRule, ...] = ()
    current: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Refused:
    """Why not: `reason` for machines, `message` for people."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Decision:
    """assignments: replicas by cluster id; refusals: of every cluster left out; scores: who passed.

    error: why the workload cannot be placed at all; then nothing moves, and assignments is empty.
    """

    assignments: Mapping[str, int]
    refusals: Mapping[str, tuple[Refused, ...]]
    scores: Mapping[str, float]
    available: Mapping[str, int]
    error: Refused | None = None
