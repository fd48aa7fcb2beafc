"""When a charge ends: only what an agent has reported, only down, and never below what may come back."""

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.quota.quota import NOTHING, Amounts
from controlplane.quota.releasing import Ordered, has_finished, released, still_held
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import ObjectStatus, Work, WorkState

pytestmark = pytest.mark.promise(2)

OLD, NOW, LATER = Version(1, 1), Version(1, 2), Version(1, 3)
ASKED: Amounts = {("", "cpu"): 3_000}
THREE = Ordered(Verb.APPLY, NOW, {"t2": 3})
GONE = Ordered(Verb.WITHDRAW, NOW)


def work(state: WorkState = WorkState.APPLIED, version: Version = NOW, **fields: object) -> Work:
    report = Work(incarnation=1, sequence=1, version=version, carried_out=version, state=state, living={})
    return msgspec.structs.replace(report, **fields)


def status(**fields: object) -> ObjectStatus:
    known = ObjectStatus(api_version="apps/v1", kind="Deployment", namespace="a", name="web", healthy=True)
    return msgspec.structs.replace(known, **fields)


@dataclass(frozen=True)
class Case:
    ordered: Ordered | None
    work: Work | None
    held: Amounts | None
    asked: Amounts | None = field(default_factory=lambda: ASKED)


CASES = {
    "nothing is ordered there any more: all of it": Case(None, None, NOTHING),
    "nothing is ordered there, whatever an old report says": Case(
        None, work(living={"t2": 3}, pods=3), NOTHING
    ),
    "nobody has said anything": Case(THREE, None, None),
    "carried out, all pods are there": Case(THREE, work(living={"t2": 3}, pods=3), ASKED),
    "fewer pods than placed: what is placed stays": Case(THREE, work(living={"t2": 1}, pods=1), ASKED),
    "no pods yet: what is placed stays": Case(THREE, work(), ASKED),
    "more pods than placed": Case(THREE, work(living={"t2": 5}, pods=5), None),
    "pods of the template before": Case(THREE, work(living={"t1": 1, "t2": 2}, pods=3), None),
    "a pod is being deleted": Case(THREE, work(living={"t2": 3}, leaving=1, pods=4), None),
    "pods that are over hold nothing": Case(THREE, work(living={"t2": 3}, pods=9), ASKED),
    "pods without a template: made by an operator": Case(THREE, work(living={"": 3}, pods=3), ASKED),
    "pods without a template, of which some are not updated": Case(
        THREE, work(living={"": 3}, pods=3, objects=[status(desired=3, updated=2)]), None
    ),
    "recorded, not carried out": Case(THREE, work(WorkState.RECORDED, carried_out=OLD), None),
    "failed": Case(THREE, work(WorkState.FAILED), None),
    "held by the agent": Case(THREE, work(WorkState.HELD, carried_out=OLD), None),
    "a report of an older order": Case(THREE, work(version=OLD, living={"t2": 1}, pods=1), None),
    "a report of an order that this database never issued": Case(THREE, work(version=LATER), None),
    "the fleet has not been told what is placed": Case(Ordered(Verb.APPLY, NOW), work(), None),
    "it is not known what it comes to": Case(THREE, work(), None, asked=None),
    "objects without pods": Case(Ordered(Verb.APPLY, NOW, {}), work(objects=[status()]), ASKED),
    "on every node: as many as its object wants": Case(
        Ordered(Verb.APPLY, NOW, {"t2": 0}), work(living={"t2": 4}, objects=[status(desired=4)]), ASKED
    ),
    "on every node: more than its object wants": Case(
        Ordered(Verb.APPLY, NOW, {"t2": 0}), work(living={"t2": 5}, objects=[status(desired=4)]), None
    ),
    "two components of one template": Case(
        Ordered(Verb.APPLY, NOW, {"t2": 3}), work(living={"t2": 3}, pods=3), ASKED
    ),
    "withdrawn": Case(GONE, work(WorkState.WITHDRAWN), NOTHING),
    "withdrawn, a pod is left": Case(GONE, work(WorkState.WITHDRAWN, pods=1), None),
    "being withdrawn, without pods": Case(GONE, work(WorkState.WITHDRAWING, carried_out=OLD), None),
    "withdrawn by an order before": Case(GONE, work(WorkState.WITHDRAWN, version=OLD), None),
    "run to its end": Case(THREE, work(finished=True, pods=3), NOTHING),
    "an older order had run to its end": Case(THREE, work(finished=True, version=OLD), None),
    "run to its end before the order was carried out": Case(
        THREE, work(finished=True, carried_out=OLD), None
    ),
    "an older agent: as many as placed, all updated": Case(
        THREE, work(living=None, pods=3, objects=[status(desired=3, ready=3, updated=3)]), ASKED
    ),
    "an older agent: some are not updated": Case(
        THREE, work(living=None, pods=3, objects=[status(desired=3, ready=3, updated=1)]), None
    ),
    "an older agent: more pods than placed": Case(THREE, work(living=None, pods=4), None),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_what_may_still_be_held(case: Case) -> None:
    assert still_held(case.ordered, case.work, case.asked) == case.held


@pytest.mark.parametrize(
    ("said", "has"),
    [
        (work(finished=True), True),
        (work(), False),
        (work(finished=True, version=OLD), False),
        (work(finished=True, carried_out=OLD), False),
    ],
)
def test_what_has_run_to_its_end_did_so_under_the_order_that_stands(said: Work, has: bool) -> None:
    assert has_finished(THREE, said) is has
    assert not has_finished(GONE, said)


keys = st.tuples(st.sampled_from(["", "a100"]), st.sampled_from(["cpu", "memory"]))
amounts = st.dictionaries(keys, st.integers(1, 10))


@given(charged=amounts, held=amounts)
def test_what_is_released_leaves_the_smaller_of_what_is_charged_and_held(
    charged: Amounts, held: Amounts
) -> None:
    ended = released(charged, held)

    assert all(amount > 0 for amount in ended.values())
    left = {key: amount - ended.get(key, 0) for key, amount in charged.items()}
    assert left == {key: min(amount, held.get(key, 0)) for key, amount in charged.items()}
