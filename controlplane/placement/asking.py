"""What a decision is made on, so that a changed one can be tried beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from controlplane.fleet import Demand
from controlplane.placement.rules import ClusterView, Decision, PlacementRequest
from schemas.wire.reports import Taint

Vary = Callable[[Demand], Demand]


@dataclass(frozen=True)
class Ask:
    """One workload and all clusters. vary: what is changed of the demand, after it is known for a cluster.

    at_most: (resource, amount) of which no pod template asks for more than that, whatever is added to it.
    without: needs below the cluster's sum that are left out: isolation, networks, device_class.
    affinity_path: where the request's affinity is written.
    """

    request: PlacementRequest
    views: tuple[ClusterView, ...]
    vary: tuple[Vary, ...] = ()
    at_most: tuple[tuple[str, int], ...] = ()
    without: frozenset[str] = frozenset()
    affinity_path: str = "spec.placement.clusterAffinity"

    def varied(self, demand: Demand) -> Demand:
        for each in self.vary:
            demand = each(demand)
        return demand

    def view(self, cluster: str) -> ClusterView:
        return next(each for each in self.views if each.id == cluster)

    def with_view(self, view: ClusterView) -> "Ask":
        return replace(self, views=tuple(view if each.id == view.id else each for each in self.views))


@dataclass(frozen=True)
class Room:
    """One cluster: the view with what it lacks, how many replicas more fit, how many nodes are selected."""

    view: ClusterView
    available: int
    matching: int


@dataclass(frozen=True)
class Written:
    """One component as its pod template has it. name: "" for the only one. containers: init ones, too.

    added: what a cluster adds to it: overhead and node selector of a runtime class, interfaces, devices.
    """

    name: str
    containers: int
    requests: Mapping[str, int]
    added: Demand


class Asking(Protocol):
    """Answers over what is known of the fleet. Nothing is remembered of what was only tried."""

    def decide(self, ask: Ask) -> Decision: ...

    def room(self, ask: Ask, view: ClusterView) -> Room: ...

    def demands(self, ask: Ask, view: ClusterView) -> Sequence[Demand]:
        """Of one replica of each component there; none where the cluster lacks something, or without pods."""
        ...

    def written(self, ask: Ask, view: ClusterView) -> Sequence[Written]:
        """Of the same components as `demands`, in the same order."""
        ...

    def node_taints(self, view: ClusterView) -> Sequence[Taint]:
        """Those that keep pods off, the most frequent first."""
        ...

    def largest(self, view: ClusterView, demand: Demand, resource: str) -> int:
        """The most of it that is free on a node which takes the demand but for this resource; 0 for none."""
        ...
