"""What would let a workload in that lacks nothing but quota: more of it, or less of the workload."""

from collections.abc import Sequence

from controlplane.known.admitting import Admission, least_lacking
from controlplane.known.known import Known
from controlplane.placement import ClusterView
from controlplane.placement.changes import Change
from controlplane.placement.steps import Step, StepKind
from controlplane.placement.wording import counted
from controlplane.quota.quota import Amounts
from schemas.quantities import quantity_text
from schemas.reasons import Reason


def smallest_needs(known: Known, admission: Admission, views: Sequence[ClusterView]) -> Amounts:
    """What it would be charged more; of several flavors that all lack, of those that lack least."""
    error = admission.decision.error
    if error is None or error.reason is not Reason.QUOTA_EXCEEDED:
        return admission.needs
    return least_lacking(known, admission.compiled, views) or admission.needs


def quota_changes(known: Known, admission: Admission, views: Sequence[ClusterView]) -> tuple[Change, ...]:
    """Nothing where the budget is spent, or where what is on its way out will do."""
    record, usage = admission.compiled.record, known.quotas.usage
    needs = smallest_needs(known, admission, views)
    missing = usage.lacking(record.tenant, needs)
    if not missing:
        return ()
    wanted = admission.compiled.interpretation.replicas
    more = " and ".join(
        f"{quantity_text(resource, amount)} {resource} of flavor {flavor}"
        for (flavor, resource), amount in sorted(missing.items())
    )
    path = f"tenant {record.tenant}: spec.quota"
    found = [
        Change((_step(StepKind.REQUEST_QUOTA, path, f"ask for {more} more: muster quota request"),), wanted)
    ]

    fewer = min((amount - missing.get(key, 0)) * wanted // amount for key, amount in needs.items() if amount)
    if 0 < fewer < wanted:
        text = f"{counted(fewer, 'replica')} instead of {wanted:,}"
        found.append(Change((_step(StepKind.FEWER_REPLICAS, "replicas", text),), fewer))
    return tuple(found)


def _step(kind: StepKind, path: str, text: str) -> Step:
    return Step(kind, path, text, apply=lambda ask: ask)
