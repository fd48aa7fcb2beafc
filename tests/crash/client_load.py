"""People and Prometheus while centres fail: they know all addresses, and try the next when one fails them."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from tests.circle import deployment, eventually, only, workload
from tests.crash.load import alert
from tests.crash.replicas import ANSWER_SECONDS, CLUSTERS, Replicas, turns

TENANT = "shop"
WORKLOADS = 13
EVERY_SECONDS = 0.3
SETTLED_SECONDS = 60.0
_numbers = count(1)


@dataclass
class ClientLoad:
    """accepted: by workload, the image's number in the newest revision that was answered 2xx. alerts: those
    that were answered 200. failed: requests that no address took.
    """

    replicas: Replicas
    accepted: dict[str, int] = field(default_factory=dict[str, int])
    alerts: set[str] = field(default_factory=set[str])
    failed: list[str] = field(default_factory=list[str])
    accepted_at: float = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["ClientLoad"]:
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, verify=False) as client:
            # By each address first: who waits for one that answers nothing keeps the others from nothing.
            firsts = range(len(self.replicas.urls))
            acts = (self._submit, self._post)
            tasks = [asyncio.create_task(act(client, first)) for act in acts for first in firsts]
            try:
                await self.goes_on()
                yield self
                await self.goes_on()
            finally:
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [end for end in ends if not isinstance(end, asyncio.CancelledError)] == []

    async def goes_on(self) -> None:
        """A few more are accepted."""
        wanted = len(self.alerts) + 3, time.monotonic()
        await eventually(
            "the load goes on", lambda: len(self.alerts) >= wanted[0] and self.accepted_at > wanted[1]
        )

    async def all_is_found(self) -> None:
        """What was accepted runs, or something newer; whoever was to hear of alerts, has heard."""
        for name, number in self.accepted.items():
            await eventually(
                f"{name} runs as it was accepted",
                lambda name=name: self.replicas.answer(self.replicas.urls[0], f"/api/v1/workloads/{name}"),
                lambda seen, number=number: (
                    seen[0] == 200 and _number(seen[1]) >= number and seen[1]["status"]["state"] == "Running"
                ),
                SETTLED_SECONDS,
            )
        await eventually(
            "all alerts are told of",
            lambda: self.alerts - self._told().keys(),
            lambda left: not left,
            SETTLED_SECONDS,
        )

    def told_twice(self) -> dict[str, list[str]]:
        """Alerts that were told of more than once: keys of the messages."""
        return {each: keys for each, keys in self._told().items() if len(keys) > 1 and each in self.alerts}

    def _told(self) -> dict[str, list[str]]:
        keys: dict[str, list[str]] = {}
        for message in self.replicas.webhook.messages:
            if message.status == "firing":
                for each in message.body["alerts"]:
                    keys.setdefault(each["labels"]["instance"], []).append(message.key)
        return keys

    async def _submit(self, client: httpx.AsyncClient, first: int) -> None:
        while True:
            number = next(_numbers)
            name = f"load-{first}-{number % WORKLOADS}"
            # In one place: what moved from one to the other would be withdrawn, and an agent holds then.
            place = only(CLUSTERS[number % WORKLOADS % len(CLUSTERS)])
            image = f"registry.example/web:{number}"
            made = workload(name, deployment(name, TENANT, 1 + number % 3, image), **place)
            made["spec"]["tenant"] = TENANT
            path = f"/api/v1/workloads/{name}"
            # Asked of another again, it is the same write: also where the first one wakes up and does it.
            headers = self.replicas.headers | {"Idempotency-Key": f"load-{number}"}
            if await self._accepted(client, first, "PUT", path, json=made, headers=headers):
                self.accepted[name] = number
                self.accepted_at = time.monotonic()
            await asyncio.sleep(EVERY_SECONDS)

    async def _post(self, client: httpx.AsyncClient, first: int) -> None:
        while True:
            number = next(_numbers)
            instance = f"instance-{number}"
            if await self._accepted(client, first, "POST", "/api/v2/alerts", json=[alert(instance)]):
                self.alerts.add(instance)
            await asyncio.sleep(EVERY_SECONDS)

    async def _accepted(
        self, client: httpx.AsyncClient, first: int, method: str, path: str, **fields: Any
    ) -> bool:
        for url in turns(self.replicas.urls, first):
            try:
                answer = await client.request(method, url + path, **fields)
            except httpx.HTTPError:
                continue
            if answer.status_code in (200, 201):
                return True
            assert answer.status_code == 503, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        self.failed.append(f"{method} {path}")
        return False


def _number(seen: dict[str, Any]) -> int:
    (manifest,) = seen["manifest"]["spec"]["manifests"]
    return int(manifest["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2])
