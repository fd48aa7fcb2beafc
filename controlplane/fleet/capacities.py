"""How often each signature fits each cluster, remembered until a report or a promise changes the cluster."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet.demand import Demand
from controlplane.fleet.features import Features, Selection

MOST_SIGNATURES = 1024


class Entry:
    """Of one signature, per cluster: what fitted, and in which generation of the cluster that was so."""

    __slots__ = ("capacity", "generation", "matching")

    def __init__(self, clusters: int) -> None:
        self.capacity: NDArray[np.int64] = np.zeros(clusters, np.int64)
        self.matching: NDArray[np.int64] = np.zeros(clusters, np.int64)
        self.generation: NDArray[np.int64] = np.full(clusters, -1, np.int64)

    def grow(self, clusters: int) -> None:
        more = clusters - len(self.generation)
        self.capacity = np.pad(self.capacity, (0, more))
        self.matching = np.pad(self.matching, (0, more))
        self.generation = np.pad(self.generation, (0, more), constant_values=-1)


class Capacities:
    """The least recently asked of MOST_SIGNATURES gives way. Clusters count from 0 as they arrive."""

    def __init__(self, features: Features, living: Callable[[], int]) -> None:
        self._living = living
        self._features = features
        self.generations: NDArray[np.int64] = np.zeros(0, np.int64)
        self._entries: OrderedDict[Demand, Entry] = OrderedDict()

    def add_cluster(self) -> None:
        self.generations = np.append(self.generations, np.int64(0))

    def remove_cluster(self, position: int) -> None:
        self.generations = np.delete(self.generations, position)
        self._entries.clear()

    def touch(self, position: int) -> None:
        self.generations[position] += 1

    def packed(self, position: int, demand: Demand, replicas: int) -> None:
        """`replicas` of the demand were packed: for it the new capacity is known, for others it is not."""
        entry = self._entries.get(demand)
        current = entry is not None and len(entry.generation) == len(self.generations)
        was = current and entry is not None and entry.generation[position] == self.generations[position]
        self.touch(position)
        if was and entry is not None:
            # Addresses may have been short of what the nodes had room for.
            entry.capacity[position] = max(0, entry.capacity[position] - replicas)
            entry.generation[position] = self.generations[position]

    def entry(self, demand: Demand, count: Callable[[int, Demand, Selection], tuple[int, int]]) -> Entry:
        """Up to date for every cluster; `count` is asked for those that have changed."""
        entry = self._entries.get(demand)
        if entry is None:
            entry = self._entries[demand] = Entry(len(self.generations))
            if len(self._entries) > MOST_SIGNATURES:
                self._entries.popitem(last=False)
        elif len(entry.generation) < len(self.generations):
            entry.grow(len(self.generations))
        self._entries.move_to_end(demand)
        changed = np.flatnonzero(entry.generation != self.generations)
        if changed.size:
            self._features.renumber_when_due(self._living)
            selection = self._features.selection(demand)
            for position in changed.tolist():
                entry.capacity[position], entry.matching[position] = count(position, demand, selection)
            entry.generation[changed] = self.generations[changed]
        return entry
