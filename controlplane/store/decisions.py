"""Decisions, and all that follows from them, in one transaction under the lease."""

from collections import defaultdict
from collections.abc import Collection, Sequence

import msgspec

from controlplane.known.records import DecisionRecord, Lease, PlacementRecord, Standing
from controlplane.loops.ports import NewDecision
from controlplane.store import changes, journal, ledger, outbox, quota_head, spent
from controlplane.store.codecs import Connection, transposed
from controlplane.store.leases import hold
from controlplane.store.outcomes import Outcome, Outcomes, Subject
from schemas.wire.orders import Version

DECISION = (
    "workload, resource_version, revision, placed, reason, message, explanation,"
    " extract(epoch from decided_at)::float8 as decided_at"
)
PLACEMENT = "workload, cluster, replicas, revision, epoch, generation, template"


async def commit(
    connection: Connection, lease: Lease, decisions: Sequence[NewDecision], quota_version: int = 0
) -> set[str]:
    """Write those that were decided on what is there now; the uids of the others. Raises LeaseLost."""
    await hold(connection, lease)
    tenants = {line.tenant for decision in decisions for line in decision.lines}
    quota_moved = bool(tenants) and await quota_head.held_soon(connection) != quota_version
    outcomes = await _read(connection, decisions)
    outcomes.quota_moved = quota_moved
    if tenants:
        settled = await spent.settle(connection, tenants, outcomes.now)
        outcomes.exhausted = settled.exhausted
        outcomes.changes += settled.changes
    outcomes.take(decisions)
    await _write_decisions(connection, outcomes)
    await _write_placements(connection, outcomes)
    await outbox.put(connection, list(outcomes.outbox.values()))
    await ledger.enter(connection, outcomes.lines)
    await journal.append(
        connection,
        decided=outcomes.decided,
        charged=((line.workload, line.cluster) for line in outcomes.lines),
    )
    await changes.append(connection, outcomes.changes)
    return outcomes.skipped


async def _read(connection: Connection, decisions: Sequence[NewDecision]) -> Outcomes:
    uids = list({decision.workload for decision in decisions})
    clusters = list({order.cluster for decision in decisions for order in decision.orders})
    # In the order in which people's writes lock them, so that neither waits for the other in a circle.
    workloads = await connection.fetch(
        "select uid, name, resource_version, deleted from workload where uid = any($1)"
        " order by uid for share",
        uids,
    )
    standings = await connection.fetch(
        "select id, standing from cluster where id = any($1) order by id for share", clusters
    )
    versions = await connection.fetch(
        "select cluster, workload, epoch, generation from outbox where workload = any($1)", uids
    )
    last = await _last_outcomes(connection, uids)
    named = await connection.fetch(
        "select id, name from cluster where id = any($1)",
        list({*clusters, *(cluster for outcome in last.values() for cluster in outcome.replicas)}),
    )
    return Outcomes(
        subjects={
            row["uid"]: Subject(row["name"], row["resource_version"], row["deleted"]) for row in workloads
        },
        removed={row["id"] for row in standings if row["standing"] == Standing.REMOVED},
        names={row["id"]: row["name"] for row in named},
        orders={
            (row["cluster"], row["workload"]): Version(row["epoch"], row["generation"]) for row in versions
        },
        last=last,
        now=await connection.fetchval("select extract(epoch from clock_timestamp())::float8"),
    )


async def _last_outcomes(connection: Connection, uids: Collection[str]) -> dict[str, Outcome]:
    rows = await connection.fetch(
        "select d.workload, d.placed, d.reason, d.revision, p.cluster, p.replicas"
        " from decision d left join placement p using (workload) where d.workload = any($1)",
        uids,
    )
    replicas: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        if row["cluster"] is not None:
            replicas[row["workload"]][row["cluster"]] = row["replicas"]
    return {
        row["workload"]: Outcome(row["placed"], row["reason"], row["revision"], replicas[row["workload"]])
        for row in rows
    }


async def _write_decisions(connection: Connection, outcomes: Outcomes) -> None:
    if not outcomes.decided:
        return
    # As one value: an array each is looked through element by element before it is sent.
    await connection.execute(
        "insert into decision select workload, resource_version, revision, placed, reason, message,"
        " explanation, to_timestamp(decided_at) from jsonb_to_recordset($1) as new (workload text,"
        " resource_version bigint, revision bigint, placed boolean, reason text, message text,"
        " explanation jsonb, decided_at float8)"
        " on conflict (workload) do update set (resource_version, revision, placed, reason, message,"
        " explanation, decided_at) = (excluded.resource_version, excluded.revision, excluded.placed,"
        " excluded.reason, excluded.message, excluded.explanation, excluded.decided_at)",
        list(outcomes.decided.values()),
    )


async def _write_placements(connection: Connection, outcomes: Outcomes) -> None:
    if outcomes.withdrawn:
        await connection.execute(
            "delete from placement p using unnest($1::text[], $2::text[]) as gone (cluster, workload)"
            " where p.cluster = gone.cluster and p.workload = gone.workload",
            *transposed(outcomes.withdrawn, 2),
        )
    if not outcomes.placements:
        return
    await connection.execute(
        "insert into placement select workload, cluster, replicas, revision, (version->>0)::bigint,"
        " (version->>1)::bigint, template from jsonb_to_recordset($1) as new (workload text, cluster text,"
        " replicas bigint, revision bigint, version jsonb, template text)"
        " on conflict (workload, cluster) do update set (replicas, revision, epoch, generation, template)"
        " = (excluded.replicas, excluded.revision, excluded.epoch, excluded.generation, excluded.template)",
        list(outcomes.placements.values()),
    )


def decision_of(row: dict[str, object]) -> DecisionRecord:
    return msgspec.convert(row, DecisionRecord)


def placement_of(row: dict[str, object]) -> PlacementRecord:
    return msgspec.convert(row | {"version": (row["epoch"], row["generation"])}, PlacementRecord)
