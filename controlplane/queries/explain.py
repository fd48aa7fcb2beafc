"""Why a workload runs where it does, and why nowhere else: an answer for every cluster."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from controlplane.fleet import Demand
from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord
from controlplane.known.views import Compiled, Compiler, Views, summary
from controlplane.placement import ClusterView, Decision
from controlplane.placement.plan import fleet_manifest as write_fleet
from controlplane.queries.lost import decide_as_placed_again
from controlplane.queries.rows import ClusterVerdict, Explanation, PlacementRow, RefusalRow
from controlplane.queries.workloads import placement_rows
from schemas.manifests import Fleet as FleetManifest
from schemas.reasons import Reason

CHOSEN = "Chosen"
PASSED = "Passed"
LEFT_OUT = "LeftOut"


def explain(known: Known, record: WorkloadRecord, now: float) -> Explanation:
    """Decides anew, for every cluster, over what is known now; nothing is written.

    ValueError where what is stored cannot be understood any more.
    """
    compiled = Compiler(known).compiled(record)
    views = Views(known).all(now)
    decision, lost = decide_as_placed_again(known, compiled, views)
    placements = {row.cluster_id: row for row in placement_rows(known, record)}
    error = decision.error
    return Explanation(
        workload=record.name,
        uid=record.uid,
        placed=error is None,
        reason="Placed" if error is None else error.reason.value,
        message=summary(decision.assignments) if error is None else error.message,
        clusters=tuple(
            _verdict(known, compiled, decision, view, placements.get(view.id), lost.get(view.id))
            for view in views
        ),
        decided=_decided(known, record),
    )


def fleet_manifest(known: Known, now: float, cluster: str | None = None) -> FleetManifest:
    """The fleet as a file that `muster plan` takes; of one cluster where it is named."""
    views = [view for view in Views(known).all(now) if cluster is None or view.name == cluster]
    return write_fleet(known.fleet, views)


def _verdict(
    known: Known,
    compiled: Compiled,
    decision: Decision,
    view: ClusterView,
    row: PlacementRow | None,
    lost: RefusalRow | None,
) -> ClusterVerdict:
    refusals = decision.refusals.get(view.id, ())
    reasons = [RefusalRow(each.reason.value, each.message) for each in refusals]
    chosen = view.id in decision.assignments
    verdict = CHOSEN if chosen else PASSED
    if not chosen and any(each.reason is not Reason.NOT_CHOSEN for each in refusals):
        verdict = LEFT_OUT
    if not chosen and not reasons and decision.error is not None:
        reasons = [RefusalRow(decision.error.reason.value, decision.error.message)]
    if lost is not None:
        reasons.insert(0, lost)
    elif row is not None and view.id in known.losses.unreachable:
        reasons.insert(0, row.refusals[0])
    nodes, counts = _node_counts(known, view, compiled.interpretation.demand)
    return ClusterVerdict(
        cluster=view.name,
        verdict=verdict,
        replicas=decision.assignments.get(view.id, 0),
        available=decision.available.get(view.id, 0),
        score=float(decision.scores.get(view.id, 0.0)),
        reasons=tuple(reasons),
        nodes=nodes,
        node_counts=counts,
        placement=row,
    )


def _node_counts(known: Known, view: ClusterView, demand: Demand | None) -> tuple[str, Mapping[str, Any]]:
    if demand is None or view.id not in known.fleet.clusters:
        return "", {}
    counts = known.fleet.explain(view.id, demand)
    return str(counts), asdict(counts)


def _decided(known: Known, record: WorkloadRecord) -> dict[str, Any]:
    decision = known.decisions.get(record.uid)
    if decision is None:
        return {}
    return {
        "placed": decision.placed,
        "reason": decision.reason,
        "message": decision.message,
        "revision": decision.revision,
        "current": decision.resource_version >= record.resource_version,
        "decided_at": decision.decided_at,
        "explanation": dict(decision.explanation),
    }
