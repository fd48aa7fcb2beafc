"""One seed, from the first moment until all has come together."""

import gc
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tests.simulation.convergence import differences
from tests.simulation.quota_script import script_of
from tests.simulation.script import Script
from tests.simulation.trace import Trace
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.world import World

STEPS = 40
LONGEST_STEP_SECONDS = 4.5
CONVERGE_SECONDS = 300.0
LOOK_SECONDS = 5.0
STILL_LOOKS = 3
SHOWN_LINES = 40
SEEDS = Path(__file__).with_name("seeds.txt")


class SeedFailed(AssertionError):
    """The text shows the seed, what went wrong, and the last lines of the trace."""


@dataclass(frozen=True)
class Passed:
    """converged_seconds: virtual, after the last fault. moved: copies in lost clusters placed again.

    digest: of the trace. told: messages of alerts that were taken.
    """

    seed: int
    converged_seconds: float
    digest: str
    moved: int = 0
    told: int = 0


def remembered_seeds() -> list[int]:
    """Seeds that have once found something: always run first."""
    lines = (line.partition("#")[0].strip() for line in SEEDS.read_text().splitlines())
    return [int(line) for line in lines if line]


Drive = Callable[[Script], Awaitable[None]]
"""Plays the events of a world, until the faults stop."""


def run_seed(seed: int, *, faults: bool = True, quota: bool = False, out: TextIO | None = None) -> Passed:
    """quota: tenants have some, and it is changed. Raises SeedFailed."""
    again = f"python -m tests.simulation --seed {seed} --trace{' --quota' if quota else ''}"
    return _run(seed, _by_seed, again, faults=faults, quota=quota, out=out)


def run_commands(seed: int, commands: Sequence[tuple[float, str]], *, quota: bool = False) -> Passed:
    """commands: (seconds before it, name of an event). Raises SeedFailed."""

    async def by_commands(script: Script) -> None:
        for seconds, name in commands:
            await script.world.step(seconds)
            await script.play(name)

    return _run(seed, by_commands, f"run_commands({seed}, {commands}, quota={quota})", quota=quota)


async def _by_seed(script: Script) -> None:
    for _ in range(STEPS):
        await script.world.step(script.world.random.uniform(0.2, LONGEST_STEP_SECONDS))
        await script.next_event()


def _run(
    seed: int,
    drive: Drive,
    again: str,
    *,
    faults: bool = True,
    quota: bool = False,
    out: TextIO | None = None,
) -> Passed:
    trace = Trace(out)
    loop = VirtualLoop()
    # A collection in the middle would end forgotten generators at a moment that no seed decides.
    gc.disable()
    try:
        with trace.capture_logs(), tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
            live = _live(seed, trace, Path(folder), drive, faults=faults, quota=quota)
            converged, moved, told = loop.run_to_end(live)
    except Exception as error:
        last = "\n".join(list(trace.lines)[-SHOWN_LINES:])
        raise SeedFailed(f"seed {seed}: {type(error).__name__}: {error}\n{last}\nagain: {again}") from error
    finally:
        gc.enable()
    return Passed(seed, converged, trace.digest, moved, told)


def _fast_folder() -> str | None:
    """Spools sync at every alert; on a disk that would be most of the time."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


async def _live(
    seed: int, trace: Trace, folder: Path, drive: Drive, *, faults: bool, quota: bool
) -> tuple[float, int, int]:
    world = World(seed, trace, folder, with_quota=quota)
    try:
        script = script_of(world, faults=faults)
        await script.begin()
        await world.begin()
        await drive(script)
        trace.say("FAULTS STOP")
        world.quota.somebody_acts()
        await world.heal()
        if any(agent.spool is not None and agent.spool.depth for agent in world.others()):
            await world.hand_over(1)
            await _converge(world)
        await world.hand_over(0)
        return await _converge(world), len(world.failovers.moved), world.hearing.told
    finally:
        await world.close()


async def _converge(world: World) -> float:
    """Seconds until nothing differed any more, and it stayed so for STILL_LOOKS looks."""
    seconds, since, still = 0.0, 0.0, 0
    while still < STILL_LOOKS:
        if found := differences(world):
            still = 0
            if seconds >= CONVERGE_SECONDS:
                raise AssertionError(f"not come together after {seconds:.0f} s:\n  " + "\n  ".join(found))
        else:
            since = since if still else seconds
            still += 1
        await world.release()
        await world.step(LOOK_SECONDS)
        seconds += LOOK_SECONDS
    return since
