"""Why a workload runs where it does, and why nowhere else: an answer for every cluster."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from controlplane.known.admitting import QUOTA_REASONS
from controlplane.known.compiling import Compiler
from controlplane.known.known import Known
from controlplane.known.losing import leaving
from controlplane.known.records import WorkloadRecord
from controlplane.known.views import Views, asked, summary
from controlplane.placement import ClusterView
from controlplane.placement.filters import beyond_rights
from controlplane.placement.telling import Telling, counts_text
from controlplane.placement.written import fleet_manifest as write_fleet
from controlplane.queries.charges import charges_of, chosen_flavors, priority_of
from controlplane.queries.lost import decide_as_placed_again
from controlplane.queries.not_taken import not_taken
from controlplane.queries.quota_changes import quota_changes
from controlplane.queries.rows import ClusterVerdict, Explanation, PlacementRow, RefusalRow
from controlplane.queries.told import counts_data, division_row, score_rows, suggestion_rows
from controlplane.queries.workloads import QUEUED, manifest_of, placement_rows
from schemas.manifests import Fleet as FleetManifest
from schemas.manifests import Workload
from schemas.reasons import Reason

CHOSEN = "Chosen"
PASSED = "Passed"
LEFT_OUT = "LeftOut"


class Explaining:
    """Decides anew, for every cluster, over what is known now; nothing is written.

    ValueError where what is stored cannot be understood any more.
    """

    def __init__(self, known: Known, record: WorkloadRecord, now: float) -> None:
        self._known, self._record = known, record
        compiled = Compiler(known).compiled(record)
        self._views = Views(known).all(now)
        admission, self._lost = decide_as_placed_again(known, compiled, self._views)
        compiled, self._decision = admission.compiled, admission.decision
        self._compiled = compiled
        gone = leaving(known, compiled)
        if self._decision.error is not None or not gone.isdisjoint(self._decision.assignments):
            gone = frozenset[str]()
        trials, ask = asked(known, compiled, self._views, gone)
        error = self._decision.error
        lacks_quota = error is not None and error.reason in QUOTA_REASONS
        self._telling = Telling(trials, ask, self._decision, searches=not lacks_quota)
        room = sum(self._decision.available.values())
        if lacks_quota and room >= compiled.interpretation.replicas:
            # With more quota it would still be too large for what is there.
            self._telling.workload_changes = quota_changes(known, admission, self._views)

    def steps(self) -> Iterator[None]:
        """Work it out; others may run between two steps."""
        yield from self._telling.run()

    def explanation(self) -> Explanation:
        """After all steps."""
        known, record, decision = self._known, self._record, self._decision
        placements = {row.cluster_id: row for row in placement_rows(known, record)}
        error = decision.error
        return Explanation(
            workload=record.name,
            uid=record.uid,
            placed=error is None,
            reason="Placed" if error is None else error.reason.value,
            message=summary(decision.assignments) if error is None else error.message,
            clusters=tuple(self._verdict(view, placements.get(view.id)) for view in self._views),
            decided=_decided(known, record),
            affinity=decision.affinity_name,
            division=division_row(self._telling.account, {view.id: view.name for view in self._views}),
            changes=suggestion_rows(self._telling.workload_changes),
            priority=priority_of(record),
            flavors=chosen_flavors(known, record.uid),
            charged=charges_of(known, record.uid),
        )

    def _verdict(self, view: ClusterView, row: PlacementRow | None) -> ClusterVerdict:
        decision, telling = self._decision, self._telling
        counts = telling.nodes.get(view.id, {})
        return ClusterVerdict(
            cluster=view.name,
            verdict=self._word(view.id),
            replicas=decision.assignments.get(view.id, 0),
            available=decision.available.get(view.id, 0),
            score=float(decision.scores.get(view.id, 0.0)),
            reasons=tuple(self._reasons(view, row)),
            nodes=counts_text(counts),
            node_counts=counts_data(counts),
            placement=row,
            scores=score_rows(telling.scores.get(view.id, ())),
            changes=suggestion_rows(telling.changes.get(view.id, ())),
        )

    def _word(self, cluster: str) -> str:
        if cluster in self._decision.assignments:
            return CHOSEN
        refusals = self._decision.refusals.get(cluster, ())
        return LEFT_OUT if any(each.reason is not Reason.NOT_CHOSEN for each in refusals) else PASSED

    def _reasons(self, view: ClusterView, row: PlacementRow | None) -> list[RefusalRow]:
        decision, cluster = self._decision, view.id
        lost = self._lost.get(cluster)
        reasons = [RefusalRow(each.reason.value, each.message) for each in decision.refusals.get(cluster, ())]
        if row is not None:
            reasons += [each for each in self._held_back(view, row) if each not in reasons]
        if cluster not in decision.assignments and not reasons and decision.error is not None:
            reasons = [RefusalRow(decision.error.reason.value, decision.error.message)]
        if lost is None and row is not None and cluster in self._known.losses.unreachable:
            lost = row.refusals[0]
        if lost is None:
            return reasons
        # It says since when, and what follows.
        return [lost, *(each for each in reasons if each.reason != Reason.CLUSTER_UNKNOWN)]

    def _held_back(self, view: ClusterView, row: PlacementRow) -> Iterator[RefusalRow]:
        """What is ordered there is not sent, or what runs there goes on as it is: its agent may not."""
        beyond = beyond_rights(self._compiled.request, view)
        if beyond is not None and view.id in self._decision.assignments:
            yield RefusalRow(beyond.reason.value, beyond.message)
        if row.order == QUEUED:
            yield from not_taken(self._known, self._known.order(view.id, row.workload_uid), None)


def explain(known: Known, record: WorkloadRecord, now: float) -> Explanation:
    """`Explaining` at once, for a small fleet."""
    explaining = Explaining(known, record, now)
    for _ in explaining.steps():
        pass
    return explaining.explanation()


def fleet_manifest(
    known: Known,
    now: float,
    cluster: str | None = None,
    record: WorkloadRecord | None = None,
    running: Mapping[str, Any] | None = None,
) -> FleetManifest:
    """The fleet as a file that `muster plan` takes; of one cluster where it is named.

    record: of a workload, to plan a change of it; running: the spec of the revision that runs.
    """
    views = [view for view in Views(known).all(now) if cluster is None or view.name == cluster]
    if record is None:
        return write_fleet(known.fleet, views, slacks=known.slacks)
    decision = known.decisions.get(record.uid)
    placements = known.placements_of(record.uid)
    there = {view.id for view in views}
    runs = None if running is None or there.isdisjoint(placements) else _workload(record, running)
    return write_fleet(
        known.fleet,
        views,
        {id_: each.replicas for id_, each in placements.items() if id_ in there},
        record.uid,
        known.slacks,
        runs,
        decision.affinity_name if decision is not None else "",
    )


def _workload(record: WorkloadRecord, spec: Mapping[str, Any]) -> Workload | None:
    """None where another version of ours took what is stored."""
    try:
        return Workload.model_validate(manifest_of(replace(record, spec=spec)))
    except ValueError:
        return None


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
