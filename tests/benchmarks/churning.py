"""A process of its own that lets pods come and go, and kubelets speak.

Each pod goes the whole way: made, bound, running, told to end, gone. Every node says once in five minutes
that it is alive, as kubelets do where nothing else changed. A line a second is printed: how many ended.

A pod of each make goes this way through the API server; the others are written into etcd as it stored that
one at every step. Whoever watches sees the same five events, and admitting 250 writes a second does not take
the processors from what is measured.
"""

import asyncio
import base64
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
MAKES = 8
NAME, UID, NODE = "the-name-of-a-pod", "5d2c7f1e-0b7a-4b7e-9d55-0c5b6f0a9e11", "the-name-of-a-node"
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
Send = Callable[..., Awaitable[Any]]


class Make:
    """What the API server stored of a pod when it was made, bound, running, and told to end."""

    def __init__(self, stored: list[bytes]) -> None:
        self._stored = stored

    def steps(self, name: str, uid: str, node: str) -> list[bytes]:
        """The same of another one."""
        pairs = [(each.encode(), own.encode()) for each, own in ((NAME, name), (UID, uid), (NODE, node))]
        return [_replaced(each, pairs) for each in self._stored]


def _replaced(body: bytes, pairs: list[tuple[bytes, bytes]]) -> bytes:
    for old, new in pairs:
        body = body.replace(old, new)
    return body


async def made(send: Send, number: int, node: str) -> Make:
    """By letting one such pod live, through the API server."""
    name = f"make-{os.getpid()}-{number}"
    end = {"gracePeriodSeconds": 30}
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    stored = [await send("POST", PODS, pod(name, number))]
    await send("POST", f"{PODS}/{name}/binding", {"metadata": {"name": name}, "target": target})
    stored += [await send("GET", f"{PODS}/{name}")]
    stored += [await send("PATCH", f"{PODS}/{name}/status", running(name), MERGE)]
    stored += [await send("DELETE", f"{PODS}/{name}", end)]
    await send("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 0})
    uid = stored[0]["metadata"]["uid"]
    texts = [json.dumps(each | {"metadata": each["metadata"] | {"resourceVersion": ""}}) for each in stored]
    own = [(name.encode(), NAME.encode()), (uid.encode(), UID.encode()), (node.encode(), NODE.encode())]
    return Make([_replaced(each.encode(), own) for each in texts])


class Churn:
    """`rate` pods a second come, and as many go LIVES_SECONDS later."""

    def __init__(
        self, api: aiohttp.ClientSession, etcd: aiohttp.ClientSession, rate: float, nodes: int
    ) -> None:
        self._api = api
        self._etcd = etcd
        self._rate = rate
        self._nodes = nodes
        self._ended = 0
        self._random = random.Random(1)
        self._own = os.getpid()
        self._makes: list[Make] = []

    async def run(self) -> None:
        """Until cancelled, or until the API server or etcd refuses something."""
        self._makes = [await made(self._ask, number, node_name(0)) for number in range(MAKES)]
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
        uid = f"{self._random.getrandbits(32):08x}-0000-4000-8000-{number:012x}"
        node = node_name(self._random.randrange(self._nodes))
        steps = self._makes[number % MAKES].steps(name, uid, node)
        key = base64.b64encode(f"/registry/pods/{NAMESPACE}/{name}".encode()).decode()
        for step, body in enumerate(steps):
            if step == len(steps) - 1:
                await asyncio.sleep(LIVES_SECONDS)
            await self._write("put", {"key": key, "value": base64.b64encode(body).decode()})
        await self._write("deleterange", {"key": key})
        self._ended += 1

    async def _beat(self, number: int) -> None:
        name = node_name(number % self._nodes)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        conditions = [{"type": "Ready", "lastHeartbeatTime": at}]
        await self._ask(
            "PATCH", f"/api/v1/nodes/{name}/status", {"status": {"conditions": conditions}}, STRATEGIC
        )

    async def _write(self, what: str, body: dict[str, str]) -> None:
        async with self._etcd.post(f"/v3/kv/{what}", data=json.dumps(body)) as response:
            if response.status >= 300:
                raise RuntimeError(f"{what}: {response.status} {await response.text()}")
            await response.read()

    async def _ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Any:
        content = {"Content-Type": "application/json"} | (headers or {})
        async with self._api.request(method, path, data=json.dumps(body), headers=content) as response:
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status} {await response.text()}")
            return await response.json()


async def main(url: str, token: str, authority: str, etcd_url: str, rate: float, nodes: int) -> None:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=ssl.create_default_context(cafile=authority))
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(url, connector=connector, headers=headers) as api,
        aiohttp.ClientSession(etcd_url, connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as etcd,
    ):
        await Churn(api, etcd, rate, nodes).run()


if __name__ == "__main__":
    _url, _token, _authority, _etcd_url = sys.argv[1:5]
    asyncio.run(main(_url, _token, _authority, _etcd_url, float(sys.argv[5]), int(sys.argv[6])))
