"""NATS is taken away under load: killed, with its store, set back to an hour ago, without room on its disk.

Holds up promise 1 (what was accepted before, meanwhile and after is carried out, and told of), promise 3,
promise 6 (what runs goes on), and promise 9.
"""

import asyncio
import shutil

import pytest

from tests.crash.fire import UnderFire

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.promise(1, 4, 6)
async def test_nats_killed(fire: UnderFire) -> None:
    async with fire.fault() as load:
        fire.nats.kill()
        await asyncio.sleep(1)
        await load.goes_on()
        await fire.nats.start()


@pytest.mark.promise(1, 4, 6, 9)
async def test_nats_with_its_store_wiped(fire: UnderFire) -> None:
    async with fire.fault() as load:
        fire.nats.kill()
        for lost in ("jetstream", "accounts"):
            shutil.rmtree(fire.nats.folder / lost)
        await load.goes_on()
        await fire.nats.start()
