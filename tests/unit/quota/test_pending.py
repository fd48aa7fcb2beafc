"""Who is next of what waits."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from controlplane.quota.pending import Pending, is_before
from controlplane.quota.quota import Candidate, Limits
from controlplane.quota.tree import Node, Tree
from controlplane.quota.usage import Usage
from tests.unit.quota.trees import CPU, GPU, amounts, candidate, candidates, cohort, tenant, trees


def waiting(*candidates: Candidate) -> Pending:
    pending = Pending()
    for each in candidates:
        pending.put(each)
    return pending


def picked(pending: Pending, usage: Usage) -> list[str]:
    found: list[str] = []
    while (uid := pending.pick(usage)) is not None:
        found.append(uid)
    return found


def retail(**used: int) -> Usage:
    """a and b have 5 each; a weighs twice."""
    usage = Usage(Tree.of([tenant("a", "r", Limits(5), weight=2000), tenant("b", "r", Limits(5))], []))
    for name, amount in used.items():
        usage.add(name, {CPU: amount})
    return usage


ORDERS = {
    "within a tenant by priority": (
        retail(),
        [candidate("low", "a", 1, 0, 1), candidate("high", "a", 1, 1, 2)],
        ["high", "low"],
    ),
    "then by age": (
        retail(),
        [candidate("new", "a", 1, 0, 2), candidate("old", "a", 1, 0, 1)],
        ["old", "new"],
    ),
    "then by uid": (retail(), [candidate("y", "a", 1), candidate("x", "a", 1)], ["x", "y"]),
    "not borrowing before borrowing": (
        retail(a=5),
        [candidate("a", "a", 1, 9, 1), candidate("b", "b", 5, 0, 2)],
        ["b", "a"],
    ),
    "the lower share, with the candidate, before priority": (
        retail(a=6, b=6),
        [candidate("a", "a", 2, 0, 2), candidate("b", "b", 1, 9, 1)],
        ["a", "b"],
    ),
    "priority before age": (
        retail(),
        [candidate("a", "a", 1, 0, 1), candidate("b", "b", 1, 1, 2)],
        ["b", "a"],
    ),
    "age": (retail(), [candidate("a", "a", 1, 0, 2), candidate("b", "b", 1, 0, 1)], ["b", "a"]),
    "among tenants without quota": (
        retail(),
        [candidate("x", "unheard-of", 1, 0, 1), candidate("a", "a", 1, 0, 2), candidate("y", "too", 1, 1, 3)],
        ["y", "x", "a"],
    ),
}


@pytest.mark.parametrize(("usage", "candidates", "expected"), ORDERS.values(), ids=ORDERS)
def test_who_is_next(usage, candidates, expected):
    assert picked(waiting(*candidates), usage) == expected


def test_borrowing_something_else_does_not_count():
    limits = {CPU: Limits(5), GPU: Limits(5)}
    usage = Usage(Tree.of([tenant("a", "r", limits), tenant("b", "r", limits)], []))
    usage.add("a", {GPU: 6})
    usage.add("b", {CPU: 5})
    assert picked(waiting(candidate("b", "b", 1, 9), candidate("a", "a", 1)), usage) == ["a", "b"]


def test_cohort_by_cohort():
    """left has less than right as a whole: so the tenant of it that has most goes before any of right."""
    tree = Tree.of(
        [
            tenant("a", "left"),
            tenant("b", "right"),
            tenant("c", "right"),
            tenant("lender", "root", Limits(20)),
        ],
        [cohort("left", "root"), cohort("right", "root")],
    )
    usage = Usage(tree)
    for name, amount in {"a": 4, "b": 3, "c": 2}.items():
        usage.add(name, {CPU: amount})
    assert picked(waiting(*(candidate(name, name, 1) for name in "abc")), usage) == ["a", "c", "b"]


def test_shares_are_those_of_now():
    usage = retail(a=5, b=5)
    pending = waiting(*(candidate(f"{name}{n}", name, 2, 0, n) for name in "ab" for n in range(3)))
    found = []
    while (uid := pending.pick(usage)) is not None:
        found.append(uid)
        usage.add(uid[0], {CPU: 2})
    assert found == ["a0", "b0", "a1", "a2", "b1", "b2"]


def test_a_parked_candidate_waits_until_something_is_freed_under_its_root():
    usage = retail(a=5, b=5)
    usage.add("elsewhere", {CPU: 1})
    pending = waiting(candidate("a", "a", 1))
    assert pending.pick(usage) == "a"
    pending.park("a", "r")
    assert len(pending) == 1
    for name, expected in (("elsewhere", None), ("b", "a")):
        usage.take(name, {CPU: 1})
        pending.wake(usage)
        assert pending.pick(usage) == expected
    assert len(pending) == 0


def test_what_is_freed_between_picking_and_parking_is_not_missed():
    usage = retail(a=5, b=5)
    pending = waiting(candidate("a", "a", 1))
    assert pending.pick(usage) == "a"
    usage.take("b", {CPU: 1})
    pending.put(candidate("a", "a", 1))
    pending.park("a", "r")
    pending.wake(usage)
    assert pending.pick(usage) == "a"


def test_parked_before_anything_was_picked():
    usage = retail(a=5, b=5)
    pending = waiting(candidate("a", "a", 1))
    pending.park("a", "r")
    assert pending.pick(usage) is None
    pending.park("a", "r")
    usage.take("b", {CPU: 1})
    pending.wake(usage)
    assert pending.pick(usage) == "a"


def test_what_is_put_again_stands_in_the_line_as_it_is_now():
    pending = waiting(candidate("x", "a", 1, 0), candidate("y", "a", 1, 1))
    pending.put(candidate("x", "a", 1, 2))
    assert len(pending) == 2
    assert picked(pending, retail()) == ["x", "y"]


def test_what_is_dropped_is_gone_parked_or_not():
    pending = waiting(candidate("x", "a", 1), candidate("y", "a", 1))
    pending.park("y", "r")
    for uid in ("x", "y", "unheard-of"):
        pending.drop(uid)
    usage = retail(a=1)
    usage.take("a", {CPU: 1})
    pending.wake(usage)
    assert (len(pending), "x" in pending, pending.pick(usage)) == (0, False, None)


def strict() -> Usage:
    return Usage(Tree.of([tenant("a", "r", Limits(5), strict=True), tenant("b", "r", Limits(5))], []))


def test_behind_the_parked_head_of_a_strict_tenant_waits_all_of_it():
    usage = strict()
    pending = waiting(*(candidate(uid, uid[0], 1, 0, n) for n, uid in enumerate(["a0", "a1", "b0", "b1"])))
    assert pending.pick(usage) == "a0"
    pending.park("a0", "r")
    assert [pending.is_behind(uid) for uid in ("a0", "a1", "b1")] == [False, True, False]
    assert picked(pending, usage) == ["b0", "b1"]
    pending.put(candidate("a2", "a", 1, 1, 9))
    assert picked(pending, usage) == ["a2"], "it is of a higher priority than who is parked"


def test_when_the_head_of_a_strict_tenant_goes_the_next_one_is_next():
    usage = strict()
    pending = waiting(candidate("a0", "a", 1, 0, 0), candidate("a1", "a", 1, 0, 1))
    pending.park("a0", "r")
    assert picked(pending, usage) == []
    pending.drop("a0")
    assert picked(pending, usage) == ["a1"]


def test_another_tree_is_another_order():
    usage = retail(a=9, b=6)
    pending = waiting(candidate("a", "a", 1, 0, 2), candidate("b", "b", 1, 0, 1))
    assert pending.pick(usage) == "b"
    pending.put(candidate("b", "b", 1, 0, 1))
    usage.retree(Tree.of([tenant("a", "r", Limits(9)), tenant("b", "r")], []))
    assert picked(pending, usage) == ["a", "b"]


def test_another_usage_wakes_what_is_parked():
    pending = waiting(candidate("a", "a", 1))
    pending.pick(retail())
    pending.park("a", "r")
    other = retail()
    pending.wake(other)
    assert pending.pick(other) == "a"


class Line:
    """The same by looking at everyone: the slow way."""

    def __init__(self, usage: Usage, candidates: dict[str, Candidate], parked: dict[str, Candidate]) -> None:
        self._usage = usage
        self._candidates = candidates
        self._parked = parked

    def next(self) -> str | None:
        tree = self._usage.tree
        heads = {}
        for node in tree.nodes:
            if node.kind == "Tenant":
                heads[node] = self._of_tenant(node.name)
        roots = [self._of(node, heads) for node in tree.nodes if node.parent is None]
        roots += [
            self._of_tenant(name)
            for name in {each.tenant for each in self._candidates.values()} - {*tree.tenants}
        ]
        return min((_order(each) for each in roots if each is not None), default=(None,))[-1]

    def _of_tenant(self, name: str) -> Candidate | None:
        best = min(
            (each for each in self._candidates.values() if each.tenant == name), key=_order, default=None
        )
        quota = self._usage.tree.tenants.get(name)
        if best is not None and quota is not None and quota.strict:
            parked = (each for each in self._parked.values() if each.tenant == name)
            if any(_order(each) < _order(best) for each in parked):
                return None
        return best

    def _of(self, node: Node, heads) -> Candidate | None:
        if node.kind == "Tenant":
            return heads[node]
        found = [(child, self._of(child, heads)) for child in node.children]
        ranked = [(self._rank(child, each), each) for child, each in found if each is not None]
        return min(ranked, key=lambda pair: pair[0])[1] if ranked else None

    def _rank(self, node: Node, each: Candidate):
        usage = self._usage
        used = dict(usage.at(node))
        trial = usage.trial()
        trial.add(each.tenant, each.needs)
        added = {key for key in each.needs if usage.at(node).get(key, 0) > used.get(key, 0)}
        borrows = any(usage.at(node)[key] > node.subtree.get(key, 0) for key in added)
        share = usage.share_at(node)
        trial.undo()
        return borrows, share, *_order(each)


def _order(each: Candidate):
    return -each.priority, each.created_at, each.uid


STEPS = st.lists(
    st.sampled_from(["put", "put", "put", "pick", "pick", "admit", "park", "end", "drop"]), max_size=40
)


@settings(max_examples=100, deadline=None)
@given(st.data(), trees(), STEPS)
def test_whoever_is_picked_is_who_is_next(data, tree, steps):
    usage, pending = Usage(tree), Pending()
    line: dict[str, Candidate] = {}
    parked: dict[str, tuple[Candidate, int]] = {}
    running: list[Candidate] = []
    names = st.sampled_from([*sorted(tree.tenants), "unheard-of"])
    for number, step in enumerate(steps):
        if step == "put":
            each = Candidate(
                f"w{number}",
                data.draw(names),
                data.draw(st.integers(0, 2)),
                data.draw(st.integers(0, 3)),
                data.draw(amounts()),
            )
            line[each.uid] = each
            pending.put(each)
        elif step == "drop" and line:
            uid = data.draw(st.sampled_from(sorted(line)))
            del line[uid]
            pending.drop(uid)
        elif step == "end" and running:
            each = running.pop()
            usage.take(each.tenant, each.needs)
            pending.wake(usage)
            for uid, (parked_one, stamp) in list(parked.items()):
                if usage.freed(tree.root(parked_one.tenant)) > stamp:
                    line[uid] = parked_one
                    del parked[uid]
        elif step in ("pick", "admit", "park"):
            expected = Line(usage, line, {uid: each for uid, (each, _) in parked.items()}).next()
            assert pending.pick(usage) == expected
            if expected is None:
                continue
            each = line.pop(expected)
            root = tree.root(each.tenant)
            if step == "admit":
                usage.add(each.tenant, each.needs)
                running.append(each)
            elif step == "park":
                pending.park(each.uid, root)
                parked[each.uid] = each, usage.freed(root)
        assert len(pending) == len(line) + len(parked)


@settings(deadline=None)
@given(st.data(), trees())
def test_of_two_the_one_before_the_other_is_picked_first(data, tree):
    usage = Usage(tree)
    for each in data.draw(candidates(tree)):
        usage.add(each.tenant, each.needs)
    one, other = data.draw(candidates(tree))[:2]
    assume(tree.root(one.tenant) == tree.root(other.tenant))
    first = waiting(one, other).pick(usage)
    assert is_before(usage, one, other) == (first == one.uid)
    assert is_before(usage, other, one) == (first == other.uid)
