"""What is stored with every decision: small, since `explain` works the whole of it out anew. Pure."""

from controlplane.known.admitting import GAVE_WAY, Admission
from controlplane.known.charged import CHARGED, told
from controlplane.known.flavors import FLAVORS
from controlplane.known.known import Known
from controlplane.known.records import DecisionRecord, WorkloadRecord
from controlplane.known.views import names

AFFINITY = "affinity"
RESCHEDULED = "rescheduled"
_KEPT = (AFFINITY, RESCHEDULED, FLAVORS, CHARGED, GAVE_WAY)


def explained(known: Known, record: WorkloadRecord, admission: Admission) -> dict[str, object]:
    """Of one that was placed, also what the next decision begins with."""
    decision = admission.decision
    refused: dict[str, int] = {}
    for each in decision.refusals.values():
        for refusal in each:
            reason = refusal.reason.value
            refused[reason] = refused.get(reason, 0) + 1
    found: dict[str, object] = {
        "assignments": names(known, decision.assignments),
        "refused": refused,
    }
    if decision.error is None:
        kept = {
            AFFINITY: decision.affinity_name,
            RESCHEDULED: record.rescheduled,
            FLAVORS: admission.assignment.chosen,
            CHARGED: told(admission.asked),
        }
        found |= {name: value for name, value in kept.items() if value}
    return found


def remembered(held: DecisionRecord | None) -> dict[str, object]:
    """What of the last decision goes on through refusals: what it holds, and how far it was placed anew."""
    if held is None:
        return {}
    explanation = held.explanation
    return {name: explanation[name] for name in _KEPT if name in explanation}


def gave_way(held: DecisionRecord | None, whom: str) -> dict[str, object]:
    """Of one that holds no place any more, since another needed it."""
    return {name: each for name, each in remembered(held).items() if name != CHARGED} | {GAVE_WAY: whom}


def gave_way_to(known: Known, record: WorkloadRecord) -> str:
    """`NAME of tenant NAME`; "" where it did not, or was admitted since."""
    held = known.decisions.get(record.uid)
    return str(held.explanation.get(GAVE_WAY, "")) if held is not None else ""
