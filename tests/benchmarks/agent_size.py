"""The agent at size: a real API server with 5,000 nodes and 20,000 pods, of which 50 a second come and go.

Centre, NATS and the agent run as they do for everybody, with the periods that they have by themselves. Memory
and processor time are the agent's own, from /proc; the bytes are what a subscriber at the centre sees.
"""

import asyncio
import dataclasses
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
from nats.aio.msg import Msg

from controlplane.embedded.kube import KubeControlPlane
from controlplane.embedded.kube_assets import KubeAssets, find_kube_assets
from controlplane.embedded.processes import free_port
from tests.benchmarks.large_cluster import Size, populate
from tests.benchmarks.placements import open_folder
from tests.circle import Circle, eventually, running_circle

CHURN_PODS_PER_SECOND = 50.0
WARM_SECONDS = float(os.environ.get("WARM_SECONDS", "60"))
MEASURE_SECONDS = float(os.environ.get("MEASURE_SECONDS", "120"))
SAMPLE_SECONDS = 1.0
FIRST_REPORT_BOUND_SECONDS = 120.0
MIB = 1 << 20
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_REQUESTS = re.compile(
    r'^apiserver_request_total\{.*code="(\d+)".*resource="(nodes|pods|events)".*verb="(\w+)"\} (\S+)'
)
_RESIDENT = re.compile(r"^process_resident_memory_bytes (\S+)$", re.MULTILINE)
MEANINGS = {
    "agent_mb": "resident memory of the agent under the churn, the mean of samples a second apart",
    "agent_peak_mb": "the most it ever took, its first list included",
    "agent_millicores": "processor time under the churn",
    "agent_idle_millicores": "the same while nothing but kubelets' heartbeats comes",
    "agent_page_mb": "the same at the end of it, as its own page of metrics says",
    "agent_first_report_seconds": "from its start until the centre may place there; of that",
    "agent_joined_seconds": "until its term begins: started, joined over HTTP, its lease held",
    "agent_listed_seconds": "until the first lists of nodes and pods are in",
    "agent_first_facts_seconds": "until the first facts are in STATE",
    "agent_start_processor_seconds": "what that took of processor time",
    "agent_report_kb_a_minute": "bodies to STATE and USAGE under the churn",
    "agent_reports_a_minute": "how many of them",
    "agent_lists": "lists of nodes and pods, pages counted, under the churn: none",
    "churned_pods_per_second": "pods that lived and ended",
}


def figures() -> dict[str, float]:
    """What MEANINGS says; nothing where there is no API server to measure on."""
    found = find_kube_assets()
    if not isinstance(found, KubeAssets):
        print(f"  left out: {found}")
        return {}
    for figure, meaning in MEANINGS.items():
        print(f"  {figure}: {meaning}")
    return asyncio.run(_figures(_server_alone(found), Size()))


def _server_alone(assets: KubeAssets) -> KubeAssets:
    """Controllers would only take time from what is measured."""
    return dataclasses.replace(assets, kube_controller_manager=None, kube_scheduler=None, kwok=None)


async def _figures(assets: KubeAssets, size: Size) -> dict[str, float]:
    with open_folder("muster-bench-") as folder:
        async with KubeControlPlane(folder / "kube", assets) as plane, running_circle() as circle:
            began = time.monotonic()
            await populate(plane, size)
            print(f"  written in {time.monotonic() - began:.0f} s: {size}")
            return await _measure(circle, plane, size)


async def _measure(circle: Circle, plane: KubeControlPlane, size: Size) -> dict[str, float]:
    door = f"127.0.0.1:{free_port()}"
    agent, start = await _start_agent(circle, plane, door)
    async with _counted(circle) as traffic, churning(plane, 0.1, size.nodes):
        await asyncio.sleep(WARM_SECONDS / 2)
        idle = await _watched(agent, traffic, MEASURE_SECONDS / 4)
    print(
        f"  {start}, idle {idle.resident_mb:.0f} MB, {idle.millicores:.0f} m",
        flush=True,
    )
    async with _counted(circle) as traffic, churning(plane, CHURN_PODS_PER_SECOND, size.nodes) as churn:
        await asyncio.sleep(WARM_SECONDS)
        before, ended = await _lists(plane), churn.ended
        busy = await _watched(agent, traffic, MEASURE_SECONDS)
        lists, churned = await _lists(plane) - before, churn.ended - ended
        page_mb = await _page_mb(door)
    for kind, (messages, size_bytes) in sorted(busy.reports.items()):
        minutes = busy.seconds / 60
        print(f"  {kind}: {messages / minutes:,.0f} a minute, {size_bytes / minutes / 1024:,.0f} KB")
    return {
        "agent_mb": round(busy.resident_mb, 1),
        "agent_page_mb": round(page_mb, 1),
        "agent_peak_mb": round(_status_mb(agent, "VmHWM"), 1),
        "agent_millicores": round(busy.millicores, 1),
        "agent_idle_millicores": round(idle.millicores, 1),
        **start,
        "agent_report_kb_a_minute": round(busy.report_bytes / 1024 * 60 / busy.seconds),
        "agent_reports_a_minute": round(busy.report_count * 60 / busy.seconds),
        "agent_lists": lists,
        "churned_pods_per_second": round(churned / busy.seconds, 1),
    }


