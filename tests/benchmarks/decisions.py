"""Decisions on paper: 5,000 clusters by room, and regions to spread over. Fleets are seeded."""

import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from controlplane.fleet import Requirement
from controlplane.fleet.demand import Operator
from controlplane.placement import Affinity, ClusterView, Division, PlacementRequest, Spread, place

ROUNDS = 30


def figures() -> dict[str, float]:
    """Medians, each of a whole decision: filter, score, select, divide, and an answer for every cluster."""
    return {
        "place_5000_clusters_ms": _median(by_room(5_000)),
        "regions_22_ms": _median(over_regions(22)),
        "regions_200_ms": _median(over_regions(200)),
    }


def by_room(count: int) -> Callable[[], None]:
    """Dynamic weight over all clusters, 10,000 replicas, one label selected."""
    views, room = _fleet(count, count // 20)
    request = PlacementRequest(
        "7d1f5a1e-2b0c-4c3e-9d65-3f1c5a0b7e11",
        10_000,
        affinity=Affinity(labels=(Requirement("env", Operator.IN, ("prod",)),)),
        division=Division.DYNAMIC,
        kinds=("apps/v1/Deployment",),
    )
    return lambda: _check(request, views, room)


def over_regions(count: int) -> Callable[[], None]:
    """Any number of regions from a tenth to half, with so many clusters that the best few are too few."""
    views, room = _fleet(3 * count, count)
    spread = (Spread("region", "", max(2, count // 10), count // 2), Spread("cluster", "", count // 2))
    request = PlacementRequest("uid", 500, division=Division.DYNAMIC, spread=spread)
    return lambda: _check(request, views, room)


def _fleet(count: int, regions: int) -> tuple[list[ClusterView], list[int]]:
    random = np.random.default_rng(3)
    views = [
        ClusterView(
            f"id-{index:05}",
            f"cluster-{index:05}",
            {"env": "prod", "tier": str(index % 7)},
            region=f"region-{int(random.integers(0, regions)):03}"
            if index >= regions
            else f"region-{index:03}",
            served=frozenset({"apps/v1/Deployment", "v1/Service", "v1/ConfigMap"}),
            capabilities=frozenset({"apply"}),
        )
        for index in range(count)
    ]
    return views, random.integers(1, 100, count).tolist()


def _check(request: PlacementRequest, views: list[ClusterView], room: list[int]) -> None:
    decision = place(request, views, room)
    assert sum(decision.assignments.values()) == request.replicas, decision.error


def _median(run: Callable[[], None]) -> float:
    run()
    took: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        took.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(took), 3)


if __name__ == "__main__":
    print(json.dumps(figures()))
