"""An agent that costs little: joined, on a connection of its own, speaking by the agent's own parts.

Its cluster is pretended: a few nodes, orders that are carried out as soon as they are recorded, and an alert
now and then, kept until the centre says that it is committed.
"""

import asyncio
import time
from dataclasses import dataclass
from random import Random

import msgspec

from agents.beating import Beating
from agents.bus import Identity, NatsBus
from agents.clock import SystemClock
from agents.intake import CAPABILITIES
from agents.keys import OrderKeys
from agents.observe.asks import asks_of
from agents.observe.shapes import PodSpec
from agents.ports import BusUnavailable, PublishRefused
from agents.publishing import Publisher
from agents.timing import Backoff
from schemas.wire.alerts import Alert, AlertBatch
from schemas.wire.beats import BeatReply
from schemas.wire.codec import decode, encode, pack_column
from schemas.wire.orders import Order, OrderBody, Verb, Version
from schemas.wire.reports import Bound, Facts, Inventory, ObjectStatus, Profile, Stamp, Usage, Work, WorkState
from schemas.wire.subjects import Subjects, shard_name

NODES = 4
ORDERS_AT_ONCE = 64
PULL_SECONDS = 20.0
BEAT_SECONDS = 10.0
EPOCH = 1
AMOUNTS = {"cpu": 16_000, "memory": 64 << 30, "pods": 110}


@dataclass(frozen=True)
class Member:
    """What joining came to. seeds and keys as `agents.joining.AgentKeys` has them."""

    name: str
    cluster: str
    prefix: str
    identity: Identity
    servers: list[str]
    order_keys: OrderKeys


