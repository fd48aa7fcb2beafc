"""A circle under modest load for as long as asked: does memory stay flat? `python -m tests.benchmarks soak`.

Workloads change, come and go, an alert fires and ends, an agent is started anew, NATS is killed: all of it
again and again. Flat is: over the last half, the second part's mean is within 2 % of the first part's.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import httpx

from tests.benchmarks.reconnecting import resident_mb, server
from tests.circle import Circle, deployment, eventually, running_circle, workload

CLUSTERS = ("east", "west")
KEPT = 20
ROUND_SECONDS, PASSING_SECONDS = 1.0, 20.0
ANEW_SECONDS = 120.0
SAMPLE_SECONDS = 5.0
SAY_SECONDS = 60.0
FLAT = 0.02
USUAL_MINUTES = 60.0


def main(arguments: list[str]) -> int:
    """0 where all is flat."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=USUAL_MINUTES)
    found = figures(parser.parse_args(arguments).minutes)
    print(json.dumps(found))
    return 0 if found["soak_flat"] else 1


def figures(minutes: float) -> dict[str, float]:
    """soak_flat: 1 or 0. By program: growth over the last half in percent and MB an hour, MB at the end."""
    return asyncio.run(_figures(minutes * 60.0))


@dataclass
class Samples:
    """Resident MB by program, one each SAMPLE_SECONDS."""

    taken: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def take(self, circle: Circle) -> None:
        for name, pid in _programs(circle).items():
            self.taken.setdefault(name, []).append(resident_mb(pid))

    def growth(self, program: str) -> float:
        """Of the last half, its second part against its first."""
        half = self.taken[program][len(self.taken[program]) // 2 :]
        first, second = half[: len(half) // 2], half[len(half) // 2 :]
        return statistics.fmean(second) / statistics.fmean(first) - 1 if first else 0.0

    def slope(self, program: str) -> float:
        """MB an hour, over the last half."""
        half = self.taken[program][len(self.taken[program]) // 2 :]
        times = [number * SAMPLE_SECONDS / 3600.0 for number in range(len(half))]
        return statistics.linear_regression(times, half).slope if len(half) > 1 else 0.0


def _programs(circle: Circle) -> dict[str, int]:
    """Those that are never started anew."""
    return {"centre": circle.programs["centre"].pid, "agent": circle.programs["east"].pid}


async def _figures(seconds: float) -> dict[str, float]:
    samples = Samples()
    began = time.monotonic()
    async with running_circle() as circle:
        for seed, name in enumerate(CLUSTERS):
            await circle.join(name, ["--simulate", "edge", "--seed", str(seed)])
        async with load(circle) as done:
            said = 0.0
            while (passed := time.monotonic() - began) < seconds:
                await asyncio.sleep(SAMPLE_SECONDS)
                assert not done.failures, done.failures[0]
                samples.take(circle)
                if passed - said >= SAY_SECONDS:
                    said = passed
                    print(f"  {passed / 60:.0f} min: {_last(samples)}; {done}", flush=True)
    growth = {name: samples.growth(name) for name in samples.taken}
    return {
        "soak_minutes": round(seconds / 60, 1),
        "soak_flat": float(all(abs(each) <= FLAT for each in growth.values())),
        **{f"soak_{name}_growth_percent": round(100 * each, 2) for name, each in growth.items()},
        **{f"soak_{name}_mb_an_hour": round(samples.slope(name), 2) for name in samples.taken},
        **{f"soak_{name}_mb": round(taken[-1], 1) for name, taken in samples.taken.items()},
    }


def _last(samples: Samples) -> str:
    return ", ".join(f"{name} {taken[-1]:.1f} MB" for name, taken in samples.taken.items())


@dataclass
class Done:
    """How often."""

    changed: int = 0
    placed: int = 0
    deleted: int = 0
    alerts: int = 0
    agents_anew: int = 0
    nats_anew: int = 0
    failures: list[BaseException] = field(default_factory=list[BaseException], repr=False)


@asynccontextmanager
async def load(circle: Circle) -> AsyncGenerator[Done]:
    """All of it at once, until left."""
    done = Done()
    work = [each(circle, done) for each in (_change, _place_and_delete, _fire_and_end, _start_anew)]
    tasks = [asyncio.create_task(_kept(each, done)) for each in work]
    try:
        yield done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _kept(work: Awaitable[None], done: Done) -> None:
    try:
        await work
    except Exception as error:
        done.failures.append(error)


async def _change(circle: Circle, done: Done) -> None:
    """KEPT run at a time, and one of them is scaled each round."""
    while True:
        name = f"soak-{done.changed % KEPT}"
        manifest = workload(name, deployment(name, "soak", 1 + done.changed // KEPT % 3))
        await _while_away(partial(circle.apply, manifest))
        done.changed += 1
        await asyncio.sleep(ROUND_SECONDS)


async def _place_and_delete(circle: Circle, done: Done) -> None:
    """Seldom: what an agent has recorded of a workload it keeps for ever, its fence against older orders."""
    while True:
        name = f"passing-{done.placed}"
        await _while_away(partial(circle.apply, workload(name, deployment(name, "soak", 2))))
        done.placed += 1
        await asyncio.sleep(PASSING_SECONDS)
        await _while_away(partial(_delete, circle, f"/workloads/{name}"))
        done.deleted += 1


def _delete(circle: Circle, path: str) -> None:
    """Whose answer was lost the first time is gone at the second."""
    if circle.client.find(path) is not None:
        circle.client.delete(path)


async def _fire_and_end(circle: Circle, done: Done) -> None:
    """An alert each round, of one of a hundred."""
    headers = {"Authorization": f"Bearer {circle.installation.token}"}
    async with httpx.AsyncClient(base_url=circle.installation.url, headers=headers) as client:
        while True:
            labels = {"alertname": "Soaking", "instance": str(done.alerts % 100)}
            alert = {"labels": labels, "endsAt": _rfc3339(time.time() + 3.0)}
            (await client.post("/api/v2/alerts", json=[alert])).raise_for_status()
            done.alerts += 1
            await asyncio.sleep(ROUND_SECONDS)


async def _start_anew(circle: Circle, done: Done) -> None:
    """The second agent and NATS, in turn."""
    while True:
        await asyncio.sleep(ANEW_SECONDS)
        os.kill(server(circle, "nats-server"), signal.SIGKILL)
        done.nats_anew += 1
        await asyncio.sleep(ANEW_SECONDS)
        await circle.programs["west"].stop()
        await circle.start_agent("west")
        done.agents_anew += 1


async def _while_away(ask: Callable[[], object]) -> None:
    """Again, while the API cannot be reached or cannot answer."""
    await eventually("the API takes it", ask, lambda _: True)


def _rfc3339(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
