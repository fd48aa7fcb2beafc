"""`python -m tests.upgrades.side_by_side COMMIT`: that commit's release and this one, one beside the other.

Real processes on one Postgres and one NATS, under load: writes, alerts, two clusters. By hand, in a checkout
with its history: it needs `git archive` of COMMIT. One to three minutes.

1. The older release alone, agents of it.
2. This one starts beside it, and migrates the database; the older one goes on leading.
3. Leadership goes to this one, back to the older one, and to this one again; each time the one that left
   starts anew beside the other.
4. An agent of this release under an older leader, and one of the older under this one; then both of this one.

After each step the next one decides, and goes on. At the end: nothing that was accepted is lost, nothing is
doubled, each alert is told of, no order is followed by an older one, and no report was set aside.
"""

import asyncio
import io
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from tests.circle import eventually
from tests.crash.client_load import ClientLoad
from tests.crash.replicas import CLUSTERS, Replicas, running_replicas
from tests.crash.test_leaders import QUOTA

HERE = Path(__file__).parents[2]
ALL = "deciding,alerting,api"
OLDER, THIS = "older", "this"
QUICK = (
    *("--beat-seconds", "0.5", "--report-seconds", "0.1", "--lease-seconds", "1", "--tick-seconds", "0.1"),
    *("--ready-seconds", "0.4", "--termination-seconds", "0.2"),
)
"""What agents of both releases take."""


def unpacked(commit: str, folder: Path) -> Path:
    archive = subprocess.run(["git", "archive", commit], cwd=HERE, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


async def leads(replicas: Replicas, name: str, what: str) -> None:
    began = time.monotonic()
    await eventually(f"{name} leads", replicas.leader, lambda found: found is not None and found.name == name)
    print(f"{what}: {name} leads after {time.monotonic() - began:.1f} s", flush=True)


async def handed_over(replicas: Replicas, load: ClientLoad, to: str) -> None:
    """The other one stops, as an update stops it, and starts anew beside its successor."""
    leaving = next(name for name in replicas.centres if name != to)
    epoch, began = await replicas.epoch(), time.monotonic()
    process = replicas.centres[leaving].process
    assert process is not None
    await process.stop()
    stopped = time.monotonic() - began
    await leads(replicas, to, f"{leaving} stopped within {stopped:.1f} s")
    took = await replicas.seconds_until_decided(began, epoch)
    print(f"  the next decision {took:.1f} s after it was told to stop", flush=True)
    await replicas.start(leaving)
    await ready(replicas, leaving)
    await load.goes_on()


async def migrated(replicas: Replicas) -> str:
    (row,) = await replicas.rows("select name from migration order by number desc limit 1")
    return row["name"]


async def ready(replicas: Replicas, name: str) -> None:
    url = replicas.centres[name].url
    await eventually(f"{name} is ready", lambda: replicas.answer(url, "/readyz"), lambda seen: seen[0] == 200)


async def agent_of(replicas: Replicas, load: ClientLoad, cluster: str, release: Path) -> None:
    await replicas.installation.stop_agent(cluster)
    replicas.releases[cluster] = release
    await replicas.start_agent(cluster, CLUSTERS.index(cluster))
    await clusters_are_ready(replicas)
    await load.goes_on()
    found = await replicas.until_led()
    print(f"{cluster}: its agent is of {release.name}, {found.name} leads", flush=True)


async def clusters_are_ready(replicas: Replicas) -> None:
    for cluster in CLUSTERS:
        await eventually(
            f"{cluster} is ready",
            lambda cluster=cluster: replicas.answer(replicas.urls[0], f"/api/v1/clusters/{cluster}"),
            lambda seen: seen[0] == 200 and seen[1]["status"] == "Ready",
        )


async def walk(older: Path, this: Path) -> None:
    releases = {OLDER: older, THIS: this} | dict.fromkeys(CLUSTERS, older)
    async with running_replicas({OLDER: ALL}, releases=releases, quick=QUICK) as replicas:
        for manifest in QUOTA:
            await replicas.put(manifest)
        await clusters_are_ready(replicas)
        replicas.add(THIS, ALL)
        load = ClientLoad(replicas)
        async with load.running():
            print(f"the database is at {await migrated(replicas)}")
            await replicas.start(THIS)
            await ready(replicas, THIS)
            print(f"and, this one beside it, at {await migrated(replicas)}")
            await load.goes_on()
            await leads(replicas, OLDER, "this one started beside it")
            await handed_over(replicas, load, THIS)
            await handed_over(replicas, load, OLDER)
            await agent_of(replicas, load, CLUSTERS[0], this)
            await handed_over(replicas, load, THIS)
            await agent_of(replicas, load, CLUSTERS[1], this)
        await replicas.whole()
        await load.all_is_found()
        await replicas.nothing_is_doubled()
        twice = load.told_twice()
        assert all(len(set(keys)) == 1 for keys in twice.values()), twice
        letters = await replicas.rows("select subject, reason from dead_letter")
        assert not letters, letters
        print(
            f"{len(load.accepted)} workloads, {len(load.alerts)} alerts, {len(load.failed)} requests failed"
        )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="muster-releases-") as folder:
        older, this = (Path(folder) / name for name in (OLDER, THIS))
        asyncio.run(walk(unpacked(sys.argv[1], older), unpacked("HEAD", this)))


if __name__ == "__main__":
    main()
