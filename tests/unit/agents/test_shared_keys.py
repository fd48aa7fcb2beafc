"""Replicas of an agent share keys and membership through a Secret."""

import asyncio
import base64
from pathlib import Path

import msgspec
import pytest

from agents.joining import KEYS, MEMBERSHIP, CannotJoin, Membership, StateFolder, known_membership, own_keys
from agents.shared_keys import SharedSecret
from agents.simulated import SimulatedCluster
from schemas.wire.orders import ObjectRef

SECRET = ObjectRef("v1", "Secret", "muster-system", "muster-agent-keys")
MEMBER = Membership("C1", "jwt", ["nats://127.0.0.1:1"], "key", "muster", cluster_uid="uid-1")


@pytest.fixture
def cluster(tmp_path: Path):
    held = SimulatedCluster(tmp_path / "cluster.sqlite", "edge", 1)
    yield held
    held.close()


async def test_of_replicas_that_start_at_once_one_makes_the_keys(cluster: SimulatedCluster) -> None:
    replicas = [SharedSecret(cluster, SECRET.name) for _ in range(4)]
    keys = await asyncio.gather(*(own_keys(each) for each in replicas))
    assert len(set(keys)) == 1
    stored = await cluster.get(SECRET)
    assert stored is not None
    assert base64.b64decode(stored["data"][KEYS]) == msgspec.json.encode(keys[0])


async def test_what_one_kept_is_not_written_over(cluster: SimulatedCluster) -> None:
    one, other = SharedSecret(cluster, SECRET.name), SharedSecret(cluster, SECRET.name)
    keys = await own_keys(one)
    assert await one.keep(MEMBERSHIP, msgspec.json.encode(MEMBER)) == msgspec.json.encode(MEMBER)
    assert await other.keep(MEMBERSHIP, b"another") == msgspec.json.encode(MEMBER)
    assert await known_membership(other, "uid-1") == MEMBER
    assert await own_keys(other) == keys, "both stay in it"


async def test_a_secret_of_another_cluster_is_refused_by_name(cluster: SimulatedCluster) -> None:
    shared = SharedSecret(cluster, SECRET.name)
    await shared.keep(MEMBERSHIP, msgspec.json.encode(MEMBER))
    with pytest.raises(CannotJoin, match=r"Secret muster-system/muster-agent-keys: data.*uid-1"):
        await known_membership(shared, "uid-2")


async def test_a_folder_keeps_them_for_one_process(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    keys = await own_keys(folder)
    assert await own_keys(StateFolder(tmp_path / "state")) == keys
    assert await known_membership(folder, "uid-1") is None
    (tmp_path / "state" / KEYS).chmod(0o644)
    with pytest.raises(CannotJoin, match="chmod 600"):
        await own_keys(folder)
