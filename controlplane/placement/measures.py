"""The parts of a score that are measured: asked of the fleet only where they count, or are to be shown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.fleet import Demand, Fleet
from controlplane.fleet.slack import Slacks
from controlplane.placement import score
from controlplane.placement.rules import PRICE_LABEL, ClusterView, PlacementRequest

_By = tuple[dict[str, float], dict[str, str]]
"""By cluster id: values, and of the others why there is none."""


@dataclass(frozen=True)
class Sources:
    """stated: by cluster id and part, for what a Fleet file says itself; it wins over what is measured."""

    fleet: Fleet
    slacks: Slacks = field(default_factory=Slacks)
    stated: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])


@dataclass(frozen=True)
class Measured:
    """By part, then by cluster id. lacks: why a cluster has no such part."""

    values: score.Measures
    lacks: Mapping[str, Mapping[str, str]]


def measured(
    sources: Sources,
    request: PlacementRequest,
    demand: Demand | None,
    asked: Mapping[str, int],
    views: Sequence[ClusterView],
    available: Sequence[int],
    parts: Sequence[str],
) -> Measured:
    """available: replicas more, in the order of the views. asked: by one replica, or by a whole set.

    demand: of one replica; None for sets and without pods, which prefer nothing.
    """
    ask: dict[str, Callable[[], _By]] = {
        "balance": lambda: _balance(sources, request, asked, views, available),
        "slack": lambda: _slack(sources, views),
        "cost": lambda: _cost(views),
        "preferred_features": lambda: _preferred(sources, request, demand, views),
    }
    values: dict[str, Mapping[str, float]] = {}
    lacks: dict[str, Mapping[str, str]] = {}
    for part in parts:
        found, missing = ask[part]()
        for cluster, stated in sources.stated.items():
            if part in stated:
                found[cluster] = stated[part]
        values[part], lacks[part] = found, missing
    return Measured(values, lacks)


def _balance(
    sources: Sources,
    request: PlacementRequest,
    asked: Mapping[str, int],
    views: Sequence[ClusterView],
    available: Sequence[int],
) -> _By:
    found: dict[str, float] = {}
    missing: dict[str, str] = {}
    sums = sources.fleet.sums([view.id for view in views])
    for view, whole, room in zip(views, sums, available, strict=True):
        value = score.balance(whole, asked, score.added(request, view, room))
        if value is None:
            missing[view.id] = "it tells nothing of its nodes"
        else:
            found[view.id] = value
    return found, missing


def _slack(sources: Sources, views: Sequence[ClusterView]) -> _By:
    found: dict[str, float] = {}
    missing: dict[str, str] = {}
    for view in views:
        known = sources.slacks.slack(view.id)
        value = score.slack(known)
        if value is None:
            missing[view.id] = known.lacks
        else:
            found[view.id] = value
    return found, missing


def _cost(views: Sequence[ClusterView]) -> _By:
    found = score.costs(views)
    text = f"no price: label {PRICE_LABEL}"
    return found, {view.id: text for view in views if view.id not in found}


def _preferred(
    sources: Sources, request: PlacementRequest, demand: Demand | None, views: Sequence[ClusterView]
) -> _By:
    if not request.preferences or demand is None:
        return {}, {view.id: "the pod states no preferred node affinity" for view in views}
    shares = sources.fleet.preferred(demand, request.preferences, [view.id for view in views])
    found = {
        view.id: score.FULL * share for view, share in zip(views, shares, strict=True) if share is not None
    }
    return found, {view.id: "no node has room for it" for view in views if view.id not in found}
