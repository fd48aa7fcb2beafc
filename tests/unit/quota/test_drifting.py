"""What is seen beyond what is charged: under which flavor, how much, and after how long it is believed."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.fleet import Requirement
from controlplane.fleet.demand import Operator
from controlplane.placement.rules import Affinity, ClusterView
from controlplane.quota.drifting import (
    MOST_RESOURCES,
    Key,
    Patience,
    Seen,
    flavors_of,
    foreign_drift,
    plausible,
    workload_drift,
)
from controlplane.quota.quota import Amounts, Flavor, Group, TenantQuota

pytestmark = pytest.mark.promise(2)

QUOTA = TenantQuota(
    "team",
    groups=(
        Group(frozenset({"cpu", "memory"}), ("spot", "usual")),
        Group(frozenset({"nvidia.com/gpu"}), ("a100",)),
    ),
)
WITH_PODS = TenantQuota("team", groups=(Group(frozenset({"cpu", "pods"}), ("usual",)),))
FLAVORS = ("spot", "usual", "a100")


def seen(flavors: str, **amounts: int) -> Seen:
    return Seen(
        frozenset(flavors.split()), {name.replace("gpu", "nvidia.com/gpu"): n for name, n in amounts.items()}
    )


@dataclass(frozen=True)
class Case:
    seen: list[Seen]
    charged: Amounts
    drift: Amounts
    quota: TenantQuota | None = field(default_factory=lambda: QUOTA)


WORKLOADS = {
    "as charged": Case([seen("usual", cpu=3)], {("usual", "cpu"): 3}, {}),
    "less than charged": Case([seen("usual", cpu=1)], {("usual", "cpu"): 3}, {}),
    "more than charged": Case([seen("usual", cpu=5)], {("usual", "cpu"): 3}, {("usual", "cpu"): 2}),
    "on nodes of another flavor": Case([seen("usual", cpu=3)], {("spot", "cpu"): 3}, {("usual", "cpu"): 3}),
    "nodes are of both flavors: what is charged counts first": Case(
        [seen("spot usual", cpu=3)], {("usual", "cpu"): 3}, {}
    ),
    "beyond it, that one too": Case(
        [seen("spot usual", cpu=4)], {("usual", "cpu"): 3}, {("usual", "cpu"): 1}
    ),
    "two components in two flavors, on nodes of both": Case(
        [seen("spot usual", cpu=6)], {("spot", "cpu"): 3, ("usual", "cpu"): 3}, {}
    ),
    "nodes of one flavor are not robbed by nodes of both": Case(
        [seen("spot usual", cpu=3), seen("spot", cpu=3)], {("spot", "cpu"): 3, ("usual", "cpu"): 3}, {}
    ),
    "nothing is charged: the first flavor that is of the nodes": Case(
        [seen("spot usual", cpu=1)], {}, {("spot", "cpu"): 1}
    ),
    "nodes of no flavor": Case([seen("", cpu=1)], {}, {("", "cpu"): 1}),
    "a resource that nobody granted": Case(
        [seen("usual", cpu=1, foo=2)], {("usual", "cpu"): 1}, {("", "foo"): 2}
    ),
    "charged without a flavor": Case([seen("usual", foo=2)], {("", "foo"): 2}, {}),
    "without a quota": Case([seen("", cpu=2)], {("", "cpu"): 1}, {("", "cpu"): 1}, None),
    "charged under a flavor that is declared no longer": Case(
        [seen("usual", cpu=3)], {("gone", "cpu"): 3}, {}
    ),
    "GPUs by their own flavor": Case(
        [seen("usual a100", cpu=1, gpu=2)],
        {("usual", "cpu"): 1, ("a100", "nvidia.com/gpu"): 1},
        {("a100", "nvidia.com/gpu"): 1},
    ),
    "pods count only where the quota names them": Case(
        [seen("usual", cpu=1, pods=4)], {("usual", "cpu"): 1}, {}
    ),
    "pods that the quota names": Case(
        [seen("usual", cpu=1, pods=4)],
        {("usual", "cpu"): 1, ("usual", "pods"): 3},
        {("usual", "pods"): 1},
        WITH_PODS,
    ),
    "on two kinds of nodes": Case(
        [seen("usual", cpu=2), seen("", cpu=2)], {("usual", "cpu"): 2}, {("", "cpu"): 2}
    ),
}


@pytest.mark.parametrize("case", WORKLOADS.values(), ids=list(WORKLOADS))
def test_what_a_workload_takes_beyond_its_charge(case: Case) -> None:
    assert workload_drift(case.seen, case.charged, case.quota, FLAVORS) == case.drift


FOREIGN = {
    "by the first flavor of the nodes": ([seen("spot usual", cpu=2)], QUOTA, {("spot", "cpu"): 2}),
    "summed over kinds of nodes": (
        [seen("usual", cpu=2, memory=1), seen("usual a100", cpu=1)],
        QUOTA,
        {("usual", "cpu"): 3, ("usual", "memory"): 1},
    ),
    "on no node yet": ([seen("", cpu=2)], QUOTA, {("", "cpu"): 2}),
    "what the quota does not name": ([seen("usual", foo=1, pods=3)], QUOTA, {("", "foo"): 1}),
    "pods that it names": ([seen("usual", pods=3)], WITH_PODS, {("usual", "pods"): 3}),
}


@pytest.mark.parametrize(("found", "quota", "drift"), FOREIGN.values(), ids=list(FOREIGN))
def test_what_pods_of_nobody_take(found: list[Seen], quota: TenantQuota, drift: Amounts) -> None:
    assert foreign_drift(found, quota) == drift


def test_names_that_no_cluster_has_are_left_out_and_what_the_quota_names_is_kept() -> None:
    many = {f"example.com/a{index:03}": 1 for index in range(200)} | {"x" * 400: 1, "nvidia.com/gpu": 2}
    kept = plausible(many, QUOTA)

    assert len(kept) == MOST_RESOURCES
    assert kept["nvidia.com/gpu"] == 2
    assert plausible({"cpu": 1, "x" * 400: 1}, None) == {"cpu": 1}


split = st.lists(
    st.tuples(st.sets(st.sampled_from(FLAVORS)), st.integers(1, 9)).map(
        lambda each: Seen(frozenset(each[0]), {"cpu": each[1]})
    ),
    max_size=5,
)
charges = st.dictionaries(st.tuples(st.sampled_from(("", *FLAVORS)), st.just("cpu")), st.integers(1, 9))


@given(found=split, charged=charges)
def test_no_unit_is_lost_and_none_counted_twice(found: list[Seen], charged: Amounts) -> None:
    total = sum(each.amounts["cpu"] for each in found)
    drift = sum(workload_drift(found, charged, QUOTA, FLAVORS).values())

    assert max(0, total - sum(charged.values())) <= drift <= total


def view(name: str = "west") -> ClusterView:
    return ClusterView(id=name, name=name)


A100 = Flavor(
    "a100",
    node_labels={"pool": "gpu"},
    requirements=(Requirement("nvidia.com/gpu.product", Operator.IN, ("A100",)),),
)


@pytest.mark.parametrize(
    ("flavor", "labels", "cluster", "is_of"),
    [
        (Flavor("any"), {}, "west", True),
        (A100, {"pool": "gpu", "nvidia.com/gpu.product": "A100"}, "west", True),
        (A100, {"pool": "cpu", "nvidia.com/gpu.product": "A100"}, "west", False),
        (A100, {"pool": "gpu", "nvidia.com/gpu.product": "H100"}, "west", False),
        (A100, {"pool": "gpu"}, "west", False),
        (Flavor("here", clusters=Affinity(names=frozenset({"west"}))), {}, "west", True),
        (Flavor("here", clusters=Affinity(names=frozenset({"west"}))), {}, "east", False),
    ],
)
def test_nodes_are_of_a_flavor_by_labels_features_and_cluster(
    flavor: Flavor, labels: dict[str, str], cluster: str, is_of: bool
) -> None:
    values = {one.key: labels.get(one.key) for one in flavor.requirements}

    assert (flavor.name in flavors_of([flavor], labels, values, view(cluster))) is is_of


KEY: Key = ("team", "w1", "usual", "cpu")
FOREIGN_KEY: Key = ("team", "", "usual", "cpu")


def entered(looks: list[tuple[float, int]], key: Key = KEY) -> list[int]:
    """What is entered after each look (at, seen)."""
    patience, stands, after = Patience(20.0, 12.0), dict[Key, int](), list[int]()
    for at, amount in looks:
        for moved, by in patience.moved("c", stands, {key: amount} if amount else {}, at).items():
            stands[moved] = stands.get(moved, 0) + by
            assert stands[moved] >= 0
        after.append(stands.get(key, 0))
    return after


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([(0, 5), (10, 5), (20, 5)], [0, 0, 5], id="what stays is entered"),
        pytest.param([(0, 5), (10, 5), (15, 0), (40, 0)], [0, 0, 0, 0], id="a surge that passes is not"),
        pytest.param([(0, 5), (10, 2), (20, 5)], [0, 0, 2], id="the least that was there all the time"),
        pytest.param([(0, 2), (10, 5), (20, 5), (30, 5)], [0, 0, 2, 5], id="what came later, later"),
        pytest.param([(0, 5), (20, 5), (21, 1), (22, 0)], [0, 5, 1, 0], id="what is gone goes at once"),
        pytest.param(
            [(0, 5), (20, 5), (21, 1), (22, 5), (42, 5)], [0, 5, 1, 1, 5], id="and comes back later"
        ),
        pytest.param([(0, 5), (8, 0), (10, 5), (20, 5), (30, 5)], [0, 0, 0, 0, 5], id="it begins anew"),
    ],
)
def test_what_grew_is_believed_after_a_while(looks: list[tuple[float, int]], expected: list[int]) -> None:
    assert entered(looks) == expected


def test_what_is_told_of_seldom_is_believed_earlier() -> None:
    assert entered([(0, 5), (12, 5)], FOREIGN_KEY) == [0, 5]


@given(st.lists(st.tuples(st.floats(0.1, 10), st.integers(0, 5)), max_size=30))
def test_what_is_entered_is_never_more_than_what_is_seen_and_follows_within_the_time(
    steps: list[tuple[float, int]],
) -> None:
    at, looks = 0.0, list[tuple[float, int]]()
    for pause, amount in steps:
        at += pause
        looks.append((at, amount))
    after = entered(looks)

    for index, ((now, amount), stands) in enumerate(zip(looks, after, strict=True)):
        assert stands <= amount
        whole = [look for look in looks[: index + 1] if look[0] >= now - 31]
        if looks[0][0] <= now - 31 and all(each >= 3 for _, each in whole):
            assert stands >= 3
