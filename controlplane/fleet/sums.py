"""cpu and memory of whole clusters, cheap enough to be looked at for every placement."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet.cluster import Cluster
from controlplane.fleet.columns import Columns
from controlplane.fleet.rows import Floats

WEIGHED = ("cpu", "memory")


@dataclass(frozen=True)
class Sum:
    """Over all nodes of a cluster: cpu in millicores, memory in bytes. free: promises taken away."""

    allocatable: dict[str, float]
    free: dict[str, float]


class Sums:
    """Remembered for each cluster until a report or a promise changes it."""

    def __init__(self) -> None:
        self._allocatable: Floats = np.zeros((len(WEIGHED), 0))
        self._free: Floats = self._allocatable
        self._seen: NDArray[np.int64] = np.zeros(0, np.int64)
        self._of: dict[int, Columns] = {}

    def forget(self) -> None:
        """Positions of clusters have moved."""
        self._seen = np.zeros(0, np.int64)
        self._allocatable = self._free = np.zeros((len(WEIGHED), 0))
        self._of.clear()

    def at(
        self, positions: list[int], generations: NDArray[np.int64], cluster_of: Callable[[int], Cluster]
    ) -> list[Sum]:
        """Zeros for a cluster that is not complete."""
        more = len(generations) - len(self._seen)
        if more > 0:
            self._seen = np.pad(self._seen, (0, more), constant_values=-1)
            self._allocatable = np.pad(self._allocatable, ((0, 0), (0, more)))
            self._free = np.pad(self._free, ((0, 0), (0, more)))
        for position in np.flatnonzero(self._seen != generations).tolist():
            self._count(position, cluster_of(position))
        self._seen[:] = generations
        return [
            Sum(
                dict(zip(WEIGHED, self._allocatable[:, at].tolist(), strict=True)),
                dict(zip(WEIGHED, self._free[:, at].tolist(), strict=True)),
            )
            for at in positions
        ]

    def _count(self, position: int, cluster: Cluster) -> None:
        columns = cluster.columns()
        if columns is None:
            self._allocatable[:, position] = self._free[:, position] = 0.0
            self._of.pop(position, None)
            return
        if self._of.get(position) is not columns:
            # Another inventory makes other columns; usage and promises do not change what there is.
            self._of[position] = columns
            self._allocatable[:, position] = [_allocatable(cluster, each) for each in WEIGHED]
        self._free[:, position] = [float(columns.free(each)[: columns.there].sum()) for each in WEIGHED]


def _allocatable(cluster: Cluster, resource: str) -> float:
    columns = (
        slot.nodes.allocatable.get(resource)
        for _, slot in cluster.reported.shards()
        if slot.nodes is not None
    )
    return float(sum(int(column.sum()) for column in columns if column is not None))
