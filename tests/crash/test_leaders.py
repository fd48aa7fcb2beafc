"""Three centres on one NATS and one Postgres, under load; the one that leads fails in every way.

Holds up promise 1 (nothing accepted is lost), 2 (charged once), 3 (no order is followed by an older one) and
4 (each alert is told of, and twice only with one key). The next one decides within five seconds.
"""

import asyncio
import operator
import time
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import asynccontextmanager
from itertools import zip_longest
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio

from tests.circle import deployment, eventually, only, workload
from tests.crash.client_load import TENANT, ClientLoad
from tests.crash.replicas import CLUSTERS, Replica, Replicas, running_replicas

pytestmark = pytest.mark.asyncio(loop_scope="module")

DECIDES_WITHIN_SECONDS = 5.0
NAMES = ("a", "b", "c")
ALL = "deciding,alerting,api"
AMOUNTS = [{"name": "cpu", "nominalQuota": 1000}, {"name": "memory", "nominalQuota": "1000Gi"}]
QUOTA = (
    {"apiVersion": "muster.dev/v1", "kind": "Flavor", "metadata": {"name": "default"}, "spec": {}},
    {
        "apiVersion": "muster.dev/v1",
        "kind": "Tenant",
        "metadata": {"name": TENANT},
        "spec": {
            "namespaces": [f"{TENANT}*"],
            "quota": {"flavors": [{"name": "default", "resources": AMOUNTS}]},
        },
    },
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncGenerator[Replicas]:
    async with running_replicas(dict.fromkeys(NAMES, ALL)) as replicas:
        for manifest in QUOTA:
            await replicas.put(manifest)
        for cluster in CLUSTERS:
            await eventually(
                f"{cluster} is ready",
                lambda cluster=cluster: replicas.answer(replicas.urls[0], f"/api/v1/clusters/{cluster}"),
                lambda seen: seen[0] == 200 and seen[1]["status"] == "Ready",
            )
        yield replicas


@pytest_asyncio.fixture(loop_scope="module")
async def replicas(shared: Replicas) -> Replicas:
    await shared.whole()
    return shared


@asynccontextmanager
async def load_on(replicas: Replicas) -> AsyncGenerator[ClientLoad]:
    """Fail and mend in the block; afterwards nothing that was accepted is lost, and nothing is doubled."""
    load = ClientLoad(replicas)
    async with load.running():
        yield load
    await replicas.whole()
    await load.all_is_found()
    await replicas.nothing_is_doubled()
    assert all(len(set(keys)) == 1 for keys in load.told_twice().values()), load.told_twice()


async def next_decides(replicas: Replicas, since: float, epoch: int) -> None:
    took = await replicas.seconds_until_decided(since, epoch)
    assert took < DECIDES_WITHIN_SECONDS


@pytest.mark.promise(1, 2, 3, 4)
async def test_the_leader_is_killed(replicas: Replicas) -> None:
    async with load_on(replicas):
        leader, epoch = await replicas.until_led(), await replicas.epoch()
        since = time.monotonic()
        leader.kill()
        await next_decides(replicas, since, epoch)


@pytest.mark.promise(1, 2, 3, 4)
async def test_the_leader_stands_still_and_wakes_up(replicas: Replicas) -> None:
    """It wakes up in the middle of whatever it did, and has to find out that another leads."""
    async with load_on(replicas) as load:
        leader, epoch = await replicas.until_led(), await replicas.epoch()
        since = time.monotonic()
        leader.stop_still()
        await next_decides(replicas, since, epoch)
        await load.goes_on()
        await asyncio.sleep(3 * replicas.lease_seconds)
        leader.wake()
        await load.goes_on()
        assert (await replicas.until_led()).name != leader.name


@pytest.mark.promise(1, 2, 3, 4)
@pytest.mark.parametrize(
    "engines",
    [("postgres", "nats"), ("postgres",), ("nats",)],
    ids=["from both", "from Postgres", "from NATS"],
)
async def test_the_leader_is_cut_off(replicas: Replicas, engines: tuple[str, ...]) -> None:
    """What it sends stays unanswered, and arrives when the way is mended."""
    async with load_on(replicas) as load:
        leader, epoch = await replicas.until_led(), await replicas.epoch()
        since = time.monotonic()
        leader.cut(*engines)
        await next_decides(replicas, since, epoch)
        await load.goes_on()
        leader.mend()
        await load.goes_on()


@pytest.mark.promise(1)
async def test_one_after_the_other_is_started_anew(replicas: Replicas) -> None:
    """Whoever knows all addresses is always answered; none says that what is there is not."""
    steady = workload("steady", deployment("steady", "steady", 1), **only(CLUSTERS[0]))
    await replicas.put(steady)
    async with load_on(replicas) as load:
        statuses: set[int] = set()
        for name, centre in replicas.centres.items():
            assert centre.process is not None
            await centre.process.stop()
            asking = asyncio.create_task(_ask(replicas, centre, "steady", statuses))
            await replicas.start(name)
            await eventually(
                f"{name} is ready",
                lambda url=centre.url: replicas.answer(url, "/readyz"),
                lambda answered: answered[0] == 200,
            )
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await load.goes_on()
        assert load.failed == []
        assert statuses <= {0, 200, 503}, "before it knows anything, it does not say that nothing is there"


async def _ask(replicas: Replicas, centre: Replica, name: str, statuses: set[int]) -> None:
    while True:
        status, _ = await replicas.answer(centre.url, f"/api/v1/workloads/{name}")
        statuses.add(status)
        await asyncio.sleep(0.02)


ANSWERS_WITHIN_SECONDS, SETTLED_WITHIN_SECONDS = 1.0, 5.0
READ = (
    "/api/v1/clusters",
    "/api/v1/workloads?limit=500",
    "/api/v1/placements?limit=500",
    "/api/v1/nodes?limit=50",
    "/api/v1/tenants",
    "/api/v1/quota",
    "/api/v1/workloads/{name}/explain",
    "/api/v1/alerts?limit=20",
    "/api/v2/alerts",
)
MOVING = frozenset({"age_seconds", "heard_seconds", "heard_at", "received", "sent", "at", "decided_at"})
"""Of the moment, of one process, or by the clock of the one who decided until it reads it again."""


async def test_every_replica_is_ready_and_answers_the_same(replicas: Replicas) -> None:
    load = ClientLoad(replicas)
    async with load.running():
        await load.goes_on()
    await load.all_is_found()
    name = next(iter(load.accepted))
    for path in [each.replace("{name}", name) for each in READ]:

        def look(path: str = path) -> Awaitable[list[str]]:
            return _differences(replicas, path)

        await eventually(f"all answer {path} alike", look, operator.not_, SETTLED_WITHIN_SECONDS)
    for centre in replicas.centres.values():
        assert (await replicas.answer(centre.url, "/readyz"))[0] == 200


async def test_what_one_has_taken_the_others_show_within_a_second(replicas: Replicas) -> None:
    load = ClientLoad(replicas)
    async with load.running():
        pass
    await load.all_is_found()
    (first, *others) = replicas.urls
    name = next(iter(load.accepted))
    async with httpx.AsyncClient() as client:
        await client.delete(f"{first}/api/v1/workloads/{name}", headers=replicas.headers)
    for url in others:
        await eventually(
            f"{url} knows",
            lambda url=url: replicas.answer(url, f"/api/v1/workloads/{name}"),
            lambda seen: seen[0] == 404 or seen[1]["status"]["state"] != "Running",
            ANSWERS_WITHIN_SECONDS,
        )


async def _differences(replicas: Replicas, path: str) -> list[str]:
    """Between the first replica's answer and the others'."""
    answers = await asyncio.gather(*(replicas.answer(url, path) for url in replicas.urls))
    (status, first), *others = answers
    assert status == 200
    return [each for _, other in others for each in _unlike(first, other, "")]


def _unlike(one: Any, other: Any, where: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        ours, theirs = cast(dict[str, Any], one), cast(dict[str, Any], other)
        for key in sorted({*ours, *theirs} - MOVING):
            yield from _unlike(ours.get(key), theirs.get(key), f"{where}.{key}")
    elif isinstance(one, list) and isinstance(other, list):
        pairs = zip_longest(cast(list[Any], one), cast(list[Any], other))
        for number, (left, right) in enumerate(pairs):
            yield from _unlike(left, right, f"{where}[{number}]")
    elif one != other:
        yield f"{where}: {one!r} and {other!r}"
