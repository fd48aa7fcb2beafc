"""What is used and what is left of it, kept up as amounts come and go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.quota.quota import Limits
from controlplane.quota.tree import Tree
from controlplane.quota.usage import UNBOUNDED, Usage
from tests.unit.quota.trees import CPU, GPU, KEYS, Naive, amounts, cohort, tenant, trees

LEFT = {
    "alone, over-admitted": (
        [tenant("a"), tenant("b", limits=Limits(5))],
        [],
        {"a": 1, "b": 2},
        {"a": -1, "b": 3},
    ),
    "within what is kept, nobody else has less": (
        [tenant("a", "r", Limits(20)), tenant("b", "r", Limits(20, lending=18))],
        [cohort("r", limits=Limits(20))],
        {"a": 2, "b": 1},
        {"a": 56, "b": 57},
    ),
    "borrowed of the cohort": (
        [tenant("a", "r", Limits(10))],
        [cohort("r", limits=Limits(10))],
        {"a": 11},
        {"a": 9},
    ),
    "what one has too much, others lack, even of what they never lend": (
        [tenant("a", "r", Limits(10)), tenant("b", "r", Limits(10, borrowing=0, lending=0))],
        [cohort("r", limits=Limits(10))],
        {"a": 31},
        {"a": -11, "b": -1},
    ),
    "lending and borrowing limits": (
        [
            tenant("a", "r", Limits(10)),
            tenant("b", "r", Limits(10, borrowing=2)),
            tenant("c", "r", Limits(10, lending=5)),
        ],
        [cohort("r", limits=Limits(10))],
        {"a": 20, "b": 10, "c": 6},
        {"a": 4, "b": 2, "c": 4},
    ),
    "two levels": (
        [tenant("a", "left", Limits(10)), tenant("b", "right", Limits(10, lending=0))],
        [cohort("left", "root", Limits(10)), cohort("right", "root", Limits(10))],
        {"a": 10, "b": 5},
        {"a": 20, "b": 25},
    ),
}


@pytest.mark.parametrize(("tenants", "cohorts", "used", "expected"), LEFT.values(), ids=LEFT)
def test_available(tenants, cohorts, used, expected):
    usage = Usage(Tree.of(tenants, cohorts))
    for name, amount in used.items():
        usage.add(name, {CPU: amount})
    assert {name: usage.available(name, CPU) for name in expected} == expected
    for name, amount in used.items():
        usage.take(name, {CPU: amount})
    assert all(usage.available(name, CPU) == usage.potential(name, CPU) for name in expected)


def test_lacking_says_what_would_have_to_become_available():
    usage = Usage(Tree.of([tenant("a", "r", {CPU: Limits(10), GPU: Limits(2)})], []))
    usage.add("a", {CPU: 12, GPU: 1})
    assert usage.lacking("a", {CPU: 1, GPU: 1}) == {CPU: 3}
    assert usage.lacking("a", {GPU: 1}) == {}
    assert usage.lacking("a", {CPU: 0}) == {}


UNBOUND = {
    "no flavor": ("a", ("", "cpu")),
    "a tenant without quota": ("unheard-of", CPU),
}


@pytest.mark.parametrize(("name", "key"), UNBOUND.values(), ids=UNBOUND)
def test_what_no_quota_bounds_is_counted_and_always_fits(name, key):
    usage = Usage(Tree.of([tenant("a", "r", Limits(1))], []))
    usage.add(name, {key: 10**12})
    assert usage.of(name) == {key: 10**12}
    assert usage.available(name, key) == usage.potential(name, key) == UNBOUNDED
    assert usage.lacking(name, {key: 10**15}) == {}
    assert not usage.borrows(name, {key: 1})
    assert usage.share(name, {key: 10**15}).value == 0
    assert usage.of_cohort("r") == {}
    usage.take(name, {key: 10**12})
    assert usage.of(name) == {}


BORROWING = {
    "up to nominal": (10, {}, False),
    "above it": (11, {}, True),
    "with what it needs": (9, {CPU: 2}, True),
    "not in what it needs": (11, {GPU: 1}, False),
}


@pytest.mark.parametrize(("used", "needs", "borrows"), BORROWING.values(), ids=BORROWING)
def test_borrows(used, needs, borrows):
    limits = {CPU: Limits(10), GPU: Limits(5)}
    usage = Usage(Tree.of([tenant("a", "r", limits), tenant("b", "r", limits), tenant("c", "", limits)], []))
    for name in ("a", "c"):
        usage.add(name, {CPU: used})
    assert usage.borrows("a", needs) is borrows
    assert not usage.borrows("c", needs), "there is nobody it borrows from"


REFUSED = {
    "more than is there": ("take", {GPU: 1, CPU: 4}, "tenant a, cpu in flavor default: 4 is not there"),
    "less than nothing": ("take", {CPU: -1}, "-1 is not there to be taken"),
    "a negative amount": ("add", {GPU: 1, CPU: -1}, "-1 cannot be added"),
}


@pytest.mark.parametrize(("verb", "amount", "said"), REFUSED.values(), ids=REFUSED)
def test_nothing_half_counted(verb, amount, said):
    usage = Usage(Tree.of([tenant("a", "r")], []))
    usage.add("a", {CPU: 3, GPU: 1})
    with pytest.raises(ValueError, match=said):
        getattr(usage, verb)("a", amount)
    assert usage.of("a") == usage.of_cohort("r") == {CPU: 3, GPU: 1}


def test_freed_grows_under_the_root_where_something_was_freed():
    usage = Usage(Tree.of([tenant("a", "r"), tenant("b", "s"), tenant("c")], []))
    roots = ("r", "s", "tenant/c")
    usage.add("a", {CPU: 3})
    before = [usage.freed(root) for root in roots]
    usage.take("a", {CPU: 1})
    assert [usage.freed(root) > was for root, was in zip(roots, before, strict=True)] == [True, False, False]
    usage.free("s")
    assert [usage.freed(root) > was for root, was in zip(roots, before, strict=True)] == [True, True, False]


def test_freed_grows_everywhere_with_another_tree():
    usage = Usage(Tree.of([tenant("a", "r")], []))
    usage.add("a", {CPU: 3})
    for _ in range(5):
        usage.take("a", {CPU: 0})
    before = {root: usage.freed(root) for root in ("r", "s", "tenant/a")}
    usage.retree(Tree.of([tenant("a", "s")], []))
    assert all(usage.freed(root) > was for root, was in before.items())


def test_who_moved_since():
    usage = Usage(Tree.of([tenant("a", "r"), tenant("b", "r")], []))
    usage.add("a", {CPU: 1})
    moves, moved = usage.moved_since(0)
    assert moved == ("a",)
    usage.add("b", {CPU: 1})
    usage.add("a", {CPU: 1})
    assert set(usage.moved_since(moves)[1]) == {"a", "b"}
    assert usage.moved_since(usage.moves)[1] == ()


def _check(usage: Usage, used) -> None:
    naive = Naive(usage.tree, used)
    for node in usage.tree.nodes:
        for key in KEYS:
            assert usage.at(node).get(key, 0) == naive.usage(node, key)
            assert usage.available_at(node, key) == naive.available(node, key)
            over = naive.usage(node, key) > naive.subtree(node, key) and node.parent is not None
            assert node.parent is None or (node in usage.above(node.parent, key)) is over
        share = usage.share_at(node)
        infinite, thousandths = naive.share(node, KEYS)
        assert share.infinite is infinite
        assert share.top == thousandths * share.bottom


@given(st.data(), trees())
def test_usage_kept_up_is_what_the_formulas_say(data, tree):
    usage = Usage(tree)
    used: dict[str, dict] = {}
    steps = data.draw(st.lists(st.tuples(st.sampled_from(sorted(tree.tenants)), st.booleans(), amounts())))
    for name, adds, amount in steps:
        held = used.setdefault(name, {})
        if not adds:
            amount = {key: min(each, held.get(key, 0)) for key, each in amount.items()}
        (usage.add if adds else usage.take)(name, amount)
        for key, each in amount.items():
            held[key] = held.get(key, 0) + (each if adds else -each)
    _check(usage, used)
    assert {name: dict(usage.of(name)) for name in used} == {
        name: {key: each for key, each in held.items() if each} for name, held in used.items()
    }
    other = data.draw(trees())
    usage.retree(other)
    _check(usage, used)


@given(st.data(), trees())
def test_what_is_added_and_taken_leaves_no_trace(data, tree):
    usage = Usage(tree)
    names = st.sampled_from(sorted(tree.tenants))
    usage.add(data.draw(names), data.draw(amounts()))
    before = [dict(usage.at(node)) for node in tree.nodes]
    name, amount = data.draw(names), data.draw(amounts())
    usage.add(name, amount)
    usage.take(name, amount)
    assert [dict(usage.at(node)) for node in tree.nodes] == before
    trial = usage.trial()
    trial.take(name, amount)
    trial.add(name, amount)
    trial.undo()
    assert [dict(usage.at(node)) for node in tree.nodes] == before


@pytest.mark.promise(2)
@given(st.data(), trees())
def test_who_admits_only_what_fits_never_exceeds_the_tree(data, tree):
    usage = Usage(tree)
    names = st.sampled_from(sorted(tree.tenants))
    for name, needs in data.draw(st.lists(st.tuples(names, amounts()), max_size=30)):
        if usage.lacking(name, needs):
            continue
        usage.add(name, needs)
        for key in KEYS:
            assert all(usage.available_at(node, key) >= 0 for node in tree.nodes)
            for root in (node for node in tree.nodes if node.parent is None):
                under = [node for node in tree.nodes if node.root is root]
                used = sum(usage.at(node).get(key, 0) for node in under if node.kind == "Tenant")
                assert used <= sum(node.limits[key].nominal for node in under if key in node.limits)
