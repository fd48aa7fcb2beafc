"""Ten thousand replicas over a thousand clusters, decided. With agents beside: benchmarks/spreading.py."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import thread_time

import msgspec
import pytest

from schemas.wire.orders import OrderBody, Verb
from tests.conformance.store_worlds import ME, AnyStore
from tests.simulation.test_reschedule import Fleet

pytest_plugins = ["tests.conformance.store_fixtures"]
CLUSTERS, REPLICAS = 1_000, 10_000
LONGEST_TURN_SECONDS = 1.5
"""Half of a lease."""
ORDER_BYTES = 2_000


@asynccontextmanager
async def others_go_on() -> AsyncGenerator[None]:
    """While the block runs the loop never computes for long: others would wait. By the thread's own time."""
    loop, longest, ends = asyncio.get_running_loop(), 0.0, False

    async def look() -> None:
        nonlocal longest
        while not ends:
            began = thread_time()
            await asyncio.sleep(0)
            longest = max(longest, thread_time() - began)

    looking = loop.create_task(look())
    yield
    ends = True
    await looking
    assert longest < LONGEST_TURN_SECONDS


@pytest.mark.promise(1, 6)
async def test_it_is_spread_scaled_and_withdrawn_in_one_decision_each(store: AnyStore) -> None:
    fleet = Fleet()
    fleet.around.store = store
    await fleet.join(**{f"c{number:04}": 100 for number in range(CLUSTERS)})
    await fleet.submit(REPLICAS)
    place = await fleet.begin()
    async with others_go_on():
        await place.run_pass()
    placed, _ = await fleet.outcome()
    assert (len(placed), sum(placed.values())) == (CLUSTERS, REPLICAS)
    ordered = (await store.load()).outbox
    bodies = [msgspec.json.decode(each.body, type=OrderBody) for each in ordered]
    assert {manifest["spec"]["replicas"] for body in bodies for manifest in body.objects} == {10}
    assert max(len(each.body) for each in ordered) < ORDER_BYTES

    await fleet.submit(REPLICAS + CLUSTERS)
    async with others_go_on():
        await place.run_pass()
    placed, _ = await fleet.outcome()
    assert set(placed.values()) == {11}

    await store.delete_workload("web", ME)
    async with others_go_on():
        await place.run_pass()
    assert [each.verb for each in (await store.load()).outbox] == [Verb.WITHDRAW] * CLUSTERS
