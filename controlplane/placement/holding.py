"""How much of what a workload holds could stay where it is, when it asks for something else. Pure."""

from collections.abc import Sequence

from controlplane.fleet import Demand, Fleet
from controlplane.placement.rules import Division, PlacementRequest


def could_stay(
    fleet: Fleet, request: PlacementRequest, cluster: str, workload: str, demands: Sequence[Demand]
) -> int:
    """Replicas of those that it holds in the cluster; demands: of its components there, as asked for now."""
    held = request.current[cluster]
    by_room = request.division in (Division.DYNAMIC, Division.AGGREGATED) and not request.whole
    if by_room:
        return min(held, fleet.room_released(cluster, (workload,), demands[0]))
    # Room does not count where replicas are not divided by it; that nodes are selected does.
    return held if all(fleet.matching(demand, [cluster])[0] for demand in demands) else 0
