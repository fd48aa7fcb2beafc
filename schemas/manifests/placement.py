"""The `placement` stanza: Karmada's `PropagationPolicy.spec.placement`, field by field."""

from collections import Counter
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.manifests.base import LabelKey, Labels, LabelValue, Name, Strict
from schemas.manifests.scoring import ScoreWeights


def _refuse_later(kind: str, given: Any, later: dict[str, str]) -> Any:
    """Karmada's fields that are not decided on yet are refused by name: ignoring one would place wrongly."""
    if isinstance(given, dict):
        for field, what in later.items():
            if field in given:
                raise PydanticCustomError(
                    "not_yet_supported",
                    "{field} is not yet supported ({what}): leave it out",
                    {"field": f"{kind}.{field}", "what": what},
                )
    return given  # pyright: ignore[reportUnknownVariableType]


class LabelRequirement(Strict):
    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[LabelValue] = Field(default_factory=list)

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        return _values_fit(self)


class FieldRequirement(Strict):
    key: Literal["provider", "region", "zone"]
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        return _values_fit(self)


_Requirement = TypeVar("_Requirement", LabelRequirement, FieldRequirement)


def _values_fit(requirement: _Requirement) -> _Requirement:
    wants = requirement.operator in ("In", "NotIn")
    if wants != bool(requirement.values):
        right = "at least one value" if wants else "no values"
        raise ValueError(f"operator {requirement.operator} takes {right}")
    return requirement


class LabelSelector(Strict):
    match_labels: Labels = Field(default_factory=dict)
    match_expressions: list[LabelRequirement] = Field(default_factory=list)


class FieldSelector(Strict):
    match_expressions: list[FieldRequirement] = Field(default_factory=list)


class ClusterAffinity(Strict):
    """`exclude` wins; then labels and fields and names. An empty part matches all."""

    label_selector: LabelSelector | None = None
    field_selector: FieldSelector | None = None
    cluster_names: list[Name] = Field(default_factory=list)
    exclude: list[Name] = Field(default_factory=list)


class ClusterToleration(Strict):
    key: LabelKey | Literal[""] = ""
    operator: Literal["Equal", "Exists", ""] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _value_fits(self) -> Self:
        if not self.key and self.operator != "Exists":
            raise ValueError("an empty key tolerates every taint, and needs operator Exists")
        if self.operator == "Exists" and self.value:
            raise ValueError("operator Exists takes no value")
        return self


class StaticClusterWeight(Strict):
    target_cluster: ClusterAffinity
    weight: Annotated[int, Field(ge=0, le=2**31 - 1)]


class WeightPreference(Strict):
    """`dynamicWeight` wins over `staticWeightList`, as in Karmada."""

    static_weight_list: list[StaticClusterWeight] = Field(default_factory=list)
    dynamic_weight: Literal["AvailableReplicas"] | None = None


class ReplicaBounds(Strict):
    """Our own: how many replicas each cluster that `targetCluster` selects may have, in every mode.

    Where several select a cluster, all of them hold. Left out: no bound.
    """

    target_cluster: ClusterAffinity = ClusterAffinity()
    min_replicas: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    max_replicas: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max_replicas is not None and self.min_replicas > self.max_replicas:
            raise ValueError(f"minReplicas {self.min_replicas} is above maxReplicas {self.max_replicas}")
        return self


class ReplicaScheduling(Strict):
    """Defaults are Karmada's: Divided, Weighted, all clusters the same weight."""

    replica_scheduling_type: Literal["Duplicated", "Divided"] = "Divided"
    replica_division_preference: Literal["Weighted", "Aggregated"] = "Weighted"
    weight_preference: WeightPreference | None = None
    replica_bounds: Annotated[list[ReplicaBounds], Field(max_length=1_000)] = Field(default_factory=list)


AffinityName = Annotated[str, Field(min_length=1, max_length=32)]


class OverflowAffinity(ClusterAffinity):
    affinity_name: AffinityName


