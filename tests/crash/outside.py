"""What is to be seen of several centres from outside: what they stored, and what they published."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nats.aio.msg import Msg

from controlplane.bus import Credentials
from controlplane.bus.session import Session
from controlplane.identity import accounts, keys
from schemas.wire.codec import decode
from schemas.wire.orders import Order, Version
from schemas.wire.subjects import Subjects

UNPLACED = """
select w.name from workload w where not w.deleted and coalesce(
    (select sum(p.replicas) from placement p where p.workload = w.uid), 0)
    <> (w.spec->'manifests'->0->'spec'->>'replicas')::bigint
"""
"""Workloads that are not placed once, each replica in one place."""
FORGED = """
select count(*) from outbox o join epoch e on e.role = 'deciding' and e.epoch = (
    select min(epoch) from epoch where role = 'deciding' and epoch > o.epoch)
where o.generation > e.first_generation
"""
"""Orders of an epoch, of a generation that was given out after it."""


CHARGED = """
select w.name, b.amount, w.spec->'manifests'->0->'spec'->>'replicas' as replicas
from workload w left join (
    select workload, sum(amount) as amount from balance where resource = 'cpu' and not drift group by 1
) b on b.workload = w.uid
where not w.deleted and w.tenant <> ''
and coalesce(b.amount, 0) <> 100 * (w.spec->'manifests'->0->'spec'->>'replicas')::bigint
"""
"""Workloads of which not each replica is charged its 100 millicores once."""


@dataclass
class Orders:
    """Every order that ORDERS took, as it took it: version by subject, in the order of sequences."""

    seen: dict[str, list[tuple[int, Version]]] = field(default_factory=dict[str, list[tuple[int, Version]]])

    async def take(self, message: Msg) -> None:
        version = decode(Order, message.data).version
        sequence = message.metadata.sequence.stream
        self.seen.setdefault(message.subject, []).append((sequence, version))

    def went_back(self) -> dict[str, list[tuple[int, Version]]]:
        """Subjects on which an older version came after a newer one."""
        return {
            subject: seen
            for subject, seen in self.seen.items()
            if [version for _, version in sorted(seen)] != sorted(version for _, version in seen)
        }


@asynccontextmanager
async def watched(orders: Orders, folder: Path, nats_url: str) -> AsyncGenerator[None]:
    """folder: of the centre's keys."""
    own = keys.load(folder)
    user_jwt = accounts.service_user_jwt(own.centre_account, own.centre_user, "test", int(time.time()))
    session = Session([nats_url], Credentials(user_jwt, own.centre_user), "test")
    client = await session.client()
    try:
        subject = f"{Subjects().prefix}.order.>"
        await client.jetstream().subscribe(subject, cb=orders.take, ordered_consumer=True)
        yield
    finally:
        await session.close()
