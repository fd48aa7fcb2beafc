"""Workloads, where they run, and how far that has come."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from controlplane.known.known import Known
from controlplane.known.records import (
    ClusterRecord,
    OutboxRecord,
    PlacementRecord,
    WorkloadRecord,
)
from controlplane.queries.charges import charges_of, flavor_names, priority_of
from controlplane.queries.lost import UNREACHABLE_STATE, lost_row
from controlplane.queries.not_taken import UNKNOWN, not_taken, not_understood
from controlplane.queries.paging import Page, Query
from controlplane.queries.rows import (
    ObjectRow,
    PlacementRow,
    RefusalRow,
    WorkloadDetail,
    WorkloadRow,
)
from controlplane.queries.sealed import hide
from controlplane.queries.tables import Table
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Work, WorkState

API_VERSION = "muster.dev/v1"
FINISHED = "Finished"
QUEUED = "Queued"
_SAID_BY_AGENT = (WorkState.REFUSED, WorkState.FAILED, WorkState.HELD)

WORKLOADS: Table[WorkloadRow] = Table(
    fields={
        "name": lambda row: row.name,
        "uid": lambda row: row.uid,
        "tenant": lambda row: row.tenant,
        "state": lambda row: row.state,
        "reason": lambda row: row.reason,
        "kind": lambda row: row.kinds,
        "cluster": lambda row: tuple(row.clusters),
        "priority": lambda row: row.priority,
        "flavor": lambda row: row.flavors,
        "replicas": lambda row: row.replicas,
        "ready": lambda row: row.ready,
        "revision": lambda row: row.revision,
        "created_at": lambda row: row.created_at,
        "updated_at": lambda row: row.updated_at,
    },
    identity=lambda row: f"{row.name}\0{row.uid}",
    labels=lambda row: row.labels,
)

PLACEMENTS: Table[PlacementRow] = Table(
    fields={
        "workload": lambda row: row.workload,
        "cluster": lambda row: row.cluster,
        "state": lambda row: row.state,
        "order": lambda row: row.order,
        "verb": lambda row: row.verb,
        "replicas": lambda row: row.replicas,
        "ready": lambda row: row.ready,
        "pods": lambda row: row.pods,
        "revision": lambda row: row.revision,
    },
    identity=lambda row: f"{row.workload}\0{row.cluster}\0{row.workload_uid}",
)


def list_workloads(known: Known, query: Query) -> Page[WorkloadRow]:
    return WORKLOADS.page((workload_row(known, record) for record in known.workloads.values()), query)


def list_placements(known: Known, query: Query) -> Page[PlacementRow]:
    rows = (row for record in known.workloads.values() for row in placement_rows(known, record))
    return PLACEMENTS.page(rows, query)


def workload_detail(known: Known, record: WorkloadRecord) -> WorkloadDetail:
    return WorkloadDetail(
        workload_row(known, record),
        manifest_of(record),
        tuple(placement_rows(known, record)),
        charged=charges_of(known, record.uid),
    )


def manifest_of(record: WorkloadRecord) -> dict[str, Any]:
    """What could be applied again. Values of Secrets are hidden; sent back, they keep what is stored."""
    metadata: dict[str, Any] = {"name": record.name}
    if record.labels:
        metadata["labels"] = dict(record.labels)
    if record.annotations:
        metadata["annotations"] = dict(record.annotations)
    return {"apiVersion": API_VERSION, "kind": "Workload", "metadata": metadata, "spec": hide(record.spec)}


def workload_row(known: Known, record: WorkloadRecord) -> WorkloadRow:
    rows = list(placement_rows(known, record))
    decision = known.decisions.get(record.uid)
    state = _workload_state(known, record, rows)
    current = decision if decision is not None and state != "Deciding" else None
    return WorkloadRow(
        name=record.name,
        uid=record.uid,
        tenant=record.tenant,
        state=state,
        reason=current.reason if current else "",
        message=current.message if current else "",
        kinds=tuple(sorted({str(each.get("kind", "")) for each in _manifests(record)})),
        replicas=sum(row.replicas for row in rows),
        ready=sum(row.ready for row in rows if row.cluster_id not in known.losses.unreachable),
        pods=sum(row.pods for row in rows if row.cluster_id not in known.losses.unreachable),
        clusters={row.cluster: row.replicas for row in rows if row.verb == Verb.APPLY.value},
        labels=record.labels,
        annotations=record.annotations,
        revision=record.revision,
        resource_version=record.resource_version,
        created_at=record.created_at,
        updated_at=record.updated_at,
        priority=priority_of(record),
        flavors=flavor_names(known, record.uid),
    )


def _manifests(record: WorkloadRecord) -> list[Mapping[str, Any]]:
    return cast(list[Mapping[str, Any]], record.spec.get("manifests", []))


def _workload_state(known: Known, record: WorkloadRecord, rows: list[PlacementRow]) -> str:
    if record.deleted:
        return "Deleting"
    decision = known.decisions.get(record.uid)
    if decision is None or decision.resource_version < record.resource_version:
        return "Deciding"
    # What an agent refuses needs somebody to act, also where the rest of the fleet runs.
    for said in _SAID_BY_AGENT:
        if any(row.state == said.value for row in rows):
            return said.value
    if not decision.placed:
        return "Unplaced"
    # What is withdrawn from a lost cluster goes when that is back, which may be never.
    counting = [
        row for row in rows if row.verb == Verb.APPLY or row.cluster_id not in known.losses.unreachable
    ]
    if not counting or any(row.state not in ("Running", FINISHED) for row in counting):
        return "Progressing"
    return FINISHED if all(row.state == FINISHED for row in counting) else "Running"


def placement_rows(known: Known, record: WorkloadRecord) -> Iterator[PlacementRow]:
    """Every cluster that holds an order for it, withdrawals too, or a placement."""
    placements = known.placements_of(record.uid)
    orders = known.orders.get(record.uid, {})
    for cluster_id in sorted({*placements, *orders}):
        cluster = known.clusters.get(cluster_id)
        if cluster is not None:
            order, placement = orders.get(cluster_id), placements.get(cluster_id)
            work = known.work.get(record.uid, {}).get(cluster_id)
            row = _placement_row(known, record, cluster, placement, order, work)
            lost = lost_row(known, record, cluster_id, Verb(row.verb))
            yield row if lost is None else _unreachable(row, lost)


def _unreachable(row: PlacementRow, lost: RefusalRow) -> PlacementRow:
    state = UNREACHABLE_STATE if row.verb == Verb.APPLY else row.state
    return replace(row, state=state, message=f"{lost.reason}: {lost.message}", refusals=(lost, *row.refusals))


def _placement_row(
    known: Known,
    record: WorkloadRecord,
    cluster: ClusterRecord,
    placement: PlacementRecord | None,
    order: OutboxRecord | None,
    work: Work | None,
) -> PlacementRow:
    version = order.version if order is not None else placement.version if placement is not None else None
    verb = order.verb if order is not None else Verb.APPLY
    state, message = _placement_state(verb, version, order, work)
    refused = not_taken(known, order, work)
    if refused:
        state, message = WorkState.REFUSED.value, f"{refused[0].reason}: {refused[0].message}"
    elif strange := not_understood(known, cluster.id, record.uid, work):
        state, message = UNKNOWN, strange
    return PlacementRow(
        workload=record.name,
        cluster=cluster.name,
        state=state,
        replicas=placement.replicas if placement is not None else 0,
        ready=work.ready if work is not None else 0,
        pods=work.pods if work is not None else 0,
        revision=placement.revision if placement is not None else 0,
        version=(version.epoch, version.generation) if version is not None else (0, 0),
        verb=verb.value,
        order=_order_state(order),
        message=message,
        refusals=tuple(dict.fromkeys((*refused, *_refusals(work)))),
        objects=_object_rows(work),
        workload_uid=record.uid,
        cluster_id=cluster.id,
    )


def _placement_state(
    verb: Verb, version: Version | None, order: OutboxRecord | None, work: Work | None
) -> tuple[str, str]:
    if work is not None and work.version == version and work.state in _SAID_BY_AGENT:
        return work.state.value, work.refusals[0].message if work.refusals else ""
    if verb is Verb.WITHDRAW:
        return WorkState.WITHDRAWING.value, "waits for the agent to report the removal"
    if work is None or work.carried_out is None or version is None or work.carried_out < version:
        return "Progressing", f"order {_order_state(order).lower()}, not yet carried out"
    unhealthy = [each for each in work.objects if not each.healthy]
    message = ""
    if unhealthy:
        first = unhealthy[0]
        message = f"{first.kind} {first.name}: {first.message or f'{first.ready} of {first.desired} ready'}"
    if work.finished and work.version == version:
        return FINISHED, message
    return ("Progressing" if unhealthy else "Running"), message


def _order_state(order: OutboxRecord | None) -> str:
    """A row that is gone was acknowledged and removed."""
    if order is None or (order.acknowledged is not None and order.acknowledged >= order.version):
        return "Acknowledged"
    return "Published" if order.published_sequence is not None else QUEUED


def _refusals(work: Work | None) -> Iterator[RefusalRow]:
    for each in work.refusals if work is not None else ():
        yield RefusalRow(each.reason.value, each.message, each.object)


def _object_rows(work: Work | None) -> tuple[ObjectRow, ...]:
    return tuple(
        ObjectRow(
            api_version=each.api_version,
            kind=each.kind,
            namespace=each.namespace,
            name=each.name,
            healthy=each.healthy,
            desired=each.desired,
            ready=each.ready,
            updated=each.updated,
            message=each.message,
        )
        for each in (work.objects if work is not None else ())
    )
