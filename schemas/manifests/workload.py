"""What is to run: Kubernetes objects and where they may go."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from schemas.manifests.base import API_VERSION, Metadata, Name, Strict
from schemas.manifests.failover import Failover
from schemas.manifests.hardware import Features, Gpus, Networks, Topology, features_once
from schemas.manifests.objects import checked_objects
from schemas.manifests.overrides import OverrideRules
from schemas.manifests.placement import Placement

Objects = Annotated[
    list[dict[str, Any]], Field(min_length=1, max_length=500), AfterValidator(checked_objects)
]


class WorkloadSpec(Strict):
    """tenant: whose it is, none at all for the operator's own. manifests: in any order.

    features, topology, isolation, networks, gpus: what its nodes must have, beside what the pod template
    says. isolation: `sandboxed` for any runtime that is a sandbox, or the name of a runtime class.
    failover: what stays where it is when its cluster is lost. overrides: what differs by cluster.
    conflictResolution: Overwrite takes over objects that are there already and are not Muster's.
    priority: among what waits for quota, the higher first; what is lower gives way. preemptible: whether it
    may have to; left out, it may unless it holds data.
    preserveResourcesOnDeletion: deleting the workload leaves its objects in the clusters.
    """

    tenant: Name | None = None
    manifests: Objects
    placement: Placement = Placement()
    features: Annotated[Features, AfterValidator(features_once)] = Field(default_factory=list)
    topology: Topology | None = None
    isolation: Name | None = None
    networks: Networks = Field(default_factory=list)
    gpus: Gpus | None = None
    failover: Failover = Failover()
    priority: Annotated[int, Field(ge=-(2**31), le=10**9)] = 0
    preemptible: bool | None = None
    overrides: OverrideRules = Field(default_factory=list)
    conflict_resolution: Literal["Abort", "Overwrite"] = "Abort"
    preserve_resources_on_deletion: bool = False


class Workload(Strict):
    api_version: Literal["muster.dev/v1"] = API_VERSION
    kind: Literal["Workload"] = "Workload"
    metadata: Metadata
    spec: WorkloadSpec
