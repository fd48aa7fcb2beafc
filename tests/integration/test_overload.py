"""More than there should be: thousands of idle connections, an agent that takes orders and answers none.

A reader of events who does not read: test_api_events.py. A cluster that floods: test_flood.py.
"""

import asyncio
import os
import resource
from pathlib import Path
from random import Random

import aiohttp
import pytest

from tests.benchmarks.lean_agent import LeanAgent
from tests.benchmarks.lean_agents import join
from tests.circle import Circle, deployment, eventually, only, workload

IDLE = 5_000
A_CONNECTION_BYTES = 64 << 10
shared = pytest.mark.asyncio(loop_scope="session")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@shared
async def test_beside_thousands_of_idle_connections_others_are_served(shared_circle: Circle) -> None:
    circle = shared_circle
    centre = circle.programs["centre"].pid
    before = resident_bytes(centre)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4 * IDLE), most))
    address = circle.installation.url.removeprefix("http://").rsplit(":", 1)
    opened: list[asyncio.StreamWriter] = []
    try:
        for _ in range(IDLE // 100):
            opening = (asyncio.open_connection(address[0], int(address[1])) for _ in range(100))
            opened += [writer for _, writer in await asyncio.gather(*opening)]
        name = "beside-idle"
        circle.apply(workload(name, deployment(name, name, 2), **only("east")))
        await circle.until_running(name)
        assert resident_bytes(centre) - before < IDLE * A_CONNECTION_BYTES
        await circle.delete(name)
    finally:
        for writer in opened:
            writer.close()


@pytest.mark.promise(6)
@shared
async def test_an_agent_that_takes_orders_and_answers_none_holds_up_nobody(shared_circle: Circle) -> None:
    circle = shared_circle
    headers = {"Authorization": f"Bearer {circle.installation.token}"}
    async with aiohttp.ClientSession(circle.installation.url, headers=headers) as session:
        member = await join(session, "silent")
    silent = LeanAgent(member, Random(1), silent=True)
    running = asyncio.create_task(silent.run())
    try:
        await circle.until_ready("silent")
        names = [f"unheard-{number}" for number in range(20)]
        for name in names:
            circle.apply(workload(name, deployment(name, name, 1), **only("silent")))
        circle.apply(workload("heard", deployment("heard", "heard", 1), **only("east")))
        await circle.until_running("heard")
        await eventually("all orders came", lambda: silent.orders_taken >= len(names))
        published = await circle.orders_published()
        assert {circle.workload(name)["status"]["state"] for name in names} != {"Running"}
        # Beats go on meanwhile: the orders are there, and are not said again and again.
        await circle.delete("heard")
        assert await circle.orders_published() <= published + 2
        for name in names:
            circle.client.delete(f"/workloads/{name}")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        circle.client.delete("/clusters/silent")
        await eventually(
            "nothing is left", lambda: not list(circle.client.pages("/placements", filter="cluster=silent"))
        )
