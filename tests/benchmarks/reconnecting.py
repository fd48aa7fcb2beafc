"""Thousands of agents, and NATS killed under them: how soon all is as it should be, and what that costs.

Agents are lean (lean_agent.py), some hundreds a process; each has joined over HTTP and has an account and a
consumer of its own. NATS is killed while every cluster has something to tell. Steady is: each is connected
again, a beat of it answered, all it had to tell confirmed, its alerts committed.
"""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from tests.benchmarks.agent_size import MIB, processor_seconds
from tests.benchmarks.lean_agents import Told
from tests.circle import Circle, running_circle

CLUSTERS = int(os.environ.get("CLUSTERS", "5000"))
A_PROCESS = 1_250
JOIN_SECONDS = 1_200.0
STEADY_SECONDS = 600.0
WATCH_SECONDS = 30.0
PERIOD_SECONDS, SAID_SECONDS = 0.5, 20.0
_LAG = re.compile(r'^muster_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
MEANINGS = {
    "joined_per_second": "invited and joined over HTTP, each with an account of its own",
    "reconnect_seconds": "from NATS' death until all is steady again (see above)",
    "messages_lost": "reports and alerts that were told and are not known to the centre",
    "loop_lag_p99_ms": "of the centre while nothing happens but beats; _reconnecting: meanwhile",
    "centre_mb": "resident, with all clusters reporting",
    "centre_millicores": "for beats alone",
    "nats_mb": "resident, with an account, a consumer on disk and a connection a cluster",
    "nats_millicores": "for beats alone",
}


def figures() -> dict[str, float]:
    """What MEANINGS says, of CLUSTERS clusters."""
    for figure, meaning in MEANINGS.items():
        print(f"  agents_{CLUSTERS}_{figure}: {meaning}")
    found = asyncio.run(_figures(CLUSTERS))
    return {f"agents_{CLUSTERS}_{name}": value for name, value in found.items()}


class Crowd:
    """Processes of lean agents."""

    def __init__(self) -> None:
        self._children: list[asyncio.subprocess.Process] = []

    async def start(self, url: str, token: str, count: int) -> None:
        """Returns when all have joined."""
        for first in range(0, count, A_PROCESS):
            arguments = [url, str(first), str(min(A_PROCESS, count - first))]
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.benchmarks.lean_agents",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            self._children.append(child)
            self._say(child, token)
        async with asyncio.timeout(JOIN_SECONDS):
            await asyncio.gather(*map(_heard, self._children))

    def stop(self) -> None:
        for child in self._children:
            if child.returncode is None:
                child.kill()

    def change(self) -> None:
        """Every cluster has something to tell."""
        for child in self._children:
            self._say(child, "change")

    async def told(self) -> Told:
        """Of all processes."""
        for child in self._children:
            self._say(child, "tell")
        parts = [await _heard(child) for child in self._children]
        return Told(
            agents=sum(each.agents for each in parts),
            steady=sum(each.steady for each in parts),
            steady_at=max(each.steady_at for each in parts) if all(each.steady_at for each in parts) else 0.0,
            waiting=tuple(sum(column) for column in zip(*(each.waiting for each in parts), strict=True)),
            alerts=sum(each.alerts for each in parts),
            orders=sum(each.orders for each in parts),
        )

    async def until_steady(self) -> Told:
        """AssertionError with how many are, where that takes too long."""
        said, deadline = time.monotonic(), time.monotonic() + STEADY_SECONDS
        while True:
            told = await self.told()
            if told.steady_at:
                return told
            assert time.monotonic() < deadline, f"after {STEADY_SECONDS:g} s: {told}"
            if time.monotonic() > said + SAID_SECONDS:
                said = time.monotonic()
                _say(f"{told.steady} of {told.agents} are steady; {told.waiting} wait")
            await asyncio.sleep(PERIOD_SECONDS)

    @staticmethod
    def _say(child: asyncio.subprocess.Process, line: str) -> None:
        assert child.stdin is not None
        child.stdin.write(f"{line}\n".encode())


async def _heard(child: asyncio.subprocess.Process) -> Told:
    assert child.stdout is not None
    line = await child.stdout.readline()
    assert line, f"a process of agents ended: {await child.wait()}"
    return msgspec.json.decode(line, type=Told)


@asynccontextmanager
async def crowd(circle: Circle, count: int) -> AsyncGenerator[Crowd]:
    """Joined and steady."""
    agents = Crowd()
    try:
        await agents.start(circle.installation.url, circle.installation.token, count)
        yield agents
    finally:
        agents.stop()


async def _figures(count: int) -> dict[str, float]:
    async with running_circle(settings={"MUSTER_LEASE_SECONDS": "10"}) as circle:
        began = time.monotonic()
        async with crowd(circle, count) as agents:
            joined = time.monotonic() - began
            _say(f"{count} joined after {joined:.0f} s")
            agents.change()
            await agents.until_steady()
            _say(f"steady after {time.monotonic() - began:.0f} s")
            quiet = await _watched(circle)
            _say(f"at rest: {quiet}")
            before = _lag(circle)
            agents.change()
            killed = time.time()
            os.kill(server(circle, "nats-server"), signal.SIGKILL)
            agents.change()
            told = await agents.until_steady()
            lag = p99_ms(before, _lag(circle))
            lost = await _lost(circle, told)
        return {
            "joined_per_second": round(count / joined, 1),
            "reconnect_seconds": round(told.steady_at - killed, 1),
            "messages_lost": lost,
            "loop_lag_p99_ms": quiet.lag_p99_ms,
            "loop_lag_p99_ms_reconnecting": lag,
            "centre_mb": round(quiet.centre_mb),
            "centre_millicores": round(quiet.centre_millicores),
            "nats_mb": round(quiet.nats_mb),
            "nats_millicores": round(quiet.nats_millicores),
        }


async def _lost(circle: Circle, told: Told) -> int:
    """What is not known to the centre, as it says itself."""
    committed = behind = rows = 0
    for row in circle.client.pages("/streams"):
        rows += 1
        behind += row["reports_behind"]
        committed += row["alerts_committed"][1]
    assert rows == told.agents
    return behind + told.alerts - committed


def server(circle: Circle, name: str) -> int:
    """The process id of an embedded server: a child of the centre."""
    for thread in Path(f"/proc/{circle.programs['centre'].pid}/task").iterdir():
        for pid in (thread / "children").read_text().split():
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                return int(pid)
    raise AssertionError(f"the centre runs no {name}")


@dataclass(frozen=True)
class AtRest:
    lag_p99_ms: float
    centre_mb: float
    centre_millicores: float
    nats_mb: float
    nats_millicores: float


async def _watched(circle: Circle) -> AtRest:
    pids = circle.programs["centre"].pid, server(circle, "nats-server")
    used, lag, began = [processor_seconds(pid) for pid in pids], _lag(circle), time.monotonic()
    await asyncio.sleep(WATCH_SECONDS)
    took = time.monotonic() - began
    millicores = [1000 * (processor_seconds(pid) - used[index]) / took for index, pid in enumerate(pids)]
    centre, nats = (resident_mb(pid) for pid in pids)
    return AtRest(p99_ms(lag, _lag(circle)), centre, millicores[0], nats, millicores[1])


def resident_mb(pid: int) -> float:
    """Of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / MIB


def _lag(circle: Circle) -> dict[float, float]:
    """Looks of the centre at its loop, by how late they were at most; it adds up."""
    headers = {"Authorization": f"Bearer {circle.installation.token}"}
    text = httpx.get(f"{circle.installation.url}/metrics", headers=headers).raise_for_status().text
    return {float(bound): float(count) for bound, count in _LAG.findall(text)}


def p99_ms(before: dict[float, float], after: dict[float, float]) -> float:
    """The bound below which 99 of 100 looks lie."""
    looks = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total = looks[max(looks)]
    return next(bound for bound, count in looks.items() if count >= 0.99 * total) * 1000


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


if __name__ == "__main__":
    print(json.dumps(figures()))
