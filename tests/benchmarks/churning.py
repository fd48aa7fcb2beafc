"""A process of its own that lets pods come and go, and kubelets speak.

Each pod goes the whole way: made, bound, running, told to end, gone. Every node says once in five minutes
that it is alive, as kubelets do where nothing else changed. A line a second is printed: how many ended.
"""

import asyncio
import json
import os
import random
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiohttp

from tests.benchmarks.large_cluster import NAMESPACE, node_name, pod, running

LIVES_SECONDS = 10.0
HEARTBEAT_SECONDS = 300.0
CONNECTIONS = 16
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
Send = Callable[..., Awaitable[None]]


class Churn:
    """`rate` pods a second come, and as many go LIVES_SECONDS later."""

    def __init__(self, session: aiohttp.ClientSession, rate: float, nodes: int) -> None:
        self._session = session
        self._rate = rate
        self._nodes = nodes
        self._ended = 0
        self._random = random.Random(1)
        self._own = os.getpid()

    async def run(self) -> None:
        """Until cancelled, or until the API server refuses something."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._paced(group, self._rate, self._live))
            group.create_task(self._paced(group, self._nodes / HEARTBEAT_SECONDS, self._beat))
            group.create_task(self._tell())

    async def _paced(
        self, group: asyncio.TaskGroup, rate: float, do: Callable[[int], Coroutine[Any, Any, None]]
    ) -> None:
        began, number = time.monotonic(), 0
        while True:
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            group.create_task(do(number))
            number += 1

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            print(self._ended, flush=True)

    async def _live(self, number: int) -> None:
        name = f"churn-{self._own}-{number:07}"
        manifest = pod(name, number)
        await self._send("POST", PODS, manifest)
        target = {"apiVersion": "v1", "kind": "Node", "name": node_name(self._random.randrange(self._nodes))}
        await self._send("POST", f"{PODS}/{name}/binding", {"metadata": {"name": name}, "target": target})
        await self._send("PATCH", f"{PODS}/{name}/status", running(name), MERGE)
        await asyncio.sleep(LIVES_SECONDS)
        await self._send("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 30})
        await self._send("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 0})
        self._ended += 1

    async def _beat(self, number: int) -> None:
        name = node_name(number % self._nodes)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        conditions = [{"type": "Ready", "lastHeartbeatTime": at}]
        await self._send(
            "PATCH", f"/api/v1/nodes/{name}/status", {"status": {"conditions": conditions}}, STRATEGIC
        )

    async def _send(self, method: str, path: str, body: Any, headers: dict[str, str] | None = None) -> None:
        content = {"Content-Type": "application/json"} | (headers or {})
        async with self._session.request(method, path, data=json.dumps(body), headers=content) as response:
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status} {await response.text()}")
            await response.read()


async def main(url: str, token: str, authority: str, rate: float, nodes: int) -> None:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=ssl.create_default_context(cafile=authority))
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(url, connector=connector, headers=headers) as session:
        await Churn(session, rate, nodes).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5])))
