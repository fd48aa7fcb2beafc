"""A store and the time it lives in: the same suite asks Postgres and the store of the seeded world."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

import asyncpg

from controlplane.alerts.alert import Alert
from controlplane.alerts.entry import Arrived
from controlplane.alerts.fingerprint import fingerprint
from controlplane.embedded import EmbeddedPostgres
from controlplane.intent import JoinDraft, WorkloadDraft, Write
from controlplane.known.records import ClusterRecord, Lease, WorkloadRecord
from controlplane.loops.ports import AlertLink, NewDecision, NewOrder
from controlplane.store.store import PostgresStore
from schemas.wire.orders import Verb, Version
from tests.simulation.memory_store import MemoryStore
from tests.simulation.memory_tables import Tables

AnyStore = PostgresStore | MemoryStore
BEGIN_SECONDS = 1_767_225_600.0
TTL_SECONDS = 30.0
ME = Write("me")


class World(Protocol):
    @property
    def store(self) -> AnyStore: ...

    async def pass_time(self, seconds: float) -> None:
        """Everything that was written lies that much further back."""
        ...

    async def now(self) -> float: ...

    async def backup(self) -> None: ...

    async def restore(self) -> None:
        """The database as it was at the backup."""
        ...


@dataclass
class SettableClock:
    seconds: float = BEGIN_SECONDS

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class MemoryWorld:
    def __init__(self) -> None:
        self._clock = SettableClock()
        self.store = MemoryStore(self._clock)
        self._backup: Tables | None = None

    async def pass_time(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    async def now(self) -> float:
        return self._clock.now()

    async def backup(self) -> None:
        self._backup = self.store.snapshot()

    async def restore(self) -> None:
        assert self._backup is not None
        self.store.restore(self._backup)
        await self.pass_time(1)


@dataclass
class PostgresWorld:
    server: EmbeddedPostgres
    dsn: str
    store: PostgresStore
    _names: list[str] = field(default_factory=list[str])

    async def pass_time(self, seconds: float) -> None:
        aged = {"lease": "expires_at", "answered": "at", "invitation": "expires_at", "spent": "until"}
        async with raw(self.dsn) as connection:
            for table, column in aged.items():
                await connection.execute(
                    f"update {table} set {column} = {column} - make_interval(secs => $1)", seconds
                )

    async def now(self) -> float:
        async with raw(self.dsn) as connection:
            return await connection.fetchval("select extract(epoch from clock_timestamp())::float8")

    async def backup(self) -> None:
        await self.store.close()
        name = self.dsn.rsplit("/", 1)[1]
        await self.server.create_database(f"{name}_backup", template=name)
        self._names.append(f"{name}_backup")
        await self.store.open()

    async def restore(self) -> None:
        await self.store.close()
        self.store = PostgresStore(self.server.dsn(self._names[-1]))
        self.dsn = self.server.dsn(self._names[-1])
        await self.store.open()

    async def close(self) -> None:
        await self.store.close()
        for name in self._names:
            await self.server.drop_database(name)


@asynccontextmanager
async def raw(dsn: str) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        connection.terminate()


def draft(name: str = "web", **spec: object) -> WorkloadDraft:
    return WorkloadDraft(name, {"team": "a"}, {}, "shop", {"manifests": [{"kind": "Deployment"}], **spec})


async def lead(store: AnyStore, holder: str = "first") -> Lease:
    lease = await store.take_lease("deciding", holder, TTL_SECONDS)
    assert lease is not None
    return lease


_numbers = count(1)


async def joined(store: AnyStore, name: str = "north") -> ClusterRecord:
    number = next(_numbers)
    token = b"token-%d" % number
    await store.invite_cluster(JoinDraft(token, name, {"env": "test"}, (), BEGIN_SECONDS * 2), ME)
    return await store.join_cluster(
        token,
        cluster=f"ACCOUNT{number}",
        cluster_uid=f"uid-{number}",
        agent_key="UKEY",
        sealing_key=b"\x00\xff",
        account_seed=b"sealed seed",
    )


def order(
    cluster: str, lease: Lease, generation: int, *, verb: Verb = Verb.APPLY, replicas: int = 2
) -> NewOrder:
    return NewOrder(
        cluster, verb, Version(lease.epoch, generation), b"body", b"signature", replicas, "template", 1
    )


def decision(record: WorkloadRecord, *orders: NewOrder, placed: bool = True, reason: str = "") -> NewDecision:
    return NewDecision(
        workload=record.uid,
        resource_version=record.resource_version,
        revision=record.revision,
        placed=placed,
        reason=reason,
        message="as decided",
        explanation={"clusters": []},
        orders=orders,
    )


def link(source: str, incarnation: int, sequence: int, *names: str) -> AlertLink:
    """What a batch of an agent of `source` comes to."""
    identities = [{"alertname": name, "cluster": "north"} for name in names or ("Down",)]
    alerts = [
        Alert(fingerprint(identity), identity, {}, 1.0, 2.0, 1.0, source=source) for identity in identities
    ]
    return AlertLink((incarnation, sequence), (Arrived(1.0, alerts),))


async def arrived(store: AnyStore, source: str) -> list[Alert]:
    """What agents of `source` brought, in the order of the log."""
    reader = store.alerting if isinstance(store, PostgresStore) else store
    entries = [entry for _, entry in await reader.read_entries(0, 10_000)]
    alerts = [alert for entry in entries if isinstance(entry, Arrived) for alert in entry.alerts]
    return [alert for alert in alerts if alert.source == source]


def whats(changes: Sequence[object]) -> list[str]:
    return [str(getattr(change, "what", "")) for change in changes]
