"""Who gives way by fair sharing where Kueue says so, too: the situations of its `preemption_fair_test.go`.

Everything was admitted at the same time, and cpu is counted in halves so that all is whole.
"""

import pytest

from controlplane.quota.admission import Preempts, judge
from controlplane.quota.quota import Admitted, Limits, Preemption, Reclaim, Within
from controlplane.quota.tree import Tree
from tests.unit.quota.trees import CPU, GPU, admitted, candidate, cohort, running, tenant

LOWER = Preemption(reclaim=Reclaim.LOWER_PRIORITY)
OTHERS = Preemption(within=Within.NEVER)
THREE = Tree.of([*(tenant(name, "all", Limits(6)) for name in "abc"), tenant("spare", "all")], [])


def weighted(a: int = 1000, b: int = 1000) -> Tree:
    weights = {"a": a, "b": b}
    return Tree.of([tenant(name, "all", Limits(6), weight=weights.get(name, 1000)) for name in "abc"], [])


def each(names: str, amount: int = 2, priority: int = 0) -> list[Admitted]:
    """`b1 b2`: of tenant b."""
    return [admitted(name, name[0], amount, priority) for name in names.split()]


FLAT = {
    "reclaims nominal of who uses the most": (THREE, each("a1 a2 a3 b1 b2 b3 b4 b5 c1"), ("c", 2), {"b1"}),
    "of who uses less, where the latest of who uses most is not enough": (
        THREE,
        [*each("a1 b2", 6), *each("a2", 2), *each("b1", 4)],
        ("c", 6),
        {"a1"},
    ),
    "borrows of who uses the most": (THREE, each("a1 a2 a3 b1 b2 b3 b4 b5 c1"), ("a", 2), {"b1"}),
    "nobody under nominal": (THREE, each("a1 a2 a3 b1 b2 b3 c1 c2 c3"), ("c", 2), set()),
    "not where it would turn the imbalance": (THREE, each("a1 a2 a3 b1 b2 b3 b4 b5"), ("a", 4), set()),
    "lower priorities of its own": (
        THREE,
        [*each("a1 a2", priority=-1), *each("a3 a4 b1 b2 b3 b4 b5")],
        ("a", 4),
        {"a1", "a2"},
    ),
    "of its own and of who uses the most": (
        THREE,
        [*each("a1", priority=-1), *each("a2 a3 b1 b2 b3 b4 b5 b6")],
        ("a", 4),
        {"a1", "b1"},
    ),
    "a huge one, where there is no other": (THREE, each("b1", 18), ("a", 4), {"b1"}),
    "no huge one for a huge one": (THREE, [*each("a1", 4), *each("b1", 14)], ("a", 10), set()),
    "not two smaller ones for a huge one": (THREE, [*each("b1 b2", 4), *each("b3", 6)], ("a", 12), set()),
    "of its own and of another, though above nominal": (
        THREE,
        [*each("a1", 4, -1), *each("a2", 2, -1), *each("b1 b2", 6)],
        ("a", 8),
        {"a1", "b1"},
    ),
    "rather what does not make it have the greatest share": (
        THREE,
        [*each("b1 b3", 4), *each("b2", 2), *each("c1", 2)],
        ("a", 7),
        {"b2"},
    ),
    "of several, where the greatest share gets less": (
        THREE,
        [*each("b1 c1", 4), *each("b2 c2", 5)],
        ("a", 7),
        {"b1", "c1"},
    ),
    "and not back again": (THREE, [*each("a1", 7), *each("b2 c2", 5)], ("b", 4), set()),
    "not what takes another below nominal before it fits": (THREE, each("b1 b2 c1", 6), ("a", 8), set()),
    "twice the weight, twice as much": (
        weighted(a=2000),
        each("a1 a2 a3 b1 b2 b3 b4 b5 b6"),
        ("a", 4),
        {"b1", "b2"},
    ),
    "all that is borrowed at weight 0": (
        weighted(b=0),
        each("a1 a2 a3 b1 b2 b3 b4 b5 b6"),
        ("a", 6),
        {"b1", "b2", "b3"},
    ),
    "nothing nominal at weight 0": (weighted(b=0), each("a1 a2 a3 b1 b2 b3 c1 c2 c3"), ("a", 2), set()),
    "weight 0 reclaims its nominal": (
        Tree.of([tenant("a", "r", Limits(2), weight=0), tenant("b", "r")], []),
        each("b1"),
        ("a", 2),
        {"b1"},
    ),
    "weight 0 that borrows takes nothing of who weighs": (
        Tree.of([tenant("a", "r", Limits(2), weight=0), tenant("b", "r", Limits(2))], []),
        each("a1 b1 b2"),
        ("a", 2),
        set(),
    ),
    "weight 0 that borrows less than another": (
        Tree.of(
            [tenant("a", "r", Limits(2), weight=0), tenant("b", "r", weight=0)],
            [cohort("r", limits=Limits(6))],
        ),
        each("b1 b2 b3"),
        ("a", 4),
        {"b1"},
    ),
    "alone, of its own": (
        Tree.of([tenant("a", "", Limits(2))], []),
        each("a1", priority=-1),
        ("a", 2),
        {"a1"},
    ),
}


