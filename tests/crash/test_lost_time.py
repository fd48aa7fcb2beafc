"""Time is not what it seems, under load: a cluster is cut off for an hour, and clocks are ten minutes off.

Holds up promise 1 (what was accepted meanwhile arrives), 4 (what fires is told of as firing), 6
(what runs goes on) and promise 9 (an hour of silence removes nothing).

The hour is played: the way is cut for seconds, while the time of day of the centre and of the agent, which
began an hour behind, is set to the machine's (libfaketime, see clocks.py). Timers run on; what is counted by
the time of day (how long a cluster was silent, and an alert was held) comes to an hour.
"""

import time
from datetime import UTC, datetime

import httpx
import pytest

from tests.circle import eventually
from tests.crash.fire import CLUSTERS, STEADY, UnderFire
from tests.crash.load import alert

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

NORTH, SOUTH = CLUSTERS
HOUR, TEN_MINUTES = 3600, 600
VALID_SECONDS = 240
"""As Prometheus says of what fires: four evaluations of a minute."""


@pytest.fixture
def clocks(fire: UnderFire) -> UnderFire:
    if fire.circle.clocks is None:
        pytest.skip(fire.circle.why_no_clocks)
    return fire


def set_clocks(fire: UnderFire, **seconds: int) -> None:
    """By program."""
    assert fire.circle.clocks is not None
    for program, off in seconds.items():
        fire.circle.clocks.set_off(program, off)


async def begin_anew(fire: UnderFire, *programs: str) -> None:
    """A clock that was set back slows down; a process that begins believes it at once."""
    for program in programs:
        await fire.circle.programs[program].stop()
        await (fire.circle.start_centre() if program == "centre" else fire.circle.start_agent(program))
    await fire.circle.until_ready(*CLUSTERS)


@pytest.mark.promise(1, 4, 6, 9)
async def test_a_cluster_cut_off_for_an_hour(clocks: UnderFire) -> None:
    fire, circle = clocks, clocks.circle
    set_clocks(fire, centre=-HOUR, north=-HOUR, south=-HOUR)
    await begin_anew(fire, "centre", *CLUSTERS)
    before = circle.workload(STEADY)["status"]["clusters"]
    async with fire.fault() as load:
        circle.ways[NORTH].cut()
        await load.goes_on()
        set_clocks(fire, centre=0, north=0, south=0)
        await post(circle.doors[NORTH], fires("cut-off", time.time()))
        await eventually(
            "it is missed", lambda: circle.cluster(NORTH), lambda row: row["status"] == "ClusterUnknown"
        )
        circle.ways[NORTH].mend()
        await until_told(fire, "cut-off", "firing")
    assert circle.workload(STEADY)["status"]["clusters"] == before, "nothing was placed again"


@pytest.mark.promise(1, 4, 6)
@pytest.mark.parametrize("off", [-TEN_MINUTES, TEN_MINUTES])
async def test_the_clock_of_a_cluster_is_ten_minutes_off(clocks: UnderFire, off: int) -> None:
    """While it runs, so that it is set, and set again; its Prometheus goes by it, too."""
    fire, name = clocks, f"cluster-off-{off:+d}"
    async with fire.fault():
        set_clocks(fire, north=off)
        await post(fire.circle.doors[NORTH], fires(name, time.time() + off))
        await until_told(fire, name, "firing")
        set_clocks(fire, north=0)
        await post(fire.circle.doors[NORTH], ended(name, time.time()))
        await until_told(fire, name, "resolved")
    heard = fire.circle.cluster(NORTH)["heard_at"]
    await eventually("it beats", lambda: fire.circle.cluster(NORTH)["heard_at"], lambda at: at > heard)


@pytest.mark.promise(1, 4, 6, 9)
@pytest.mark.parametrize("off", [-TEN_MINUTES, TEN_MINUTES])
async def test_the_clock_of_the_centre_is_ten_minutes_off(clocks: UnderFire, off: int) -> None:
    """What the clusters say of time is as good as ever; all of them seem silent, and none is given up."""
    fire, name = clocks, f"centre-off-{off:+d}"
    before = fire.circle.workload(STEADY)["status"]["clusters"]
    async with fire.fault():
        set_clocks(fire, centre=off)
        await post(fire.circle.doors[NORTH], fires(name, time.time()))
        await until_told(fire, name, "firing")
        await post(fire.circle.doors[NORTH], ended(name, time.time()))
        if off < 0:
            # It has not ended yet, by a clock that is behind: that is told late, by no more than it is off.
            set_clocks(fire, centre=0)
        await until_told(fire, name, "resolved")
    set_clocks(fire, centre=0)
    assert fire.circle.workload(STEADY)["status"]["clusters"] == before, "nothing was placed again"


def fires(name: str, now: float) -> dict[str, object]:
    return alert(name, startsAt=stamp(now - 5), endsAt=stamp(now + VALID_SECONDS))


def ended(name: str, now: float) -> dict[str, object]:
    return alert(name, startsAt=stamp(now - 60), endsAt=stamp(now - 1))


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


async def post(door: str, reported: dict[str, object]) -> None:
    async with httpx.AsyncClient(timeout=10.0) as client:
        answer = await client.post(f"{door}/api/v2/alerts", json=[reported])
        assert answer.status_code == 200, answer.text


async def until_told(fire: UnderFire, name: str, status: str) -> None:
    def told() -> set[str]:
        alerts = (each for message in fire.webhook.messages for each in message.body["alerts"])
        return {each["status"] for each in alerts if each["labels"].get("instance") == name}

    await eventually(f"{name} is told of as {status}", told, lambda seen: status in seen)
