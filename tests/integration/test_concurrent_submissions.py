"""A thousand submissions at once, which together ask for more than there is: all are answered, each is placed
or told why not, and no node is promised beyond what it has.

The room is counted here anew, node by node, from what the clusters themselves say. All replicas ask for the
same, so that it does not matter in which order a scheduler packs them.
"""

import asyncio
import json
import sqlite3
from contextlib import closing
from http import HTTPStatus
from typing import Any

import aiohttp
import pytest

from agents.simulation.scheduler import asks
from schemas.quantities import quantity_amount
from tests.circle import Circle, Object, deployment, eventually, running_circle, workload

SUBMISSIONS = 1_000
CLUSTERS = ("brook", "creek")
REQUESTS = {"cpu": "250m", "memory": "64Mi"}
BY_ROOM = {
    "replicaSchedulingType": "Divided",
    "replicaDivisionPreference": "Weighted",
    "weightPreference": {"dynamicWeight": "AvailableReplicas"},
}


def submission(number: int) -> Object:
    """One to three replicas."""
    name = f"rush-{number:04}"
    manifest = deployment(name, "rush", 1 + number % 3)
    manifest["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"] = REQUESTS
    return workload(name, manifest, replicaScheduling=BY_ROOM)


def stored(circle: Circle, cluster: str, plural: str) -> list[Object]:
    path = circle.state(cluster) / "cluster.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as db:
        rows = db.execute("select body from object where plural = ?", (plural,)).fetchall()
    return [json.loads(body) for (body,) in rows]


def free_by_node(circle: Circle, cluster: str) -> dict[str, dict[str, int]]:
    """Allocatable less what all bound pods ask for; below zero where a node holds more than it has."""
    free = {
        node["metadata"]["name"]: {
            resource: quantity_amount(resource, text)
            for resource, text in node["status"]["allocatable"].items()
        }
        for node in stored(circle, cluster, "nodes")
    }
    for pod in stored(circle, cluster, "pods"):
        if (node := pod["spec"].get("nodeName")) in free:
            for resource, amount in {**asks(pod), "pods": 1}.items():
                free[node][resource] = free[node].get(resource, 0) - amount
    return free


def room(circle: Circle, cluster: str) -> int:
    """How many replicas fit, node by node."""
    each = {resource: quantity_amount(resource, text) for resource, text in REQUESTS.items()} | {"pods": 1}
    return sum(
        max(0, min(free[resource] // amount for resource, amount in each.items()))
        for free in free_by_node(circle, cluster).values()
    )


async def submit_all(circle: Circle) -> list[int]:
    """Every status, with all of them under way at once. Who is told to come again comes again."""
    headers = {"Authorization": f"Bearer {circle.installation.token}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        circle.installation.url, headers=headers, connector=connector
    ) as session:

        async def submit(number: int) -> int:
            manifest = submission(number)
            path = f"/api/v1/workloads/{manifest['metadata']['name']}"
            while True:
                async with session.put(path, json=manifest) as response:
                    await response.read()
                    if response.status != HTTPStatus.SERVICE_UNAVAILABLE:
                        return response.status
                    await asyncio.sleep(float(response.headers["Retry-After"]))

        return await asyncio.gather(*(submit(number) for number in range(SUBMISSIONS)))


def promised(circle: Circle) -> dict[str, int]:
    replicas = dict.fromkeys(CLUSTERS, 0)
    for row in circle.client.pages("/placements"):
        replicas[row["cluster"]] += row["replicas"]
    return replicas


def standing(circle: Circle) -> list[dict[str, Any]]:
    return list(circle.client.pages("/workloads"))


def is_decided(rows: list[dict[str, Any]]) -> bool:
    """What is placed runs whole; what is not is told why."""
    return len(rows) == SUBMISSIONS and all(
        row["state"] == "Unplaced" or (row["state"] == "Running" and row["ready"] == row["replicas"])
        for row in rows
    )


@pytest.mark.promise(1, 7)
async def test_a_thousand_submissions_at_once_are_never_promised_more_than_there_is() -> None:
    async with running_circle() as circle:
        for seed, cluster in enumerate(CLUSTERS):
            await circle.join(cluster, ["--simulate", "edge", "--seed", str(seed)])
        fits = {cluster: room(circle, cluster) for cluster in CLUSTERS}
        assert sum(fits.values()) < SUBMISSIONS

        submitting = asyncio.create_task(submit_all(circle))
        while not submitting.done():
            seen = await asyncio.to_thread(promised, circle)
            assert all(seen[cluster] <= fits[cluster] for cluster in CLUSTERS), f"{seen} of {fits}"
            await asyncio.sleep(0.1)
        # 200: it was stored, and not said so in time.
        assert set(await submitting) <= {HTTPStatus.CREATED, HTTPStatus.OK}

        rows = await eventually(
            "all are decided, and run where they are placed", lambda: standing(circle), is_decided
        )
        assert promised(circle) == fits
        assert {row["reason"] for row in rows if row["state"] == "Unplaced"} == {"InsufficientCapacity"}
        for cluster in CLUSTERS:
            over = {
                node: free for node, free in free_by_node(circle, cluster).items() if min(free.values()) < 0
            }
            assert not over
