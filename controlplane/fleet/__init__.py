"""What agents report of clusters, as columns: profiles, capacity, promises. Decides nothing. Pure."""

from controlplane.fleet.demand import Demand, Numa, Requirement, Term, Toleration
from controlplane.fleet.fleet import Fleet
from controlplane.fleet.preferences import Preference
from controlplane.fleet.views import Alignment, NodeCounts, NodeRow, Outcome, Part, Promise, Totals

__all__ = [
    "Alignment",
    "Demand",
    "Fleet",
    "NodeCounts",
    "NodeRow",
    "Numa",
    "Outcome",
    "Part",
    "Preference",
    "Promise",
    "Requirement",
    "Term",
    "Toleration",
    "Totals",
]
