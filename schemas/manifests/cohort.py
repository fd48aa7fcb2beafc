"""Kinds beside Tenant that quota needs: a Cohort shares among tenants, a Flavor is a class of nodes."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from schemas.manifests.base import API_VERSION, Labels, Metadata, Name, Strict
from schemas.manifests.hardware import Features, features_once
from schemas.manifests.placement import ClusterAffinity
from schemas.manifests.quota import Flavors, Money, ResourceName, Weight


class CohortSpec(Strict):
    """parent: another Cohort; left out, it is a root. flavors: what belongs to nobody in it, and to all."""

    parent: Name | None = None
    weight: Weight = 1
    flavors: Flavors = []


class Cohort(Strict):
    api_version: Literal["muster.dev/v1"] = API_VERSION
    kind: Literal["Cohort"] = "Cohort"
    metadata: Metadata
    spec: CohortSpec = CohortSpec()


class FlavorToleration(Strict):
    """Kubernetes' toleration: put into the pods that are given this flavor."""

    key: Annotated[str, Field(max_length=317)] = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: Annotated[str, Field(max_length=63)] = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""


class Prices(Strict):
    """perHour: by resource: of a core, of a GiB of what is counted in bytes, of one of anything else."""

    currency: Annotated[str, Field(min_length=1, max_length=16)]
    per_hour: Annotated[dict[ResourceName, Money], Field(max_length=100)]


class FlavorSpec(Strict):
    """Which nodes are of it: those with all these labels and features in these clusters; with none, all."""

    node_labels: Labels = {}
    features: Annotated[Features, AfterValidator(features_once)] = Field(default_factory=list)
    clusters: ClusterAffinity | None = None
    tolerations: Annotated[list[FlavorToleration], Field(max_length=50)] = []
    prices: Prices | None = None


class Flavor(Strict):
    api_version: Literal["muster.dev/v1"] = API_VERSION
    kind: Literal["Flavor"] = "Flavor"
    metadata: Metadata
    spec: FlavorSpec = FlavorSpec()
