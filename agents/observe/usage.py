"""What is taken on nodes: by others, by Muster's pods, and what is really used. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agents.observe.nodes import epoch_of
from agents.observe.rows import PodKey, PodRow
from schemas.wire.codec import pack_column
from schemas.wire.reports import Bound, Usage

USED_RESOURCES = ("cpu", "memory")
NOT_KNOWN = -1
"""In a `used` column: metrics are served, but not of this node."""
_NONE: Mapping[Any, Any] = {}
PodsOn = Mapping[str, Mapping[PodKey, PodRow]]
_Amounts = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class NodeSum:
    """What pods take of one node. bound: (workload, template, what a replica asks for, replicas)."""

    foreign: dict[str, int]
    bound: tuple[tuple[str, str, _Amounts, int], ...]


def node_sum(
    pods: Mapping[PodKey, PodRow],
    held: Mapping[PodKey, Mapping[str, int]] = _NONE,
    unowned: Mapping[str, int] = _NONE,
) -> NodeSum:
    """held, unowned: as `usage` has them, the latter of this node.

    A pod that is being deleted still takes its room, but no longer stands for a promised replica: it is bound
    without a template, so that its successor is counted as outstanding until it stands somewhere itself.
    """
    taken: dict[str, int] = dict(unowned)
    bound: Counter[tuple[str, str, _Amounts]] = Counter()
    for key, pod in pods.items():
        if pod.finished:
            continue
        asks: Mapping[str, int] = pod.asks
        if more := held.get(key):
            # What it asks for by resource is met by claims as well, and counts once.
            asks = {**more, **asks}
        if pod.workload:
            bound[pod.workload, "" if pod.deleting else pod.template, tuple(sorted(asks.items()))] += 1
            continue
        for resource, amount in asks.items():
            taken[resource] = taken.get(resource, 0) + amount
    return NodeSum(taken, tuple((*each, replicas) for each, replicas in bound.items()))


def usage(
    names: list[str],
    pods_on: PodsOn,
    used: Mapping[str, Mapping[str, int]] | None,
    held: Mapping[PodKey, Mapping[str, int]] = _NONE,
    unowned: Mapping[str, Mapping[str, int]] = _NONE,
) -> Usage:
    """One shard, unstamped. `names`: its nodes, sorted. `used` None: no metrics are served.

    held: devices that pods have by claim, beside what they ask for; unowned: those of claims without a pod.
    """
    sums = [node_sum(pods_on.get(name, _NONE), held, unowned.get(name, _NONE)) for name in names]
    return usage_of(names, sums, used)


def usage_of(names: list[str], sums: list[NodeSum], used: Mapping[str, Mapping[str, int]] | None) -> Usage:
    """The same from what was summed already, one for each name."""
    asked = sorted({asks for each in sums for _, _, asks, _ in each.bound})
    number = {asks: index for index, asks in enumerate(asked)}
    resources = _named(sums)
    return Usage(
        incarnation=0,
        sequence=0,
        epoch=epoch_of(names),
        nodes=len(names),
        resources=resources,
        foreign=[pack_column([each.foreign.get(one, 0) for each in sums]) for one in resources],
        used_resources=[] if used is None else list(USED_RESOURCES),
        used=[] if used is None else [_used_column(names, used, one) for one in USED_RESOURCES],
        requests=[dict(asks) for asks in asked],
        bound=[
            Bound(workload, template, index, replicas, asks)
            for workload, template, index, asks, replicas in sorted(
                (workload, template, index, number[asks], replicas)
                for index, each in enumerate(sums)
                for workload, template, asks, replicas in each.bound
            )
        ],
    )


def _named(sums: Iterable[NodeSum]) -> list[str]:
    found: set[str] = set()
    for each in sums:
        found.update(each.foreign)
    return sorted(found)


def _used_column(names: list[str], used: Mapping[str, Mapping[str, int]], resource: str) -> bytes:
    return pack_column([used.get(name, {}).get(resource, NOT_KNOWN) for name in names])
