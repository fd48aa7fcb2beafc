"""No room is left, under load: on the disk of an agent's spool, and on that of JetStream.

Holds up promise 1 (what is answered 200 is on a disk that had room; else 503, and the sender has it still),
promise 4 and promise 6. The disks are small tmpfs, filled to the last byte.
"""

import pytest

from tests.circle import eventually
from tests.crash.fire import CLUSTERS, UnderFire
from tests.crash.load import Load

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

NORTH, SOUTH = CLUSTERS


@pytest.fixture
def disks(fire: UnderFire) -> UnderFire:
    if fire.why_no_disks:
        pytest.skip(fire.why_no_disks)
    return fire


@pytest.mark.promise(1, 4, 6)
async def test_the_disk_of_the_spool_is_full(disks: UnderFire) -> None:
    """What waits there is committed and leaves it all the same; orders and beats need no room."""
    fire, circle = disks, disks.circle
    agent = circle.programs[NORTH].pid
    async with fire.fault() as load:
        circle.ways[NORTH].cut()
        await eventually("alerts wait", lambda: circle.spooled(NORTH), lambda depth: depth >= 5)
        fire.disks[NORTH].fill()
        await until_refused(load, NORTH)
        circle.ways[NORTH].mend()
        await eventually("they are committed", lambda: circle.spooled(NORTH), lambda depth: depth <= 1)
        assert circle.programs[NORTH].pid == agent
        assert circle.programs[NORTH].running

        await circle.programs[NORTH].stop()
        fire.disks[NORTH].fill()
        await circle.start_agent(NORTH)
        await circle.until_ready(NORTH)
        await load.all_carried_out()
        fire.disks[NORTH].empty()


@pytest.mark.promise(1, 4, 6)
async def test_the_disk_of_jetstream_is_full(disks: UnderFire) -> None:
    """NATS gives JetStream up for good: there has to be room, and then a restart."""
    fire = disks
    async with fire.fault() as load:
        fire.disks["nats"].fill()
        await load.goes_on()
        await load.goes_on()
        fire.disks["nats"].empty()
        fire.nats.kill()
        await fire.nats.start()


async def until_refused(load: Load, door: str) -> None:
    before = load.refused.get(door, 0)
    await eventually(f"{door} has no room", lambda: load.refused.get(door, 0), lambda now: now > before)
