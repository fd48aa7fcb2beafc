"""Nodes of a cluster that say the same of themselves, added up: what an inventory of the fleet reads."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet.cluster import Cluster
from controlplane.fleet.rows import NodeRows, UsageRows, free_of


@dataclass(frozen=True)
class ClassSum:
    """nodes: how many. holders: by resource, how many of them have any of it. allocatable, free: sums.

    features: raw ones that the labels do not tell. handlers: empty where the nodes do not list them.
    """

    profile: str
    labels: Mapping[str, str]
    features: Mapping[str, str]
    handlers: frozenset[str]
    nodes: int
    holders: Mapping[str, int]
    allocatable: Mapping[str, int]
    free: Mapping[str, int]


def class_sums(cluster: Cluster, counted: Callable[[str], bool]) -> Iterator[ClassSum]:
    """Of the shards that are here. counted: the resources that are added up, and no others."""
    for _, slot in cluster.reported.shards():
        if slot.nodes is not None:
            yield from _of_shard(slot.nodes, slot.usage, counted)


def _of_shard(nodes: NodeRows, usage: UsageRows | None, counted: Callable[[str], bool]) -> Iterator[ClassSum]:
    size = len(nodes.classes)

    def by_class(values: NDArray[np.int64] | NDArray[np.bool_]) -> list[int]:
        return np.bincount(nodes.codes, weights=values, minlength=size).astype(np.int64).tolist()

    sums = {
        name: (
            by_class(values > 0),
            by_class(values),
            by_class(values if usage is None else np.asarray(free_of(nodes, usage, name), np.int64)),
        )
        for name, values in nodes.allocatable.items()
        if counted(name)
    }
    counts: list[int] = np.bincount(nodes.codes, minlength=size).tolist()
    for at, (each, count) in enumerate(zip(nodes.classes, counts, strict=True)):
        if not count:
            continue
        held = {name: columns for name, columns in sums.items() if columns[0][at]}
        yield ClassSum(
            profile=each.label_set.hash,
            labels=each.label_set.labels,
            features=each.label_set.features,
            handlers=each.label_set.handlers,
            nodes=count,
            holders={name: holders[at] for name, (holders, _, _) in held.items()},
            allocatable={name: allocatable[at] for name, (_, allocatable, _) in held.items()},
            free={name: free[at] for name, (_, _, free) in held.items()},
        )
