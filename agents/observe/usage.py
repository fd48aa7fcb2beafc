"""What is taken on nodes: by others, by Muster's pods, and what is really used. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from agents.observe.nodes import epoch_of
from agents.observe.rows import Asks, PodKey, PodRow
from schemas.wire.codec import pack_column
from schemas.wire.reports import Bound, Usage

USED_RESOURCES = ("cpu", "memory")
NOT_KNOWN = -1
"""In a `used` column: metrics are served, but not of this node."""
_NONE: Mapping[Any, Any] = {}
PodsOn = Mapping[str, Mapping[PodKey, PodRow]]
_BoundKey = tuple[str, str, int, int]


def usage(
    names: list[str],
    pods_on: PodsOn,
    used: Mapping[str, Mapping[str, int]] | None,
    held: Mapping[PodKey, Mapping[str, int]] = _NONE,
    unowned: Mapping[str, Mapping[str, int]] = _NONE,
) -> Usage:
    """One shard, unstamped. `names`: its nodes, sorted. `used` None: no metrics are served.

    held: devices that pods have by claim, beside what they ask for; unowned: those of claims without a pod.

    A pod that is being deleted still takes its room, but no longer stands for a promised replica: it is bound
    without a template, so that its successor is counted as outstanding until it stands somewhere itself.
    """
    foreign: list[dict[str, int]] = []
    joined: dict[tuple[int, tuple[tuple[str, int], ...]], Asks] = {}
    bound: Counter[_BoundKey] = Counter()
    requests: dict[int, tuple[int, dict[str, int]]] = {}
    for index, name in enumerate(names):
        taken: dict[str, int] = dict(unowned.get(name, _NONE))
        for key, pod in pods_on.get(name, {}).items():
            if pod.finished:
                continue
            asks = pod.asks
            if more := held.get(key):
                # What it asks for by resource is met by claims as well, and counts once.
                whole = {**more, **asks}
                asks = joined.setdefault((id(asks), tuple(sorted(whole.items()))), whole)
            if not pod.workload:
                for resource, amount in asks.items():
                    taken[resource] = taken.get(resource, 0) + amount
                continue
            # Equal asks are one and the same dict, so identity is enough to tell them apart.
            number, _ = requests.setdefault(id(asks), (len(requests), asks))
            template = "" if pod.deleting else pod.template
            bound[pod.workload, template, index, number] += 1
        foreign.append(taken)
    distinct = sorted((asks for _, asks in requests.values()), key=lambda asks: sorted(asks.items()))
    order = {number: distinct.index(asks) for number, asks in requests.values()}
    resources = sorted({resource for taken in foreign for resource in taken})
    return Usage(
        incarnation=0,
        sequence=0,
        epoch=epoch_of(names),
        nodes=len(names),
        resources=resources,
        foreign=[pack_column([taken.get(one, 0) for taken in foreign]) for one in resources],
        used_resources=[] if used is None else list(USED_RESOURCES),
        used=[] if used is None else [_used_column(names, used, one) for one in USED_RESOURCES],
        requests=distinct,
        bound=[Bound(*key[:3], replicas, order[key[3]]) for key, replicas in sorted(bound.items())],
    )


def _used_column(names: list[str], used: Mapping[str, Mapping[str, int]], resource: str) -> bytes:
    return pack_column([used.get(name, {}).get(resource, NOT_KNOWN) for name in names])
