"""Filter, score, select, divide: where a workload runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from controlplane.placement.assign import assign
from controlplane.placement.candidates import Candidates, filtered
from controlplane.placement.rules import (
    AffinityGroup,
    ClusterView,
    Decision,
    Division,
    PlacementRequest,
    Refused,
)
from controlplane.placement.spread import select, without_group
from controlplane.placement.wording import counted
from schemas.reasons import Reason

_FULL = (Refused(Reason.INSUFFICIENT_CAPACITY, "not one more replica fits"),)
_NO_WEIGHT = (Refused(Reason.NOT_CHOSEN, "its weight gives it none of the replicas"),)
_NOT_NEEDED = (Refused(Reason.NOT_CHOSEN, "clusters before it cover all replicas"),)
_SPREAD_ELSEWHERE = (Refused(Reason.NOT_CHOSEN, "spreadConstraints: other clusters were chosen"),)
_NONE_ALLOWED = (Refused(Reason.NOT_CHOSEN, "replicaBounds: it may have at most 0 replicas"),)


def place(
    request: PlacementRequest,
    clusters: Sequence[ClusterView],
    available: Sequence[int],
    matching: Sequence[int] | None = None,
) -> Decision:
    """Decide. available[i]: how many more replicas fit clusters[i]; matching[i]: nodes its selector matches.

    matching left out: not known, so that no cluster is refused for it. Names of clusters are unique.
    """
    if not request.groups:
        return _placed(request, clusters, available, matching)
    names = [group.name for group in request.groups]
    first = names.index(request.affinity_name) if request.affinity_name in names and not request.fresh else 0
    failed: list[str] = []
    reasons: list[Reason] = []
    for group in request.groups[first:-1]:
        decision = _in_group(request, group, clusters, available, matching)
        if decision.error is None:
            return decision
        failed.append(f"{group.name}: {decision.error.message}")
        reasons.append(decision.error.reason)
    last = request.groups[-1]
    decision = _in_group(request, last, clusters, available, matching)
    if decision.error is None:
        return decision
    failed.append(f"{last.name}: {decision.error.message}")
    reasons.append(decision.error.reason)
    # Invalid only where every group is: another may take it once it has room.
    reason = next((each for each in reversed(reasons) if each is not Reason.INVALID), Reason.INVALID)
    return replace(decision, error=Refused(reason, "; ".join(failed)), affinity_name="")


def _in_group(
    request: PlacementRequest,
    group: AffinityGroup,
    clusters: Sequence[ClusterView],
    available: Sequence[int],
    matching: Sequence[int] | None,
) -> Decision:
    # Without pods nothing overflows: only what is asked for can exceed what there is.
    overflow = group.overflow if request.has_pods else ()
    within = replace(request, affinity=group.affinity, overflow=overflow, groups=())
    return replace(_placed(within, clusters, available, matching), affinity_name=group.name)


def _placed(
    request: PlacementRequest,
    clusters: Sequence[ClusterView],
    available: Sequence[int],
    matching: Sequence[int] | None,
) -> Decision:
    candidates = filtered(request, clusters, available, matching)
    if not candidates.views:
        return _decision(request, candidates, {}, _nobody(candidates, len(clusters)))
    chosen = select(request, candidates)
    assigned = chosen if isinstance(chosen, Refused) else assign(request, chosen)
    if isinstance(assigned, Refused):
        return _decision(request, candidates, {}, assigned)
    if isinstance(chosen, Candidates) and len(chosen.views) < len(candidates.views):
        for name, cluster in candidates.views.items():
            if name not in chosen.views:
                lacks = without_group(request, cluster)
                candidates.refused[cluster.id] = _SPREAD_ELSEWHERE if lacks is None else (lacks,)
    return _decision(request, candidates, assigned, None)


def _decision(
    request: PlacementRequest,
    candidates: Candidates,
    assigned: Mapping[str, int],
    error: Refused | None,
) -> Decision:
    refused = dict(candidates.refused)
    views = candidates.views
    # All of these are in the order in which the clusters passed.
    ids = [cluster.id for cluster in views.values()]
    without = [(name, cluster) for name, cluster in zip(views, ids, strict=True) if name not in assigned]
    usual = _usually_left_out(request, candidates, error)
    for name, cluster in without:
        if cluster in refused:
            continue
        if usual is not None and candidates.available[name]:
            refused[cluster] = usual
        else:
            refused[cluster] = _left_out(request, candidates, name, error)
    return Decision(
        assignments={views[name].id: replicas for name, replicas in assigned.items()},
        refusals=refused,
        scores=dict(zip(ids, candidates.scores.values(), strict=True)),
        available=dict(zip(ids, candidates.available.values(), strict=True)),
        error=error,
        score_parts=dict(zip(ids, candidates.parts.values(), strict=True)),
    )


def _usually_left_out(
    request: PlacementRequest, candidates: Candidates, error: Refused | None
) -> tuple[Refused, ...] | None:
    """What all say that have room, where nothing makes a difference between them."""
    if error is not None or candidates.caps or candidates.floors:
        return None
    return _NOT_NEEDED if request.division is Division.AGGREGATED else _NO_WEIGHT


def _left_out(
    request: PlacementRequest, candidates: Candidates, name: str, error: Refused | None
) -> tuple[Refused, ...]:
    available = candidates.available[name]
    floor = candidates.floors.get(name, 0)
    by_room = request.division in (Division.DYNAMIC, Division.AGGREGATED)
    if by_room and available == 0:
        return _FULL
    if error is not None:
        if error.reason is not Reason.INSUFFICIENT_CAPACITY:
            lacks = without_group(request, candidates.views[name])
            return (error,) if lacks is None else (lacks,)
        return (_not_enough(candidates, name, floor),)
    if candidates.caps.get(name) == 0:
        return _NONE_ALLOWED
    if by_room and available < floor:
        text = f"replicaBounds: it must have at least {counted(floor, 'replica')}, {available:,} fit"
        return (Refused(Reason.INSUFFICIENT_CAPACITY, text),)
    return _NOT_NEEDED if request.division is Division.AGGREGATED else _NO_WEIGHT


def _not_enough(candidates: Candidates, name: str, floor: int) -> Refused:
    """With the bound that takes from what fits, where one does."""
    available = candidates.available[name]
    bounds: list[str] = []
    cap = candidates.caps.get(name)
    if cap is not None and cap < available + candidates.running.get(name, 0):
        bounds.append(f"it may have at most {cap:,}")
    if available < floor:
        bounds.append(f"it must have at least {floor:,}")
    text = ", ".join([f"{counted(available, 'replica')} fit", *bounds]) + ": not enough with all others"
    return Refused(Reason.INSUFFICIENT_CAPACITY, f"replicaBounds: {text}" if bounds else text)


def _nobody(candidates: Candidates, clusters: int) -> Refused:
    if not clusters:
        return Refused(Reason.NO_CLUSTER_FITS, "there are no clusters")
    counts = Counter(refused[0].reason for refused in candidates.refused.values())
    why = ", ".join(f"{count:,} {reason.value}" for reason, count in counts.most_common())
    return Refused(Reason.NO_CLUSTER_FITS, f"none of {clusters:,} clusters passes: {why}")
