"""Orders that their agent has not even recorded, and why: by its rights, or as it says itself."""

from controlplane.known.known import Known
from controlplane.known.records import OutboxRecord
from controlplane.known.withholding import refused_unrecorded
from controlplane.queries.rows import RefusalRow
from schemas.wire.reports import Work

UNKNOWN = "Unknown"


def not_taken(known: Known, order: OutboxRecord | None, work: Work | None) -> tuple[RefusalRow, ...]:
    """Nothing where it is recorded there, or simply on its way."""
    if order is None:
        return ()
    if order.published_sequence is None:
        why = known.withholding.why(order)
        return (RefusalRow(why.reason.value, why.message),) if why is not None else ()
    return tuple(
        RefusalRow(each.reason.value, each.message, each.object) for each in refused_unrecorded(order, work)
    )


def not_understood(known: Known, cluster: str, key: str, work: Work | None) -> str:
    """What an agent newer than this centre says of a workload, or of limits; "" where it is understood."""
    if work is not None and not work.state.is_known:
        return f"its agent says {work.state.value}, which this centre does not know: upgrade the centre"
    later = known.set_aside.get(cluster, {}).get(f"work.{key}")
    if later is not None and (work is None or work.stamp < later[0]):
        return f"the last report of it is not understood: {later[1]}"
    return ""
