"""What goes on while something breaks: workloads submitted, alerts posted; what was accepted is remembered.

Nothing is tried twice: what was refused, or not answered, is not counted on.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from tests.circle import Circle, Object, config_map, eventually, only, workload
from tests.served import Webhook

WORKLOADS = 6
SUBMIT_SECONDS, POST_SECONDS = 0.15, 0.15
ANSWER_SECONDS = 5.0
NAMESPACE = "load"
SETTLED_SECONDS = 75.0
_numbers = count(1)


@dataclass
class Load:
    """accepted: by workload, the number in the newest revision that was answered; alerts: by their instance.

    refused: what was not, by the one who refused. doors: URL of an Alertmanager's API, by name.
    """

    circle: Circle
    webhook: Webhook
    clusters: tuple[str, ...]
    doors: Mapping[str, str]
    accepted: dict[str, int] = field(default_factory=dict[str, int])
    alerts: dict[str, float] = field(default_factory=dict[str, float])
    refused: dict[str, int] = field(default_factory=dict[str, int])

    def place_of(self, name: str) -> str:
        return self.clusters[int(name.rpartition("-")[2]) % len(self.clusters)]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Load"]:
        """While the block runs; it begins once something was accepted by everybody."""
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, verify=False) as client:
            tasks = [asyncio.create_task(self._submit(client))]
            tasks += [asyncio.create_task(self._post(client, door)) for door in self.doors]
            try:
                await self.goes_on()
                yield self
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def goes_on(self, *doors: str, but_workloads: bool = False) -> None:
        """A workload, and an alert by each door (all, unless some are named), was accepted just now."""
        since = time.monotonic()
        wanted = set(doors or self.doors) | (set() if but_workloads else {"workloads"})
        seen = dict(self._accepted_at)
        await eventually(
            "everybody accepts",
            lambda: {name for name, at in self._accepted_at.items() if at > max(since, seen.get(name, 0.0))},
            lambda names: wanted <= names,
        )

    _accepted_at: dict[str, float] = field(default_factory=dict[str, float])

    async def _submit(self, client: httpx.AsyncClient) -> None:
        headers = {"Authorization": f"Bearer {self.circle.installation.token}"}
        while True:
            number = next(_numbers)
            name = f"load-{number % WORKLOADS}"
            made = workload(
                name, config_map(name, NAMESPACE, number=str(number)), **only(self.place_of(name))
            )
            url = f"{self.circle.installation.url}/api/v1/workloads/{name}"
            if await self._taken("workloads", client.put(url, json=made, headers=headers)):
                self.accepted[name] = number
            await asyncio.sleep(SUBMIT_SECONDS)

    async def _post(self, client: httpx.AsyncClient, door: str) -> None:
        while True:
            instance = f"{door}-{next(_numbers)}"
            posted = client.post(f"{self.doors[door]}/api/v2/alerts", json=[alert(instance)])
            if await self._taken(door, posted):
                self.alerts[instance] = time.time()
            await asyncio.sleep(POST_SECONDS)

    async def _taken(self, name: str, request: Any) -> bool:
        try:
            status = (await request).status_code
        except httpx.HTTPError:
            status = 0
        assert status in (0, 200, 201, 503), f"{name} answers {status}"
        if status in (200, 201):
            self._accepted_at[name] = time.monotonic()
            return True
        self.refused[name] = self.refused.get(name, 0) + 1
        return False

    # What is to be seen of it.

    async def all_carried_out(self) -> None:
        """Of each workload the newest revision that was accepted so far, or a newer one."""
        accepted = dict(self.accepted)

        async def left() -> dict[str, str]:
            found = {cluster: await self.found(cluster) for cluster in self.clusters}
            has = {name: found[self.place_of(name)].get(name, {}).get("data", {}) for name in accepted}
            return {
                name: f"{has[name]} there, {number} accepted; {self.circle.workload(name)['status']}"
                for name, number in accepted.items()
                if int(has[name].get("number", "0")) < number
            }

        await eventually("all that was accepted runs", left, lambda found: not found, SETTLED_SECONDS)

    async def found(self, cluster: str) -> Mapping[str, Object]:
        """Its ConfigMaps by name."""
        return self.circle.objects(cluster, "configmaps", NAMESPACE)

    async def all_told(self) -> None:
        """Each alert that was accepted so far, under one key, however often."""
        accepted = set(self.alerts)
        await eventually(
            "all alerts that were accepted are told of",
            lambda: sorted(accepted - self.told().keys()),
            lambda left: not left,
            SETTLED_SECONDS,
        )
        twice = {instance: keys for instance, keys in self.told().items() if len(keys) > 1}
        assert not twice, f"told under two keys: {twice}"

    def told(self) -> dict[str, set[str]]:
        """Idempotency keys by instance."""
        keys: dict[str, set[str]] = {}
        for message in self.webhook.messages:
            if message.status == "firing":
                for each in message.body["alerts"]:
                    keys.setdefault(each["labels"].get("instance", ""), set()).add(message.key)
        return keys


def alert(instance: str, **fields: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": "Down", "instance": instance},
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2036-01-01T00:00:00Z",
        **fields,
    }
