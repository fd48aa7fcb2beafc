"""`muster plan`: a placement on paper, from a Workload and a Fleet file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.fleet import Fleet
from controlplane.placement.rules import ClusterView, Refused
from schemas import manifests


@dataclass(frozen=True)
class PlanResult:
    """By cluster name. explanations: what of the nodes fits, for clusters that state nodes."""

    assignments: Mapping[str, int]
    refusals: Mapping[str, tuple[Refused, ...]]
    scores: Mapping[str, float]
    available: Mapping[str, int]
    explanations: Mapping[str, str]
    error: Refused | None


def plan(
    workload: manifests.Workload, fleet: manifests.Fleet, tenant: manifests.Tenant | None = None
) -> PlanResult:
    """NotUnderstood when the workload's objects cannot be taken."""
    raise NotImplementedError


def fleet_manifest(fleet: Fleet, views: Sequence[ClusterView]) -> manifests.Fleet:
    """The fleet as a file that `plan` takes: nodes grouped by what they have in common, with counts."""
    raise NotImplementedError
