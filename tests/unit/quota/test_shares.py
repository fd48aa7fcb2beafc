"""The dominant share. Examples are Kueue's; cpu in millicores."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.quota.quota import Limits
from controlplane.quota.shares import MOST, NO_SHARE, Share
from controlplane.quota.tree import Tree
from controlplane.quota.usage import Usage
from tests.unit.quota.trees import CPU, GPU, cohort, tenant

BOTH = {CPU: Limits(2000), GPU: Limits(5)}
LENDER = tenant("lender", "r", {CPU: Limits(8000), GPU: Limits(5)})
ON_DEMAND, SPOT = ("on-demand", "cpu"), ("spot", "cpu")


def gpus(nominal: int, **limits: int) -> dict:
    return {GPU: Limits(nominal, **limits)}


SHARES = {
    "without a cohort": ([tenant("a", "", BOTH)], [], {CPU: 9000}, {}, {"a": (0, "")}),
    "below nominal": (
        [tenant("a", "r", BOTH), LENDER],
        [],
        {CPU: 1000, GPU: 2},
        {},
        {"a": (0, ""), "r": (0, "")},
    ),
    "the greater of two": (
        [tenant("a", "r", BOTH), LENDER],
        [],
        {CPU: 3000, GPU: 7},
        {},
        {"a": (200, GPU[1])},
    ),
    "one of two": ([tenant("a", "r", BOTH), LENDER], [], {CPU: 3000, GPU: 3}, {}, {"a": (100, "cpu")}),
    "of two alike, the first by name": (
        [tenant("a", "r", BOTH), LENDER],
        [],
        {CPU: 4000, GPU: 7},
        {},
        {"a": (200, "cpu")},
    ),
    "with what is added": (
        [tenant("a", "r", BOTH), LENDER],
        [],
        {CPU: 1000, GPU: 2},
        {CPU: 4000, GPU: 4},
        {"a": (300, "cpu"), "lender": (0, "")},
    ),
    "nothing to lend counts as nothing": (
        [
            tenant("a", "r", {CPU: Limits(2000), GPU: Limits(2, lending=0)}),
            tenant("b", "r", {CPU: Limits(8000), GPU: Limits(64, lending=0)}),
        ],
        [],
        {CPU: 1000, GPU: 1},
        {CPU: 4000, GPU: 4},
        {"a": (300, "cpu")},
    ),
    "a little of much is rounded up": (
        [tenant("a", "r", gpus(500)), tenant("b", "r", gpus(1000))],
        [],
        {GPU: 501},
        {},
        {"a": (1, GPU[1])},
    ),
    "flavors of one resource together": (
        [
            tenant("a", "r", {ON_DEMAND: Limits(20_000), SPOT: Limits(80_000)}),
            tenant("b", "r", {CPU: Limits(100_000)}),
        ],
        [],
        {ON_DEMAND: 15_000, SPOT: 5_000},
        {ON_DEMAND: 10_000},
        {"a": (25, "cpu")},
    ),
    "weight 2": ([tenant("a", "r", gpus(5), weight=2000), LENDER], [], {GPU: 7}, {}, {"a": (100, GPU[1])}),
    "weight 0.5": ([tenant("a", "r", gpus(5), weight=500), LENDER], [], {GPU: 7}, {}, {"a": (400, GPU[1])}),
    "weight 0 that borrows": (
        [tenant("a", "r", gpus(5), weight=0), LENDER],
        [],
        {GPU: 7},
        {},
        {"a": (MOST, GPU[1])},
    ),
    "weight 0 that does not": (
        [tenant("a", "r", gpus(5), weight=0), LENDER],
        [],
        {GPU: 5},
        {},
        {"a": (0, "")},
    ),
    "of a cohort": (
        [tenant("a", "child", gpus(5))],
        [cohort("child", "root", weight=2000), cohort("root", limits=gpus(45))],
        {GPU: 10},
        {},
        {"a": (100, GPU[1]), "child": (50, GPU[1]), "root": (0, "")},
    ),
    "of what only the root has": (
        [tenant("a", "child", gpus(0))],
        [cohort("child", "root", weight=2000), cohort("root", limits=gpus(50))],
        {GPU: 10},
        {},
        {"a": (200, GPU[1]), "child": (100, GPU[1])},
    ),
    "lendable within the parent's borrowing limit": (
        [tenant("a", "child", gpus(0))],
        [cohort("child", "root", gpus(0, borrowing=10)), cohort("root", limits=gpus(50))],
        {GPU: 10},
        {},
        {"a": (1000, GPU[1]), "child": (200, GPU[1])},
    ),
}


@pytest.mark.parametrize(("tenants", "cohorts", "used", "added", "expected"), SHARES.values(), ids=SHARES)
def test_share(tenants, cohorts, used, added, expected):
    usage = Usage(Tree.of(tenants, cohorts))
    usage.add("a", used)
    found = {}
    for name in expected:
        node = usage.tree.cohort(name)
        share = usage.share_at(node) if node else usage.share(name, added if name == "a" else {})
        found[name] = share.value, share.resource
    assert found == expected


def test_text():
    assert [Share(7, 3).text, NO_SHARE.text, Share(5, 1, infinite=True).text] == ["3", "0", "infinite"]


def test_infinite_is_above_all_and_compares_without_its_weight():
    ordered = [
        NO_SHARE,
        Share(1, 3),
        Share(10**40, 1),
        Share(1, 3, infinite=True),
        Share(1, 2, infinite=True),
    ]
    assert all(one < other and not other < one for one, other in pairwise(ordered))


RATIOS = st.builds(Share, st.integers(0, 10**20), st.integers(1, 10**20), st.booleans())


@given(RATIOS, RATIOS)
def test_shares_are_ordered_exactly(one, other):
    exact = (one.infinite, one.top * other.bottom), (other.infinite, other.top * one.bottom)
    assert (one < other) is (exact[0] < exact[1])
    assert (one == other) is (exact[0] == exact[1])
    assert (one <= other) is not (one > other)
    if one == other:
        assert hash(one) == hash(other)
    if one < other and one.infinite is other.infinite:
        assert one.approximate <= other.approximate
