"""One agent's way to its API server: slow, sometimes broken, and with a witness for all that it writes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from agents.ports import Resource, Rule, Unreachable
from agents.simulated import SimulatedCluster
from schemas.wire.orders import ObjectRef
from tests.simulation.promises import Promises

T = TypeVar("T")
SLOWEST_SECONDS = 0.03
GIVE_UP_SECONDS = 2.0


class WatchedKube:
    """`agents.ports.Kube`. failing: the share of requests that fail, half of them after they were done."""

    def __init__(
        self,
        cluster_id: str,
        agent: str,
        cluster: SimulatedCluster,
        random: Random,
        failing: Callable[[], float],
        promises: Promises,
    ) -> None:
        self._cluster_id = cluster_id
        self._agent = agent
        self._cluster = cluster
        self._random = random
        self._failing = failing
        self._promises = promises
        self.is_dead = False

    async def version(self) -> str:
        return await self._call(self._cluster.version)

    async def cluster_uid(self) -> str:
        return await self._call(self._cluster.cluster_uid)

    async def served(self) -> list[Resource]:
        return await self._call(self._cluster.served)

    async def allowed(self, namespace: str) -> tuple[Rule, ...] | None:
        return await self._cluster.allowed(namespace)

    async def list(
        self, resource: Resource, *, label_selector: str = "", namespace: str = "", field_selector: str = ""
    ) -> AsyncIterator[bytes]:
        await self._arrive()
        selected = {"label_selector": label_selector, "field_selector": field_selector}
        async for body in self._cluster.list(resource, namespace=namespace, **selected):
            yield body
            await self._pause()

    async def watch(
        self, resource: Resource, resource_version: str, *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[bytes]:
        await self._arrive()
        selected = {"label_selector": label_selector, "field_selector": field_selector}
        async for line in self._cluster.watch(resource, resource_version, **selected):
            yield line

    async def get(self, ref: ObjectRef) -> dict[str, Any] | None:
        return await self._call(lambda: self._cluster.get(ref))

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        async def create() -> dict[str, Any]:
            stored = await self._cluster.create(manifest)
            self._promises.wrote(self._cluster_id, self._agent, manifest)
            return stored

        return await self._call(create)

    async def apply(self, manifest: dict[str, Any], *, uid: str, resource_version: str) -> dict[str, Any]:
        async def apply() -> dict[str, Any]:
            stored = await self._cluster.apply(manifest, uid=uid, resource_version=resource_version)
            self._promises.wrote(self._cluster_id, self._agent, manifest)
            return stored

        return await self._call(apply)

    async def adopt(self, manifest: dict[str, Any], *, uid: str, resource_version: str) -> dict[str, Any]:
        async def adopt() -> dict[str, Any]:
            stored = await self._cluster.adopt(manifest, uid=uid, resource_version=resource_version)
            self._promises.wrote(self._cluster_id, self._agent, manifest)
            return stored

        return await self._call(adopt)

    async def disown(self, ref: ObjectRef, *, uid: str, resource_version: str) -> None:
        await self._call(lambda: self._cluster.disown(ref, uid=uid, resource_version=resource_version))

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        async def replace() -> dict[str, Any]:
            stored = await self._cluster.replace(manifest)
            self._promises.wrote(self._cluster_id, self._agent, manifest)
            return stored

        return await self._call(replace)

    async def delete(self, ref: ObjectRef, *, uid: str, resource_version: str) -> None:
        async def delete() -> None:
            live = self._cluster.look(ref)
            await self._cluster.delete(ref, uid=uid, resource_version=resource_version)
            self._promises.deleted(self._cluster_id, self._agent, ref, live)

        await self._call(delete)

    async def _call(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        await self._arrive()
        result = await operation()
        if self._random.random() < self._failing() / 2:
            await asyncio.sleep(self._random.uniform(0.0, GIVE_UP_SECONDS))
            raise Unreachable("the answer of the API server was lost")
        await self._pause()
        return result

    async def _arrive(self) -> None:
        if self.is_dead:
            raise Unreachable("this process is dead")
        await self._pause()
        if self.is_dead or self._random.random() < self._failing() / 2:
            await asyncio.sleep(self._random.uniform(0.0, GIVE_UP_SECONDS))
            raise Unreachable("the API server did not answer")

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.uniform(0.001, SLOWEST_SECONDS))
