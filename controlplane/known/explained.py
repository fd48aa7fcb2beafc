"""What is stored with every decision: small, since `explain` works the whole of it out anew. Pure."""

from collections import Counter

from controlplane.known.known import Known
from controlplane.known.records import DecisionRecord, WorkloadRecord
from controlplane.known.views import names
from controlplane.placement import Decision

AFFINITY = "affinity"
RESCHEDULED = "rescheduled"


def explained(known: Known, record: WorkloadRecord, decision: Decision) -> dict[str, object]:
    """Of one that was placed, also what the next decision begins with."""
    refused = Counter(refusal.reason.value for each in decision.refusals.values() for refusal in each)
    told: dict[str, object] = {
        "assignments": names(known, decision.assignments),
        "refused": dict(refused),
    }
    if decision.error is None:
        kept = {AFFINITY: decision.affinity_name, RESCHEDULED: record.rescheduled}
        told |= {name: value for name, value in kept.items() if value}
    return told


def remembered(held: DecisionRecord | None) -> dict[str, object]:
    """What of the last decision goes on through refusals: the group used, and how far it was placed anew."""
    if held is None:
        return {}
    explanation = held.explanation
    return {name: explanation[name] for name in (AFFINITY, RESCHEDULED) if name in explanation}
