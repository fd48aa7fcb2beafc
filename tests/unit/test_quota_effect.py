"""What a grant would do: who has more, who less, what waits no longer, and who gives way."""

from collections.abc import Iterable, Mapping
from typing import Any

from controlplane.quota.effect import Effect, Measure, Question, effect
from controlplane.quota.quota import (
    Admitted,
    Amounts,
    Candidate,
    CohortQuota,
    Limits,
    Preemption,
    Reclaim,
    TenantQuota,
)
from controlplane.quota.tree import Kind, Tree

CPU = ("default", "cpu")


def tenant(name: str, nominal: int, cohort: str = "all", **more: Any) -> TenantQuota:
    return TenantQuota(name, cohort, limits={CPU: Limits(nominal, more.pop("borrowing", None))}, **more)


def tree(*tenants: TenantQuota, cohort: int = 0) -> Tree:
    return Tree.of(tenants, [CohortQuota("all", limits={CPU: Limits(cohort)} if cohort else {})])


def waits(uid: str, of: str, cpu: int, priority: int = 0, at: float = 0.0) -> Candidate:
    return Candidate(uid, of, priority, at, {CPU: cpu})


def runs(uid: str, of: str, cpu: int, priority: int = 0) -> Admitted:
    return Admitted(uid, of, priority, 1.0, {CPU: cpu})


def asked(
    before: Tree,
    after: Tree,
    used: Mapping[str, int],
    *waiting: Candidate,
    donor: tuple[Kind, str] | None = None,
    running: Iterable[Admitted] = (),
    leaving: Mapping[str, Amounts] | None = None,
    needs: Mapping[str, Amounts | None] | None = None,
) -> Effect:
    held = list(running)
    question = Question(
        before,
        after,
        {name: {CPU: amount} for name, amount in used.items()},
        "shop",
        donor,
        (CPU,),
        waiting,
        lambda candidate: (needs or {}).get(candidate.uid, candidate.needs),
        lambda name: [each for each in held if each.tenant == name],
        leaving or {},
    )
    steps = effect(question)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def shifts(found: Effect) -> dict[str, tuple[Measure, Measure]]:
    return {each.name: (each.before, each.after) for each in found.shifts}


class TestFigures:
    def test_out_of_nowhere_everybody_under_the_root_can_have_more(self) -> None:
        found = asked(
            tree(tenant("shop", 10), tenant("bank", 10)),
            tree(tenant("shop", 16), tenant("bank", 10)),
            {"shop": 8, "bank": 4},
        )
        assert shifts(found) == {
            "all": (Measure(0, 8, 20, 0), Measure(0, 14, 26, 0)),
            "shop": (Measure(10, 8, 20, 0), Measure(16, 14, 26, 0)),
            "bank": (Measure(10, 8, 20, 0), Measure(10, 14, 26, 0)),
        }
        assert (found.borrowing, found.refused) == ((), ())

    def test_taken_from_another_the_sum_stays_and_who_used_it_borrows(self) -> None:
        found = asked(
            tree(tenant("shop", 10), tenant("bank", 10)),
            tree(tenant("shop", 16), tenant("bank", 4)),
            {"shop": 8, "bank": 9},
            donor=(Kind.TENANT, "bank"),
        )
        assert shifts(found) == {
            "shop": (Measure(10, 3, 20, 0), Measure(16, 3, 20, 0)),
            "bank": (Measure(10, 3, 20, 0), Measure(4, 3, 20, 5)),
        }
        assert [each.name for each in found.borrowing] == ["bank"]
        assert found.refused == ()

    def test_who_is_left_with_less_than_is_used_is_named(self) -> None:
        found = asked(
            tree(tenant("shop", 10), tenant("bank", 10, borrowing=0)),
            tree(tenant("shop", 16), tenant("bank", 4, borrowing=0)),
            {"shop": 8, "bank": 9},
            donor=(Kind.TENANT, "bank"),
        )
        assert [(each.tenant, each.used, each.beyond) for each in found.refused] == [("bank", 9, 5)]

    def test_a_cohort_that_gives_is_shown(self) -> None:
        found = asked(
            tree(tenant("shop", 10), cohort=8),
            tree(tenant("shop", 14), cohort=4),
            {},
            donor=(Kind.COHORT, "all"),
        )
        assert shifts(found)["all"] == (Measure(8, 18, 18, 0), Measure(4, 18, 18, 0))

    def test_other_trees_are_not_touched(self) -> None:
        others = (tenant("far", 10, cohort="other"), tenant("lone", 5, cohort=""))
        found = asked(tree(tenant("shop", 10), *others), tree(tenant("shop", 12), *others), {"far": 3})
        assert set(shifts(found)) == {"all", "shop"}

    def test_a_tenant_without_a_cohort(self) -> None:
        found = asked(tree(tenant("shop", 10, cohort="")), tree(tenant("shop", 12, cohort="")), {"shop": 11})
        assert shifts(found) == {"shop": (Measure(10, 0, 10, 0), Measure(12, 1, 12, 0))}


