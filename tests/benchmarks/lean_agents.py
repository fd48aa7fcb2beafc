"""Many lean agents in one process: `python -m tests.benchmarks.lean_agents URL FIRST COUNT`.

Standard input brings the token of an administrator, then `change` (each cluster has something to tell, an
alert among it) and `tell`. Standard output has a Told, a line of JSON, once all have joined, and for `tell`.
"""

import asyncio
import base64
import gc
import logging
import os
import secrets
import sys
from random import Random
from typing import Any

import aiohttp
import msgspec
import nkeys
import structlog
import uvloop
from nacl.public import PrivateKey

from agents.bus import Identity
from agents.keys import OrderKeys
from agents.memory import give_back_large
from agents.timing import Backoff
from tests.benchmarks.lean_agent import LeanAgent, Member

JOINING_AT_ONCE, MOST_ATTEMPTS = 4, 10
STARTED_PER_SECOND = 50


class Told(msgspec.Struct):
    """Of all agents of the process. steady_at: Unix seconds since when all are steady, 0 while one is not."""

    agents: int = 0
    steady: int = 0
    steady_at: float = 0.0
    waiting: tuple[int, ...] = (0, 0, 0, 0)
    alerts: int = 0
    orders: int = 0


async def join(session: aiohttp.ClientSession, name: str) -> Member:
    """Invited and joined, as the agent does it."""
    invitation = await _post(session, "/api/v1/cluster-invitations", {"name": name})
    seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    sealing = PrivateKey.generate()
    asked = {
        "token": invitation["token"],
        "agent_key": bytes(nkeys.from_seed(bytearray(seed)).public_key).decode(),
        "sealing_key": base64.b64encode(bytes(sealing.public_key)).decode(),
        "cluster_uid": f"uid-of-{name}",
    }
    joined = await _post(session, "/api/v1/join", asked)
    cluster, order_key = joined["cluster_id"], base64.b64decode(joined["order_key"])
    return Member(
        name=name,
        cluster=cluster,
        prefix=joined["prefix"],
        identity=Identity(cluster, joined["user_jwt"], seed.decode()),
        servers=joined["nats_urls"],
        order_keys=OrderKeys(cluster, order_key, bytes(sealing)),
    )


async def _post(session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """As an agent does: a centre that is away or cannot answer is asked again, in growing pauses."""
    backoff, headers = Backoff(Random()), {"Idempotency-Key": secrets.token_hex(16)}
    while True:
        async with session.post(path, json=body, headers=headers) as response:
            if response.status < 300:
                return await response.json()
            if response.status < 500 or backoff.failures >= MOST_ATTEMPTS:
                raise RuntimeError(f"{path}: {response.status} {await response.text()}")
        await asyncio.sleep(backoff.failed())


async def join_all(url: str, token: str, names: list[str]) -> list[Member]:
    """In the order of the names."""
    waiting = asyncio.Semaphore(JOINING_AT_ONCE)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(url, headers=headers) as session:

        async def one(name: str) -> Member:
            async with waiting:
                return await join(session, name)

        return await asyncio.gather(*map(one, names))


def waiting(agents: list[LeanAgent]) -> tuple[int, ...]:
    """How many have not arrived, have reports to publish, alerts to be committed, a beat to be answered."""
    found = [agent.waits for agent in agents]
    return tuple(sum(column) for column in zip(*found, strict=True))


def told(agents: list[LeanAgent]) -> Told:
    since = [agent.steady_at for agent in agents]
    return Told(
        agents=len(agents),
        steady=sum(map(bool, since)),
        steady_at=max(since) if all(since) else 0.0,
        waiting=waiting(agents),
        alerts=sum(agent.alert_count for agent in agents),
        orders=sum(agent.orders_taken for agent in agents),
    )


def tell(what: Told) -> None:
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


async def main(url: str, first: int, count: int) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    token = (await reader.readline()).decode().strip()
    members = await join_all(url, token, [f"lean-{number:05}" for number in range(first, first + count)])
    agents = [LeanAgent(member, Random(first + number)) for number, member in enumerate(members)]
    tell(told(agents))
    async with asyncio.TaskGroup() as group:
        for number, agent in enumerate(agents):
            group.create_task(agent.run())
            if number % 20 == 19:
                await asyncio.sleep(20 / STARTED_PER_SECOND)
        async for line in reader:
            if line == b"change\n":
                for agent in agents:
                    agent.change()
            else:
                tell(told(agents))


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    gc.set_threshold(50_000, 20, 50)
    give_back_large()
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
