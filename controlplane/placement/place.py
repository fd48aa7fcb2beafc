"""Filter, capacity, divide: where a workload runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.placement.division import divide
from controlplane.placement.filters import refusals, selected
from controlplane.placement.rules import ClusterView, Decision, Division, PlacementRequest, Refused
from schemas.reasons import Reason

_LOCALITY_SCORE = 100.0


@dataclass
class _Candidates:
    """The clusters that passed, by name, since a tie goes by name; refused: of the others, by id."""

    by_name: dict[str, ClusterView] = field(default_factory=dict[str, ClusterView])
    available: dict[str, int] = field(default_factory=dict[str, int])
    refused: dict[str, tuple[Refused, ...]] = field(default_factory=dict[str, tuple[Refused, ...]])


def place(
    request: PlacementRequest,
    clusters: Sequence[ClusterView],
    available: Sequence[int],
    matching: Sequence[int] | None = None,
) -> Decision:
    """Decide. available[i]: how many more replicas fit clusters[i]; matching[i]: nodes its selector matches.

    matching left out: not known, so that no cluster is refused for it. Names of clusters are unique.
    """
    candidates = _filtered(request, clusters, available, matching)
    if not candidates.by_name:
        return _decision(request, candidates, {}, _nobody(candidates, len(clusters)))
    if not request.has_pods or request.replicas == 0 or request.division is Division.DUPLICATED:
        return _decision(request, candidates, dict.fromkeys(candidates.by_name, request.replicas), None)
    if request.division is Division.STATIC:
        return _decision(request, candidates, _by_static_weight(request, candidates), None)
    return _by_dynamic_weight(request, candidates)


def _filtered(
    request: PlacementRequest,
    clusters: Sequence[ClusterView],
    available: Sequence[int],
    matching: Sequence[int] | None,
) -> _Candidates:
    candidates = _Candidates()
    for index, cluster in enumerate(clusters):
        refused = refusals(request, cluster)
        running = cluster.id in request.current
        if not refused and request.has_pods and not running and matching is not None and not matching[index]:
            refused = (Refused(Reason.NO_NODE_FITS, "none of its nodes has what the pod selects"),)
        if refused:
            candidates.refused[cluster.id] = refused
        else:
            candidates.by_name[cluster.name] = cluster
            # What cannot be reached keeps what it has, and is given nothing more.
            candidates.available[cluster.name] = 0 if cluster.standing is not None else available[index]
    return candidates


def _by_static_weight(request: PlacementRequest, candidates: _Candidates) -> Mapping[str, int]:
    weights = {
        name: max((each.weight for each in request.weights if selected(each.target, cluster)), default=0)
        for name, cluster in candidates.by_name.items()
    }
    if not any(weights.values()):
        weights = dict.fromkeys(candidates.by_name, 1)
    return divide(request.replicas, weights, request.uid)


def _by_dynamic_weight(request: PlacementRequest, candidates: _Candidates) -> Decision:
    """Steady: only what is added is divided, what is taken away is taken in proportion, the rest stays."""
    running = {
        name: replicas
        for name, cluster in candidates.by_name.items()
        if (replicas := request.current.get(cluster.id, 0)) > 0
    }
    more = request.replicas - sum(running.values())
    if more == 0:
        return _decision(request, candidates, running, None)
    if more < 0:
        return _decision(request, candidates, divide(request.replicas, running, request.uid), None)
    room = sum(candidates.available.values())
    if room < more:
        wanted = f"{more:,} more" if running else f"{more:,}"
        text = (
            f"{wanted} replicas are wanted, {room:,} fit the {len(candidates.by_name):,} clusters that pass"
        )
        return _decision(request, candidates, {}, Refused(Reason.INSUFFICIENT_CAPACITY, text))
    added = divide(more, candidates.available, request.uid)
    return _decision(request, candidates, Counter(running) + Counter(added), None)


def _decision(
    request: PlacementRequest,
    candidates: _Candidates,
    assigned: Mapping[str, int],
    error: Refused | None,
) -> Decision:
    refused = dict(candidates.refused)
    for name, cluster in candidates.by_name.items():
        if name not in assigned:
            refused[cluster.id] = (_left_out(request, candidates.available[name], error),)
    return Decision(
        assignments={candidates.by_name[name].id: replicas for name, replicas in assigned.items()},
        refusals=refused,
        scores={
            cluster.id: _LOCALITY_SCORE if cluster.id in request.current else 0.0
            for cluster in candidates.by_name.values()
        },
        available={cluster.id: candidates.available[name] for name, cluster in candidates.by_name.items()},
        error=error,
    )


def _left_out(request: PlacementRequest, available: int, error: Refused | None) -> Refused:
    if request.division is Division.DYNAMIC and available == 0:
        return Refused(Reason.INSUFFICIENT_CAPACITY, "not one more replica fits")
    if error is not None:
        return Refused(
            Reason.INSUFFICIENT_CAPACITY, f"{available:,} replicas fit: not enough with all others"
        )
    return Refused(Reason.NOT_CHOSEN, "its weight gives it none of the replicas")


def _nobody(candidates: _Candidates, clusters: int) -> Refused:
    if not clusters:
        return Refused(Reason.NO_CLUSTER_FITS, "there are no clusters")
    counts = Counter(refused[0].reason for refused in candidates.refused.values())
    why = ", ".join(f"{count:,} {reason.value}" for reason, count in counts.most_common())
    return Refused(Reason.NO_CLUSTER_FITS, f"none of {clusters:,} clusters passes: {why}")
