"""Where: affinity, taints, division. Pure."""

from controlplane.placement.place import place
from controlplane.placement.rules import (
    Affinity,
    ClusterView,
    Decision,
    Division,
    PlacementRequest,
    Refused,
    TenantRule,
)

__all__ = [
    "Affinity",
    "ClusterView",
    "Decision",
    "Division",
    "PlacementRequest",
    "Refused",
    "TenantRule",
    "place",
]
