"""The ledger of quota on a Postgres that syncs: what charging adds to a commit, and lines a second."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from controlplane.embedded import EmbeddedPostgres
from controlplane.intent import WorkloadDraft, Write
from controlplane.known.records import Cause, Lease, LedgerLine, WorkloadRecord
from controlplane.loops.ports import NewDecision, NewOrder
from controlplane.store.store import PostgresStore
from schemas.wire.orders import Verb, Version
from tests.benchmarks.placements import open_folder

TOGETHER = 256
"""Decisions in one transaction, as the loop makes them."""
ROUNDS = 40
TENANTS = 50
CLUSTERS = 100
RESOURCES = ("cpu", "memory", "nvidia.com/gpu")
EXPLANATION = {
    "clusters": [{"cluster": f"cluster-{number:03}", "room": number, "score": 50} for number in range(10)]
}
BODY = bytes(range(256)) * 6


def figures() -> dict[str, float]:
    """ledger_entries_per_second: charged with their decisions, then released, three to a workload.

    decisions_committed_..._ms: medians of a transaction of 256 new decisions of one order each.
    """
    return asyncio.run(_figures())


async def _figures() -> dict[str, float]:
    async with _store() as store:
        lease = await store.take_lease("deciding", "bench", 3600.0)
        assert lease is not None
        version = (await store.read_quota()).version
        free, charged, released = list[float](), list[float](), list[float]()
        for number in range(2 * ROUNDS):
            works = await _submitted(store, number)
            lines = number % 2 == 1
            decisions = [each async for each in _decisions(store, lease, works, number, lines=lines)]
            took = await _timed(lambda: store.commit_decisions(lease, decisions, version))  # noqa: B023
            (charged if lines else free).append(took)
            back = [
                replace(line, amount=-line.amount, cause=Cause.RELEASED)
                for each in decisions[: TOGETHER // 2]
                for line in each.lines
            ]
            if back:
                released.append(await _timed(lambda: store.commit_lines(lease, back)))  # noqa: B023
        assert await store.check_ledger() == []
        entries = len(RESOURCES) * TOGETHER * (len(charged) + len(released) / 2)
    without, with_lines = statistics.median(free) * 1000, statistics.median(charged) * 1000
    return {
        "ledger_entries_per_second": round(entries / (sum(charged) + sum(released))),
        "ledger_released_per_second": round(len(RESOURCES) * TOGETHER / 2 / statistics.median(released)),
        "decisions_committed_uncharged_ms": round(without, 2),
        "decisions_committed_charged_ms": round(with_lines, 2),
        "ledger_adds_ms_per_decision": round((with_lines - without) / TOGETHER, 4),
    }


async def _timed(act: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    skipped = await act()
    assert not skipped
    return time.perf_counter() - began


async def _submitted(store: PostgresStore, round_: int) -> Sequence[WorkloadRecord]:
    drafts = [
        WorkloadDraft(f"w{round_}-{number}", {}, {}, f"tenant-{number % TENANTS}", {"manifests": []})
        for number in range(TOGETHER)
    ]
    return await asyncio.gather(*(store.submit_workload(draft, Write("bench")) for draft in drafts))


async def _decisions(
    store: PostgresStore, lease: Lease, works: Sequence[WorkloadRecord], round_: int, *, lines: bool
) -> AsyncGenerator[NewDecision]:
    generations = await store.reserve_generations(lease, TOGETHER)
    for number, (work, generation) in enumerate(zip(works, generations, strict=True)):
        cluster, version = f"cluster-{(number + round_) % CLUSTERS:03}", Version(lease.epoch, generation)
        order = NewOrder(cluster, Verb.APPLY, version, BODY, b"s" * 64, 3, "template", 1)
        charged = (
            LedgerLine(work.tenant, work.uid, cluster, "amd", resource, 4000, Cause.PLACED, version)
            for resource in RESOURCES
        )
        yield NewDecision(
            work.uid,
            work.resource_version,
            work.revision,
            True,
            "Placed",
            f"3 replicas in {cluster}",
            EXPLANATION,
            (order,),
            tuple(charged) if lines else (),
        )


@asynccontextmanager
async def _store() -> AsyncGenerator[PostgresStore]:
    with open_folder("muster-bench-ledger-") as folder:
        async with (
            EmbeddedPostgres(folder / "postgres") as server,
            PostgresStore(await server.create_database("bench")) as store,
        ):
            yield store


if __name__ == "__main__":
    print(json.dumps(figures()))
