"""GPU metrics, from the exporters that the cluster's own people installed: found by label, asked in bounds.

1. Where a node offers GPUs: which pods are DCGM exporters? Asked each LISTED_ROUNDS periods, or when one fell
   silent: the API server looks at every pod for it.
2. Every period, ask each, a few at once, MOST_A_ROUND a round and the next ones in the next.
3. What an exporter does not tell any more is not known: neither well nor ill.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import structlog

from agents.alerts.gpus import GpuReading, read_metrics
from agents.observe.cache import Cache
from agents.observe.shapes import Metadata, RawList
from agents.ports import Clock, Kube, KubeError, Resource

PODS = Resource("", "v1", "pods", "Pod", True)
SELECTORS = (
    "app.kubernetes.io/name=dcgm-exporter",
    "app=nvidia-dcgm-exporter",
    "app=dcgm-exporter",
)
PORT = 9400
AT_ONCE = 8
MOST_A_ROUND = 500
LISTED_ROUNDS = 10
_log = structlog.get_logger()
Scrape = Callable[[str], Awaitable[str]]
"""The body under a URL, bounded in time and size. Raises ScrapeFailed."""


class ScrapeFailed(Exception):
    """The exporter does not answer as one; the text says how."""


class _Port(msgspec.Struct, rename="camel"):
    name: str = ""
    container_port: int = 0


class _Container(msgspec.Struct):
    ports: list[_Port] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    node_name: str = ""
    containers: list[_Container] = []


class _Status(msgspec.Struct):
    pod_ip: str = msgspec.field(default="", name="podIP")
    phase: str = ""


class _Exporter(msgspec.Struct):
    metadata: Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


_decode_list = msgspec.json.Decoder(RawList)
_decode_pod = msgspec.json.Decoder(_Exporter)


@dataclass(frozen=True)
class _Target:
    node: str
    url: str


class Gpus:
    """`readings`, by node: what exporters told in their last round. A node that is not in it is not known."""

    def __init__(
        self, kube: Kube, clock: Clock, cache: Cache, scrape: Scrape, *, period_seconds: float
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._cache = cache
        self._scrape = scrape
        self._period_seconds = period_seconds
        self._turn = self._rounds = 0
        self._found: list[_Target] = []
        self._fell_silent = False
        self._silent: set[str] = set()
        self.readings: dict[str, list[GpuReading]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if self._has_gpus():
                try:
                    if self._rounds % LISTED_ROUNDS == 0 or self._fell_silent:
                        self._found, self._fell_silent = await self._targets(), False
                    self._rounds += 1
                    await self._round(self._found)
                except KubeError as error:
                    _log.warning("gpu_exporters_not_found", detail=str(error))
                    self.readings, self._rounds = {}, 0
            else:
                self.readings = {}
            await self._clock.sleep(self._period_seconds)

    def _has_gpus(self) -> bool:
        return any(
            resource.startswith("nvidia.com/")
            for node in self._cache.nodes.rows.values()
            for resource in node.allocatable
        )

    async def _targets(self) -> list[_Target]:
        found: dict[str, _Target] = {}
        for selector in SELECTORS:
            async for body in self._kube.list(PODS, label_selector=selector):
                for item in _decode_list.decode(body).items or ():
                    target = _target(item)
                    if target is not None:
                        found[target.url] = target
        return [found[url] for url in sorted(found)]

    async def _round(self, targets: list[_Target]) -> None:
        nodes = {target.node for target in targets}
        self.readings = {node: each for node, each in self.readings.items() if node in nodes}
        if not targets:
            return
        first = self._turn % len(targets)
        chosen = (targets[first:] + targets[:first])[:MOST_A_ROUND]
        self._turn = first + len(chosen)
        for start in range(0, len(chosen), AT_ONCE):
            await asyncio.gather(*map(self._ask, chosen[start : start + AT_ONCE]))

    async def _ask(self, target: _Target) -> None:
        try:
            text = await self._scrape(target.url)
        except ScrapeFailed as error:
            self.readings.pop(target.node, None)
            if target.node not in self._silent:
                self._silent.add(target.node)
                self._fell_silent = True
                _log.warning("gpu_exporter_silent", node=target.node, detail=str(error))
            return
        self._silent.discard(target.node)
        self.readings[target.node] = read_metrics(text, target.node)


def _target(raw: msgspec.Raw) -> _Target | None:
    try:
        pod = _decode_pod.decode(raw)
    except msgspec.MsgspecError:
        return None
    if pod.status.phase != "Running" or not pod.status.pod_ip:
        return None
    ports = [port for container in pod.spec.containers for port in container.ports or ()]
    named = next((port.container_port for port in ports if port.name == "metrics"), 0)
    number = named or next((port.container_port for port in ports if port.container_port), PORT)
    host = f"[{pod.status.pod_ip}]" if ":" in pod.status.pod_ip else pod.status.pod_ip
    return _Target(pod.spec.node_name, f"http://{host}:{number}/metrics")
