"""What `replicaBounds` ask for that no fleet could give. Pure.

What only the clusters of the moment cannot give is found by a decision over them: `contradiction`.
"""

from collections.abc import Sequence

from controlplane.interpreters import NotUnderstood
from controlplane.placement.rules import Affinity, Decision, Division, PlacementRequest, ReplicaBounds
from controlplane.placement.wording import counted, wanted
from schemas.reasons import Reason

FIELD = "spec.placement.replicaScheduling.replicaBounds"
_EVERYTHING = Affinity()


def check_bounds(request: PlacementRequest) -> None:
    """NotUnderstood names the rule that can hold in no fleet. Of what has no replicas, all of them may."""
    if not request.has_pods or request.replicas == 0:
        return
    for index, each in enumerate(request.bounds):
        _check_minimum(request, each, f"{FIELD}[{index}]")
        _check_crossed(request.bounds, each, f"{FIELD}[{index}]")
    _check_maxima(request)


def contradiction(decision: Decision) -> str:
    """Why the bounds contradict each other, or the replicas, over the clusters decided on; "" where not."""
    error = decision.error
    if error is None or error.reason is not Reason.INVALID:
        return ""
    return error.message.removeprefix("replicaBounds: ")


def _check_minimum(request: PlacementRequest, bound: ReplicaBounds, path: str) -> None:
    if request.division is not Division.DUPLICATED and bound.least > request.replicas:
        right = f"at most {request.replicas:,}, or at least {counted(bound.least, 'replica')}"
        raise NotUnderstood(
            f"{path}.minReplicas: {bound.least:,} in each cluster, and {wanted(request.replicas)} over all of"
            f" them: {right}"
        )


def _check_crossed(bounds: Sequence[ReplicaBounds], bound: ReplicaBounds, path: str) -> None:
    """By a maximum for at least the same clusters: then none of those that it is for can have its minimum."""
    for index, other in enumerate(bounds):
        if other.target not in (_EVERYTHING, bound.target) or other.most is None:
            continue
        if bound.least > other.most:
            raise NotUnderstood(
                f"{path}.minReplicas: {bound.least:,}, and replicaBounds[{index}].maxReplicas is"
                f" {other.most:,} for the same clusters: at most {other.most:,}"
            )


def _check_maxima(request: PlacementRequest) -> None:
    """Of a division over clusters that are named, each with a maximum."""
    tiers = (request.affinity, *request.overflow)
    groups = [(group.affinity, *group.overflow) for group in request.groups] or [tiers]
    sums = [_most(request.bounds, group) for group in groups]
    most = max((each for each in sums if each is not None), default=0)
    if request.division is Division.DUPLICATED or None in sums or most >= request.replicas:
        return
    raise NotUnderstood(
        f"{FIELD}: {wanted(request.replicas)}, and maxReplicas of all clusters that may be used sum to"
        f" {most:,}: at least {request.replicas:,}, or at most {counted(most, 'replica')}"
    )


def _most(bounds: Sequence[ReplicaBounds], affinities: Sequence[Affinity]) -> int | None:
    """How many replicas the clusters of these affinities may have together; None for no bound."""
    if not all(each.names for each in affinities):
        return None
    total = 0
    for name in frozenset[str]().union(*(each.names - each.exclude for each in affinities)):
        caps = [each.most for each in bounds if each.most is not None and _surely(each.target, name)]
        if not caps:
            return None
        total += min(caps)
    return total


def _surely(target: Affinity, name: str) -> bool:
    """Whether it selects the cluster of that name, whatever else is said of it."""
    if target.labels or target.fields or name in target.exclude:
        return False
    return not target.names or name in target.names
