"""What a workload's state is called, from decision, order and what the agent says."""

from dataclasses import replace
from typing import Any

import pytest

from controlplane.known.known import Known
from controlplane.known.records import (
    ClusterRecord,
    DecisionRecord,
    OutboxRecord,
    PlacementRecord,
    Standing,
    WorkloadRecord,
)
from controlplane.queries.workloads import placement_rows, workload_detail, workload_row
from schemas.reasons import Reason
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import ObjectStatus, Refusal, Work, WorkState

V1, V2 = Version(1, 1), Version(1, 2)
CLUSTER = ClusterRecord(
    "C1", "eu-1", {}, (), "uid", "key", b"", Standing.JOINED, "", 1, resource_version=1, joined_at=1.0
)
RECORD = WorkloadRecord("w1", "web", {}, {}, "", 2, 7, {"manifests": []}, False, 1.0, 2.0)
PLACED = DecisionRecord("w1", 7, 2, True, "Placed", "2 replicas in 1 cluster", {}, 3.0)
ORDER = OutboxRecord("C1", "w1", Verb.APPLY, V2, b"", b"", 9, V2)
PLACEMENT = PlacementRecord("w1", "C1", 2, 2, V2, "t")
HEALTHY = ObjectStatus(
    api_version="apps/v1", kind="Deployment", namespace="d", name="web", healthy=True, desired=2, ready=2
)
WORK = Work(
    incarnation=1,
    sequence=1,
    version=V2,
    carried_out=V2,
    state=WorkState.APPLIED,
    objects=[HEALTHY],
    pods=2,
    ready=2,
)
REFUSAL = Refusal(reason=Reason.OWNED_BY_OTHER, message="kubectl has it", object="Deployment d/web")


def known(
    record: WorkloadRecord = RECORD,
    decision: DecisionRecord | None = PLACED,
    order: OutboxRecord | None = ORDER,
    placement: PlacementRecord | None = PLACEMENT,
    work: Work | None = WORK,
) -> Known:
    made = Known(clusters={"C1": CLUSTER})
    made.put_workload(record)
    if decision is not None:
        made.decisions["w1"] = decision
    if order is not None:
        made.put_order(order)
    if placement is not None:
        made.placements["w1"] = {"C1": placement}
    if work is not None:
        made.work["w1"] = {"C1": work}
    return made


def struct(work: Work, **fields: Any) -> Work:
    return Work(**({name: getattr(work, name) for name in work.__struct_fields__} | fields))


CASES: dict[str, tuple[Known, str]] = {
    "all that was ordered runs": (known(), "Running"),
    "not yet decided": (known(decision=None, order=None, placement=None, work=None), "Deciding"),
    "changed since it was decided": (known(decision=replace(PLACED, resource_version=6)), "Deciding"),
    "decided to be nowhere": (
        known(
            decision=replace(PLACED, placed=False, reason="NoClusterFits"),
            order=None,
            placement=None,
            work=None,
        ),
        "Unplaced",
    ),
    "ordered, and nothing heard yet": (known(work=None), "Progressing"),
    "an older order was carried out": (
        known(work=struct(WORK, version=V2, carried_out=V1)),
        "Progressing",
    ),
    "not all is ready": (
        known(
            work=struct(
                WORK,
                objects=[
                    ObjectStatus(
                        api_version="apps/v1",
                        kind="Deployment",
                        namespace="d",
                        name="web",
                        healthy=False,
                        desired=2,
                        ready=1,
                    )
                ],
            )
        ),
        "Progressing",
    ),
    "the agent refuses": (known(work=struct(WORK, state=WorkState.REFUSED, refusals=[REFUSAL])), "Refused"),
    "the agent refused an older order": (
        known(work=struct(WORK, version=V1, carried_out=None, state=WorkState.REFUSED, refusals=[REFUSAL])),
        "Progressing",
    ),
    "the agent holds": (known(work=struct(WORK, state=WorkState.HELD)), "Held"),
    "deleted": (known(record=replace(RECORD, deleted=True)), "Deleting"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_workload_s_state(case: tuple[Known, str]) -> None:
    made, state = case
    assert workload_row(made, made.workloads["w1"]).state == state


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (replace(ORDER, published_sequence=None, acknowledged=None), "Queued"),
        (replace(ORDER, acknowledged=None), "Published"),
        (replace(ORDER, acknowledged=V1), "Published"),
        (ORDER, "Acknowledged"),
    ],
)
def test_how_far_an_order_is(order: OutboxRecord, said: str) -> None:
    made = known(order=order)
    assert [row.order for row in placement_rows(made, RECORD)] == [said]


@pytest.mark.promise(7)
def test_a_refusal_is_shown_with_its_reason_and_its_object() -> None:
    made = known(work=struct(WORK, state=WorkState.REFUSED, refusals=[REFUSAL]))
    row = workload_detail(made, RECORD).placements[0]
    assert (row.refusals[0].reason, row.refusals[0].object) == ("OwnedByOther", "Deployment d/web")
    assert row.message == "kubectl has it"


def test_a_withdrawal_is_shown_until_the_agent_reports_it() -> None:
    made = known(order=replace(ORDER, verb=Verb.WITHDRAW, acknowledged=None), placement=None)
    rows = list(placement_rows(made, RECORD))
    assert [(row.verb, row.state, row.replicas) for row in rows] == [("withdraw", "Withdrawing", 0)]
    assert workload_row(made, RECORD).clusters == {}
