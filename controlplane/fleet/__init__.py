"""What agents report of clusters, as columns: profiles, capacity, promises. Decides nothing. Pure."""

from controlplane.fleet.demand import Demand, Requirement, Term, Toleration
from controlplane.fleet.fleet import Fleet
from controlplane.fleet.preferences import Preference
from controlplane.fleet.views import NodeCounts, NodeRow, Outcome, Promise, Totals

__all__ = [
    "Demand",
    "Fleet",
    "NodeCounts",
    "NodeRow",
    "Outcome",
    "Preference",
    "Promise",
    "Requirement",
    "Term",
    "Toleration",
    "Totals",
]