class ClusterAffinityTerm(ClusterAffinity):
    """One group of clusters; what it has no room for goes to `overflowAffinities`, tier by tier."""

    affinity_name: AffinityName
    overflow_affinities: Annotated[list[OverflowAffinity], Field(max_length=100)] = Field(
        default_factory=list
    )

    @model_validator(mode="after")
    def _has_a_first_tier(self) -> Self:
        if self.overflow_affinities and not (
            self.label_selector or self.field_selector or self.cluster_names or self.exclude
        ):
            raise ValueError("overflowAffinities: the group itself selects everything, so nothing overflows")
        return self


class SpreadConstraint(Strict):
    """Neither field nor label means by cluster. minGroups 0 means 1, maxGroups 0 no bound, as in Karmada."""

    spread_by_field: Literal["", "cluster", "zone", "region", "provider"] = ""
    spread_by_label: LabelKey | Literal[""] = ""
    min_groups: Annotated[int, Field(ge=0, le=10_000)] = 1
    max_groups: Annotated[int, Field(ge=0, le=10_000)] = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.spread_by_field and self.spread_by_label:
            raise ValueError("state spreadByField or spreadByLabel, not both")
        if self.max_groups and self.min_groups > self.max_groups:
            raise ValueError(f"minGroups {self.min_groups} is above maxGroups {self.max_groups}")
        return self

    @property
    def by(self) -> str:
        return f"label {self.spread_by_label}" if self.spread_by_label else self.spread_by_field or "cluster"


class Placement(Strict):
    """Without `replicaScheduling` every cluster gets all replicas, as in Karmada."""

    cluster_affinity: ClusterAffinity | None = None
    cluster_affinities: Annotated[list[ClusterAffinityTerm], Field(max_length=100)] = Field(
        default_factory=list
    )
    cluster_tolerations: list[ClusterToleration] = Field(default_factory=list)
    spread_constraints: Annotated[list[SpreadConstraint], Field(max_length=16)] = Field(default_factory=list)
    replica_scheduling: ReplicaScheduling | None = None
    score_weights: ScoreWeights = ScoreWeights()

    @model_validator(mode="before")
    @classmethod
    def _refuse_later(cls, given: Any) -> Any:
        return _refuse_later("placement", given, {"workloadAffinity": "workloads do not yet see each other"})

    @model_validator(mode="after")
    def _affinities_fit(self) -> Self:
        if self.cluster_affinity is not None and self.cluster_affinities:
            raise ValueError("state clusterAffinity or clusterAffinities, not both")
        names = Counter(
            each.affinity_name
            for term in self.cluster_affinities
            for each in (term, *term.overflow_affinities)
        )
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(f"clusterAffinities: affinityName {twice[0]} stands there more than once")
        overflows = any(term.overflow_affinities for term in self.cluster_affinities)
        if overflows and not _divides_by_room(self.replica_scheduling):
            raise ValueError(
                "overflowAffinities needs replicas that are divided by room: "
                "dynamicWeight: AvailableReplicas, or Aggregated"
            )
        return self

    @model_validator(mode="after")
    def _spread_fits(self) -> Self:
        by = Counter(each.by for each in self.spread_constraints)
        twice = [name for name, count in by.items() if count > 1]
        if twice:
            raise ValueError(f"spreadConstraints: by {twice[0]} stands there more than once")
        most = next((each.max_groups for each in self.spread_constraints if each.by == "cluster"), 0)
        for each in self.spread_constraints:
            if most and each.min_groups > most:
                raise ValueError(
                    f"spreadConstraints: minGroups {each.min_groups} by {each.by} needs more clusters than "
                    f"maxGroups {most} by cluster allows"
                )
        return self


def _divides_by_room(scheduling: ReplicaScheduling | None) -> bool:
    if scheduling is None or scheduling.replica_scheduling_type == "Duplicated":
        return False
    preference = scheduling.weight_preference
    aggregated = scheduling.replica_division_preference == "Aggregated"
    return aggregated or (preference is not None and preference.dynamic_weight is not None)
