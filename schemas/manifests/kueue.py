"""Kueue's ResourceFlavor, ClusterQueue, Cohort and LocalQueue as they are written for Kueue, field by field.

What has no meaning here is refused by name, with what would be right; nothing is ignored. Source:
kubernetes-sigs/kueue apis/kueue v1alpha1 (Cohort), v1beta1 and v1beta2, and the webhooks of ClusterQueue and
Cohort.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from schemas.manifests.base import Labels, Name, Quantity, Strict
from schemas.manifests.karmada import PolicyMetadata, nothing, only
from schemas.manifests.load import ManifestError, Problem, validated
from schemas.manifests.quota import ResourceName, Weight

GROUP = "kueue.x-k8s.io"
NAMESPACE_NAME = "kubernetes.io/metadata.name"
Version = Literal["kueue.x-k8s.io/v1beta1", "kueue.x-k8s.io/v1beta2"]
Running = Annotated[
    str,
    only(lambda value: value in ("", "None"), "what is applied is carried out: say None, or nothing"),
]


class Toleration(Strict):
    key: Annotated[str, Field(max_length=317)] = ""
    operator: Literal["Exists", "Equal", ""] = "Equal"
    value: Annotated[str, Field(max_length=63)] = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: Annotated[
        Any, nothing("a flavor's nodes are tolerated for as long as a pod runs: leave it out")
    ] = None


class ResourceFlavorSpec(Strict):
    node_labels: Labels = {}
    node_taints: Annotated[list[dict[str, Any]], Field(max_length=64)] = []
    tolerations: Annotated[list[Toleration], Field(max_length=64)] = []
    topology_name: Annotated[
        Any, nothing("there are no topologies of flavors here: say topology in the Workload")
    ] = None
    resource_weights: Annotated[
        Any, nothing("the resources of a share weigh the same here: leave it out")
    ] = None


class ResourceFlavor(Strict):
    api_version: Version
    kind: Literal["ResourceFlavor"]
    metadata: PolicyMetadata
    spec: ResourceFlavorSpec = ResourceFlavorSpec()


class FairSharing(Strict):
    weight: Weight = 1


class ResourceQuota(Strict):
    name: ResourceName
    nominal_quota: Quantity
    borrowing_limit: Quantity | None = None
    lending_limit: Quantity | None = None


class FlavorQuotas(Strict):
    name: Name
    resources: Annotated[list[ResourceQuota], Field(min_length=1, max_length=64)]


class ResourceGroup(Strict):
    covered_resources: Annotated[list[ResourceName], Field(min_length=1, max_length=64)]
    flavors: Annotated[list[FlavorQuotas], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _all_are_covered(self) -> Self:
        for each in self.flavors:
            named = [one.name for one in each.resources]
            if named != self.covered_resources:
                raise ValueError(
                    f"flavor {each.name} has {', '.join(named)}; coveredResources are "
                    f"{', '.join(self.covered_resources)}: the same, in the same order"
                )
        return self


Groups = Annotated[list[ResourceGroup], Field(max_length=16)]


class CohortSpec(Strict):
    """parent: as v1alpha1 called parentName."""

    parent: str = ""
    parent_name: str = ""
    resource_groups: Groups = []
    fair_sharing: FairSharing | None = None

    @property
    def above(self) -> str:
        return self.parent_name or self.parent


class Cohort(Strict):
    api_version: Version | Literal["kueue.x-k8s.io/v1alpha1"]
    kind: Literal["Cohort"]
    metadata: PolicyMetadata
    spec: CohortSpec = CohortSpec()
    status: Any = None


class BorrowWithinCohort(Strict):
    policy: Literal["Never", "LowerPriority"] = "Never"
    max_priority_threshold: int | None = None


class Preemption(Strict):
    reclaim_within_cohort: Literal["Never", "LowerPriority", "Any"] = "Never"
    borrow_within_cohort: BorrowWithinCohort | None = None
    within_cluster_queue: Literal["Never", "LowerPriority", "LowerOrNewerEqualPriority"] = "Never"

    @model_validator(mode="after")
    def _borrows_only_where_it_reclaims(self) -> Self:
        borrow = self.borrow_within_cohort
        if self.reclaim_within_cohort == "Never" and borrow is not None and borrow.policy != "Never":
            raise ValueError("borrowWithinCohort: needs reclaimWithinCohort, which is Never")
        return self


class FlavorFungibility(Strict):
    """v1beta1 says Borrow where v1beta2 says MayStopSearch."""

    when_can_borrow: Annotated[
        str,
        only(
            lambda value: value in ("", "Borrow", "MayStopSearch"),
            "flavors are tried in their order, and the first that can be had is taken, borrowed or not:"
            " leave it out",
        ),
    ] = ""
    when_can_preempt: Annotated[
        str,
        only(
            lambda value: value in ("", "TryNextFlavor"),
            "the next flavors are tried before anything is preempted: say TryNextFlavor, or nothing",
        ),
    ] = ""
    preference: Annotated[Any, nothing("the first flavor in their order is taken: leave it out")] = None


class MatchExpression(Strict):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class NamespaceSelector(Strict):
    match_labels: dict[str, str] = {}
    match_expressions: list[MatchExpression] = []


class ClusterQueueSpec(Strict):
    """cohort: as v1beta1 calls cohortName."""

    resource_groups: Groups = []
    cohort: str = ""
    cohort_name: str = ""
    queueing_strategy: Literal["StrictFIFO", "BestEffortFIFO", ""] = "BestEffortFIFO"
    namespace_selector: NamespaceSelector | None = None
    flavor_fungibility: FlavorFungibility | None = None
    preemption: Preemption | None = None
    admission_checks: Annotated[
        Any, nothing("nothing is asked before a workload is admitted: leave it out")
    ] = None
    admission_checks_strategy: Annotated[
        Any, nothing("nothing is asked before a workload is admitted: leave it out")
    ] = None
    stop_policy: Running | None = None
    fair_sharing: FairSharing | None = None
    admission_scope: Annotated[
        Any, nothing("fair shares are of what is used now, not of the past: leave it out")
    ] = None

    @property
    def above(self) -> str:
        return self.cohort_name or self.cohort


class ClusterQueue(Strict):
    api_version: Version
    kind: Literal["ClusterQueue"]
    metadata: PolicyMetadata
    spec: ClusterQueueSpec = ClusterQueueSpec()
    status: Any = None


class LocalQueueSpec(Strict):
    cluster_queue: Name
    stop_policy: Running | None = None
    fair_sharing: Annotated[
        Any, nothing("within a tenant there are no shares: give each its own Tenant, or leave it out")
    ] = None
    wall_time_policy: Annotated[
        Any, nothing("time is not counted here: a budget of the Tenant is money for a period")
    ] = None


class LocalQueue(Strict):
    api_version: Version
    kind: Literal["LocalQueue"]
    metadata: PolicyMetadata
    spec: LocalQueueSpec
    status: Any = None

    @property
    def namespace(self) -> str:
        return self.metadata.namespace or "default"


Kueues = ResourceFlavor | ClusterQueue | Cohort | LocalQueue
_KINDS: dict[str, type[Kueues]] = {
    "ResourceFlavor": ResourceFlavor,
    "ClusterQueue": ClusterQueue,
    "Cohort": Cohort,
    "LocalQueue": LocalQueue,
}


def is_kueues(document: dict[str, Any]) -> bool:
    return str(document.get("apiVersion", "")).startswith(f"{GROUP}/")


def parse_kueues(document: dict[str, Any], source: str, index: int = 0) -> Kueues:
    """ManifestError with all that is wrong; also for kinds of Kueue's that mean nothing here."""
    kind = _KINDS.get(str(document.get("kind")))
    if kind is None:
        named = f"{document.get('apiVersion')} {document.get('kind')}"
        right = f"of Kueue's, {', '.join(_KINDS)} are taken: leave it out"
        raise ManifestError([Problem(source, index, "kind", f"{named}: {right}")])
    return validated(kind, document, source, index)
