"""How much of a workload fits each cluster, once it is resolved what it needs there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from controlplane.fleet import Demand, Fleet
from controlplane.interpreters import Interpretation
from controlplane.placement.hardware import Resolved, alike, resolve
from controlplane.placement.needs import Needs
from controlplane.placement.rules import ClusterView, Refused

Asked = tuple[Resolved, ...]
"""What each component asks for in one cluster."""
ShapeIn = Callable[[ClusterView], tuple[Sequence[Needs], Interpretation] | Refused]
"""What a workload is in one cluster, or why it cannot be anything there."""
_Alike = tuple[tuple[Demand, ...], Interpretation, Sequence[int]]


@dataclass(frozen=True)
class Rooms:
    """In the order of the views, which name what they lack.

    available: replicas, or whole sets. matching: nodes that the component matches which matches the fewest.
    """

    views: list[ClusterView]
    available: list[int]
    matching: list[int]


def rooms(
    fleet: Fleet,
    needs: Sequence[Needs],
    interpretation: Interpretation,
    views: Sequence[ClusterView],
    vary: Callable[[Demand], Demand] = lambda demand: demand,
    shape_in: ShapeIn | None = None,
) -> Rooms:
    """Of a workload whose components have these needs. vary: what is changed of each demand, to try it.

    shape_in: what it is in one cluster, where it is not the same in all of them.
    """
    found = Rooms(list(views), [0] * len(views), [0] * len(views))
    if shape_in is None:
        counted_alike = _alike(needs, interpretation, views, found, vary)
    else:
        counted_alike = _apart(shape_in, views, found, vary)
    for demands, interpretation, indexes in counted_alike:
        ids = [views[index].id for index in indexes]
        if len(demands) == 1 and not interpretation.is_set:
            available, matching = fleet.room(demands[0], ids)
        else:
            available, matching = _room_for_several(fleet, demands, interpretation, ids)
        for index, room, nodes in zip(indexes, available, matching, strict=True):
            found.available[index], found.matching[index] = room, nodes
    return found


def _room_for_several(
    fleet: Fleet, demands: Sequence[Demand], interpretation: Interpretation, ids: Sequence[str]
) -> tuple[list[int], list[int]]:
    if interpretation.is_set:
        components = interpretation.components
        counted = [(demand, each.replicas) for demand, each in zip(demands, components, strict=True)]
        available = fleet.available_sets(counted, ids, interpretation.replicas)
    else:
        available = fleet.available(demands[0], ids)
    matching = zip(*(fleet.matching(demand, ids) for demand in demands), strict=True)
    return available, [min(each) for each in matching]


def selection(needs: Sequence[Needs], interpretation: Interpretation) -> str:
    """What its pods select nodes by in every cluster: `label gpu=yes, feature cpu.cpuid.AMXTILE`."""
    told: dict[str, None] = {}
    for need, component in zip(needs, interpretation.components, strict=True):
        demand = alike(need, component.demand).demand
        told |= dict.fromkeys(f"label {key}={value}" for key, value in demand.node_selector)
        told |= dict.fromkeys(
            "affinity " + " and ".join(map(str, term.requirements)) for term in demand.affinity[:3]
        )
        told |= dict.fromkeys(each.lacking for each in demand.traits)
    return ", ".join(told)


def asked_in(needs: Sequence[Needs], interpretation: Interpretation, view: ClusterView) -> Asked | Refused:
    """What it comes to in one cluster; the first thing that is not there."""
    found: list[Resolved] = []
    for need, component in zip(needs, interpretation.components, strict=True):
        resolved = resolve(need, component.demand, view)
        if isinstance(resolved, Refused):
            return resolved
        found.append(resolved)
    return tuple(found)


def _alike(
    needs: Sequence[Needs],
    interpretation: Interpretation,
    views: Sequence[ClusterView],
    found: Rooms,
    vary: Callable[[Demand], Demand],
) -> list[_Alike]:
    """Clusters that ask for the same, to be counted together; of the others it is noted what they lack."""
    if all(each.everywhere_alike for each in needs):
        demands = tuple(
            vary(alike(need, component.demand).demand)
            for need, component in zip(needs, interpretation.components, strict=True)
        )
        return [(demands, interpretation, range(len(views)))]
    return _apart(lambda _: (needs, interpretation), views, found, vary)


def _apart(
    shape_in: ShapeIn, views: Sequence[ClusterView], found: Rooms, vary: Callable[[Demand], Demand]
) -> list[_Alike]:
    groups: dict[tuple[int, tuple[Demand, ...]], tuple[Interpretation, list[int]]] = {}
    for index, view in enumerate(views):
        shape = shape_in(view)
        if isinstance(shape, Refused):
            found.views[index] = replace(view, lacks=(shape,))
            continue
        asked = asked_in(*shape, view)
        if isinstance(asked, Refused):
            found.views[index] = replace(view, lacks=(asked,))
            continue
        key = id(shape[1]), tuple(vary(each.demand) for each in asked)
        groups.setdefault(key, (shape[1], []))[1].append(index)
    return [(demands, shape, indexes) for (_, demands), (shape, indexes) in groups.items()]
