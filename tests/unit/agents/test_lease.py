"""Who acts lets in another that has alerts to bring: at once, or when it kept it waiting for long enough."""

import asyncio
from random import Random

import pytest

from agents.lease import PATIENCE_DURATIONS, WANTED, Lease, LeaseLost
from agents.simulated import SimulatedCluster
from schemas.wire.orders import ObjectRef

DURATION = 15.0
REF = ObjectRef("coordination.k8s.io/v1", "Lease", "muster-system", "muster-agent")


class QuickClock:
    """Who sleeps finds the time gone."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds
        await asyncio.sleep(0)


@pytest.mark.promise(1)
@pytest.mark.parametrize(
    ("is_idle", "least", "most"),
    [
        pytest.param(True, 0.0, 0.5, id="it has nothing itself"),
        pytest.param(False, PATIENCE_DURATIONS, PATIENCE_DURATIONS + 0.5, id="it goes on taking alerts"),
    ],
)
async def test_another_that_wants_the_lease_is_let_in(is_idle: bool, least: float, most: float) -> None:
    cluster, clock = SimulatedCluster(":memory:", "edge"), QuickClock()
    lease = Lease(cluster, clock, Random(1), "first", duration_seconds=DURATION)
    await lease.acquire(lambda: False)
    found = await cluster.get(REF)
    assert found is not None
    found["metadata"]["annotations"] = {WANTED: "second"}
    await cluster.replace(found)
    since = clock.now()
    with pytest.raises(LeaseLost, match="second has something to bring"):
        await lease.keep(lambda: is_idle)
    assert least <= (clock.now() - since) / DURATION <= most
    cluster.close()


async def test_nobody_who_is_not_asked_lets_go() -> None:
    cluster, clock = SimulatedCluster(":memory:", "edge"), QuickClock()
    lease = Lease(cluster, clock, Random(1), "first", duration_seconds=DURATION)
    await lease.acquire(lambda: False)
    keeping = asyncio.create_task(lease.keep(lambda: True))
    while clock.now() < 1_800_000_000.0 + 10 * DURATION:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert not keeping.done()
    keeping.cancel()
    cluster.close()
