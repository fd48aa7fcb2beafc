"""How the replicas were divided, told: by what weights, what each cluster had, and what it gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.placement.assign import static_weights
from controlplane.placement.rules import ClusterView, Decision, Division, PlacementRequest


@dataclass(frozen=True)
class Share:
    """One cluster's. weight: None where the division knows none. had: before this decision."""

    cluster: str
    weight: int | None
    had: int
    gets: int


@dataclass(frozen=True)
class Account:
    """mode: Duplicated, StaticWeight, DynamicWeight, Aggregated. how: for people. shares: who gets or had."""

    mode: str
    how: str
    shares: tuple[Share, ...]


def account(request: PlacementRequest, decision: Decision, views: Sequence[ClusterView]) -> Account:
    """By cluster id, in the order of the views."""
    if decision.error is not None:
        return Account(request.division.value, "nothing is divided: it cannot be placed", ())
    by_id = {view.id: view for view in views}
    passed = {cluster: by_id[cluster] for cluster in decision.scores if cluster in by_id}
    weights, how = _weighed(request, decision, passed)
    shares = tuple(
        Share(view.id, weights.get(view.id), request.current.get(view.id, 0), gets)
        for view in views
        if (gets := decision.assignments.get(view.id, 0)) or request.current.get(view.id)
    )
    return Account(request.division.value, how, shares)


def _weighed(
    request: PlacementRequest, decision: Decision, passed: Mapping[str, ClusterView]
) -> tuple[Mapping[str, int], str]:
    if not request.has_pods:
        return {}, "its objects go to every chosen cluster"
    if not request.replicas:
        return {}, "it goes to every chosen cluster"
    if request.division is Division.DUPLICATED:
        bounded = ", within its bounds" if request.bounds else ""
        return {}, f"every chosen cluster gets all {request.replicas:,}{bounded}"
    if request.division is Division.STATIC:
        return static_weights(request, passed), "by the weights that are written"
    kept = {cluster: had for cluster in passed if (had := request.current.get(cluster, 0))}
    room = {cluster: decision.available[cluster] for cluster in passed}
    where = "by room" if request.division is Division.DYNAMIC else "into as few clusters as will do"
    if request.fresh:
        weights = {cluster: free + kept.get(cluster, 0) for cluster, free in room.items()}
        return weights, f"placed anew, {where}: what a cluster holds counts as room"
    more = request.replicas - sum(kept.values())
    if not kept:
        return room, where
    if more > 0:
        return room, f"{sum(kept.values()):,} stay where they are, {more:,} more {where}"
    if more < 0:
        return kept, f"{-more:,} fewer, in proportion to what each has"
    return kept, "as many as there are: all stay where they are"