async def _start_agent(circle: Circle, plane: KubeControlPlane, door: str) -> tuple[int, dict[str, float]]:
    """Its process id, and how long all took, once the centre may place there."""
    invitation = circle.installation.invite(circle.client, "large", {})
    arguments = ["--kubeconfig", str(plane.kubeconfig), "--alerts-listen", door, "--log-json", *invitation]
    async with _counted(circle) as traffic:
        began = time.time()
        process = circle.programs["large"] = await circle.installation.start_agent("large", arguments)
        await eventually(
            "all nodes are reported",
            lambda: list(circle.client.pages("/clusters", filter="status=Ready")),
            bound_seconds=FIRST_REPORT_BOUND_SECONDS,
        )
        ready, used = time.time(), processor_seconds(process.pid)
    said = _said(process.log)
    reached = {
        "agent_joined_seconds": said["term_begins"],
        "agent_listed_seconds": said["cluster_listed"],
        "agent_first_facts_seconds": traffic.first["facts"],
        "agent_first_report_seconds": ready,
    }
    start = {name: round(at - began, 1) for name, at in reached.items()}
    return process.pid, start | {"agent_start_processor_seconds": used}


def _said(log: Path) -> dict[str, float]:
    """When each event was first told there, in Unix seconds."""
    found: dict[str, float] = {}
    for line in log.read_text().splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            found.setdefault(event["event"], datetime.fromisoformat(event["timestamp"]).timestamp())
    return found


@dataclass
class Traffic:
    """Messages, bytes, and when the first came (Unix seconds), by the kind of report."""

    messages: Counter[str] = field(default_factory=Counter[str])
    size_bytes: Counter[str] = field(default_factory=Counter[str])
    first: dict[str, float] = field(default_factory=dict[str, float])

    async def take(self, message: Msg) -> None:
        _, stream, _, *rest = message.subject.split(".")
        kind = rest[0] if stream == "state" else stream
        self.messages[kind] += 1
        self.first.setdefault(kind, time.time())
        self.size_bytes[kind] += len(message.data)


@asynccontextmanager
async def _counted(circle: Circle) -> AsyncGenerator[Traffic]:
    traffic = Traffic()
    async with circle.nats() as client:
        for stream in ("state", "usage"):
            await client.subscribe(f"{circle.subjects.prefix}.{stream}.>", cb=traffic.take)
        yield traffic


@dataclass(frozen=True)
class Watched:
    seconds: float
    resident_mb: float
    millicores: float
    reports: dict[str, tuple[int, int]]

    @property
    def report_count(self) -> int:
        return sum(messages for messages, _ in self.reports.values())

    @property
    def report_bytes(self) -> int:
        return sum(size for _, size in self.reports.values())


async def _watched(pid: int, traffic: Traffic, seconds: float) -> Watched:
    traffic.messages.clear()
    traffic.size_bytes.clear()
    began, used = time.monotonic(), processor_seconds(pid)
    samples: list[float] = []
    while time.monotonic() - began < seconds:
        await asyncio.sleep(SAMPLE_SECONDS)
        samples.append(_status_mb(pid, "VmRSS"))
    took = time.monotonic() - began
    return Watched(
        took,
        sum(samples) / len(samples),
        1000 * (processor_seconds(pid) - used) / took,
        {kind: (count, traffic.size_bytes[kind]) for kind, count in traffic.messages.items()},
    )


def processor_seconds(pid: int) -> float:
    """User and system time of one process, all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _status_mb(pid: int, field_name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field_name}:")) * 1024 / MIB


async def _page_mb(door: str) -> float:
    async with httpx.AsyncClient(trust_env=False) as client:
        page = (await client.get(f"http://{door}/metrics")).raise_for_status().text
    found = _RESIDENT.search(page)
    assert found is not None, "its page does not tell its memory"
    return float(found[1]) / MIB


async def _lists(plane: KubeControlPlane) -> int:
    """Pages of lists of nodes, pods and events that the API server has served."""
    async with plane.client() as api:
        text = (await api.get("/metrics")).raise_for_status().text
    found = (_REQUESTS.match(line) for line in text.splitlines())
    return sum(int(float(each[4])) for each in found if each is not None and each[3] == "LIST")


@dataclass
class Churned:
    ended: int = 0


@asynccontextmanager
async def churning(plane: KubeControlPlane, rate: float, nodes: int) -> AsyncGenerator[Churned]:
    """`rate` pods a second, by a process of its own."""
    assert plane.layout is not None
    etcd = f"http://127.0.0.1:{plane.layout.etcd_port}"
    arguments = [plane.url, plane.token, str(plane.authority), etcd, str(rate), str(nodes)]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.churning", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    churned = Churned()
    reading = asyncio.create_task(_read(child.stdout, churned))
    try:
        yield churned
        assert child.returncode is None, "the churn ended by itself"
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        await reading


async def _read(lines: asyncio.StreamReader, churned: Churned) -> None:
    async for line in lines:
        churned.ended = int(line)


if __name__ == "__main__":
    for figure, value in figures().items():
        print(f"{figure} {value:,}")
