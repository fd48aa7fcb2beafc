"""How long nobody decides when the one that leads dies: two centres on one NATS and one Postgres, under load.

From SIGKILL of the leader until the first decision of the next one is committed. What of it is waiting for
the lease to end, and may not be less, is between two thirds of its time and all of it.
"""

import asyncio
import time

from tests.circle import eventually
from tests.crash.client_load import ClientLoad
from tests.crash.replicas import CLUSTERS, Replicas, running_replicas
from tests.crash.test_leaders import ALL, QUOTA

LEASE_SECONDS = 3.0
"""The default."""
CHANGES = 7


def figures() -> dict[str, float]:
    """The worst, of which the budget is 5 s, and the usual."""
    took = sorted(asyncio.run(_measured()))
    return {
        "leader_change_seconds": round(took[-1], 2),
        "leader_change_p50_seconds": round(took[len(took) // 2], 2),
    }


async def _measured() -> list[float]:
    async with running_replicas(dict.fromkeys(("a", "b"), ALL), lease_seconds=LEASE_SECONDS) as replicas:
        await _begin(replicas)
        took: list[float] = []
        async with ClientLoad(replicas).running() as load:
            for _ in range(CHANGES):
                leader, epoch = await replicas.until_led(), await replicas.epoch()
                since = time.monotonic()
                leader.kill()
                took.append(await replicas.seconds_until_decided(since, epoch))
                await replicas.whole()
                await load.goes_on()
        return took


async def _begin(replicas: Replicas) -> None:
    for manifest in QUOTA:
        await replicas.put(manifest)
    for cluster in CLUSTERS:
        await eventually(
            f"{cluster} is ready",
            lambda cluster=cluster: replicas.answer(replicas.urls[0], f"/api/v1/clusters/{cluster}"),
            lambda seen: seen[0] == 200 and seen[1]["status"] == "Ready",
        )
