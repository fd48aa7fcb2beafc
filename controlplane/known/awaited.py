"""What is said to a workload that waits for quota which others still hold."""

from collections.abc import Sequence

from controlplane.known.known import Known
from controlplane.placement.wording import counted


def awaited(known: Known, victims: Sequence[str]) -> str:
    """victims: uids of what has to give way first; none where all of it is on its way out already."""
    text = "waits for what is on its way out"
    if victims:
        text = f"waits for {counted(len(victims), 'workload')} to give way: {_named(known, victims)}"
    return text + _held_up(known)


def _named(known: Known, uids: Sequence[str]) -> str:
    named = [known.workloads[uid].name for uid in uids if uid in known.workloads]
    more = [f"and {len(named) - 3:,} more"] if len(named) > 3 else []
    return ", ".join([*named[:3], *more])


def _held_up(known: Known) -> str:
    """What leaves does not, where an agent holds."""
    leaving = {cluster for places in known.quotas.charges.leaving().values() for _, cluster in places}
    holding = sorted(
        known.clusters[each].name
        for each in leaving & known.clusters.keys() & known.heard.keys()
        if known.heard[each].beat.holding
    )
    return "".join(f"; the agent of {name} holds: muster clusters release {name}" for name in holding[:3])
