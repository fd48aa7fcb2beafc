"""What we know of the clusters: columns, profiles, capacity. Pure."""

from controlplane.fleet.demand import Demand, Requirement, Term, Toleration
from controlplane.fleet.fleet import Fleet
from controlplane.fleet.views import NodeCounts, NodeRow, Outcome, Promise, Totals

__all__ = [
    "Demand",
    "Fleet",
    "NodeCounts",
    "NodeRow",
    "Outcome",
    "Promise",
    "Requirement",
    "Term",
    "Toleration",
    "Totals",
]
