"""Components that run together or not at all: how many whole sets of them one cluster has room for."""

from collections import Counter
from collections.abc import Sequence

from controlplane.fleet.cluster import Cluster
from controlplane.fleet.demand import Demand

Components = Sequence[tuple[Demand, int]]
"""What one replica of each asks for, and how many of them are in one set."""


def whole_sets(cluster: Cluster, components: Components, most: int) -> int:
    """The bound itself first: where there is room enough, nothing has to be searched."""
    if _fit(cluster, components, most):
        return most
    fit, too_many = 0, most
    while too_many - fit > 1:
        half = (fit + too_many) // 2
        fit, too_many = (half, too_many) if _fit(cluster, components, half) else (fit, half)
    return fit


def _fit(cluster: Cluster, components: Components, sets: int) -> bool:
    """Whether so many find room at once: one component packed after the other, on trial."""
    columns = cluster.columns()
    asked: Counter[str] = Counter()
    for demand, replicas in components:
        for pool, each in cluster.addresses.asked(demand).items():
            asked[pool] += each * replicas * sets
    if columns is None or any(cluster.addresses.free(pool) < count for pool, count in asked.items()):
        return False
    with columns.on_trial():
        return all(
            columns.pack(demand, replicas * sets, cluster.features.selection(demand)) == replicas * sets
            for demand, replicas in components
        )
