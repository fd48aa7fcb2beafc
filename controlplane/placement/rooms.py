"""How much of a workload fits each cluster, once it is resolved what it needs there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from controlplane.fleet import Demand, Fleet
from controlplane.placement.hardware import Needs, Resolved, alike, resolve
from controlplane.placement.rules import ClusterView, Refused


@dataclass(frozen=True)
class Rooms:
    """In the order of the views, which name what they lack. available: replicas. matching: nodes."""

    views: list[ClusterView]
    available: list[int]
    matching: list[int]


def rooms(fleet: Fleet, needs: Needs, demand: Demand, views: Sequence[ClusterView]) -> Rooms:
    """Of the replicas of one pod template."""
    if needs.everywhere_alike:
        asked = alike(needs, demand).demand
        ids = [view.id for view in views]
        return Rooms(list(views), fleet.available(asked, ids), fleet.matching(asked, ids))
    return _apart(views, lambda view: resolve(needs, demand, view), fleet)


def _apart(
    views: Sequence[ClusterView], resolved_in: Callable[[ClusterView], Resolved | Refused], fleet: Fleet
) -> Rooms:
    """Clusters that ask for the same are counted together."""
    found = Rooms(list(views), [0] * len(views), [0] * len(views))
    alike: dict[Demand, list[int]] = {}
    for index, view in enumerate(views):
        resolved = resolved_in(view)
        if isinstance(resolved, Refused):
            found.views[index] = replace(view, lacks=(resolved,))
        else:
            alike.setdefault(resolved.demand, []).append(index)
    for demand, indexes in alike.items():
        ids = [views[index].id for index in indexes]
        for index, room, matching in zip(
            indexes, fleet.available(demand, ids), fleet.matching(demand, ids), strict=True
        ):
            found.available[index], found.matching[index] = room, matching
    return found
