"""A tick of the simulated cluster costs what changed, and remembers nothing that makes a difference."""

import asyncio
import sqlite3
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import msgspec
import pytest

from agents.ports import Gone, KubeError
from agents.simulated import SimulatedCluster
from agents.simulation.kubelets import Pace
from agents.simulation.networks import NETWORKS
from agents.simulation.state import HISTORY_SECONDS
from schemas.wire.orders import ObjectRef

PACE = Pace(eviction_seconds=8.0, job_seconds=5.0)
KINDS = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1"}
ALL_KINDS = (*KINDS, "ReplicaSet", "Pod", "Node")
BELOW = {"cloud": (), "datacentre": ("NodeResourceTopology", "IPPool")}
SPECIAL: tuple[dict[str, Any], ...] = ({}, {}, {"runtimeClassName": "kata"}, {"runtimeClassName": "missing"})


def workload(
    kind: str, name: str, replicas: int, cpu: str, image: str = "web:1", networks: str = "", **special: Any
) -> dict[str, Any]:
    labels, asked = {"app": name}, {"cpu": cpu, "memory": "1Gi"}
    container = {"name": "main", "image": image, "resources": {"requests": asked, "limits": asked}}
    metadata: dict[str, Any] = {"labels": labels, "annotations": {NETWORKS: networks} if networks else {}}
    spec: dict[str, Any] = {
        "template": {"metadata": metadata, "spec": {"containers": [container], **special}}
    }
    if kind != "Job":
        spec["selector"] = {"matchLabels": labels}
    if kind in ("Deployment", "StatefulSet"):
        spec["replicas"] = replicas
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": KINDS[kind], "kind": kind, "metadata": metadata, "spec": spec}


def disturb(cluster: SimulatedCluster, random: Random) -> None:
    """One thing that people, failures or autoscalers do."""
    nodes = [node["metadata"]["name"] for node in cluster.objects("Node")]
    node, pod = random.choice(nodes), random.choice(cluster.objects("Pod"))["metadata"]
    kind = random.choice(list(KINDS))
    name = f"{kind.lower()}-{random.randrange(3)}"
    cpu, image = random.choice(("100m", "2000m", "16000m")), f"web:{random.randrange(2)}"
    match random.randrange(10):
        case 0 | 1 | 2:
            networks, special = random.choice(("", "sriov-data")), random.choice(SPECIAL)
            wanted = workload(kind, name, random.randrange(9), cpu, image, networks, **special)
            cluster.put_as("people", wanted)
        case 3:
            cluster.remove(ObjectRef(KINDS[kind], kind, "default", name))
        case 4:
            cluster.node_down(node)
        case 5 | 6:
            cluster.node_up(node)
        case 7:
            cluster.change_node(node, lambda body: body["status"]["allocatable"].update(cpu=cpu))
        case 8:
            cluster.crash_pod(pod["namespace"], pod["name"], for_good=random.random() < 0.5)
        case _:
            ref = ObjectRef("v1", "Node", "", node) if len(nodes) > 3 else None
            cluster.remove(ref or ObjectRef("v1", "Pod", pod["namespace"], pod["name"]))


@contextmanager
def reopened(path: Path, make: str, seed: int) -> Generator[SimulatedCluster]:
    """The same cluster in a process that has seen nothing of it."""
    copied = path.with_suffix(".copy")
    copied.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copied)) as target:
        source.backup(target)
    cluster = SimulatedCluster(copied, make, seed, nodes=5, pace=PACE)
    yield cluster
    cluster.close()


@pytest.mark.parametrize(
    ("make", "seed"), [("cloud", seed) for seed in range(6)] + [("datacentre", 6), ("datacentre", 7)]
)
def test_a_cluster_that_remembers_does_what_one_does_that_looks_at_everything(
    tmp_path: Path, make: str, seed: int
) -> None:
    random, now = Random(seed), 1000.0
    path = tmp_path / "cluster.sqlite"
    cluster = SimulatedCluster(path, make, seed, nodes=5, pace=PACE)
    for _ in range(80):
        now += random.choice((0.1, 0.5, 2.0))
        if random.random() < 0.5:
            try:
                disturb(cluster, random)
            except KubeError:
                continue
        with reopened(path, make, seed) as fresh:
            fresh.tick(now)
            cluster.tick(now)
            for kind in (*ALL_KINDS, *BELOW[make]):
                assert cluster.objects(kind) == fresh.objects(kind), f"at {now}"
    cluster.close()


def calls_of_an_idle_tick(replicas: int) -> int:
    """Half of the pods run, the others fit nowhere."""
    cluster = SimulatedCluster(nodes=5)
    cluster.put_as("people", workload("Deployment", "runs", replicas, "10m"))
    cluster.put_as("people", workload("Deployment", "waits", replicas, "9000"))
    for second in range(8):
        cluster.tick(1000.0 + second)
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    cluster.tick(1010.0)
    sys.setprofile(None)
    cluster.close()
    return calls


def test_a_tick_in_which_nothing_changed_costs_the_same_however_many_pods_there_are() -> None:
    assert calls_of_an_idle_tick(replicas=150) == calls_of_an_idle_tick(replicas=3) < 200


async def test_what_happened_minutes_ago_is_forgotten_and_a_quiet_watch_is_told_in_time() -> None:
    """As of a real API server; kept by number alone it would grow for a quarter of an hour."""
    cluster = SimulatedCluster(nodes=3, pace=PACE)
    (nodes,) = [each for each in await cluster.served() if each.kind == "Node"]
    cluster.tick(1000.0)
    began = str(msgspec.json.decode(await anext(cluster.list(nodes)))["metadata"]["resourceVersion"])
    told: list[dict[str, Any]] = []

    async def follow(version: str) -> None:
        async for line in cluster.watch(nodes, version):
            told.append(msgspec.json.decode(line))

    quiet = asyncio.create_task(follow(began))
    for second in range(int(3 * HISTORY_SECONDS)):
        cluster.put_as("people", workload("Deployment", "scaled", second % 3, "10m"))
        cluster.tick(1001.0 + second)
        await asyncio.sleep(0)
    cluster.close_watches()
    await quiet
    assert {each["type"] for each in told} == {"BOOKMARK"}
    with pytest.raises(Gone):
        await follow(began)
    again = asyncio.create_task(follow(told[-1]["object"]["metadata"]["resourceVersion"]))
    await asyncio.sleep(0)
    cluster.close_watches()
    await again
    cluster.close()
