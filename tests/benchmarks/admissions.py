"""Admission at the size of Kueue's own test: 1,000 tenants, 50,000 workloads, a Postgres that syncs.

The deciding loop of a leader and the one that releases, over the classes, quotas and cohorts of Kueue's
`scheduler/perf` test. What is admitted has run to its end before the next pass. Agents and NATS are left out.
"""

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Iterable
from typing import Any

import asyncpg
import msgspec
import uvloop
from prometheus_client import CollectorRegistry

from controlplane.app import COLLECT_AFTER
from controlplane.embedded import EmbeddedPostgres
from controlplane.intent import WorkloadDraft, Write
from controlplane.known.known import Heard, Known
from controlplane.known.records import Lease
from controlplane.loops.follow import Follow
from controlplane.loops.place import Place
from controlplane.loops.releasing import Releasing
from controlplane.loops.running import LoopMetrics
from controlplane.loops.turns import Turns
from controlplane.store.store import PostgresStore
from schemas.wire.beats import Beat
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Facts, Work, WorkState
from tests.benchmarks.placements import open_folder
from tests.conformance.store_worlds import joined
from tests.unit import reports

TENANTS, COHORT = 1_000, 6
CLASSES = (("small", 35, 1, 50), ("medium", 10, 5, 100), ("large", 5, 20, 200))
"""(name, how many a tenant, cores, priority)"""
NOMINAL, BORROWING = 20, 100
CLUSTERS, NODES = 20, 100
ANYWHERE = {
    "replicaScheduling": {"replicaSchedulingType": "Divided", "replicaDivisionPreference": "Aggregated"}
}
ROUNDS, TOGETHER = 10, 256
ME = Write("bench")


class _Signer:
    def sign(self, cluster: str, workload: str, verb: Verb, version: Version, body: bytes) -> bytes:
        return bytes(64)

    def reseal(self, values: object, sealing_key: bytes) -> bytes:
        raise NotImplementedError("no secrets here")


class _Clock:
    """Each pass is later than a retry's pause: what waits is offered again as often as it could ever be."""

    def __init__(self) -> None:
        self.seconds = time.time()

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def figures(tenants: int = TENANTS) -> dict[str, float]:
    """admissions_per_second: until all have been admitted; Kueue's is 42.

    quota_adds_..: to deciding and committing a workload of a tenant with room, over one of nobody's.
    """
    # As the service has it.
    gc.set_threshold(*COLLECT_AFTER)
    return uvloop.run(_figures(tenants))


async def _figures(tenants: int) -> dict[str, float]:
    with open_folder("muster-bench-admissions-") as folder:
        async with EmbeddedPostgres(folder / "postgres") as server:
            dsn = await server.create_database("bench")
            async with PostgresStore(dsn) as store:
                await _declare(store, tenants)
                await _submit(dsn, tenants)
                centre = await _Centre.begin(store)
                return await _admitted(centre) | await _added(centre, tenants)


class _Centre:
    """A leader's deciding and releasing, with clusters that report nothing by themselves."""

    def __init__(self, store: PostgresStore, known: Known, lease: Lease) -> None:
        self.store, self.known, self.clock = store, known, _Clock()
        ledger, follow, metrics = Turns(), Follow(store, known), LoopMetrics(CollectorRegistry())
        self.place = Place(
            store,
            known,
            follow,
            _Signer(),
            self.clock,
            lease,
            metrics,
            orders_committed=_nothing,
            ledger=ledger,
        )
        self.releasing = Releasing(store, known, self.clock, lease, ledger)

    @classmethod
    async def begin(cls, store: PostgresStore) -> "_Centre":
        lease = await store.take_lease("deciding", "bench", 3600.0)
        assert lease is not None
        known = Known()
        clusters = [(await joined(store, f"c{number}")).id for number in range(CLUSTERS)]
        known.replace_records(await store.load())
        for cluster in clusters:
            _report(known, cluster)
        return cls(store, known, lease)

    async def decide(self) -> list[tuple[str, str]]:
        """One pass, later than a retry's pause; (workload, cluster) of what was placed."""
        self.clock.seconds += 3.0
        for cluster in self.known.clusters:
            self.known.heard[cluster] = Heard(self.clock.seconds, 1, _beat(self.clock.seconds))
        before = {uid for uid, places in self.known.placements.items() if places}
        await self.place.run_pass()
        after = self.known.placements.items()
        return [(uid, cluster) for uid, places in after if uid not in before for cluster in places]

    async def finish(self, running: Iterable[tuple[str, str]]) -> None:
        for uid, cluster in running:
            _finish(self.known, self.releasing, uid, cluster)
        await self.releasing.run_pass()


