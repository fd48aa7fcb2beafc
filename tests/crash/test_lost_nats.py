"""NATS is taken away under load: killed, with its store, set back to an hour ago, without room on its disk.

Holds up promise 1 (what was accepted before, meanwhile and after is carried out, and told of), promise 3 (set
back, it offers older orders, and no agent takes one), promise 6 (what runs goes on), and promise 9.
"""

import shutil
from functools import partial
from pathlib import Path

import pytest

from controlplane.embedded import EmbeddedNats
from schemas.wire.orders import ObjectRef
from tests.circle import Object, config_map, eventually, only, workload
from tests.crash.fire import CLUSTERS, UnderFire

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

STORE = ("jetstream", "accounts")
HELD = "held"


@pytest.mark.promise(1, 4, 6)
async def test_nats_killed(fire: UnderFire) -> None:
    async with fire.fault() as load:
        fire.nats.kill()
        await load.goes_on()
        await fire.nats.start()


@pytest.mark.promise(1, 4, 6, 9)
async def test_nats_with_its_store_wiped(fire: UnderFire) -> None:
    await until_held(fire)
    async with fire.fault() as load:
        fire.nats.kill()
        wipe(fire.nats)
        await load.goes_on()
        await fire.nats.start()
    await still_held_to(fire)


@pytest.mark.promise(1, 3, 4, 9)
async def test_nats_restored_from_an_hour_ago(fire: UnderFire) -> None:
    """What it had forgotten by then is younger than the copy; the streams are the same, and shorter."""
    copy = fire.nats.folder / "copy"
    async with fire.fault() as load:
        fire.nats.kill()
        copy_store(fire.nats.folder, copy)
        await fire.nats.start()
        await load.goes_on()
        await until_held(fire, "2")
        recorded = versions(fire)
        fire.nats.kill()
        wipe(fire.nats)
        copy_store(copy, fire.nats.folder)
        await fire.nats.start()
        await load.goes_on()
    held = versions(fire)
    assert all(held[key] >= version for key, version in recorded.items() if key in held), "no agent went back"
    await still_held_to(fire, "2")


def wipe(nats: EmbeddedNats) -> None:
    # Its folders stay: one of them may be a disk of its own.
    for name in STORE:
        for each in (nats.folder / name).iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()


def copy_store(source: Path, target: Path) -> None:
    for name in STORE:
        shutil.copytree(source / name, target / name, dirs_exist_ok=True)


def versions(fire: UnderFire) -> dict[tuple[str, str], tuple[int, int]]:
    """What each agent has recorded, by cluster and record."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for cluster in CLUSTERS:
        for name, record in fire.circle.objects(cluster, "configmaps", "muster-system").items():
            if version := record["data"].get("version"):
                epoch, _, generation = version.partition(".")
                found[cluster, name] = int(epoch), int(generation)
    return found


async def until_held(fire: UnderFire, value: str = "1") -> None:
    """A workload that was carried out long before."""
    made = workload(HELD, config_map(HELD, HELD, value=value), **only(CLUSTERS[0]))
    revision = fire.circle.apply(made)["status"]["revision"]
    await fire.circle.until_running(HELD, revision)


async def still_held_to(fire: UnderFire, value: str = "1") -> None:
    """The agent begins anew, and what somebody removed meanwhile is made again: its order is still there."""
    cluster = CLUSTERS[0]
    await fire.circle.delete_by_hand(cluster, ObjectRef("v1", "ConfigMap", HELD, HELD))
    await fire.circle.until_ready(cluster)

    def found() -> Object:
        return fire.circle.objects(cluster, "configmaps", HELD).get(HELD, {}).get("data", {})

    await eventually("what was ordered is put right", found, partial(Object.__eq__, {"value": value}))
