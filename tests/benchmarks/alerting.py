"""Alert routing beside Debian's Alertmanager: the same load and configuration, one after the other."""

import asyncio
import signal
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from controlplane.embedded.processes import ServerProcess, free_port, port_answers
from tests.benchmarks.alert_load import (
    Sink,
    accept_to_webhook,
    bodies,
    configuration,
    fleet_alerts,
    flood,
    listing_seconds,
)
from tests.benchmarks.placements import open_folder
from tests.peers.debian import fetch

HOST = "127.0.0.1"
FLOOD_SECONDS = 8.0
START_SECONDS = 60.0
GROUPS, EACH = 5_000, 10
INHIBITIONS = 1_000


@dataclass(frozen=True)
class Running:
    """A server that listens on `port`. pids: of it and of what it started, for its memory."""

    port: int
    process: ServerProcess

    def memory_mb(self, *, alone: bool = True) -> float:
        """Resident; of the server alone, or with its children (Muster's NATS and Postgres)."""
        pids = [self.process.pid, *([] if alone else _children(self.process.pid))]
        return round(sum(map(_resident_kb, pids)) / 1024, 1)


Start = Callable[[str], AbstractAsyncContextManager[Running]]


def figures() -> dict[str, float]:
    """alerts_per_second: accepted over HTTP in batches of 100, 50,000 alerts in 5,000 groups, 500 routes.

    ..._inhibited: the same with 1,000 inhibition rules. accept_to_webhook_ms: at group_wait 0, from sending
    an alert to its webhook. alerts_listed_seconds: GET of all 50,000. memory_all_mb: with NATS and Postgres.
    ..._ratio: to Alertmanager's; above 1 Muster does better.
    """
    return asyncio.run(_figures())


async def _figures() -> dict[str, float]:
    theirs = await _measure(_alertmanager)
    ours = await _measure(_muster)
    found = dict(ours)
    for name, value in theirs.items():
        found[f"alertmanager_{name}"] = value
        if value and ours.get(name):
            more_is_better = "per_second" in name
            found[f"{name}_ratio"] = round(ours[name] / value if more_is_better else value / ours[name], 2)
    return found


async def _measure(start: Start) -> dict[str, float]:
    sink = Sink()
    await sink.open()
    found: dict[str, float] = {}
    load = bodies(fleet_alerts(GROUPS, EACH))
    try:
        async with start(configuration(sink.url)) as running:
            found["alerts_per_second"] = round(await flood(HOST, running.port, load, FLOOD_SECONDS))
            found["alerts_listed_seconds"] = round(
                await listing_seconds(HOST, running.port, GROUPS * EACH), 2
            )
            found["alerts_memory_mb"] = running.memory_mb()
            if start is _muster:
                found["alerts_memory_all_mb"] = running.memory_mb(alone=False)
        async with start(configuration(sink.url, inhibitions=INHIBITIONS)) as running:
            rate = await flood(HOST, running.port, load, FLOOD_SECONDS / 2)
            found["alerts_per_second_inhibited"] = round(rate)
            found["alerts_listed_inhibited_seconds"] = round(
                await listing_seconds(HOST, running.port, GROUPS * EACH), 2
            )
        async with start(configuration(sink.url, group_wait="0s")) as running:
            took = await accept_to_webhook(HOST, running.port, sink)
            found["accept_to_webhook_p50_ms"] = round(statistics.median(took) * 1000, 2)
            found["accept_to_webhook_p99_ms"] = round(took[int(len(took) * 0.99)] * 1000, 2)
    finally:
        await sink.close()
    return found


@asynccontextmanager
async def _muster(text: str) -> "AsyncGenerator[Running]":
    """As one would start it, durable: with an embedded Postgres and NATS."""
    with open_folder("muster-bench-alerts-") as folder:
        (folder / "alerts.yaml").write_text(text)
        port = free_port()
        environment = {
            "MUSTER_DATA_DIR": str(folder / "data"),
            "MUSTER_LOG_FORMAT": "json",
            "MUSTER_ALERTS_CONFIG": str(folder / "alerts.yaml"),
            "MUSTER_WEB_LISTEN_ADDRESS": f"{HOST}:{port}",
        }
        command = [sys.executable, "-m", "controlplane"]
        process = ServerProcess("muster", command, folder, signal.SIGTERM, environment=environment)
        async with _running(process, port) as running:
            yield running


@asynccontextmanager
async def _alertmanager(text: str) -> "AsyncGenerator[Running]":
    peers = fetch()
    with open_folder("muster-bench-alerts-") as folder:
        (folder / "alerts.yaml").write_text(text)
        port = free_port()
        command = [
            "env",
            "-C",
            str(peers.templates),
            str(peers.alertmanager),
            f"--config.file={folder / 'alerts.yaml'}",
            f"--web.listen-address={HOST}:{port}",
            f"--storage.path={folder / 'data'}",
            "--cluster.listen-address=",
        ]
        process = ServerProcess("alertmanager", command, folder, signal.SIGTERM)
        async with _running(process, port) as running:
            yield running


@asynccontextmanager
async def _running(process: ServerProcess, port: int) -> "AsyncGenerator[Running]":
    await process.start(lambda: port_answers(port), time.monotonic() + START_SECONDS)
    try:
        yield Running(port, process)
    finally:
        await process.stop()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_children(child)]
    return found


def _resident_kb(pid: int) -> int:
    """Shared pages once: Postgres' processes share their buffers."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