async def _admitted(centre: _Centre) -> dict[str, float]:
    started = time.perf_counter()
    count, admitted, passes = len(centre.known.workloads), 0, 0
    running: list[tuple[str, str]] = []
    while admitted < count:
        await centre.finish(running)
        running = await centre.decide()
        assert running, "nobody is admitted any more"
        admitted += len(running)
        passes += 1
    took = time.perf_counter() - started
    await centre.finish(running)
    assert await centre.store.check_ledger() == []
    return {"admissions_per_second": round(count / took), "admission_passes": passes}


async def _added(centre: _Centre, tenants: int) -> dict[str, float]:
    """Medians over rounds that take turns, of what a workload costs the processor and the clock."""
    took: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * ROUNDS):
        bounded = number % 2 == 1
        drafts = [_draft(number, each, tenants, bounded=bounded) for each in range(TOGETHER)]
        await asyncio.gather(*(centre.store.submit_workload(draft, ME) for draft in drafts))
        started = time.perf_counter()
        running = await centre.decide()
        took[bounded].append((time.perf_counter() - started) * 1000 / TOGETHER)
        assert len(running) == TOGETHER
        await centre.finish(running)
    without, within = (statistics.median(took[bounded]) for bounded in (False, True))
    return {
        "decided_without_quota_ms": round(without, 3),
        "decided_within_quota_ms": round(within, 3),
        "quota_adds_ms_per_placement": round(within - without, 3),
    }


def _draft(round_: int, number: int, tenants: int, *, bounded: bool) -> WorkloadDraft:
    tenant, name = number % tenants, f"r{round_}-{number}"
    spec = {"manifests": [_job(name, tenant, 1)], "placement": ANYWHERE}
    return WorkloadDraft(name, {}, {}, f"t{tenant}" if bounded else "", spec)


def _finish(known: Known, releasing: Releasing, uid: str, cluster: str) -> None:
    order = known.order(cluster, uid)
    assert order is not None
    known.work.setdefault(uid, {})[cluster] = Work(
        incarnation=1,
        sequence=1,
        version=order.version,
        carried_out=order.version,
        state=WorkState.APPLIED,
        finished=True,
    )
    known.fleet.unpromise(cluster, uid)
    releasing.offer(cluster, uid)


def _nothing() -> None:
    """Nobody dispatches."""


async def _declare(store: PostgresStore, tenants: int) -> None:
    await store.submit_document("Flavor", "default", {}, ME)
    for number in range(-(-tenants // COHORT)):
        await store.submit_document("Cohort", f"cohort-{number}", {}, ME)
    cpu = {"name": "cpu", "nominalQuota": NOMINAL, "borrowingLimit": BORROWING}
    for number in range(tenants):
        quota = {
            "cohort": f"cohort-{number // COHORT}",
            "flavors": [{"name": "default", "resources": [cpu]}],
            "preemption": {"withinTenant": "LowerPriority"},
        }
        await store.submit_document(
            "Tenant", f"t{number}", {"namespaces": [f"t{number}"], "quota": quota}, ME
        )


async def _submit(dsn: str, tenants: int) -> None:
    """Past the API: what it costs to take them is another figure."""
    rows: list[tuple[Any, ...]] = []
    for kind, count, cores, priority in CLASSES:
        for number in range(count):
            for tenant in range(tenants):
                name = f"{kind}-{tenant}-{number}"
                spec = {
                    "tenant": f"t{tenant}",
                    "priority": priority,
                    "manifests": [_job(name, tenant, cores)],
                    "placement": ANYWHERE,
                }
                rows.append((f"uid-{name}", name, f"t{tenant}", msgspec.json.encode(spec).decode()))
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "insert into workload (uid, name, labels, annotations, tenant, revision, resource_version, spec,"
            " deleted, created_at, updated_at) select uid, name, '{}', '{}', tenant, 1,"
            " nextval('resource_version'), spec::jsonb, false, now(), now()"
            " from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as new (uid, name, tenant, spec)",
            *(list(column) for column in zip(*rows, strict=True)),
        )
    finally:
        await connection.close()


def _job(name: str, tenant: int, cores: int) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": "registry.example/batch:1",
        "resources": {"requests": {"cpu": str(cores)}},
    }
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": f"t{tenant}"},
        "spec": {"template": template},
    }


def _report(known: Known, cluster: str) -> None:
    facts = Facts(incarnation=1, sequence=1, layout=1, kubernetes_version="v1.34.1", served=["batch/v1/Job"])
    names = " ".join(f"n{number}" for number in range(NODES))
    reports.apply(known.fleet, cluster, "facts", facts)
    reports.apply(known.fleet, cluster, f"profile.{reports.PLAIN}", reports.profile())
    reports.apply(known.fleet, cluster, "inventory.1-0", reports.inventory(names, cpu=96_000, pods=250))
    reports.apply(known.fleet, cluster, "usage.1-0", reports.usage(NODES))


def _beat(now: float) -> Beat:
    return Beat(incarnation=1, sequence=1, clock=now, agent_version="1")


if __name__ == "__main__":
    print(json.dumps(figures()))
