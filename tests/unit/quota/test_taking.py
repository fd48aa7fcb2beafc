"""What a change takes from whom: a look at only what it touches finds what a look at all finds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from controlplane.known.records import QuotaRequestRecord, RequestState
from controlplane.quota.changing import problems_of_change
from controlplane.quota.declared import cohort_quota, granted, tenant_quota
from controlplane.quota.overused import overused
from controlplane.quota.problems import Declared
from controlplane.quota.quota import Limits
from controlplane.quota.taking import takes_nothing
from controlplane.quota.tree import Tree
from controlplane.quota.usage import Usage
from schemas.manifests.cohort import CohortSpec, FlavorSpec
from schemas.manifests.quota import QuotaSpec

GPU = "nvidia.com/gpu"
COHORTS, TENANTS, FLAVORS = ("c0", "c1", "c2"), ("t0", "t1", "t2"), ("amd", "arm")
Used = Mapping[str, Mapping[tuple[str, str], int]]


def flavors(*amounts: tuple[str, int, int | None, int | None]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "resources": [
                {"name": GPU, "nominalQuota": nominal, "borrowingLimit": borrowing, "lendingLimit": lending}
            ],
        }
        for name, nominal, borrowing, lending in amounts
    ]


def tenant(cohort: str | None, *amounts: tuple[str, int, int | None, int | None], **more: Any) -> QuotaSpec:
    return QuotaSpec.model_validate({"cohort": cohort, "flavors": flavors(*amounts), **more})


def cohort(parent: str | None, *amounts: tuple[str, int, int | None, int | None]) -> CohortSpec:
    return CohortSpec.model_validate({"parent": parent, "flavors": flavors(*amounts)})


def _amounts() -> st.SearchStrategy[list[tuple[str, int, int | None, int | None]]]:
    limit = st.none() | st.integers(0, 4)
    of = st.lists(st.tuples(st.integers(0, 6), limit, limit), max_size=2)
    names = st.permutations(FLAVORS)
    return st.builds(
        lambda named, each: [(name, *one) for name, one in zip(named, each, strict=False)], names, of
    )


SPECS = {
    "Tenant": st.builds(
        lambda above, each: tenant(above, *each), st.none() | st.sampled_from(COHORTS), _amounts()
    ),
    # A parent is one of those before it: no cycles.
    **{
        name: st.builds(
            lambda above, each: cohort(above, *each),
            st.none() | st.sampled_from(COHORTS[:index]) if index else st.none(),
            _amounts(),
        )
        for index, name in enumerate(COHORTS)
    },
}
FLAVOR_SPECS = {name: FlavorSpec() for name in FLAVORS}
DECLARED = st.builds(
    lambda tenants, cohorts: Declared(tenants=tenants, cohorts=cohorts, flavors=FLAVOR_SPECS),
    st.dictionaries(st.sampled_from(TENANTS), SPECS["Tenant"]),
    st.fixed_dictionaries({}, optional={name: SPECS[name] for name in COHORTS}),
)
GRANTS = st.lists(
    st.builds(
        lambda of, amount, flavor, donor: QuotaRequestRecord(
            1, of, {flavor: {GPU: str(amount)}}, 0.0, "", RequestState.GRANTED, "", 0.0, taken_from=donor
        ),
        st.sampled_from(TENANTS),
        st.integers(1, 4),
        st.sampled_from(FLAVORS),
        st.none()
        | st.tuples(st.just("Tenant"), st.sampled_from(TENANTS))
        | st.tuples(st.just("Cohort"), st.sampled_from(COHORTS)),
    ),
    max_size=2,
)


def whole(declared: Declared, grants: Sequence[QuotaRequestRecord]) -> Tree:
    tenants, cohorts = granted(
        {name: tenant_quota(name, spec, 0.0) for name, spec in declared.tenants.items()},
        {name: cohort_quota(name, spec, 0.0) for name, spec in declared.cohorts.items()},
        grants,
        0.0,
    )
    return Tree.of(tenants.values(), cohorts.values())


def filled(declared: Declared, grants: Sequence[QuotaRequestRecord], data: st.DataObject) -> Used:
    """Charges that what is declared allows, mostly all of it."""
    usage = Usage(whole(declared, grants))
    used: dict[str, dict[tuple[str, str], int]] = {}
    for name in data.draw(st.permutations(TENANTS)):
        for flavor in FLAVORS:
            left = min(9, usage.available(name, (flavor, GPU)))
            amount = data.draw(st.sampled_from([left, left, left // 2, 0])) if left > 0 else 0
            usage.add(name, {(flavor, GPU): amount})
            used.setdefault(name, {})[flavor, GPU] = amount
    return used


def changed(spec: Any, data: st.DataObject) -> Any:
    """One of its amounts a little up or down, without a limit or with one; or it stands elsewhere."""
    fields = spec.model_dump(by_alias=True)
    amounts = [each["resources"][0] for each in fields["flavors"]]
    above = "cohort" if "cohort" in fields else "parent"
    if not amounts or data.draw(st.integers(0, 4)) == 0:
        fields[above] = data.draw(st.none() | st.sampled_from(COHORTS[: 1 if above == "parent" else 3]))
        return type(spec).model_validate(fields)
    name = data.draw(st.sampled_from(["nominalQuota", "borrowingLimit", "lendingLimit"]))
    amount = data.draw(st.sampled_from(amounts))
    if amount[name] is None:
        amount[name] = data.draw(st.integers(0, 4))
    elif name != "nominalQuota" and data.draw(st.integers(0, 3)) == 0:
        amount[name] = None
    else:
        amount[name] = max(0, amount[name] + data.draw(st.sampled_from([-2, -1, 1, 2])))
    return type(spec).model_validate(fields)


def some_change(before: Declared, data: st.DataObject) -> Declared:
    kind = data.draw(st.sampled_from(["tenants", "cohorts"]))
    names = (TENANTS, COHORTS[1:])[kind == "cohorts"]
    name, held = data.draw(st.sampled_from(names)), getattr(before, kind)
    spec = changed(held[name], data) if name in held else data.draw(SPECS.get(name, SPECS["Tenant"]))
    return replace(before, **{kind: {**held, name: spec}})


@given(before=DECLARED, grants=GRANTS, data=st.data())
@settings(max_examples=300)
def test_who_would_have_less_than_is_used_is_found_wherever_that_is(
    before: Declared, grants: list[QuotaRequestRecord], data: st.DataObject
) -> None:
    used = filled(before, grants, data)
    after = some_change(before, data)
    found = problems_of_change(before, after, used, grants, 0.0)
    assume(all(each.is_of_use for each in found))
    new = whole(after, grants)
    expected = [
        each
        for each in overused(whole(before, grants), new, used)
        if each.used > new.tenants[each.tenant].limits.get((each.flavor, each.resource), Limits()).nominal
    ]
    event(f"somebody would: {bool(expected)}")
    assert [each.message for each in found] == list(map(str, expected))


@given(before=DECLARED, grants=GRANTS, data=st.data())
@settings(max_examples=300)
def test_what_takes_nothing_leaves_nobody_with_less(
    before: Declared, grants: list[QuotaRequestRecord], data: st.DataObject
) -> None:
    used = filled(before, grants, data)
    after = some_change(before, data)
    uncharged = takes_nothing(before, after, 0.0, grants)
    event(f"takes nothing: {uncharged is not None}")
    assume(uncharged is not None)
    assert uncharged is not None
    counted = {name: amounts for name, amounts in used.items() if name not in uncharged}
    assert [each for each in problems_of_change(before, after, counted, grants, 0.0) if each.is_of_use] == []


BEFORE = Declared(
    tenants={"t0": tenant("c0", ("amd", 4, 2, 2)), "t1": tenant("c0", ("amd", 4, None, None))},
    cohorts={"c0": cohort(None, ("amd", 3, None, None)), "c1": cohort(None)},
    flavors=FLAVOR_SPECS,
)
CHANGES: dict[str, tuple[dict[str, Any], frozenset[str] | None]] = {
    "nothing": ({}, frozenset()),
    "more": ({"tenants": {"t0": tenant("c0", ("amd", 5, 3, 2))}}, frozenset()),
    "no limit any more": ({"tenants": {"t0": tenant("c0", ("amd", 4, None, 2))}}, frozenset()),
    "another weight": ({"tenants": {"t0": tenant("c0", ("amd", 4, 2, 2), weight=9)}}, frozenset()),
    "another flavor, too": (
        {"tenants": {"t0": tenant("c0", ("amd", 4, 2, 2), ("arm", 1, None, None))}},
        frozenset({"t0"}),
    ),
    "a new tenant": ({"tenants": {"t9": tenant("c0", ("amd", 1, None, None))}}, frozenset({"t9"})),
    "a new cohort": ({"cohorts": {"c9": cohort("c0")}}, frozenset()),
    "more in a cohort": ({"cohorts": {"c0": cohort(None, ("amd", 4, None, None))}}, frozenset()),
    "less": ({"tenants": {"t0": tenant("c0", ("amd", 3, 2, 2))}}, None),
    "less to borrow": ({"tenants": {"t0": tenant("c0", ("amd", 4, 1, 2))}}, None),
    "less to lend": ({"tenants": {"t0": tenant("c0", ("amd", 4, 2, 1))}}, None),
    "more to lend": ({"tenants": {"t0": tenant("c0", ("amd", 4, 2, 3))}}, None),
    "a limit to borrow": ({"tenants": {"t1": tenant("c0", ("amd", 4, 9, None))}}, None),
    "another cohort": ({"tenants": {"t0": tenant("c1", ("amd", 4, 2, 2))}}, None),
    "less in a cohort": ({"cohorts": {"c0": cohort(None, ("amd", 2, None, None))}}, None),
    "another parent": ({"cohorts": {"c0": cohort("c1", ("amd", 3, None, None))}}, None),
}


@pytest.mark.parametrize("case", CHANGES)
def test_which_changes_take_nothing(case: str) -> None:
    changed, expected = CHANGES[case]
    after = replace(BEFORE, **{kind: {**getattr(BEFORE, kind), **specs} for kind, specs in changed.items()})
    assert takes_nothing(BEFORE, after, 0.0) == expected


@pytest.mark.parametrize("kind", ["tenants", "cohorts", "flavors"])
def test_what_goes_may_take(kind: str) -> None:
    gone = dict(list(getattr(BEFORE, kind).items())[1:])
    assert takes_nothing(BEFORE, replace(BEFORE, **{kind: gone}), 0.0) is None


def granted_to(tenant: str, donor: tuple[str, str]) -> QuotaRequestRecord:
    return QuotaRequestRecord(
        1, tenant, {"amd": {GPU: "4"}}, 0.0, "", RequestState.GRANTED, "", 0.0, taken_from=donor
    )


GIVEN = Declared(
    tenants={"t0": tenant("c0", ("amd", 2, None, None)), "t1": tenant(None, ("amd", 0, None, None))},
    cohorts={"c0": cohort(None, ("amd", 6, None, None))},
    flavors=FLAVOR_SPECS,
)
"""What c0 has granted to t1 is not for t0 to borrow, wherever t1 stands."""


@pytest.mark.parametrize("donor", [("Cohort", "c0"), ("Tenant", "t2")])
def test_what_was_granted_to_a_tenant_elsewhere_is_not_there(donor: tuple[str, str]) -> None:
    lends = {"t2": tenant("c0", ("amd", 4, None, None))}
    before = replace(GIVEN, tenants={**GIVEN.tenants, **lends})
    after = replace(before, tenants={**before.tenants, "t0": tenant("c0", ("amd", 1, None, None))})
    used = {"t0": {("amd", GPU): 8}}
    [found] = problems_of_change(before, after, used, [granted_to("t1", donor)], 0.0)
    assert (found.name, found.is_of_use) == ("t0", True)


def test_who_gets_a_quota_again_does_not_take_with_it_what_others_use_meanwhile() -> None:
    grants = [granted_to("t1", ("Cohort", "c0"))]
    before = replace(GIVEN, tenants={"t0": GIVEN.tenants["t0"]})
    assert takes_nothing(before, GIVEN, 0.0, grants) is None
    used = {"t0": {("amd", GPU): 8}}
    [found] = problems_of_change(before, GIVEN, used, grants, 0.0)
    assert (found.name, found.is_of_use) == ("t0", True)
    assert problems_of_change(before, GIVEN, {"t0": {("amd", GPU): 4}}, grants, 0.0) == []
