"""Workloads in lost clusters as readers see them."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from controlplane.known.admitting import QUOTA_REASONS, Admission, admit
from controlplane.known.compiling import Compiled
from controlplane.known.known import Known
from controlplane.known.losing import is_stranded, leaving, outlook_of, outlooks
from controlplane.known.records import WorkloadRecord
from controlplane.known.views import decide
from controlplane.placement import ClusterView, Decision
from controlplane.queries.rows import RefusalRow
from controlplane.rollout import clock_text
from schemas.reasons import Reason
from schemas.wire.orders import Verb

UNREACHABLE_STATE = "Unreachable"


def lost_row(known: Known, record: WorkloadRecord, cluster: str, verb: Verb) -> RefusalRow | None:
    """What becomes of it there; None where the cluster is not lost."""
    since = known.losses.unreachable.get(cluster)
    if since is None:
        return None
    began = f"unreachable since {clock_text(since)}"
    if verb is Verb.WITHDRAW:
        text = f"{began}: withdrawn, and counted until its agent reports that it is gone"
        return RefusalRow(Reason.CLUSTER_UNKNOWN.value, text)
    outlook = outlook_of(known, record, cluster)
    if outlook is None:
        return RefusalRow(Reason.CLUSTER_UNKNOWN.value, began)
    decision = known.decisions.get(record.uid)
    if outlook.is_due(known.losses.at) and decision is not None and is_stranded(decision):
        return RefusalRow(decision.reason, f"{began}; {decision.message}")
    return RefusalRow(outlook.reason.value, outlook.message)


def decide_as_placed_again(
    known: Known, compiled: Compiled, views: list[ClusterView]
) -> tuple[Admission, Mapping[str, RefusalRow]]:
    """The decision that would be made now, and what becomes of it in each lost cluster that it runs in."""
    rows = {
        cluster: RefusalRow(each.reason.value, each.message)
        for cluster, each in outlooks(known, compiled).items()
    }
    gone = leaving(known, compiled)
    admission = _admit(known, compiled, views, gone)
    error = admission.decision.error
    if not gone or error is None:
        return admission, rows
    for cluster in gone:
        began = f"unreachable since {clock_text(known.losses.unreachable[cluster])}"
        text = f"{began}; it stays, since elsewhere: {error.message}"
        rows[cluster] = RefusalRow(error.reason.value, text)
    return _admit(known, compiled, views), rows


def _admit(
    known: Known, compiled: Compiled, views: list[ClusterView], gone: Collection[str] = ()
) -> Admission:
    """Of what lacks quota, also where it could run."""
    admission = admit(known, compiled, views, gone)
    error = admission.decision.error
    if error is None or error.reason not in QUOTA_REASONS:
        return admission
    decision: Decision = decide(known, admission.compiled, views, gone)
    if decision.error is not None:
        error = replace(error, message=f"{error.message}; {decision.error.message}")
    return replace(admission, decision=replace(decision, assignments={}, error=error))
