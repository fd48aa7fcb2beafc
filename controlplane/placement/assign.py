"""How many replicas each of the chosen clusters gets."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heapify, heappop

from controlplane.placement.candidates import Candidates
from controlplane.placement.division import divide
from controlplane.placement.filters import selected
from controlplane.placement.rules import ClusterView, Division, PlacementRequest, Refused
from controlplane.placement.wording import counted, wanted
from schemas.reasons import Reason

NAMED_AT_MOST = 5


def assign(request: PlacementRequest, chosen: Candidates) -> Mapping[str, int] | Refused:
    """Replicas by name; a cluster that gets none is left out. Refused when they cannot all be placed."""
    if not request.has_pods or request.replicas == 0:
        return dict.fromkeys(chosen.views, request.replicas)
    crossed = [name for name, cap in chosen.caps.items() if cap < chosen.floors.get(name, 0)]
    if crossed:
        name = min(crossed)
        text = (
            f"replicaBounds: cluster {name} must have at least {counted(chosen.floors[name], 'replica')} and "
            f"may have at most {chosen.caps[name]:,}"
        )
        return Refused(Reason.INVALID, text)
    if request.division is Division.DUPLICATED:
        return _duplicated(request, chosen)
    if request.division is Division.STATIC:
        return _by_static_weight(request, chosen)
    return _by_room(request, chosen)


def _duplicated(request: PlacementRequest, chosen: Candidates) -> Mapping[str, int]:
    wanted = request.replicas
    each = {
        name: max(chosen.floors.get(name, 0), min(wanted, chosen.caps.get(name, wanted)))
        for name in chosen.views
    }
    return {name: replicas for name, replicas in each.items() if replicas}


def _by_static_weight(request: PlacementRequest, chosen: Candidates) -> Mapping[str, int] | Refused:
    """A cluster of weight 0 drops out, whatever its bounds say."""
    weights = static_weights(request, chosen.views)
    if not chosen.floors and not chosen.caps:
        return divide(request.replicas, weights, request.uid)
    weighty = [name for name, weight in weights.items() if weight]
    least = sum(chosen.floors.get(name, 0) for name in weighty)
    most = sum(chosen.caps.get(name, request.replicas) for name in weighty)
    if least > request.replicas:
        return _too_many_floors(request, {name: chosen.floors.get(name, 0) for name in weighty})
    if most < request.replicas:
        return _caps_too_low(request, most)
    return divide(request.replicas, weights, request.uid, chosen.floors, chosen.caps)


def static_weights(request: PlacementRequest, views: Mapping[str, ClusterView]) -> Mapping[str, int]:
    """Each has the largest of the rules that select it; all have 1 where none has any."""
    weights = {
        name: max((each.weight for each in request.weights if selected(each.target, cluster)), default=0)
        for name, cluster in views.items()
    }
    return weights if any(weights.values()) else dict.fromkeys(views, 1)


def _too_many_floors(request: PlacementRequest, floors: Mapping[str, int]) -> Refused:
    """floors: that count, by name."""
    least, counting = sum(floors.values()), sorted(name for name, floor in floors.items() if floor)
    named = [f"{name} {floors[name]:,}" for name in counting[:NAMED_AT_MOST]]
    if len(counting) > NAMED_AT_MOST:
        named.append(f"and {len(counting) - NAMED_AT_MOST:,} more")
    text = (
        f"replicaBounds: minReplicas sum to {least:,} ({', '.join(named)}), and {wanted(request.replicas)}:"
        f" lower them, select fewer clusters, or ask for {counted(least, 'replica')}"
    )
    return Refused(Reason.INVALID, text)


def _caps_too_low(request: PlacementRequest, most: int) -> Refused:
    text = f"replicaBounds: {wanted(request.replicas)}, maxReplicas sum to {most:,}"
    return Refused(Reason.INSUFFICIENT_CAPACITY, text)


@dataclass(frozen=True)
class _Share:
    """To be divided among those with a weight: at least `floors`, at most `caps` and never over a weight."""

    count: int
    weights: Mapping[str, int]
    floors: Mapping[str, int]
    caps: Mapping[str, int]

    def most(self, name: str) -> int:
        return self.caps.get(name, self.weights[name])


def _by_room(request: PlacementRequest, chosen: Candidates) -> Mapping[str, int] | Refused:
    """Steady: only what is added is divided, what is taken away is taken in proportion, the rest stays.

    Fresh: what runs counts as room, and is forgotten.
    """
    kept: dict[str, int] = {}
    room = chosen.available
    if request.fresh:
        room = {name: free + chosen.running.get(name, 0) for name, free in room.items()}
    else:
        kept = {name: min(had, chosen.caps.get(name, had)) for name, had in chosen.running.items()}
    needs = _needs(chosen, kept, room)
    more = request.replicas - sum(kept.values())
    if more < sum(needs.values()):
        return _taken_back(request, chosen, kept, needs)
    if more == 0:
        return {name: had for name, had in kept.items() if had}
    added = _added(request, chosen, kept, room, needs, more)
    return added if isinstance(added, Refused) or not kept else Counter(kept) + Counter(added)


def _needs(chosen: Candidates, kept: Mapping[str, int], room: Mapping[str, int]) -> dict[str, int]:
    """What is lacking to the minimum. One that runs gets what fits of it; for another, all of it must fit."""
    needs: dict[str, int] = {}
    for name, floor in chosen.floors.items():
        lacking = floor - kept.get(name, 0)
        if name in kept:
            lacking = min(lacking, room[name])
        if 0 < lacking <= room[name]:
            needs[name] = lacking
    return needs


def _added(
    request: PlacementRequest,
    chosen: Candidates,
    kept: Mapping[str, int],
    room: Mapping[str, int],
    needs: Mapping[str, int],
    more: int,
) -> Mapping[str, int] | Refused:
    caps: dict[str, int] = {}
    unbounded = sum(room.values())
    if chosen.floors or chosen.caps:
        unfit = {name for name in chosen.floors if name not in kept and name not in needs}
        caps = {
            name: min(free, chosen.caps.get(name, free + kept.get(name, 0)) - kept.get(name, 0))
            for name, free in room.items()
            if name not in unfit
        }
        room = {name: room[name] for name, cap in caps.items() if cap > 0}
    share = _Share(more, room, needs, caps)
    fits = sum(map(share.most, room)) if caps else sum(room.values())
    if fits < more:
        return _no_room(request, chosen, sum(kept.values()), fits, unbounded)
    return _shared(request, chosen, share)


def _no_room(request: PlacementRequest, chosen: Candidates, kept: int, fits: int, unbounded: int) -> Refused:
    """kept: what stays. fits: of what is to be added. unbounded: what of it would fit if no cluster had
    bounds; bounds that take from it are named.
    """
    most = sum(chosen.caps.values())
    all_capped = len(chosen.caps) == len(chosen.views)
    if fits < unbounded and all_capped and fits + kept == most:
        return _caps_too_low(request, most)
    count = len(chosen.views)
    passing = "cluster that passes" if count == 1 else f"{count:,} clusters that pass"
    text = f"{wanted(request.replicas - kept, 'more' if kept else '')}, {fits:,} fit the {passing}"
    if fits < unbounded:
        text = f"replicaBounds: {text} within their bounds, {unbounded:,} without"
    return Refused(Reason.INSUFFICIENT_CAPACITY, text)


def _taken_back(
    request: PlacementRequest, chosen: Candidates, kept: Mapping[str, int], needs: Mapping[str, int]
) -> Mapping[str, int] | Refused:
    floors = {
        name: kept.get(name, 0) + needs.get(name, 0) if name in needs else min(floor, kept.get(name, 0))
        for name, floor in chosen.floors.items()
        if name in kept or name in needs
    }
    if sum(floors.values()) > request.replicas:
        return _too_many_floors(request, floors)
    weights = {**needs, **{name: had for name, had in kept.items() if had}}
    caps: dict[str, int] = {}
    if chosen.floors or chosen.caps:
        caps = {name: max(kept.get(name, 0), floors.get(name, 0)) for name in weights}
    return _shared(request, chosen, _Share(request.replicas, weights, floors, caps))


def _shared(request: PlacementRequest, chosen: Candidates, share: _Share) -> Mapping[str, int]:
    """Tier by tier, each as much as it has room for, so that the last tier is also the first to give back."""
    if not chosen.tiers:
        return _within(request, chosen, share)
    given: dict[str, int] = {}
    remaining, reserved = share.count, sum(share.floors.values())
    for tier in sorted({chosen.tiers[name] for name in share.weights}):
        weights = {name: weight for name, weight in share.weights.items() if chosen.tiers[name] == tier}
        floors = {name: floor for name, floor in share.floors.items() if name in weights}
        caps = {name: cap for name, cap in share.caps.items() if name in weights}
        reserved -= sum(floors.values())
        count = min(remaining - reserved, sum(map(share.most, weights)))
        remaining -= count
        if count:
            given |= _within(request, chosen, _Share(count, weights, floors, caps))
    return given


def _within(request: PlacementRequest, chosen: Candidates, share: _Share) -> Mapping[str, int]:
    if request.division is Division.AGGREGATED:
        share = _aggregated(request, chosen, share)
    return divide(share.count, share.weights, request.uid, share.floors, share.caps)


def _aggregated(request: PlacementRequest, chosen: Candidates, share: _Share) -> _Share:
    """The shortest prefix that covers the count, those that hold replicas first; minima count outside it."""
    holding = {} if request.fresh else chosen.running
    # Most often the first one has room for all: the others need not be sorted.
    order = [
        (name not in holding, -chosen.scores[name], -weight, name)
        for name, weight in share.weights.items()
        if weight
    ]
    heapify(order)
    covered = sum(share.floors.values())
    prefix: set[str] = set()
    while order and covered < share.count:
        name = heappop(order)[-1]
        covered += share.most(name) - share.floors.get(name, 0)
        prefix.add(name)
    weights = {
        name: weight for name, weight in share.weights.items() if name in prefix or name in share.floors
    }
    caps = dict(share.caps)
    caps |= {name: floor for name, floor in share.floors.items() if name not in prefix}
    return _Share(share.count, weights, share.floors, caps)
