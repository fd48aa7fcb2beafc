"""Placements all the way: API, Postgres, NATS, agent; every program a process of its own.

Two ends are measured. An order is acknowledged when its agent has recorded it durably and the outbox says so;
it is carried out when its objects are applied and the change feed says so. The load is long beside what an
agent takes in before it has carried out what came before (`agents.orders.IN_FLIGHT`), so that the first rate
cannot run far ahead of the second; how far it did is a figure of its own, and bounded.
"""

import asyncio
import math
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
from controlplane.client import Client, Refused
from tests.benchmarks.processor_time import cpu_seconds
from tests.benchmarks.submitting import Submitter, put_request

CLUSTERS = 2
NODES = 80
WRITERS = 64
PACED_PER_SECOND = 100
PACED_SECONDS = 5
SETTLE_SECONDS = 120.0
CATCH_UP_SECONDS = 5.0
MEANINGS = {
    "placements_per_second": "API answered, decision committed, order published, recorded and acknowledged",
    "placements_carried_out_per_second": "the same, and applied in its cluster and reported so",
    "carried_out_after_seconds": "from the last acknowledgement to the last report of an order carried out",
    "placement_p50_ms": f"from commit to carried out, at {PACED_PER_SECOND} a second",
    "placement_p99_ms": "the same",
    "submissions_per_second": "answered by the API, and committed",
    "loop_lag_p99_ms": "how late the centre's event loop runs what is due, as fast as it goes",
    "cpu_ms_per_placement": "of all programs, the load and what is simulated included",
}


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


def figures(count: int = 6_000) -> dict[str, float]:
    """What MEANINGS says; cpu_ms_per_placement for each program, too. WRITERS clients, as fast as it goes."""
    for figure, meaning in MEANINGS.items():
        print(f"  {figure}: {meaning}")
    return asyncio.run(_figures(count))


async def _figures(count: int) -> dict[str, float]:
    with open_folder("muster-bench-") as folder:
        installation = Installation(folder)
        await installation.start_centre({"MUSTER_LOG_FORMAT": "json"})
        try:
            with installation.client() as client:
                await _until(lambda: _answers(client), "the centre to know what is stored")
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
        requests = iter([_request(installation, f"burst-{number:05}") for number in range(count)])
        lag = await _lag(session)
        used, began = cpu_seconds(), time.perf_counter()
        await asyncio.gather(*(_write(installation, requests) for _ in range(WRITERS)))
        accepted = time.perf_counter() - began
        await _until(lambda: _acknowledged(session, count), "all orders to be acknowledged")
        acknowledged = time.perf_counter() - began
        await _until(lambda: _carried_out(session, count), "all orders to be carried out")
        catching_up = time.perf_counter() - began - acknowledged
        assert catching_up < CATCH_UP_SECONDS, f"carried out {catching_up:.1f} s after it was acknowledged"
        cpu = {name: (now - used[name]) * 1000 / count for name, now in cpu_seconds().items()}
        lag_p99 = _quantile(0.99, lag, await _lag(session))
        created, applied = await _moments(session, "burst-")
        rate = len(applied) / (max(applied.values()) - min(created.values()))

        paced = PACED_PER_SECOND * PACED_SECONDS
        await asyncio.gather(*(_write_at(installation, number) for number in range(paced)))
        await _until(lambda: _carried_out(session, count + paced), "all orders to be carried out")
        created, applied = await _moments(session, "paced-")
    took = sorted(applied[uid] - at for uid, at in created.items())
    return {
        "placements_per_second": round(count / acknowledged, 1),
        "placements_carried_out_per_second": round(rate, 1),
        "carried_out_after_seconds": round(catching_up, 2),
        "placement_p50_ms": round(statistics.median(took) * 1000, 1),
        "placement_p99_ms": round(took[int(len(took) * 0.99)] * 1000, 1),
        "submissions_per_second": round(count / accepted, 1),
        "loop_lag_p99_ms": round(lag_p99 * 1000, 1),
        "cpu_ms_per_placement": round(sum(cpu.values()), 2),
        **{f"cpu_ms_per_placement_{name}": round(each, 2) for name, each in cpu.items()},
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


async def _lag(session: aiohttp.ClientSession) -> dict[float, float]:
    """By upper bound in seconds: how often the event loop was late by no more."""
    async with session.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    buckets = [line for line in lines if line.startswith("muster_loop_lag_seconds_bucket")]
    return {float(line.split('"')[1]): float(line.rpartition(" ")[2]) for line in buckets}


def _quantile(share: float, before: dict[float, float], after: dict[float, float]) -> float:
    """As Prometheus' histogram_quantile, of what came between."""
    counts = {bound: after[bound] - before[bound] for bound in sorted(after)}
    wanted = share * max(counts.values())
    lower, below = 0.0, 0.0
    for bound, count in counts.items():
        if count >= wanted:
            width = 0.0 if bound == math.inf else bound - lower
            return lower + width * (wanted - below) / (count - below)
        lower, below = bound, count
    return lower


def _request(installation: Installation, name: str) -> bytes:
    path = f"/api/v1/workloads/{name}"
    return put_request(installation.url, installation.token, path, workload(name))


async def _write_at(installation: Installation, number: int) -> None:
    await asyncio.sleep(number / PACED_PER_SECOND)
    await _write(installation, iter([_request(installation, f"paced-{number:05}")]))


async def _write(installation: Installation, requests: Iterator[bytes]) -> None:
    submitter = Submitter(installation.url)
    try:
        for request in requests:
            await submitter.submit(request)
    finally:
        submitter.close()


async def _acknowledged(session: aiohttp.ClientSession, count: int) -> bool:
    """Each order is counted once, when the outbox says that it is acknowledged and that is committed."""
    async with session.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    counted = [line for line in lines if line.startswith('muster_orders_total{outcome="acknowledged"}')]
    return sum(float(line.rpartition(" ")[2]) for line in counted) >= count


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


async def _answers(client: Client) -> bool:
    """Not before it has loaded what is stored."""
    try:
        client.get("/clusters")
    except Refused:
        return False
    return True


async def _ready(rows: Any) -> bool:
    return [row["status"] for row in rows] == ["Ready"] * CLUSTERS


async def _until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while not await holds():
        assert time.monotonic() < deadline, f"waited {SETTLE_SECONDS} s for {what}"
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    for figure, value in figures(int(os.environ.get("COUNT", "6000"))).items():
        print(f"{figure} {value:,}")
