"""An agent, its simulated cluster and a bus in memory, in real but short time: the agent alone."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec
from nacl.public import PrivateKey, SealedBox
from nacl.signing import SigningKey

from agents.agent import Agent, Member, Periods
from agents.alerts.watch import AlertRules
from agents.keys import OrderKeys
from agents.ports import BusUnavailable
from agents.returning import Returns
from agents.simulated import SimulatedCluster
from agents.simulation.kubelets import Pace
from agents.spool import Spool
from schemas.wire.alerts import AlertBatch, follows
from schemas.wire.beats import Beat, BeatReply
from schemas.wire.codec import Malformed, decode, encode
from schemas.wire.hardware import Hardware, Topology
from schemas.wire.orders import (
    TEMPLATE_LABEL,
    WORKLOAD_LABEL,
    ObjectRef,
    Order,
    OrderBody,
    SealedValues,
    Verb,
    Version,
    signing_payload,
)
from schemas.wire.reports import Facts, Inventory, Namespaces, Profile, Report, Stamp, Usage, Work
from schemas.wire.subjects import Subjects

CLUSTER = "CTEST"
SUBJECTS = Subjects()
SIGNING = SigningKey(bytes(range(32)))
SEALING = PrivateKey(bytes(range(1, 33)))
PERIODS = Periods(beat=0.1, report=0.02, resync=1.0, metrics=0.5, namespaces=0.1, lease=1.0)
_KINDS = {
    "facts": Facts,
    "hardware": Hardware,
    "inventory": Inventory,
    "namespaces": Namespaces,
    "profile": Profile,
    "topology": Topology,
    "work": Work,
}
R = TypeVar("R", bound=Report)


class RealClock:
    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class DeliveredOrder:
    subject: str
    body: bytes
    bus: "CentreDouble"
    trace: str = ""

    async def acknowledge(self) -> None:
        with suppress(Malformed):
            self.bus.acknowledged.append(decode(Order, self.body).version)


@dataclass
class CentreDouble:
    """The agent's bus with a centre behind it: last values, orders per workload, gap-free alerts."""

    away: bool = False
    epoch: int = 1
    incarnation: int = 0
    watermark: Stamp = (0, 0)
    resend: list[str] = field(default_factory=list[str])
    reports: dict[str, Report] = field(default_factory=dict[str, Report])
    stale: list[str] = field(default_factory=list[str])
    published: list[str] = field(default_factory=list[str])
    alerts: list[AlertBatch] = field(default_factory=list[AlertBatch])
    beats: list[Beat] = field(default_factory=list[Beat])
    acknowledged: list[Version] = field(default_factory=list[Version])
    returns: Returns = field(default_factory=Returns)
    _orders: dict[str, bytes] = field(default_factory=dict[str, bytes])
    _undelivered: dict[str, bytes] = field(default_factory=dict[str, bytes])

    async def publish(self, messages: Sequence[tuple[str, bytes]], traces: Sequence[str] = ()) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise BusUnavailable("away")
        for subject, body in messages:
            if subject == SUBJECTS.alert(CLUSTER):
                self._take_alerts(decode(AlertBatch, body))
                continue
            tail = SUBJECTS.of_cluster(subject)[1]
            usage = subject.split(".")[1] == "usage"
            tail = f"usage.{tail}" if usage else tail
            report = decode(Usage if usage else _KINDS[tail.partition(".")[0]], body)
            last = self.reports.get(tail)
            if last is not None and last.stamp >= report.stamp:
                self.stale.append(tail)
                continue
            self.reports[tail] = report
            self.published.append(tail)

    def _take_alerts(self, batch: AlertBatch) -> None:
        if follows(self.watermark, batch.stamp):
            self.alerts.append(batch)
            self.watermark = batch.stamp

    async def next_orders(self, *, limit: int, timeout_seconds: float) -> Sequence[DeliveredOrder]:
        await asyncio.sleep(0.01)
        if self.away:
            raise BusUnavailable("away")
        taken = dict(list(self._undelivered.items())[:limit])
        for subject in taken:
            del self._undelivered[subject]
        return [DeliveredOrder(subject, body, self) for subject, body in taken.items()]

    async def beat(self, body: bytes, *, timeout_seconds: float) -> bytes:
        await asyncio.sleep(0)
        if self.away:
            raise BusUnavailable("away")
        beat = decode(Beat, body)
        self.beats.append(beat)
        if beat.incarnation > self.incarnation:
            self.incarnation = beat.incarnation
            self._undelivered = dict(self._orders)
        resend, self.resend = self.resend, []
        reply = BeatReply(
            epoch=self.epoch,
            incarnation=self.incarnation,
            alerts_committed=self.watermark,
            resend=resend,
            clock=time.time(),
        )
        return encode(reply)

    def order(self, order: Order, *, workload: str | None = None) -> None:
        """Lay an order in the stream; the last one per workload counts."""
        self.lay(SUBJECTS.order(CLUSTER, workload or order.workload), encode(order))

    def lay(self, subject: str, body: bytes) -> None:
        """Bytes in the stream, as whoever made them."""
        self._orders[subject] = self._undelivered[subject] = body

    def lose_orders(self) -> None:
        """A power cut at the stream."""
        self._orders.clear()
        self._undelivered.clear()

    def report(self, kind: type[R], tail: str) -> R | None:
        found = self.reports.get(tail)
        return found if isinstance(found, kind) else None

    def work(self, workload: str) -> Work | None:
        return self.report(Work, f"work.{workload}")


