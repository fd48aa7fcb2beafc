"""The `placement` stanza: Karmada's `PropagationPolicy.spec.placement`, field by field."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.manifests.base import LabelKey, Labels, LabelValue, Name, Strict


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
    values: list[LabelValue] = []

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        return _values_fit(self)


class FieldRequirement(Strict):
    key: Literal["provider", "region", "zone"]
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []

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
    match_labels: Labels = {}
    match_expressions: list[LabelRequirement] = []


class FieldSelector(Strict):
    match_expressions: list[FieldRequirement] = []


class ClusterAffinity(Strict):
    """`exclude` wins; then labels and fields and names. An empty part matches all."""

    label_selector: LabelSelector | None = None
    field_selector: FieldSelector | None = None
    cluster_names: list[Name] = []
    exclude: list[Name] = []


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

    static_weight_list: list[StaticClusterWeight] = []
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
    replica_bounds: Annotated[list[ReplicaBounds], Field(max_length=1_000)] = []


class Placement(Strict):
    """Without `replicaScheduling` every cluster gets all replicas, as in Karmada."""

    cluster_affinity: ClusterAffinity | None = None
    cluster_tolerations: list[ClusterToleration] = []
    replica_scheduling: ReplicaScheduling | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_later(cls, given: Any) -> Any:
        return _refuse_later(
            "placement",
            given,
            {
                "clusterAffinities": "use clusterAffinity",
                "spreadConstraints": "clusters are not yet spread",
                "workloadAffinity": "workloads do not yet see each other",
            },
        )
