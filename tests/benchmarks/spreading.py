"""One workload over very many clusters: decided, ordered, carried out, seen, gone; and how large answers are.

Agents are lean (lean_agent.py). CLUSTERS of them, ten replicas each.
"""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from typing import Any

import httpx

from tests.benchmarks.reconnecting import crowd
from tests.circle import Circle, deployment, eventually, running_circle, workload

CLUSTERS = int(os.environ.get("CLUSTERS", "1000"))
REPLICAS_EACH = 10
BOUND_SECONDS = 120.0
NAME = "everywhere"
EVENLY = {
    "replicaScheduling": {"replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted"},
}
ANSWERS = {
    "workload": f"/api/v1/workloads/{NAME}",
    "workloads": "/api/v1/workloads?limit=500",
    "placements": f"/api/v1/placements?filter=workload={NAME}&limit=500",
    "explain": f"/api/v1/workloads/{NAME}/explain",
}
MEANINGS = {
    "spread_running_seconds": "from the request until every replica is ready in its cluster and seen so",
    "spread_withdrawn_seconds": "from its deletion until it is gone everywhere",
    "spread_scaled_seconds": "from one replica more in each cluster until all are ready",
    **{f"spread_{name}_kb": f"what {path} answers with" for name, path in ANSWERS.items()},
    **{f"spread_{name}_ms": "how long that takes" for name in ANSWERS},
}


def figures() -> dict[str, float]:
    """What MEANINGS says."""
    for figure, meaning in MEANINGS.items():
        print(f"  {figure}: {meaning}")
    return asyncio.run(_figures())


async def _figures() -> dict[str, float]:
    async with (
        running_circle(settings={"MUSTER_LEASE_SECONDS": "10"}) as circle,
        crowd(circle, CLUSTERS) as agents,
    ):
        agents.change()
        await agents.until_steady()
        running = await _until_ready(circle, CLUSTERS * REPLICAS_EACH)
        answers = await _answers(circle)
        scaled = await _until_ready(circle, CLUSTERS * (REPLICAS_EACH + 1))
        began = time.monotonic()
        circle.client.delete(f"/workloads/{NAME}")
        await eventually(
            "it is gone",
            lambda: circle.client.get("/placements", filter=f"workload={NAME}", limit=1).body["items"],
            lambda rows: not rows,
            BOUND_SECONDS,
        )
        gone = time.monotonic() - began
    return {
        "spread_running_seconds": round(running, 1),
        "spread_scaled_seconds": round(scaled, 1),
        "spread_withdrawn_seconds": round(gone, 1),
        **answers,
    }


async def _until_ready(circle: Circle, replicas: int) -> float:
    """Seconds."""
    began = time.monotonic()
    circle.apply(workload(NAME, deployment(NAME, NAME, replicas), **EVENLY))

    def is_ready(row: Mapping[str, Any]) -> bool:
        status = row["status"]
        return status["state"] == "Running" and status["ready"] == replicas

    row = await eventually(
        f"{replicas} replicas are ready", lambda: circle.workload(NAME), is_ready, BOUND_SECONDS
    )
    assert len(row["status"]["clusters"]) == CLUSTERS
    return time.monotonic() - began


async def _answers(circle: Circle) -> dict[str, float]:
    found: dict[str, float] = {}
    headers = {"Authorization": f"Bearer {circle.installation.token}"}
    async with httpx.AsyncClient(base_url=circle.installation.url, headers=headers, timeout=60) as client:
        for name, path in ANSWERS.items():
            began = time.monotonic()
            answer = (await client.get(path)).raise_for_status()
            found[f"spread_{name}_ms"] = round((time.monotonic() - began) * 1000)
            found[f"spread_{name}_kb"] = round(len(answer.content) / 1024)
    return found


if __name__ == "__main__":
    print(json.dumps(figures()))