def signed(
    workload: str,
    verb: Verb,
    generation: int,
    body: OrderBody | bytes,
    *,
    epoch: int = 1,
    cluster: str = CLUSTER,
) -> Order:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    version = Version(epoch, generation)
    signature = SIGNING.sign(signing_payload(cluster, workload, verb, version, raw)).signature
    return Order(workload=workload, verb=verb, version=version, body=raw, signature=signature)


def apply_order(workload: str, generation: int, *objects: dict[str, Any], **rest: Any) -> Order:
    body = OrderBody(name=workload, template="t1", objects=list(objects), **rest)
    return signed(workload, Verb.APPLY, generation, body)


def withdraw_order(workload: str, generation: int, *, preserve: bool = False) -> Order:
    return signed(workload, Verb.WITHDRAW, generation, OrderBody(name=workload, preserve=preserve))


def sealed(index: int, values: dict[str, str]) -> SealedValues:
    return SealedValues(index, bytes(SealedBox(SEALING.public_key).encrypt(msgspec.json.encode(values))))


def config_map(workload: str, name: str = "settings", **data: str) -> dict[str, Any]:
    labels = {WORKLOAD_LABEL: workload}
    metadata = {"name": name, "namespace": "shop", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def deployment(
    workload: str, name: str = "web", *, replicas: int = 2, image: str = "web:1"
) -> dict[str, Any]:
    labels = {"app": name}
    pod_labels = {**labels, WORKLOAD_LABEL: workload, TEMPLATE_LABEL: "t1"}
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "labels": {WORKLOAD_LABEL: workload}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": pod_labels}, "spec": {"containers": [container]}},
        },
    }


def deployment_ref(name: str = "web") -> ObjectRef:
    return ObjectRef("apps/v1", "Deployment", "shop", name)


class AgentWorld:
    """One member cluster; `start` and `kill` its agent, which keeps its disk and its cluster."""

    def __init__(
        self,
        folder: Path,
        make: str = "cloud",
        nodes: int = 4,
        *,
        state: str = ":memory:",
        zones_seconds: float = 0.0,
        cluster: str = CLUSTER,
        keys: OrderKeys | None = None,
    ) -> None:
        self.folder = folder
        self.name = cluster
        self.keys = keys or OrderKeys(cluster, bytes(SIGNING.verify_key), bytes(SEALING))
        self.centre = CentreDouble()
        self.rules = AlertRules()
        pace = Pace(
            ready_seconds=0.05,
            termination_seconds=0.02,
            zones_seconds=zones_seconds,
            back_off_seconds=0.2,
        )
        self.cluster = SimulatedCluster(state, make, 7, nodes=nodes, pace=pace)
        self.random = Random(7)
        self.starts = 0
        self._spool: Spool | None = None
        self._spools: list[Spool] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._ticking = asyncio.create_task(self._tick())

    @property
    def spool(self) -> Spool:
        assert self._spool is not None
        return self._spool

    async def _tick(self) -> None:
        while True:
            self.cluster.tick(time.time())
            await asyncio.sleep(0.01)

    def start_beside(self) -> None:
        """Another agent, while the first one runs; `spool` is the newest one's."""
        if self._spool is not None:
            self._spools.append(self._spool)
        self.start()

    def start(self) -> None:
        self.starts += 1
        self._spool = Spool(self.folder / "spool.sqlite")
        agent = Agent(
            Member(self.name, SUBJECTS),
            self.cluster,
            self.centre,
            RealClock(),
            Random(self.random.random()),
            self.keys,
            self._spool,
            f"holder-{self.starts}",
            PERIODS,
            rules=self.rules,
        )
        self._tasks.append(asyncio.create_task(agent.run()))

    async def kill(self) -> None:
        """End the agent at whatever it is awaiting."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for spool in [*self._spools, *([self._spool] if self._spool else [])]:
            spool.close()
        self._spools.clear()
        self._spool = None

    async def close(self) -> None:
        await self.kill()
        self._ticking.cancel()
        self.cluster.close()

    async def until(self, condition: Callable[[], bool], what: str, seconds: float = 8.0) -> None:
        """Wait until it holds; fails naming `what`, and with what ended the agent if it did."""
        deadline = time.monotonic() + seconds
        while not condition():
            for task in self._tasks:
                if task.done():
                    task.result()
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            await asyncio.sleep(0.01)
