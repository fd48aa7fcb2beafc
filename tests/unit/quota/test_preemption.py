"""Who gives way for a candidate, and that it comes to an end."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.quota.admission import Preempts, judge
from controlplane.quota.quota import Admitted, Candidate, Limits, Preemption, Reclaim, Within
from controlplane.quota.tree import Tree
from tests.unit.quota.contest import Contest
from tests.unit.quota.trees import CPU, GPU, admitted, candidate, candidates, cohort, running, tenant, trees

NEVER = Preemption(reclaim=Reclaim.NEVER, within=Within.NEVER)
LOWER = Preemption(reclaim=Reclaim.LOWER_PRIORITY)
NEWER = Preemption(within=Within.LOWER_OR_NEWER_EQUAL)
BORROWS = Preemption(borrow=Reclaim.LOWER_PRIORITY)
BELOW_5 = Preemption(borrow=Reclaim.LOWER_PRIORITY, borrow_below=5)


def judged(tree: Tree, wanted: Candidate, runs: list[Admitted]):
    usage = running(tree, *runs)
    return judge(usage, wanted, lambda name: [each for each in runs if each.tenant == name], {}, {})


def victims(tree: Tree, wanted: Candidate, runs: list[Admitted]) -> tuple[str, ...]:
    verdict = judged(tree, wanted, runs)
    return verdict.victims if isinstance(verdict, Preempts) else ()


def pair(policy: Preemption = Preemption(), a: int = 5, b: int = 5, **more) -> Tree:
    return Tree.of([tenant("a", "r", Limits(a), preemption=policy), tenant("b", "r", Limits(b), **more)], [])


def b(*amounts: int, **more) -> list[Admitted]:
    """b0 was admitted first."""
    return [admitted(f"b{index}", "b", each, at=index, **more) for index, each in enumerate(amounts)]


WHO = {
    "the latest admitted": (pair(), candidate("a", "a", 3), b(3, 3, 3), ("b2",)),
    "the lower priority before the later": (
        pair(),
        candidate("a", "a", 3),
        [admitted("b0", "b", 4, priority=-1), *b(3, 3)[1:], admitted("b2", "b", 3, at=2)],
        ("b0",),
    ),
    "others before the own": (
        pair(),
        candidate("a", "a", 2, priority=9),
        [admitted("a0", "a", 2, priority=0), *b(4, 4)],
        ("b1",),
    ),
    "the own where others are within their quota": (
        pair(),
        candidate("a", "a", 2, priority=9),
        [admitted("a0", "a", 5, priority=0), *b(5)],
        ("a0",),
    ),
    "given back what was not needed after all": (
        pair(a=9, b=1),
        candidate("a", "a", 9),
        b(8, 1),
        ("b0",),
    ),
    "no more than until it fits": (pair(a=8, b=0), candidate("a", "a", 5), b(2, 2, 2, 2), ("b3", "b2", "b1")),
    "never what may not be preempted": (
        pair(),
        candidate("a", "a", 3),
        [*b(3, 3), admitted("b2", "b", 3, at=2, preemptible=False)],
        ("b1",),
    ),
    "only who uses what is missing": (
        Tree.of(
            [
                tenant("a", "r", {CPU: Limits(5), GPU: Limits(5)}),
                tenant("b", "r", {CPU: Limits(5), GPU: Limits(5)}),
            ],
            [],
        ),
        candidate("a", "a", {CPU: 1, GPU: 2}),
        [admitted("gpu", "b", {GPU: 9}, at=1), admitted("cpu", "b", {CPU: 6}, at=2)],
        ("gpu",),
    ),
    "nobody who is within its own quota": (pair(a=2, b=8), candidate("a", "a", 3), b(8), ()),
    "what stays above nominal is taken no further": (
        pair(a=4, b=6),
        candidate("a", "a", 4),
        b(3, 3, 3),
        ("b2",),
    ),
}


@pytest.mark.parametrize(("tree", "wanted", "runs", "expected"), WHO.values(), ids=WHO)
def test_who_gives_way(tree, wanted, runs, expected):
    assert victims(tree, wanted, runs) == expected


POLICIES = {
    "reclaim Never": (NEVER, 0, 0, False),
    "reclaim Any": (Preemption(), 0, 9, True),
    "reclaim LowerPriority, from a lower": (LOWER, 1, 0, True),
    "reclaim LowerPriority, from an equal": (LOWER, 0, 0, False),
}


@pytest.mark.parametrize(("policy", "mine", "theirs", "taken"), POLICIES.values(), ids=POLICIES)
def test_reclaim(policy, mine, theirs, taken):
    found = victims(pair(policy), candidate("a", "a", 5, priority=mine), b(10, priority=theirs))
    assert found == (("b0",) if taken else ())


WITHIN = {
    "Never": (NEVER, 1, 0, False),
    "LowerPriority, a lower": (Preemption(), 1, 0, True),
    "LowerPriority, an equal that is newer": (Preemption(), 0, 0, False),
    "LowerOrNewerEqualPriority, an equal that is newer": (NEWER, 0, 0, True),
    "LowerOrNewerEqualPriority, a higher that is newer": (NEWER, 0, 1, False),
}


@pytest.mark.parametrize(("policy", "mine", "theirs", "taken"), WITHIN.values(), ids=WITHIN)
def test_within_the_tenant(policy, mine, theirs, taken):
    tree = Tree.of([tenant("a", "", Limits(5), preemption=policy)], [])
    runs = [admitted("a0", "a", 5, priority=theirs, at=1, created_at=3)]
    wanted = candidate("a1", "a", 5, priority=mine, created_at=2)
    assert victims(tree, wanted, runs) == (("a0",) if taken else ())


def test_who_was_created_first_is_not_newer_though_it_was_admitted_later():
    tree = Tree.of([tenant("a", "", Limits(5), preemption=NEWER)], [])
    wanted = candidate("a1", "a", 5, created_at=2)
    assert victims(tree, wanted, [admitted("a0", "a", 5, at=9, created_at=1)]) == ()
    assert victims(tree, wanted, [admitted("a0", "a", 5, at=9)]) == ()


BORROWING = {
    "not at the cost of one who has no more": (Preemption(), 9, 0, ()),
    "borrow LowerPriority": (BORROWS, 1, 0, ("b0",)),
    "borrow LowerPriority, an equal": (BORROWS, 0, 0, ()),
    "up to the threshold": (BELOW_5, 9, 5, ("b0",)),
    "above the threshold": (BELOW_5, 9, 6, ()),
}


@pytest.mark.parametrize(("policy", "mine", "theirs", "expected"), BORROWING.values(), ids=BORROWING)
def test_while_it_would_borrow_itself(policy, mine, theirs, expected):
    """a would borrow 5 of 10 and b borrows 2: by its share a may take nothing."""
    runs = b(7, priority=theirs)
    assert victims(pair(policy), candidate("a", "a", 10, priority=mine), runs) == expected


def three(weight: int = 1000) -> Tree:
    """A lender whom 8 can be borrowed of."""
    borrowers = [tenant("a", "r", Limits(0)), tenant("b", "r", Limits(0), weight=weight)]
    return Tree.of([*borrowers, tenant("lender", "r", Limits(8))], [])


FAIR = {
    "until both have as much": (three(), 4, b(2, 2, 2, 2), ("b3", "b2")),
    "not beyond": (three(), 5, b(1, 1, 1, 1, 1, 1, 1, 1), ()),
    "what has more, though it ends with less": (three(), 5, b(8), ("b0",)),
    "who weighs twice may have twice": (three(weight=2000), 3, b(2, 2, 2, 2), ()),
    "who weighs nothing is owed nothing": (three(weight=0), 7, b(4, 4), ("b1", "b0")),
}


@pytest.mark.parametrize(("tree", "needs", "runs", "expected"), FAIR.values(), ids=FAIR)
def test_by_fair_share(tree, needs, runs, expected):
    assert victims(tree, candidate("a", "a", needs), runs) == expected


def test_of_several_the_one_with_the_greatest_share():
    tree = Tree.of([*(tenant(name, "r") for name in "abc"), tenant("lender", "r", Limits(9))], [])
    runs = [admitted("b0", "b", 3, priority=-1), admitted("c0", "c", 3, at=1), admitted("c1", "c", 3, at=2)]
    assert victims(tree, candidate("a", "a", 2), runs) == ("c1",)


def test_a_cohort_reclaims_for_a_tenant_that_has_no_quota_of_its_own():
    tree = Tree.of(
        [tenant("a", "left"), tenant("b", "right")],
        [cohort("left", "root", Limits(5)), cohort("right", "root", Limits(5))],
    )
    assert victims(tree, candidate("a", "a", 5), b(5, 5)) == ("b1",)
    assert victims(tree, candidate("a", "a", 6), b(5, 4)) == ()


def test_a_cohort_within_its_quota_is_safe_though_a_tenant_of_it_borrows_there():
    tree = Tree.of(
        [
            tenant("a", "left", Limits(4)),
            tenant("x", "left"),
            tenant("b", "right"),
            tenant("c", "right", Limits(6)),
        ],
        [cohort("left", "root"), cohort("right", "root")],
    )
    runs = [*b(6), admitted("x0", "x", 4)]
    assert victims(tree, candidate("a", "a", 4), runs) == ("x0",)


def test_what_own_makes_possible_is_not_taken_when_the_own_is_given_back():
    """With its own out, its share is low enough to take of another; then all of its own fits again, and it
    would have the greater share (kubernetes-sigs/kueue#14543: they preempted each other in turns)."""
    tree = Tree.of([*(tenant(name, "r") for name in "ab"), tenant("lender", "r", Limits(8))], [])
    own = admitted("a0", "a", 2, priority=0, at=1)
    assert victims(tree, candidate("a1", "a", 5, priority=1), [own, *b(6)]) == ()
    assert victims(tree, candidate("a1", "a", 3, priority=1), [own, *b(6)]) == ("b0",)


def test_who_gave_way_takes_of_what_came_later_only_within_its_quota():
    runs = b(4, 4)
    tree = three()
    wanted = Candidate("a", "a", 0, 0.5, {CPU: 2})
    assert victims(tree, wanted, runs) == ("b1",)
    assert victims(tree, replace(wanted, gave_way=True), runs) == ("b0",)
    assert victims(pair(), replace(wanted, needs={CPU: 5}, gave_way=True), b(5, 5)) == ("b1",)


@pytest.mark.promise(2)
@settings(max_examples=100, deadline=None)
@given(st.data(), trees(), st.booleans())
def test_preemption_ends(data, tree, slow):
    contest = Contest(tree, slow)
    wanted = data.draw(candidates(tree))
    contest.hold(wanted, bound=40 * len(wanted) ** 2)
    assert not contest.leaving
    assert not contest.claims
    again = Contest(tree, slow)
    again.hold(wanted, bound=40 * len(wanted) ** 2)
    assert again.runs == contest.runs, "the same input, another result"


@settings(max_examples=100, deadline=None)
@given(st.data(), trees())
def test_two_never_preempt_each_other(data, tree):
    """Whether or not they are known to have given way: by the rules alone."""
    wanted = data.draw(candidates(tree, most=2))
    first, second = (replace(each, created_at=index) for index, each in enumerate(wanted))
    others = data.draw(candidates(tree))
    usage = running(tree)
    fixed = [
        admitted(f"fixed-{each.uid}", each.tenant, each.needs, preemptible=False)
        for each in others
        if not usage.lacking(each.tenant, each.needs) and not usage.add(each.tenant, each.needs)
    ]

    def taken(by: Candidate, of: Candidate) -> bool:
        runs = [*fixed, Admitted(of.uid, of.tenant, of.priority, 9, of.needs, created_at=of.created_at)]
        return victims(tree, by, runs) == (of.uid,)

    if not usage.lacking(first.tenant, first.needs) and not usage.lacking(second.tenant, second.needs):
        assert not (taken(first, second) and taken(second, first))