def left_and_right() -> Tree:
    """All ask the same of 20 that five each have one of and three cohorts five."""
    return Tree.of(
        [
            tenant("a", "left", Limits(2), weight=2000, preemption=OTHERS),
            tenant("b", "left", Limits(2)),
            tenant("c", "root", Limits(2)),
            tenant("d", "right", Limits(2)),
            tenant("e", "right", Limits(2), weight=990),
        ],
        [
            cohort("root", limits=Limits(10)),
            cohort("left", "root", Limits(10), weight=2000),
            cohort("right", "root", Limits(10)),
        ],
    )


def heavy(nominal: int, policy: Preemption) -> Tree:
    return Tree.of(
        [tenant("a", "root", Limits(10), weight=10_000, preemption=policy), tenant("b", "right", weight=100)],
        [cohort("right", "root", Limits(nominal), weight=100)],
    )


def deep(a: int, b: int) -> Tree:
    """What both want is far away, and nobody's."""
    chains = [
        cohort(f"{name}{n}", f"{name}{n - 1}" if n else "root", weight=weight if n == 0 else 1000)
        for name, weight in {"A": a, "B": b}.items()
        for n in range(3)
    ]
    lender = [cohort(f"C{n}", f"C{n - 1}" if n else "root", Limits(2) if n == 3 else None) for n in range(4)]
    return Tree.of([tenant("a", "A2"), tenant("b", "B2")], [*chains, *lender])


HIERARCHICAL = {
    "of all who have more, wherever they are": (
        left_and_right(),
        [admitted(f"{name}{n}", name, 2, n) for name in "bcde" for n in range(1, 6)],
        ("a", 10),
        {"b1", "b2", "c1", "c2", "e1"},
    ),
    "who borrows in a cohort that does not is safe": (
        heavy(2, Preemption()),
        [*each("a1 a2 a3", priority=-1), *each("b1", priority=-1)],
        ("a", 10),
        {"a1", "a2", "a3"},
    ),
    "who is too important": (
        heavy(6, LOWER),
        [*each("a1 a2 a3", priority=-1), *each("b1", 8, priority=100)],
        ("a", 8),
        {"a1", "a2", "a3"},
    ),
    "between cohorts far apart": (deep(1010, 990), each("b1"), ("a", 2), {"b1"}),
    "between cohorts far apart, of the same weight": (deep(1000, 1000), each("b1"), ("a", 2), set()),
    "nothing nominal of a cohort of weight 0": (
        Tree.of(
            [tenant("a", "root"), tenant("b", "right", weight=0)],
            [cohort("right", "root", Limits(2), weight=0)],
        ),
        each("b1"),
        ("a", 2),
        set(),
    ),
    "a cohort of weight 0 reclaims its nominal": (
        Tree.of(
            [tenant("a", "left", weight=0), tenant("b", "root")],
            [cohort("left", "root", Limits(2), weight=0)],
        ),
        each("b1"),
        ("a", 2),
        {"b1"},
    ),
    "what the first of a branch makes fair of another": (
        Tree.of(
            [
                tenant("a", "left", Limits(4), preemption=OTHERS),
                tenant("y", "left", Limits(4)),
                tenant("x", "root", Limits(2)),
            ],
            [cohort("left", "root", Limits(2), weight=0)],
        ),
        [*each("a1 y1 y2", 4), *each("x1 x2")],
        ("a", 2),
        {"y1", "x1"},
    ),
}


@pytest.mark.parametrize(
    ("tree", "runs", "wanted", "expected"),
    [*FLAT.values(), *HIERARCHICAL.values()],
    ids=[*FLAT, *HIERARCHICAL],
)
def test_as_in_kueue(tree, runs, wanted, expected):
    usage = running(tree, *runs)
    verdict = judge(
        usage, candidate("w", *wanted), lambda of: [run for run in runs if run.tenant == of], {}, {}
    )
    assert (set(verdict.victims) if isinstance(verdict, Preempts) else set()) == expected


def test_reclaiming_goes_by_priority_and_age_and_not_by_share():
    """As Kueue does without fair sharing: what is somebody's own is not shared."""
    runs = [*each("a1 b1", 4), *each("a2", 6), *each("b2", 4, priority=-1)]
    usage = running(THREE, *runs)
    verdict = judge(
        usage, candidate("w", "c", 4), lambda of: [run for run in runs if run.tenant == of], {}, {}
    )
    assert verdict == Preempts(("b2",))


def test_nominal_first_though_its_share_of_something_else_is_greater():
    tree = Tree.of(
        [tenant("a", "all", {CPU: Limits(3), GPU: Limits(0)}), tenant("b", "all", {GPU: Limits(6)})], []
    )
    runs = [admitted("a1", "a", {CPU: 2, GPU: 5}), admitted("b1", "b", {CPU: 1})]
    usage = running(tree, *runs)
    verdict = judge(
        usage, candidate("w", "a", 1), lambda of: [run for run in runs if run.tenant == of], {}, {}
    )
    assert verdict == Preempts(("b1",))
