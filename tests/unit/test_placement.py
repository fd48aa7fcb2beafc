"""Where a workload runs: who may take it, and how its replicas are divided."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.fleet.demand import Operator, Requirement, Toleration
from controlplane.placement import (
    ENVIRONMENT_LABEL,
    Affinity,
    ClusterView,
    Decision,
    Division,
    PlacementRequest,
    StaticWeight,
    TenantRule,
    place,
)
from controlplane.placement.filters import refusals, surely_pass
from schemas.reasons import Reason
from schemas.wire.reports import Taint

A = ClusterView("id-a", "a", {"env": "prod", ENVIRONMENT_LABEL: "prod"}, "aws", "eu", ("eu-1", "eu-2"))
B = ClusterView("id-b", "b", {"env": "prod", ENVIRONMENT_LABEL: "test"}, "gcp", "us", ("us-1",))
C = ClusterView("id-c", "c", {"env": "test"})
ALL = (A, B, C)
DUPLICATED = PlacementRequest("uid-0", 6)
DYNAMIC = replace(DUPLICATED, division=Division.DYNAMIC)
STATIC = replace(DUPLICATED, division=Division.STATIC)


def label(key: str, operator: Operator, *values: str) -> Affinity:
    return Affinity(labels=(Requirement(key, operator, values),))


def field(key: str, operator: Operator, *values: str) -> Affinity:
    return Affinity(fields=(Requirement(key, operator, values),))


def by_name(decision: Decision) -> dict[str, int]:
    return {cluster.removeprefix("id-"): replicas for cluster, replicas in decision.assignments.items()}


def reasons(decision: Decision) -> dict[str, list[Reason]]:
    return {
        cluster.removeprefix("id-"): [each.reason for each in refused]
        for cluster, refused in decision.refusals.items()
    }


@pytest.mark.parametrize(
    ("affinity", "expected"),
    [
        (Affinity(), "abc"),
        (Affinity(names=frozenset("ab")), "ab"),
        (Affinity(names=frozenset("ab"), exclude=frozenset("a")), "b"),
        (label("env", Operator.IN, "prod"), "ab"),
        (label("env", Operator.NOT_IN, "prod"), "c"),
        (label(ENVIRONMENT_LABEL, Operator.EXISTS), "ab"),
        (label(ENVIRONMENT_LABEL, Operator.DOES_NOT_EXIST), "c"),
        (label(ENVIRONMENT_LABEL, Operator.NOT_IN, "test"), "ac"),
        (replace(label("env", Operator.IN, "prod"), names=frozenset("bc")), "b"),
        (field("provider", Operator.IN, "aws", "gcp"), "ab"),
        (field("region", Operator.NOT_IN, "eu"), "bc"),
        (field("zone", Operator.IN, "eu-2", "us-9"), "a"),
        (field("zone", Operator.NOT_IN, "eu-2"), "bc"),
        (field("zone", Operator.EXISTS), "ab"),
        (field("zone", Operator.DOES_NOT_EXIST), "c"),
        (field("zone", Operator.GT, "1"), ""),
    ],
)
def test_affinity(affinity: Affinity, expected: str) -> None:
    decision = place(replace(DUPLICATED, affinity=affinity), ALL, [0, 0, 0])
    assert "".join(by_name(decision)) == expected
    assert decision.assignments.keys() | decision.refusals.keys() == {"id-a", "id-b", "id-c"}


@pytest.mark.parametrize(
    ("request_", "cluster", "reason"),
    [
        (replace(DUPLICATED, affinity=Affinity(exclude=frozenset("a"))), A, Reason.CLUSTER_EXCLUDED),
        (replace(DUPLICATED, affinity=Affinity(names=frozenset("b"))), A, Reason.CLUSTER_NOT_SELECTED),
        (DUPLICATED, replace(A, taints=(Taint("gpu", "NoSchedule"),)), Reason.CLUSTER_TAINTED),
        (DUPLICATED, replace(A, taints=(Taint("lost", "NoExecute"),)), Reason.CLUSTER_TAINTED),
        (DUPLICATED, replace(A, taints=(Taint("busy", "PreferNoSchedule"),)), None),
        (
            replace(DUPLICATED, tolerations=(Toleration("gpu", "Exists"),)),
            replace(A, taints=(Taint("gpu", "NoSchedule", "a"),)),
            None,
        ),
        (
            replace(DUPLICATED, tolerations=(Toleration("gpu", "Equal", "b"),)),
            replace(A, taints=(Taint("gpu", "NoSchedule", "a"),)),
            Reason.CLUSTER_TAINTED,
        ),
        (
            replace(DUPLICATED, tolerations=(Toleration("gpu", "Exists", effect="NoSchedule"),)),
            replace(A, taints=(Taint("gpu", "NoExecute"),)),
            Reason.CLUSTER_TAINTED,
        ),
        (
            replace(DUPLICATED, current={"id-a": 1}),
            replace(A, taints=(Taint("gpu", "NoSchedule"),)),
            None,
        ),
        (replace(DUPLICATED, claimants=(TenantRule("other"),)), A, Reason.NAMESPACE_CLAIMED),
        (
            replace(DUPLICATED, claimants=(TenantRule("other", environments=frozenset({"test"})),)),
            A,
            None,
        ),
        (replace(DUPLICATED, claimants=(TenantRule("other"),), current={"id-a": 1}), A, None),
        (
            replace(DUPLICATED, capabilities=("sealed",)),
            replace(A, capabilities=frozenset({"apply"})),
            Reason.CAPABILITY_MISSING,
        ),
        (
            replace(DUPLICATED, capabilities=("sealed",)),
            replace(A, capabilities=frozenset({"apply", "sealed"})),
            None,
        ),
        (replace(DUPLICATED, capabilities=("sealed",)), A, None),
        (
            replace(DUPLICATED, capabilities=("preserve",)),
            replace(A, capabilities=frozenset({"apply"})),
            Reason.CAPABILITY_MISSING,
        ),
        # What runs there was begun without it: it is not removed for want of it.
        (
            replace(DUPLICATED, capabilities=("preserve", "overwrite"), current={"id-a": 1}),
            replace(A, capabilities=frozenset({"apply"})),
            None,
        ),
        (
            replace(DUPLICATED, kinds=("apps/v1/Deployment", "x/v1/Y")),
            replace(A, served=frozenset({"apps/v1/Deployment"})),
            Reason.API_NOT_SERVED,
        ),
        (replace(DUPLICATED, kinds=("x/v1/Y",)), A, None),
        (
            replace(DUPLICATED, tenant=TenantRule("t", environments=frozenset({"test"}))),
            A,
            Reason.TENANT_MAY_NOT,
        ),
        (replace(DUPLICATED, tenant=TenantRule("t", environments=frozenset({"prod"}))), A, None),
        (
            replace(DUPLICATED, tenant=TenantRule("t", environments=frozenset({"prod"}))),
            C,
            Reason.TENANT_MAY_NOT,
        ),
        (
            replace(DUPLICATED, tenant=TenantRule("t", Affinity(names=frozenset("b")))),
            A,
            Reason.TENANT_MAY_NOT,
        ),
        (DUPLICATED, replace(A, standing=Reason.CLUSTER_UNKNOWN), Reason.CLUSTER_UNKNOWN),
        (replace(DUPLICATED, current={"id-a": 1}), replace(A, standing=Reason.CLUSTER_UNKNOWN), None),
    ],
)
def test_who_may_take_it(request_: PlacementRequest, cluster: ClusterView, reason: Reason | None) -> None:
    decision = place(request_, [cluster], [10])
    if reason is None:
        assert decision.assignments == {cluster.id: 6}
        assert decision.error is None
    else:
        assert [each.reason for each in decision.refusals[cluster.id]] == [reason]
        assert decision.error is not None
        assert decision.error.reason is Reason.NO_CLUSTER_FITS
        assert reason.value in decision.error.message


def test_all_reasons_of_a_cluster_are_told() -> None:
    cluster = replace(A, standing=Reason.AGENT_HOLDING, taints=(Taint("gpu", "NoSchedule"),))
    decision = place(replace(DUPLICATED, affinity=Affinity(names=frozenset("b"))), [cluster], [0])
    assert reasons(decision)["a"] == [
        Reason.AGENT_HOLDING,
        Reason.CLUSTER_NOT_SELECTED,
        Reason.CLUSTER_TAINTED,
    ]


def test_no_node_has_what_the_pod_selects() -> None:
    decision = place(DUPLICATED, ALL, [5, 0, 0], [5, 3, 0])
    assert by_name(decision) == {"a": 6, "b": 6}, "full is no obstacle for duplicates, impossible is"
    assert reasons(decision) == {"c": [Reason.NO_NODE_FITS]}


@pytest.mark.parametrize(
    ("request_", "available", "expected"),
    [
        (DUPLICATED, [0, 0, 0], {"a": 6, "b": 6, "c": 6}),
        (replace(DUPLICATED, replicas=0, has_pods=False), [0, 0, 0], {"a": 0, "b": 0, "c": 0}),
        (STATIC, [0, 0, 0], {"a": 2, "b": 2, "c": 2}),
        (
            replace(STATIC, weights=(StaticWeight(Affinity(names=frozenset("ab")), 1),)),
            [0, 0, 0],
            {"a": 3, "b": 3},
        ),
        (
            replace(
                STATIC,
                weights=(
                    StaticWeight(Affinity(names=frozenset("ab")), 1),
                    StaticWeight(Affinity(names=frozenset("b")), 2),
                ),
            ),
            [0, 0, 0],
            {"a": 2, "b": 4},
        ),
        (
            replace(STATIC, weights=(StaticWeight(Affinity(), 0),), replicas=3),
            [0, 0, 0],
            {"a": 1, "b": 1, "c": 1},
        ),
        (DYNAMIC, [6, 12, 18], {"a": 1, "b": 2, "c": 3}),
        (DYNAMIC, [2, 4, 0], {"a": 2, "b": 4}),
        (replace(DYNAMIC, replicas=1), [1, 1, 1], {"a": 1}),
        (replace(DYNAMIC, replicas=1, uid="uid-1"), [1, 1, 1], {"c": 1}),
        # Up: only the 4 that are added are divided, by what is free now.
        (replace(DYNAMIC, current={"id-a": 2}), [0, 4, 0], {"a": 2, "b": 4}),
        # Down: in proportion to what runs.
        (replace(DYNAMIC, current={"id-a": 8, "id-b": 4}), [0, 0, 100], {"a": 4, "b": 2}),
        # The same: nothing moves.
        (replace(DYNAMIC, current={"id-a": 1, "id-b": 5}), [100, 0, 100], {"a": 1, "b": 5}),
    ],
)
def test_division(request_: PlacementRequest, available: list[int], expected: dict[str, int]) -> None:
    decision = place(request_, ALL, available)
    assert decision.error is None
    assert by_name(decision) == expected
    assert decision.assignments.keys() | decision.refusals.keys() == {"id-a", "id-b", "id-c"}


def test_replicas_of_a_cluster_that_may_not_go_on_are_divided_anew() -> None:
    request = replace(DYNAMIC, current={"id-a": 4, "id-b": 2}, affinity=Affinity(exclude=frozenset("a")))
    assert by_name(place(request, ALL, [9, 0, 4])) == {"b": 2, "c": 4}


def test_a_cluster_that_is_not_heard_of_keeps_what_it_has_and_is_given_no_more() -> None:
    request = replace(DYNAMIC, current={"id-a": 4})
    lost = replace(A, standing=Reason.CLUSTER_UNKNOWN, standing_message="last heard from 60 s ago")
    assert by_name(place(request, (lost, B, C), [9, 2, 0])) == {"a": 4, "b": 2}


def test_too_little_room_moves_nothing() -> None:
    decision = place(replace(DYNAMIC, current={"id-a": 2}), ALL, [1, 2, 0])
    assert decision.assignments == {}
    assert decision.error is not None
    assert decision.error.reason is Reason.INSUFFICIENT_CAPACITY
    assert decision.error.message == "4 more replicas are wanted, 3 fit the 3 clusters that pass"
    assert reasons(decision) == {each: [Reason.INSUFFICIENT_CAPACITY] for each in "abc"}


def test_where_it_runs_already_scores() -> None:
    assert place(replace(DYNAMIC, current={"id-b": 6}), ALL, [1, 1, 1]).scores == {
        "id-a": 0.0,
        "id-b": 100.0,
        "id-c": 0.0,
    }


AVAILABLE = st.lists(st.integers(0, 20), min_size=3, max_size=3)
CURRENT = st.dictionaries(st.sampled_from(["id-a", "id-b", "id-c"]), st.integers(1, 10))


@given(st.integers(1, 60), AVAILABLE, CURRENT)
def test_dynamic_division_is_exact_and_never_over_what_is_free(
    replicas: int, available: list[int], current: dict[str, int]
) -> None:
    decision = place(replace(DYNAMIC, replicas=replicas, current=current), ALL, available)
    if decision.error is not None:
        assert sum(available) < replicas - sum(current.values())
        return
    assert sum(decision.assignments.values()) == replicas
    for cluster, free in zip(ALL, available, strict=True):
        assert decision.assignments.get(cluster.id, 0) <= free + current.get(cluster.id, 0)


@given(st.integers(1, 60), AVAILABLE, CURRENT, st.permutations(range(3)))
def test_the_order_of_the_clusters_does_not_matter(
    replicas: int, available: list[int], current: dict[str, int], order: list[int]
) -> None:
    request = replace(DYNAMIC, replicas=replicas, current=current)
    shuffled = place(request, [ALL[each] for each in order], [available[each] for each in order])
    assert shuffled == place(request, ALL, available)


@given(st.integers(1, 60), AVAILABLE, st.integers(0, 2))
def test_more_room_never_loses_a_placement(replicas: int, available: list[int], where: int) -> None:
    request = replace(DYNAMIC, replicas=replicas)
    more = [free + (index == where) for index, free in enumerate(available)]
    if place(request, ALL, available).error is None:
        assert place(request, ALL, more).error is None


LABELS = st.lists(
    st.builds(
        Requirement,
        st.sampled_from(["env", "gone"]),
        st.sampled_from([Operator.IN, Operator.NOT_IN, Operator.EXISTS, Operator.DOES_NOT_EXIST]),
        st.just(("prod",)),
    ),
    max_size=2,
).map(tuple)
NAMES = st.frozensets(st.sampled_from("abc"))


@given(LABELS, NAMES, NAMES, st.booleans(), st.booleans(), st.booleans())
def test_the_short_way_through_the_filters_agrees_with_the_long_one(
    labels: tuple[Requirement, ...],
    names: frozenset[str],
    exclude: frozenset[str],
    tainted: bool,
    serves: bool,
    able: bool,
) -> None:
    request = replace(
        DUPLICATED,
        affinity=Affinity(labels=labels, names=names, exclude=exclude),
        kinds=("v1/X",),
        capabilities=("sealed",),
    )
    cluster = replace(
        A,
        taints=(Taint("gpu", "NoSchedule"),) if tainted else (),
        served=frozenset({"v1/X"} if serves else ()),
        capabilities=frozenset({"sealed"} if able else ()),
    )
    assert surely_pass(request, [cluster]) == [not refusals(request, cluster)]
