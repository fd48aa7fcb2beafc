"""All watches of one agent: nodes, every pod, objects of every ordered kind, metrics, discovery."""

import asyncio
from collections.abc import Callable, Iterable
from random import Random
from typing import TypeVar

import msgspec
import structlog

from agents.observe.cache import Cache
from agents.observe.collecting import Collecting, kinds_below
from agents.observe.facts import Discovered
from agents.observe.keyed import Rows
from agents.observe.quantities import amounts
from agents.observe.rows import NodeRows, ObjectRows, PodRows
from agents.observe.shapes import RawList, UsageShape
from agents.observe.watching import Decode, Watching
from agents.ports import Clock, Kube, KubeError, NotServed, Rejected, Resource
from agents.timing import Backoff, signalled, within
from schemas.wire.orders import WORKLOAD_LABEL

K = TypeVar("K")
R = TypeVar("R")
NODES = Resource("", "v1", "nodes", "Node", False)
PODS = Resource("", "v1", "pods", "Pod", True)
NODE_METRICS = Resource("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", False)
METRICS_FAILURES = 3
BELOW_SECONDS = 30.0
"""Nothing is reported for so long while it is not known what lies below: nodes would seem to have lost it."""
UNSERVED_SECONDS, UNSERVED_LONGEST_SECONDS = 1.0, 15.0
"""How soon, and at last how often, it is asked what is served while a kind that is ordered is not."""
MOST_KINDS = 64
_log = structlog.get_logger()
_decode_list = msgspec.json.Decoder(RawList)
_decode_usage = msgspec.json.Decoder(UsageShape)


class Observer:
    """Keeps `cache` like the cluster. `discovered` hears of what is served, `kind_known` of first lists."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        random: Random,
        cache: Cache,
        discovered: Callable[[Discovered], None],
        kind_known: Callable[[tuple[str, str]], None],
        *,
        resync_seconds: float,
        metrics_seconds: float,
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._random = random
        self._cache = cache
        self._discovered = discovered
        self._kind_known = kind_known
        self._resync_seconds = resync_seconds
        self._metrics_seconds = metrics_seconds
        self._served: dict[tuple[str, str], Resource] = {}
        self._kinds: dict[tuple[str, str], asyncio.Event] = {}
        self._wanted: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._collecting = Collecting(
            kube, clock, random, kinds_below(cache.below), resync_seconds=resync_seconds
        )
        self._missed = asyncio.Event()
        self._unserved = Backoff(
            random, first_seconds=UNSERVED_SECONDS, longest_seconds=UNSERVED_LONGEST_SECONDS
        )
        self._newly_served = asyncio.Condition()
        self.synced = asyncio.Event()

    def want(self, kinds: Iterable[tuple[str, str]]) -> None:
        """Watch these (apiVersion, kind) as well, the objects that bear the workload label."""
        for kind in sorted(kinds):
            if kind not in self._kinds and len(self._kinds) < MOST_KINDS:
                self._kinds[kind] = asyncio.Event()
                self._wanted.put_nowait(kind)
                if self._served and kind not in self._served:
                    self._unserved.succeeded()
                    self._missed.set()

    def knows(self, kinds: Iterable[tuple[str, str]]) -> bool:
        """Whether the cache can speak of these kinds: before their first list, absence means nothing."""
        return self.synced.is_set() and all(
            kind not in self._kinds or self._kinds[kind].is_set() or not self._is_served(kind)
            for kind in kinds
        )

    def sees(self, kind: tuple[str, str]) -> bool:
        """Whether objects of this kind that are not in the cache are not in the cluster."""
        return kind in self._kinds and self._kinds[kind].is_set()

    def _is_served(self, kind: tuple[str, str]) -> bool:
        return not self._served or kind in self._served

    def resource(self, api_version: str, kind: str) -> Resource | None:
        return self._served.get((api_version, kind))

    async def run(self) -> None:
        """Until cancelled."""
        nodes = self._watching(NODES, self._cache.nodes, NodeRows().row)
        pods = self._watching(PODS, self._cache.pods, PodRows().row)
        async with asyncio.TaskGroup() as group:
            group.create_task(nodes.run())
            group.create_task(pods.run())
            group.create_task(self._discover())
            group.create_task(self._poll_metrics())
            group.create_task(self._collecting.run())
            await nodes.synced.wait()
            await pods.synced.wait()
            _log.info("cluster_listed", nodes=len(self._cache.nodes.rows), pods=len(self._cache.pods.rows))
            await within(self._clock, self._collecting.settled.wait(), BELOW_SECONDS)
            self.synced.set()
            while True:
                kind = await self._wanted.get()
                group.create_task(self._watch_kind(kind))

    def _watching(
        self, resource: Resource, rows: Rows[K, R], decode: Decode[K, R], selector: str = ""
    ) -> Watching[K, R]:
        return Watching(
            self._kube,
            self._clock,
            self._random,
            resource,
            rows,
            decode,
            label_selector=selector,
            resync_seconds=self._resync_seconds,
        )

    async def _watch_kind(self, kind: tuple[str, str]) -> None:
        """Wait until the kind is served, then keep its objects."""
        async with self._newly_served:
            await self._newly_served.wait_for(lambda: kind in self._served)
        resource = self._served[kind]
        watching = self._watching(
            resource, self._cache.objects_of(*kind), ObjectRows(resource).row, WORKLOAD_LABEL
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(watching.run())
            await watching.synced.wait()
            self._kinds[kind].set()
            self._kind_known(kind)

    async def _discover(self) -> None:
        """What is served changes as people install things: ask again at every resync."""
        while True:
            pause = self._resync_seconds
            try:
                served = await self._kube.served()
                self._served = {(each.api_version, each.kind): each for each in served}
                async with self._newly_served:
                    self._newly_served.notify_all()
                self._collecting.discovered(self._served)
                self._discovered(Discovered(await self._kube.version(), tuple(served)))
            except KubeError as error:
                _log.warning("discovery_failed", detail=str(error))
                pause = min(pause, 5.0)
            if any(kind not in self._served for kind in self._kinds):
                # Something that is ordered waits for its kind, which an order may just have brought.
                pause = min(pause, self._unserved.failed())
            await signalled(self._clock, self._missed, pause)

    async def _poll_metrics(self) -> None:
        """metrics.k8s.io cannot be watched. Where it is not served, that is said, and no zeros."""
        failures = 0
        while True:
            try:
                self._cache.put_used(await self._read_metrics())
                failures = 0
            except (NotServed, Rejected):
                self._cache.put_used(None)
            except KubeError as error:
                failures += 1
                _log.warning("metrics_failed", detail=str(error))
                if failures >= METRICS_FAILURES:
                    self._cache.put_used(None)
            await self._clock.sleep(self._metrics_seconds)

    async def _read_metrics(self) -> dict[str, dict[str, int]]:
        used: dict[str, dict[str, int]] = {}
        async for body in self._kube.list(NODE_METRICS):
            for item in _decode_list.decode(body).items or ():
                try:
                    node = _decode_usage.decode(item)
                except msgspec.MsgspecError:
                    continue
                used[node.metadata.name] = amounts(node.usage)
        return used
