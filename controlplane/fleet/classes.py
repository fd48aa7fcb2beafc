"""Nodes of a cluster that say the same of themselves, added up: what an inventory of the fleet reads."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet.cluster import Cluster
from controlplane.fleet.label_sets import LabelSet
from controlplane.fleet.rows import NodeRows, UsageRows, free_of

_Values = NDArray[np.int64] | NDArray[np.bool_]


@dataclass
class ClassSum:
    """nodes: how many. holders: by resource, how many of them have any of it. allocatable, free: sums."""

    said: LabelSet
    nodes: int = 0
    holders: Counter[str] = field(default_factory=Counter[str])
    allocatable: Counter[str] = field(default_factory=Counter[str])
    free: Counter[str] = field(default_factory=Counter[str])

    @property
    def labels(self) -> Mapping[str, str]:
        return self.said.labels

    @property
    def features(self) -> Mapping[str, str]:
        """Raw ones that the labels do not tell."""
        return self.said.features

    @property
    def handlers(self) -> frozenset[str]:
        """Empty where the nodes do not list them."""
        return self.said.handlers


def class_sums(cluster: Cluster, counted: Callable[[str], bool]) -> list[ClassSum]:
    """Of the shards that are here. counted: the resources that are added up, and no others."""
    sums: dict[LabelSet, ClassSum] = {}
    for _, slot in cluster.reported.shards():
        if slot.nodes is None:
            continue
        of_class = [sums.setdefault(each.label_set, ClassSum(each.label_set)) for each in slot.nodes.classes]
        for at, nodes in _by_class(slot.nodes, None):
            of_class[at].nodes += nodes
        for name, values in slot.nodes.allocatable.items():
            if counted(name) and values.any():
                _add(of_class, slot.nodes, slot.usage, name)
    return [each for each in sums.values() if each.nodes]


def _add(of_class: list[ClassSum], nodes: NodeRows, usage: UsageRows | None, name: str) -> None:
    values = nodes.allocatable[name]
    free = values if usage is None else np.asarray(free_of(nodes, usage, name), np.int64)
    for at, amount in _by_class(nodes, values):
        of_class[at].allocatable[name] += amount
    for at, amount in _by_class(nodes, values > 0):
        of_class[at].holders[name] += amount
    for at, amount in _by_class(nodes, free):
        of_class[at].free[name] += amount


def _by_class(nodes: NodeRows, values: _Values | None) -> Iterator[tuple[int, int]]:
    """(position of the class, sum), nodes themselves where there are no values; without zeros."""
    sums = np.bincount(nodes.codes, weights=values, minlength=len(nodes.classes)).astype(np.int64)
    held = np.flatnonzero(sums)
    return zip(held.tolist(), sums[held].tolist(), strict=True)