ALONE = tree(tenant("shop", 10, cohort=""))
ALONE_AFTER = tree(tenant("shop", 20, cohort=""))


class TestEntries:
    def test_what_waited_comes_in_in_its_order_as_far_as_it_goes(self) -> None:
        found = asked(
            ALONE,
            ALONE_AFTER,
            {"shop": 10},
            waits("old", "shop", 4, at=1.0),
            waits("new", "shop", 4, at=2.0),
            waits("urgent", "shop", 5, priority=9, at=3.0),
            waits("small", "shop", 1, at=4.0),
        )
        assert [each.uid for each in found.entries] == ["urgent", "old", "small"]
        assert (found.judged, found.waiting) == (4, 4)

    def test_what_comes_in_anyway_is_not_counted_as_its_effect(self) -> None:
        found = asked(ALONE, ALONE_AFTER, {"shop": 8}, waits("a", "shop", 2), waits("b", "shop", 3, at=1.0))
        assert [each.uid for each in found.entries] == ["b"]

    def test_a_strict_tenants_others_stand_behind_what_still_waits(self) -> None:
        found = asked(
            tree(tenant("shop", 10, cohort="", strict=True)),
            tree(tenant("shop", 20, cohort="", strict=True)),
            {"shop": 10},
            waits("large", "shop", 15, at=1.0),
            waits("small", "shop", 1, at=2.0),
        )
        assert found.entries == ()

    def test_one_that_now_may_reclaim_says_who_gives_way(self) -> None:
        reclaims = Preemption(reclaim=Reclaim.ANY)
        found = asked(
            tree(tenant("shop", 0, preemption=reclaims), tenant("bank", 10)),
            tree(tenant("shop", 6, preemption=reclaims), tenant("bank", 4)),
            {"bank": 10},
            waits("web", "shop", 5),
            donor=(Kind.TENANT, "bank"),
            running=[runs("b1", "bank", 5), runs("b2", "bank", 5)],
        )
        (entry,) = found.entries
        assert (entry.uid, entry.tenant, len(entry.victims)) == ("web", "shop", 1)

    def test_nobody_gives_way_twice(self) -> None:
        found = asked(
            tree(tenant("shop", 0), tenant("bank", 10)),
            tree(tenant("shop", 10), tenant("bank", 0)),
            {"bank": 10},
            waits("web-1", "shop", 5, at=1.0),
            waits("web-2", "shop", 5, at=2.0),
            donor=(Kind.TENANT, "bank"),
            running=[runs("b1", "bank", 5), runs("b2", "bank", 5)],
        )
        assert [each.uid for each in found.entries] == ["web-1", "web-2"]
        victims = [uid for each in found.entries for uid in each.victims]
        assert sorted(victims) == ["b1", "b2"]

    def test_all_that_it_would_be_charged_counts_and_what_has_no_room_does_not(self) -> None:
        found = asked(
            ALONE,
            ALONE_AFTER,
            {"shop": 10},
            waits("twice", "shop", 6, at=1.0),
            waits("nowhere", "shop", 1, at=2.0),
            waits("once", "shop", 6, at=3.0),
            needs={"twice": {CPU: 12}, "nowhere": None},
        )
        assert [each.uid for each in found.entries] == ["once"]

    def test_without_more_quota_nothing_comes_in(self) -> None:
        found = asked(ALONE, ALONE, {"shop": 10}, waits("a", "shop", 1))
        assert found.entries == ()
