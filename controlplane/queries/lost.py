"""Workloads in lost clusters as readers see them."""

from collections.abc import Mapping

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
) -> tuple[Decision, Mapping[str, RefusalRow]]:
    """The decision that would be made now, and what becomes of it in each lost cluster that it runs in."""
    rows = {
        cluster: RefusalRow(each.reason.value, each.message)
        for cluster, each in outlooks(known, compiled).items()
    }
    gone = leaving(known, compiled)
    decision = decide(known, compiled, views, gone)
    if not gone or decision.error is None:
        return decision, rows
    error = decision.error
    for cluster in gone:
        began = f"unreachable since {clock_text(known.losses.unreachable[cluster])}"
        text = f"{began}; it stays, since elsewhere: {error.message}"
        rows[cluster] = RefusalRow(error.reason.value, text)
    return decide(known, compiled, views), rows
