"""The centre's database is replaced by an older copy of itself; streams and clusters stay as they are.

Holds up promise 2 (what is known to run is charged, and nobody is let in beyond the quota), promise 3 (no
agent carries out an older order than it has recorded, also after a restore) and promise 9 (what a restored
database does not know is not removed: absence never deletes).
"""

import subprocess
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from schemas.wire.orders import Version
from tests.circle import UNEQUAL, Circle, Object, deployment, eventually, only, running_circle, workload

CLUSTER = "lone"
KEPT, LATER = "kept", "later"
OWNER, QUOTA_MILLIS = "team", 300
"""So much that besides what was there when the copy was taken one more pod has room."""


@dataclass(frozen=True)
class Restored:
    """held: by the agent, per workload. pods: uid to phase, per namespace. published: sequence of ORDERS."""

    circle: Circle
    uids: dict[str, str]
    held: dict[str, Version]
    pods: dict[str, dict[str, str]]
    published: int


def copy_folder(source: Path, target: Path) -> None:
    """With its owner: Postgres may run as another account."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True, timeout=60)


def granted() -> tuple[Object, Object]:
    cpu = {"name": "cpu", "nominalQuota": f"{QUOTA_MILLIS}m"}
    quota = {"uncovered": "Allow", "flavors": [{"name": "restored", "resources": [cpu]}]}
    spec = {"namespaces": [KEPT, LATER, "fresh", "more"], "quota": quota}
    return manifest("Flavor", "restored", {}), manifest("Tenant", OWNER, spec)


def manifest(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": "muster.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def owned(name: str, pods: int, *image: str) -> Object:
    made = workload(name, deployment(name, name, pods, *image), **only(CLUSTER))
    made["spec"]["tenant"] = OWNER
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def restored() -> AsyncGenerator[Restored]:
    """After the copy was taken a workload was changed, and another one made.

    The tests share it in the order in which they stand: what is so before a recovery, and what after it.
    """
    async with running_circle() as circle:
        data, copy = circle.home / "postgres" / "data", circle.home / "postgres" / "copy"
        await circle.join(CLUSTER, ["--simulate", "edge"])
        for manifest in granted():
            circle.apply(manifest)
        circle.apply(owned(KEPT, 2))
        uids = {KEPT: (await circle.until_running(KEPT))["status"]["uid"]}
        await circle.programs["centre"].stop()
        copy_folder(data, copy)

        await circle.start_centre()
        await circle.until_ready(CLUSTER)
        circle.apply(owned(KEPT, 2, "registry.example/web:2"))
        circle.apply(workload(LATER, deployment(LATER, LATER, 2)))
        await circle.until_running(KEPT, revision=2)
        uids[LATER] = (await circle.until_running(LATER))["status"]["uid"]
        held = {name: circle.recorded(CLUSTER, uid) for name, uid in uids.items()}
        pods = {name: circle.pods(CLUSTER, name) for name in uids}
        published = await circle.orders_published()

        await circle.programs["centre"].stop()
        data.rename(circle.home / "postgres" / "lost")
        copy.rename(data)
        await circle.start_centre()
        await eventually(
            "the agent is found ahead",
            lambda: circle.cluster(CLUSTER),
            lambda row: row["status"] == "AgentAhead",
        )
        yield Restored(circle, uids, held, pods, published)


@pytest.mark.promise(3, 9)
async def test_a_restored_database_sends_nothing_and_removes_nothing_until_it_is_recovered(
    restored: Restored,
) -> None:
    circle = restored.circle
    assert "muster recover" in circle.cluster(CLUSTER)["message"]
    circle.apply(owned("fresh", 1))
    await eventually(
        "it is decided that there is no place",
        lambda: circle.workload("fresh")["status"],
        lambda status: status["state"] == "Unplaced",
    )
    (verdict,) = circle.client.get("/workloads/fresh/explain").body["clusters"]
    assert [reason["reason"] for reason in verdict["reasons"]] == ["AgentAhead"]
    assert circle.client.find(f"/workloads/{LATER}") is None, "the copy is of before"
    heard = circle.cluster(CLUSTER)["heard_at"]
    await eventually("more beats", lambda: circle.cluster(CLUSTER)["heard_at"], lambda at: at > heard + 2)

    assert await circle.orders_published() == restored.published
    assert_all_runs(restored)
    for name, uid in restored.uids.items():
        assert circle.recorded(CLUSTER, uid) == restored.held[name]


@pytest.mark.promise(3, 9)
async def test_recovery_goes_on_above_what_the_agent_holds_and_removes_nothing(restored: Restored) -> None:
    circle = restored.circle
    circle.client.post(f"/clusters/{CLUSTER}/recover", {})
    await circle.until_ready(CLUSTER)
    circle.apply(owned("fresh", 1))
    await circle.until_running("fresh")
    anew = await eventually(
        f"{KEPT} is ordered anew",
        lambda: circle.recorded(CLUSTER, restored.uids[KEPT]),
        lambda version: version > max(restored.held.values()),
    )
    running = await circle.until_running(KEPT)
    assert running["placements"][0]["version"] == [anew.epoch, anew.generation]
    assert circle.pods(CLUSTER, LATER) == restored.pods[LATER], "what the database does not know runs on"
    assert circle.recorded(CLUSTER, restored.uids[LATER]) == restored.held[LATER]


@pytest.mark.promise(2)
async def test_what_was_restored_is_charged_and_nobody_is_let_in_beyond_the_quota(restored: Restored) -> None:
    circle = restored.circle
    assert await circle.rows(UNEQUAL) == []
    rows = await circle.rows("select workload, amount::int from balance where resource = 'cpu' and not drift")
    charged = {row["workload"]: row["amount"] for row in rows}
    assert charged[restored.uids[KEPT]] >= 100 * len(circle.pods(CLUSTER, KEPT))
    assert sum(charged.values()) == QUOTA_MILLIS
    circle.apply(owned("more", 1))
    await eventually(
        "it waits for quota",
        lambda: circle.workload("more")["status"]["reason"],
        lambda reason: reason == "QuotaExceeded",
    )


def assert_all_runs(restored: Restored) -> None:
    for name, pods in restored.pods.items():
        assert restored.circle.pods(CLUSTER, name) == pods
        made = restored.circle.objects(CLUSTER, "deployments", name)[name]
        image = "registry.example/web:2" if name == KEPT else "registry.example/web:1"
        assert made["spec"]["template"]["spec"]["containers"][0]["image"] == image
