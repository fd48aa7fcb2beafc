"""The clusters that pass, and what a division and a choice among them need to know of each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controlplane.placement.filters import refusals, selected, surely_pass
from controlplane.placement.rules import ClusterView, PlacementRequest, Refused
from controlplane.placement.score import NOTHING, own_parts, with_measures
from schemas.reasons import Reason

_NOT_WHOLE = (Refused(Reason.INSUFFICIENT_CAPACITY, "not all of its pods fit together"),)


@dataclass
class Candidates:
    """By cluster name, since ties go by name; refused: of the others, by id.

    available: how many more replicas fit. running: replicas that it has now, above 0. floors, caps: of those
    that have such. tiers: of overflow, where there is any. parts: what its score is the sum of.
    """

    views: dict[str, ClusterView] = field(default_factory=dict[str, ClusterView])
    available: dict[str, int] = field(default_factory=dict[str, int])
    running: dict[str, int] = field(default_factory=dict[str, int])
    scores: dict[str, float] = field(default_factory=dict[str, float])
    parts: dict[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    floors: dict[str, int] = field(default_factory=dict[str, int])
    caps: dict[str, int] = field(default_factory=dict[str, int])
    tiers: dict[str, int] = field(default_factory=dict[str, int])
    refused: dict[str, tuple[Refused, ...]] = field(default_factory=dict[str, tuple[Refused, ...]])

    def score(self, name: str) -> float:
        return self.scores[name]

    def narrowed(self, names: Collection[str]) -> "Candidates":
        """Only these; of the rest, only refusals remain."""
        kept = set(names)
        return replace(
            self,
            views={name: view for name, view in self.views.items() if name in kept},
            available={name: room for name, room in self.available.items() if name in kept},
            running={name: replicas for name, replicas in self.running.items() if name in kept},
            floors={name: floor for name, floor in self.floors.items() if name in kept},
            caps={name: cap for name, cap in self.caps.items() if name in kept},
        )


def filtered(
    request: PlacementRequest,
    clusters: Sequence[ClusterView],
    available: Sequence[int],
    matching: Sequence[int] | None,
) -> Candidates:
    found = Candidates()
    current = request.current
    sure = surely_pass(request, clusters)
    checked = matching if request.has_pods else None
    plain = not (current or request.overflow or request.whole)
    one_by_one = clusters
    if plain and all(sure) and (checked is None or all(checked)):
        found.views = {cluster.name: cluster for cluster in clusters}
        found.available = dict(zip(found.views, available, strict=True))
        one_by_one = ()
    views, rooms, overflows = found.views, found.available, bool(request.overflow)
    special: dict[str, Mapping[str, float]] = {}
    for index, cluster in enumerate(one_by_one):
        if sure[index] and plain and (checked is None or checked[index]):
            views[cluster.name] = cluster
            rooms[cluster.name] = available[index]
            continue
        running = bool(current) and cluster.id in current
        refused = () if sure[index] else refusals(request, cluster)
        stays = running and not request.fresh
        if not refused and checked is not None and not stays and not checked[index]:
            refused = _no_node_fits(request)
        if not refused and request.whole and not running and not available[index]:
            refused = _NOT_WHOLE
        if refused:
            found.refused[cluster.id] = refused
            continue
        name = cluster.name
        views[name] = cluster
        # What cannot be reached keeps what it has, and is given nothing more.
        rooms[name] = 0 if cluster.standing is not None else available[index]
        if running or cluster.taints:
            special[name] = own_parts(request, cluster)
        if running and current[cluster.id] > 0:
            found.running[name] = current[cluster.id]
        if overflows:
            found.tiers[name] = _tier(request, cluster)
    # In the order of the views, most of them alike.
    if request.measures:
        special = with_measures(request, views, special)
    found.parts = dict.fromkeys(views, NOTHING)
    found.parts.update(special)
    found.scores = dict.fromkeys(views, 0.0)
    found.scores.update((name, sum(parts.values())) for name, parts in special.items())
    _bound(request, found)
    return found


def _no_node_fits(request: PlacementRequest) -> tuple[Refused, ...]:
    asked = f": {request.selection}" if request.selection else ""
    return (Refused(Reason.NO_NODE_FITS, f"none of its nodes has what the pod selects{asked}"),)


def _tier(request: PlacementRequest, cluster: ClusterView) -> int:
    """The first that selects it."""
    affinities = (request.affinity, *request.overflow)
    return next(tier for tier, affinity in enumerate(affinities) if selected(affinity, cluster))


def _bound(request: PlacementRequest, found: Candidates) -> None:
    """Where several rules select a cluster, all of them hold: the highest minimum, the lowest maximum."""
    for each in request.bounds:
        for name, cluster in found.views.items():
            if not selected(each.target, cluster):
                continue
            if each.least:
                found.floors[name] = max(each.least, found.floors.get(name, 0))
            if each.most is not None:
                found.caps[name] = min(each.most, found.caps.get(name, each.most))
