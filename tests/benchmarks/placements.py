"""Placements all the way: API, Postgres, NATS, agent, report; every program a process of its own."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from controlplane.cli.demo.installation import Installation

CLUSTERS = 2
NODES = 60
WRITERS = 24
PACED_PER_SECOND = 100
PACED_SECONDS = 5
SETTLE_SECONDS = 120.0


def workload(name: str) -> dict[str, Any]:
    """One replica of a small Deployment, to wherever there is most room."""
    labels = {"app": name}
    container = {
        "name": "main",
        "image": "registry.example/app:1",
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "bench"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    weighted = {
        "replicaSchedulingType": "Divided",
        "replicaDivisionPreference": "Weighted",
        "weightPreference": {"dynamicWeight": "AvailableReplicas"},
    }
    return {
        "apiVersion": "muster.dev/v1",
        "kind": "Workload",
        "metadata": {"name": name},
        "spec": {"manifests": [deployment], "placement": {"replicaScheduling": weighted}},
    }


def figures(count: int = 3_000) -> dict[str, float]:
    """placements_per_second: from the first request to the last report of an order carried out, all at once.

    placement_p50_ms, p99: from commit of the workload to that report, at PACED_PER_SECOND arrivals.
    """
    return asyncio.run(_figures(count))


async def _figures(count: int) -> dict[str, float]:
    with open_folder("muster-bench-") as folder:
        installation = Installation(folder)
        await installation.start_centre({"MUSTER_LOG_FORMAT": "json"})
        try:
            with installation.client() as client:
                for number in range(CLUSTERS):
                    joining = installation.invite(client, f"bench-{number}", {})
                    cluster = ["--simulate", "cloud", "--seed", str(number), "--nodes", str(NODES)]
                    await installation.start_agent(f"bench-{number}", [*cluster, *joining])
                await _until(lambda: _ready(client.pages("/clusters")), "all clusters to be ready")
            return await _measure(installation, count)
        finally:
            await installation.stop()


@contextmanager
def open_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder that the account of Postgres may enter."""
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


async def _measure(installation: Installation, count: int) -> dict[str, float]:
    headers = {"Authorization": f"Bearer {installation.token}"}
    async with aiohttp.ClientSession(installation.url, headers=headers) as session:
        names = iter([f"burst-{number:05}" for number in range(count)])
        began = time.perf_counter()
        await asyncio.gather(*(_write(session, names) for _ in range(WRITERS)))
        accepted = time.perf_counter() - began
        await _until(lambda: _carried_out(session, count), "all orders to be carried out")
        created, applied = await _moments(session, "burst-")
        rate = len(applied) / (max(applied.values()) - min(created.values()))

        paced = PACED_PER_SECOND * PACED_SECONDS
        await asyncio.gather(*(_write_at(session, number) for number in range(paced)))
        await _until(lambda: _carried_out(session, count + paced), "all orders to be carried out")
        created, applied = await _moments(session, "paced-")
    took = sorted(applied[uid] - at for uid, at in created.items())
    return {
        "placements_per_second": round(rate, 1),
        "placement_p50_ms": round(statistics.median(took) * 1000, 1),
        "placement_p99_ms": round(took[int(len(took) * 0.99)] * 1000, 1),
        "submissions_per_second": round(count / accepted, 1),
    }


async def _moments(session: aiohttp.ClientSession, prefix: str) -> tuple[dict[str, float], dict[str, float]]:
    """When each workload was committed, and when first said to be carried out, both by Postgres' clock."""
    created: dict[str, float] = {}
    applied: dict[str, float] = {}
    async for change in _changes(session):
        if change["name"].startswith(prefix):
            if change["what"] == "Created":
                created[change["uid"]] = change["at"]
            elif change["what"] in ("Applied", "Ready"):
                applied.setdefault(change["uid"], change["at"])
    return created, applied


async def _write_at(session: aiohttp.ClientSession, number: int) -> None:
    await asyncio.sleep(number / PACED_PER_SECOND)
    await _write(session, iter([f"paced-{number:05}"]))


async def _write(session: aiohttp.ClientSession, names: Iterator[str]) -> None:
    for name in names:
        async with session.put(f"/api/v1/workloads/{name}", json=workload(name)) as response:
            assert response.status < 300, await response.text()


async def _carried_out(session: aiohttp.ClientSession, count: int) -> bool:
    async with session.get("/api/v1/streams") as response:
        rows = (await response.json())["items"]
    return sum(row["orders_carried_out"] for row in rows) >= count


async def _changes(session: aiohttp.ClientSession) -> Any:
    following = ""
    while True:
        query = {"limit": "500", **({"after": following} if following else {})}
        async with session.get("/api/v1/changes", params=query) as response:
            page = await response.json()
        for each in page["items"]:
            yield each
        following = page["next"]
        if not following:
            return


async def _ready(rows: Any) -> bool:
    return [row["status"] for row in rows] == ["Ready"] * CLUSTERS


async def _until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while not await holds():
        assert time.monotonic() < deadline, f"waited {SETTLE_SECONDS} s for {what}"
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    print(figures(int(os.environ.get("COUNT", "3000"))))
