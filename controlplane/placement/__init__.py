"""Where: affinity, taints, division. Pure."""

from controlplane.placement.claims import Claim, Clash, clashes, outside
from controlplane.placement.compiled import placement_request, tenant_rule
from controlplane.placement.place import place
from controlplane.placement.plan import PlanResult, plan
from controlplane.placement.rules import (
    ENVIRONMENT_LABEL,
    Affinity,
    AffinityGroup,
    ClusterView,
    Decision,
    Division,
    PlacementRequest,
    Refused,
    ReplicaBounds,
    Spread,
    StaticWeight,
    TenantRule,
)
from controlplane.placement.written import fleet_manifest

__all__ = [
    "ENVIRONMENT_LABEL",
    "Affinity",
    "AffinityGroup",
    "Claim",
    "Clash",
    "ClusterView",
    "Decision",
    "Division",
    "PlacementRequest",
    "PlanResult",
    "Refused",
    "ReplicaBounds",
    "Spread",
    "StaticWeight",
    "TenantRule",
    "clashes",
    "fleet_manifest",
    "outside",
    "place",
    "placement_request",
    "plan",
    "tenant_rule",
]
