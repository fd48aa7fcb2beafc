"""Whether a candidate may run, and what is told when it may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.quota.admission import Awaits, Fits, Lacks, Preempts, judge
from controlplane.quota.quota import Limits, Preemption, Reclaim
from controlplane.quota.tree import Tree
from controlplane.quota.usage import Usage
from tests.unit.quota.trees import (
    CPU,
    GPU,
    KEYS,
    admitted,
    amounts,
    candidate,
    candidates,
    cohort,
    tenant,
    trees,
)

SHY = Preemption(reclaim=Reclaim.NEVER)


def judged(usage, candidate, of=lambda _: (), leaving=None, claims=None):
    return judge(usage, candidate, of, leaving or {}, claims or {})


def flat(**limits: Limits) -> Usage:
    """Tenants of one cohort named retail, cpu in cores."""
    tenants = [
        tenant(
            name,
            "retail",
            Limits(
                each.nominal * 1000,
                None if each.borrowing is None else each.borrowing * 1000,
                None if each.lending is None else each.lending * 1000,
            ),
        )
        for name, each in limits.items()
    ]
    return Usage(Tree.of(tenants, []))


def test_it_fits_and_says_whether_it_borrows():
    usage = flat(a=Limits(4), b=Limits(4))
    assert judged(usage, candidate("w", "a", 4000)) == Fits(borrows=False)
    assert judged(usage, candidate("w", "a", 5000)) == Fits(borrows=True)
    assert judged(usage, candidate("w", "a", {})) == Fits(borrows=False)


def test_what_no_quota_bounds_fits():
    usage = flat(a=Limits(0))
    assert judged(usage, candidate("w", "unheard-of", 10**9)) == Fits()
    assert judged(usage, candidate("w", "a", {("", "cpu"): 10**9})) == Fits()


LACKS = {
    "of the root": (
        {"a": Limits(4), "b": Limits(4)},
        {"a": 2000, "b": 4000},
        6000,
        "cpu in flavor default: 4 more than the 2 that cohort retail has left",
    ),
    "of the root, and how much it may borrow": (
        {"a": Limits(4, borrowing=10), "b": Limits(8)},
        {"a": 2000, "b": 8000},
        6000,
        "cpu in flavor default: 4 more than the 2 that cohort retail has left; tenant a may borrow up to 10",
    ),
    "over-admitted is none left": (
        {"a": Limits(4), "b": Limits(1)},
        {"b": 7500},
        1500,
        "cpu in flavor default: 1500m more than the 0 that cohort retail has left",
    ),
    "its own borrowing limit": (
        {"a": Limits(4, borrowing=1), "b": Limits(8)},
        {"a": 4500},
        5000,
        "cpu in flavor default: 4500m more than the 500m that tenant a has left: tenant a may borrow up to 1",
    ),
    "it may not borrow": (
        {"a": Limits(6, borrowing=0), "b": Limits(8)},
        {"a": 4000},
        5000,
        "cpu in flavor default: 3 more than the 2 that tenant a has left: tenant a may borrow none",
    ),
}


@pytest.mark.parametrize(("limits", "used", "needs", "why"), LACKS.values(), ids=LACKS)
def test_what_lacks_is_told_in_words(limits, used, needs, why):
    usage = flat(**limits)
    for name, amount in used.items():
        usage.add(name, {CPU: amount})
    verdict = judged(usage, candidate("w", "a", needs))
    assert verdict == Lacks(usage.lacking("a", {CPU: needs}), why)


def test_the_limit_of_a_cohort_above_is_told():
    tree = Tree.of(
        [tenant("a", "left", Limits(1)), tenant("b", "right", Limits(50))],
        [cohort("left", "root", Limits(0, borrowing=3)), cohort("right", "root")],
    )
    usage = Usage(tree)
    usage.add("a", {CPU: 3})
    assert judged(usage, candidate("w", "a", 2)).why == (
        "cpu in flavor default: 1m more than the 1m that tenant a has left: cohort left may borrow up to 3m"
    )


def test_each_resource_that_lacks_is_told():
    usage = Usage(Tree.of([tenant("a", "", {CPU: Limits(1000), GPU: Limits(2)})], []))
    usage.add("a", {CPU: 1000, GPU: 1})
    verdict = judged(usage, candidate("w", "a", {CPU: 1000, GPU: 2}))
    assert isinstance(verdict, Lacks)
    assert verdict.missing == {CPU: 1000, GPU: 1}
    assert verdict.why == (
        "cpu in flavor default: 1 more than the 0 that tenant a has left; "
        "example.com/gpu in flavor default: 1 more than the 1 that tenant a has left"
    )


def test_what_can_never_fit_is_told_apart_and_nobody_gives_way_for_it():
    usage = flat(a=Limits(4, borrowing=2), b=Limits(8))
    usage.add("a", {CPU: 4000})
    of = {"a": [admitted("low", "a", 4000, priority=-1)]}
    assert judged(usage, candidate("w", "a", 6500), lambda name: of.get(name, ())) == Lacks(
        {CPU: 500},
        "cpu in flavor default: 6500m is more than the 6 that tenant a could ever have",
        never=True,
    )


def test_it_awaits_what_is_on_its_way_out():
    usage = flat(a=Limits(4), b=Limits(4))
    usage.add("b", {CPU: 8000})
    leaving = {"b": {CPU: 4000}}
    still = {"b": [admitted("b1", "b", 4000)]}
    assert judged(usage, candidate("w", "a", 4000), lambda name: still.get(name, ()), leaving) == Awaits()


def test_what_leaves_and_is_not_enough_is_not_counted_twice():
    usage = flat(a=Limits(8), b=Limits(0))
    usage.add("b", {CPU: 8000})
    still = {"b": [admitted("b1", "b", 3000, at=1), admitted("b2", "b", 3000, at=2)]}
    verdict = judged(usage, candidate("w", "a", 5000), lambda name: still.get(name, ()), {"b": {CPU: 2000}})
    assert verdict == Preempts(("b2",))


CLAIMED = {
    "what is free is claimed": (candidate("p", "a", 6000, created_at=1), 2000, Lacks),
    "there is enough beside the claim": (candidate("p", "a", 5000, created_at=1), 1000, Fits),
    "the claim is its own": (candidate("w", "a", 6000, created_at=1), 2000, Fits),
    "the claim is under another root": (candidate("p", "other", 6000, created_at=1), 2000, Fits),
    "the claim is of lower priority": (candidate("p", "a", 6000, -1, created_at=1), 2000, Fits),
    "the claim is younger": (candidate("p", "a", 6000, created_at=3), 2000, Fits),
    "who claims would borrow": (candidate("p", "b", 6000, 9, created_at=1), 2000, Fits),
    "both would borrow, who claims less": (candidate("p", "b", 1400, created_at=3), 5500, Lacks),
    "who claims would be at a lower share": (candidate("p", "c", 400, created_at=3), 5700, Lacks),
    "who claims would be at a greater share": (candidate("p", "c", 2000, created_at=1), 5700, Awaits),
}


@pytest.mark.parametrize(("claim", "needs", "verdict"), CLAIMED.values(), ids=CLAIMED)
def test_what_is_claimed_is_kept_from_who_comes_after(claim, needs, verdict):
    """4 of 10 run and 4 are on their way out: 2 are free now, 6 then. a and b are granted 5, c nothing."""
    tenants = [tenant(name, "retail", Limits(5000), preemption=SHY) for name in ("a", "b")]
    tenants += [tenant("c", "retail", preemption=SHY), tenant("other", "far", Limits(9000))]
    usage = Usage(Tree.of(tenants, []))
    usage.add("b", {CPU: 8000})
    wanted = candidate("w", "a", needs, created_at=2)
    found = judged(usage, wanted, leaving={"b": {CPU: 4000}}, claims={claim.uid: claim})
    assert isinstance(found, verdict)


def test_in_a_strict_tenant_too_a_claim_holds_against_who_comes_after_it():
    """Who runs, and wants more elsewhere, claims without standing in the line: it is kept all the same.

    Else who gave way to it would be let in again, and give way again, for ever.
    """
    usage = Usage(Tree.of([tenant("a", "r", Limits(5), strict=True), tenant("b", "r", Limits(3))], []))
    wanted = candidate("w", "a", 8, created_at=9)
    assert judged(usage, wanted, claims={"p": candidate("p", "a", 3, created_at=10)}) == Fits(borrows=True)
    assert isinstance(judged(usage, wanted, claims={"p": candidate("p", "a", 3)}), Lacks)
    assert isinstance(judged(usage, wanted, claims={"p": candidate("p", "b", 3)}), Lacks)


@given(st.data(), trees())
def test_a_verdict_holds_and_leaves_everything_as_it_was(data, tree):
    usage = Usage(tree)
    runs = [
        admitted(each.uid, each.tenant, each.needs, each.priority, each.created_at)
        for each in data.draw(candidates(tree))
    ]
    for each in runs:
        usage.add(each.tenant, each.amounts)
    gone, left = runs[:2], runs[2:]
    leaving: dict[str, dict] = {}
    for each in gone:
        of = leaving.setdefault(each.tenant, {})
        for key, amount in each.amounts.items():
            of[key] = of.get(key, 0) + amount
    names = st.sampled_from(sorted(tree.tenants))
    claims = {
        uid: candidate(uid, data.draw(names), data.draw(amounts()), data.draw(st.integers(0, 2)), 5.0)
        for uid in data.draw(st.sets(st.sampled_from("pq")))
    }
    wanted = candidate("w", data.draw(names), data.draw(amounts()), data.draw(st.integers(0, 2)), 5.5)
    before = [dict(usage.at(node)) for node in tree.nodes]

    def of(name: str):
        return [each for each in left if each.tenant == name]

    verdict = judge(usage, wanted, of, leaving, claims)
    assert [dict(usage.at(node)) for node in tree.nodes] == before
    assert judge(usage, wanted, of, leaving, claims) == verdict
    lacks = usage.lacking(wanted.tenant, wanted.needs)
    if isinstance(verdict, Fits):
        assert not lacks
    elif isinstance(verdict, Lacks):
        assert verdict.missing
        assert verdict.why
        for key, amount in verdict.missing.items():
            assert verdict.never is (wanted.needs[key] > usage.potential(wanted.tenant, key))
            assert amount > 0
    elif isinstance(verdict, Awaits):
        assert lacks
    else:
        assert verdict.victims
        assert set(verdict.victims) <= {each.uid for each in left}
        assert KEYS