class LeanAgent:
    """One cluster's agent, for as long as its process runs. silent: it pulls orders, and answers none."""

    def __init__(self, member: Member, random: Random, *, silent: bool = False) -> None:
        self._member, self._random, self._silent = member, random, silent
        self._subjects = Subjects(member.prefix)
        self._bus = NatsBus(member.servers, member.identity, self._subjects)
        clock = self._clock = SystemClock()
        self._publisher = Publisher(self._bus, clock, random, self._subjects, member.cluster)
        self._beating = Beating(
            self._bus,
            clock,
            random,
            self,
            CAPABILITIES,
            "lean",
            period=BEAT_SECONDS,
            settle=self._settle,
            heard=self._hear,
        )
        self._incarnation = 0
        self._works: dict[str, Work] = {}
        self._asks: dict[str, tuple[str, dict[str, int], int]] = {}
        self._alerts: list[AlertBatch] = []
        self._sent: Stamp = (0, 0)
        self._something = asyncio.Event()
        self._changed_at = self._answered_at = self._quiet_at = 0.0
        self.alert_count = 0
        self.orders_taken = 0

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beating.run())
            group.create_task(self._publisher.run())
            group.create_task(self._send_alerts())
            group.create_task(self._obey())

    # What a beat tells.

    def stamp(self) -> Stamp:
        return self._publisher.stamp()

    def digests(self, count: int) -> dict[str, tuple[Stamp, str]]:
        return self._publisher.digests(count)

    def versions(self) -> dict[str, Version]:
        return {workload: work.version for workload, work in self._works.items()}

    @property
    def held(self) -> int:
        return len(self._works)

    @property
    def orders_repeated(self) -> int:
        return 0

    @property
    def spool_depth(self) -> int:
        return len(self._alerts)

    @property
    def holding(self) -> bool:
        return False

    # What a reply brings.

    async def _settle(self, reply: BeatReply) -> bool:
        self._incarnation = reply.incarnation + 1
        self._publisher.begin(self._incarnation)
        self._tell_cluster()
        return True

    async def _hear(self, reply: BeatReply) -> None:
        self._answered_at = time.time()
        self._alerts = [each for each in self._alerts if each.stamp > reply.alerts_committed]
        if reply.alerts_resend_from is not None:
            self._sent = reply.alerts_resend_from
            self._something.set()
        if "all" in reply.resend:
            self._publisher.resend_all()
        else:
            self._publisher.resend(reply.resend)

    # What there is to tell.

    def change(self) -> None:
        """Something is used otherwise, and there is an alert to tell."""
        self._changed_at, self._quiet_at = time.time(), 0.0
        if self._incarnation:
            self._tell_usage()
            self.alert_count += 1
            labels = {"alertname": "Pretended", "number": str(self.alert_count % 3)}
            batch = AlertBatch(
                incarnation=self._incarnation,
                sequence=self.alert_count,
                received_at=self._changed_at,
                alerts=[Alert(labels=labels, starts_at=self._changed_at)],
            )
            self._alerts.append(batch)
            self._something.set()

    @property
    def waits(self) -> tuple[bool, bool, bool, bool]:
        """For its incarnation, for reports and for alerts to be taken, for a beat after the last change."""
        is_heard = self._answered_at >= self._changed_at
        return not self._incarnation, bool(self._publisher.pending), bool(self._alerts), not is_heard

    @property
    def steady_at(self) -> float:
        """Since when all is told and committed, and a beat answered, after the last change; 0: it is not."""
        if any(self.waits):
            return 0.0
        self._quiet_at = self._quiet_at or time.time()
        return max(self._quiet_at, self._answered_at)

    def _tell_cluster(self) -> None:
        labels = {"kubernetes.io/os": "linux", "topology.kubernetes.io/region": f"r{len(self._member.name)}"}
        profile = Profile(incarnation=0, sequence=0, labels=labels)
        shard = shard_name(1, 0)
        names = [f"{self._member.name}-node-{number}" for number in range(NODES)]
        self._publisher.offer(f"profile.{profile.hash}", profile)
        self._publisher.offer(
            f"inventory.{shard}",
            Inventory(
                incarnation=0,
                sequence=0,
                epoch=EPOCH,
                names=names,
                profile_hashes=[profile.hash],
                profiles=pack_column([0] * NODES),
                resources=list(AMOUNTS),
                allocatable=[pack_column([amount] * NODES) for amount in AMOUNTS.values()],
                taint_sets=[[]],
                taints=pack_column([0] * NODES),
                condition_sets=[["Ready"]],
                conditions=pack_column([0] * NODES),
            ),
        )
        capabilities: list[str] = list(CAPABILITIES)
        served = ["v1/Namespace", "v1/Pod", "v1/ConfigMap", "apps/v1/Deployment"]
        facts = Facts(
            incarnation=0,
            sequence=0,
            layout=1,
            kubernetes_version="v1.34.2",
            served=served,
            capabilities=capabilities,
        )
        self._publisher.offer("facts", facts)
        self._tell_usage()

    def _tell_usage(self) -> None:
        """Pods of a workload stand on the first node, each with what it asks for."""
        taken = [self._random.randrange(1, 4_000) for _ in range(NODES)]
        asks = list(self._asks.items())
        self._publisher.offer(
            f"usage.{shard_name(1, 0)}",
            Usage(
                incarnation=0,
                sequence=0,
                epoch=EPOCH,
                nodes=NODES,
                resources=["cpu"],
                foreign=[pack_column(taken)],
                requests=[amounts for _, (_, amounts, _) in asks],
                bound=[
                    Bound(workload, template, 0, replicas, index)
                    for index, (workload, (template, _, replicas)) in enumerate(asks)
                ],
            ),
        )

    async def _send_alerts(self) -> None:
        backoff = Backoff(self._random)
        while True:
            await self._something.wait()
            self._something.clear()
            subject = self._subjects.alert(self._member.cluster)
            batches = [each for each in self._alerts if each.stamp > self._sent]
            try:
                await self._bus.publish([(subject, encode(each)) for each in batches])
                self._sent = batches[-1].stamp if batches else self._sent
                backoff.succeeded()
            except (BusUnavailable, PublishRefused):
                self._something.set()
                await self._clock.sleep(backoff.failed())

    # What is ordered.

    async def _obey(self) -> None:
        backoff = Backoff(self._random, longest_seconds=5.0)
        while True:
            try:
                orders = await self._bus.next_orders(limit=ORDERS_AT_ONCE, timeout_seconds=PULL_SECONDS)
                backoff.succeeded()
                for delivery in orders:
                    self.orders_taken += 1
                    if not self._silent:
                        self._carry_out(decode(Order, delivery.body))
                        await delivery.acknowledge()
            except BusUnavailable:
                await self._clock.sleep(backoff.failed())

    def _carry_out(self, order: Order) -> None:
        known = self._works.get(order.workload)
        if not self._member.order_keys.is_signed(order) or (known and known.version > order.version):
            return
        body = msgspec.json.decode(order.body, type=OrderBody)
        is_there = order.verb is Verb.APPLY
        objects = [_status(each) for each in body.objects] if is_there else []
        replicas = sum(each.desired for each in objects)
        self._works[order.workload] = work = Work(
            incarnation=0,
            sequence=0,
            version=order.version,
            carried_out=order.version,
            state=WorkState.APPLIED if is_there else WorkState.WITHDRAWN,
            objects=objects,
            pods=replicas,
            ready=replicas,
            living={body.template: replicas} if replicas else {},
        )
        pods = [each["spec"]["template"]["spec"] for each in body.objects if each["kind"] == "Deployment"]
        if is_there and pods:
            self._asks[order.workload] = body.template, asks_of(msgspec.convert(pods[0], PodSpec)), replicas
        else:
            self._asks.pop(order.workload, None)
        self._publisher.offer(f"work.{order.workload}", work)
        self._tell_usage()
        self._beating.recorded(order.workload, order.version)


def _status(manifest: dict[str, object]) -> ObjectStatus:
    """As of an object that is there, whole."""
    found = msgspec.convert(manifest, _Manifest)
    replicas = found.spec.replicas
    return ObjectStatus(
        api_version=found.api_version,
        kind=found.kind,
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        healthy=True,
        desired=replicas,
        ready=replicas,
        updated=replicas,
    )


class _Named(msgspec.Struct):
    name: str
    namespace: str = ""


class _Replicas(msgspec.Struct):
    replicas: int = 0


class _Manifest(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    metadata: _Named
    spec: _Replicas = msgspec.field(default_factory=_Replicas)
