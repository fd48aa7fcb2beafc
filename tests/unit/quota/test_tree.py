"""What follows from quota alone: subtree, local, potential, lendable. Examples are Kueue's."""

import pytest
from hypothesis import given

from controlplane.quota.quota import Limits
from controlplane.quota.tree import CohortCycle, Tree
from tests.unit.quota.trees import CPU, GPU, KEYS, Naive, cohort, tenant, trees

POTENTIALS = {
    "alone, each has its nominal": ([tenant("a"), tenant("b", limits=Limits(5))], [], {"a": 0, "b": 5}),
    "what one does not lend, only that one can have": (
        [tenant("a", "r", Limits(10)), tenant("b", "r", Limits(10, lending=9))],
        [cohort("r", limits=Limits(10))],
        {"a": 29, "b": 30},
    ),
    "a cohort that is only named adds nothing": (
        [tenant("a", "r", Limits(10)), tenant("b", "r", Limits(3))],
        [],
        {"a": 13, "b": 13},
    ),
    "neither lends nor borrows": (
        [tenant("a", "r", Limits(10)), tenant("b", "r", Limits(10, borrowing=0, lending=0))],
        [cohort("r", limits=Limits(10))],
        {"a": 20, "b": 10},
    ),
    "lending and borrowing limits": (
        [
            tenant("a", "r", Limits(10)),
            tenant("b", "r", Limits(10, borrowing=2)),
            tenant("c", "r", Limits(10, lending=5)),
        ],
        [cohort("r", limits=Limits(10))],
        {"a": 35, "b": 12, "c": 40},
    ),
    "two levels": (
        [tenant("a", "left", Limits(10)), tenant("b", "right", Limits(10, lending=0))],
        [cohort("left", "root", Limits(10)), cohort("right", "root", Limits(10))],
        {"a": 30, "b": 40},
    ),
    "a cohort's borrowing limit": (
        [
            tenant("a", "left", Limits(10)),
            tenant("b", "left", Limits(10, borrowing=5)),
            tenant("c", "right", Limits(10)),
        ],
        [cohort("left", "root", Limits(10, borrowing=5)), cohort("right", "root", Limits(10))],
        {"a": 35, "b": 15, "c": 50},
    ),
    "a cohort's lending limit": (
        [
            tenant("a", "left", Limits(10, lending=5)),
            tenant("b", "left", Limits(10)),
            tenant("c", "right", Limits(0)),
            tenant("d", "root", Limits(0)),
        ],
        [cohort("left", "root", Limits(0, lending=5)), cohort("right", "root", Limits(0))],
        {"a": 20, "b": 15, "c": 5, "d": 5},
    ),
}


@pytest.mark.parametrize(("tenants", "cohorts", "expected"), POTENTIALS.values(), ids=POTENTIALS)
def test_potential(tenants, cohorts, expected):
    tree = Tree.of(tenants, cohorts)
    assert {name: tree.potential(tree.tenant(name), CPU) for name in tree.tenants} == expected


def test_lendable_is_by_resource_over_all_flavors():
    own = {CPU: Limits(8, lending=8), GPU: Limits(3, lending=3), ("spot", "cpu"): Limits(100, lending=10)}
    tree = Tree.of([tenant("a", "r", own), tenant("b", "r", Limits(2, lending=2))], [])
    assert tree.cohort("r").lendable() == {"cpu": 20, "example.com/gpu": 3}


CYCLES = {
    "of one": ([cohort("a", "a")], ("a",)),
    "of three": ([cohort("a", "b"), cohort("b", "c"), cohort("c", "a")], ("a", "b", "c")),
    "above what is sound": ([cohort("x", "b"), cohort("b", "c"), cohort("c", "b")], ("b", "c")),
}


@pytest.mark.parametrize(("cohorts", "names"), CYCLES.values(), ids=CYCLES)
def test_a_cycle_is_refused_by_name(cohorts, names):
    with pytest.raises(CohortCycle) as refused:
        Tree.of([tenant("t", cohorts[0].name)], cohorts)
    assert refused.value.names == names
    assert str(refused.value) == f"cohorts in a cycle: {' -> '.join((*names, names[0]))}"


def test_roots_and_children():
    tree = Tree.of(
        [tenant("a", "left"), tenant("alone"), tenant("b", "root")], [cohort("left", "root"), cohort("idle")]
    )
    assert [tree.root(name) for name in ("a", "b", "alone", "unheard-of")] == [
        "root",
        "root",
        "tenant/alone",
        "tenant/unheard-of",
    ]
    assert [str(each.name) for each in tree.children("root")] == ["left", "b"]
    assert tree.children("idle") == ()
    with pytest.raises(KeyError):
        tree.children("unheard-of")


def test_any_depth():
    deep = 5_000
    cohorts = [cohort("c0", limits=Limits(7))] + [cohort(f"c{n}", f"c{n - 1}") for n in range(1, deep)]
    tree = Tree.of([tenant("a", f"c{deep - 1}", Limits(1))], cohorts)
    assert tree.potential(tree.tenant("a"), CPU) == 8
    assert tree.root("a") == "c0"


@given(trees())
def test_subtree_local_and_potential_are_the_formulas(tree):
    naive = Naive(tree, {})
    for node in tree.nodes:
        for key in KEYS:
            assert node.subtree.get(key, 0) == naive.subtree(node, key)
            assert node.local.get(key, 0) == naive.local(node, key)
            assert node.potential(key) == naive.potential(node, key)
