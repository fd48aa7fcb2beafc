"""What hurts of the workloads that Muster runs here: not carried out, down, degraded, stuck, failed. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agents.alerts.troubles import Trouble, by_key, trouble
from agents.observe.rows import PodKey, PodRow
from schemas.wire.reports import ObjectStatus, Work, WorkState

PODS_STUCK = "WorkloadPodsStuck"
QUIET_SECONDS = 300.0
"""A container that crashes again and again runs in between: that long without is over."""
MOST_NAMED = 5
_NOT_CARRIED_OUT = (WorkState.REFUSED, WorkState.FAILED, WorkState.HELD)


@dataclass(frozen=True)
class Standing:
    """One workload here: its name, what is reported of it, its pods."""

    name: str
    work: Work
    pods: Mapping[PodKey, PodRow]


def workload_troubles(standings: Iterable[Standing], *, degraded_seconds: float) -> dict[bytes, Trouble]:
    """By key. degraded_seconds: how long an object is unhealthy before that is a trouble."""
    found: list[Trouble] = []
    for standing in standings:
        work = standing.work
        if work.state in _NOT_CARRIED_OUT:
            found.append(_not_carried_out(standing.name, work))
        elif work.state is WorkState.APPLIED:
            found += [
                _of_object(standing.name, status, degraded_seconds)
                for status in work.objects
                if not status.healthy
            ]
            found += _stuck(standing)
    return by_key(*found)


def _not_carried_out(workload: str, work: Work) -> Trouble:
    said = "; ".join(refusal.message for refusal in work.refusals[:MOST_NAMED])
    return trouble(
        "WorkloadNotCarriedOut",
        "warning",
        f"Workload {workload} is not carried out: {work.state}",
        {"workload": workload, "state": work.state.value},
        said,
        for_seconds=10.0,
    )


def _of_object(workload: str, status: ObjectStatus, degraded_seconds: float) -> Trouble:
    what = f"{status.kind} {status.namespace}/{status.name}" if status.namespace else status.name
    about = {
        "workload": workload,
        "namespace": status.namespace,
        "kind": status.kind,
        "name": status.name,
    }
    if status.kind == "Job":
        return trouble("JobFailed", "warning", f"{what} has failed", about, status.message)
    if status.desired and not status.ready:
        return trouble(
            "WorkloadDown",
            "critical",
            f"{what} of {workload}: none of {status.desired} is ready",
            about,
            status.message,
            for_seconds=degraded_seconds,
        )
    return trouble(
        "WorkloadDegraded",
        "warning",
        f"{what} of {workload} is not healthy",
        about,
        status.message,
        for_seconds=degraded_seconds,
    )


def _stuck(standing: Standing) -> list[Trouble]:
    """One alert a workload, namespace and reason, however many pods there are."""
    stuck = {key: pod.stuck for key, pod in standing.pods.items() if pod.stuck and not pod.deleting}
    if not stuck:
        return []
    places: dict[tuple[str, str], set[PodKey]] = defaultdict(set)
    for key, reason in stuck.items():
        places[key[0], reason].add(key)
    return [
        trouble(
            PODS_STUCK,
            "warning",
            f"{len(pods)} pods of {standing.name} do not run: {reason}",
            {"workload": standing.name, "namespace": namespace, "reason": reason},
            "Pods: " + ", ".join([name for _, name in sorted(pods)][:MOST_NAMED]),
            keep_seconds=QUIET_SECONDS,
            pods=frozenset(pods),
        )
        for (namespace, reason), pods in sorted(places.items())
    ]
