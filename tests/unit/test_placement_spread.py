"""Which clusters are used where a workload must be spread, and which group of clusters is tried first."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.fleet.demand import Toleration
from controlplane.placement import (
    Affinity,
    AffinityGroup,
    ClusterView,
    Decision,
    Division,
    PlacementRequest,
    Spread,
    place,
)
from schemas.reasons import Reason
from schemas.wire.reports import Taint


def cluster(name: str, region: str = "", zones: str = "", **labels: str) -> ClusterView:
    return ClusterView(f"id-{name}", name, labels, f"p-{region}", region, tuple(zones))


FIVE = tuple(cluster(name, region) for name, region in zip("abcde", "xxyyz", strict=True))
DYNAMIC = PlacementRequest("uid-0", 6, division=Division.DYNAMIC)
DUPLICATED = replace(DYNAMIC, division=Division.DUPLICATED)
STATIC = replace(DYNAMIC, division=Division.STATIC)


def clusters(least: int, most: int = 0) -> Spread:
    return Spread("cluster", "", least, most)


def regions(least: int, most: int = 0) -> Spread:
    return Spread("region", "", least, most)


def chosen(decision: Decision) -> str:
    return "".join(sorted(cluster.removeprefix("id-") for cluster in decision.assignments))


def names(text: str) -> Affinity:
    return Affinity(names=frozenset(text))


@pytest.mark.parametrize(
    ("request_", "spread", "available", "expected"),
    [
        (DYNAMIC, [clusters(1, 2)], [9, 8, 7, 6, 5], "ab"),
        (DYNAMIC, [clusters(1, 2)], [5, 6, 7, 8, 9], "de"),
        (replace(DYNAMIC, current={"id-a": 2}), [clusters(1, 2)], [1, 6, 7, 8, 9], "ae"),
        # The last chosen makes way for whoever has the most room.
        (replace(DYNAMIC, current={"id-a": 1, "id-b": 1}), [clusters(1, 2)], [1, 1, 2, 9, 4], "ad"),
        (DUPLICATED, [clusters(1, 2)], [0, 0, 0, 0, 0], "ab"),
        (STATIC, [clusters(1, 2)], [0, 0, 0, 0, 0], "abcde"),
        (DYNAMIC, [clusters(2)], [9, 9, 9, 9, 9], "abcde"),
        # x: 3 fit, y: 3 fit, z: 2 fit; each region should take 3.
        (DYNAMIC, [regions(2, 2)], [2, 1, 1, 2, 2], "abcd"),
        (DYNAMIC, [regions(2, 2)], [0, 0, 1, 2, 9], "cde"),
        (DYNAMIC, [regions(2, 2), clusters(2, 3)], [3, 2, 4, 1, 0], "abc"),
        (replace(DYNAMIC, replicas=4), [regions(2, 2), clusters(4, 4)], [1, 1, 1, 1, 9], "abcd"),
        # Copies: where the most clusters hold them all.
        (DUPLICATED, [regions(1, 1)], [6, 5, 6, 6, 9], "cd"),
        (DUPLICATED, [Spread("provider", "", 2, 2)], [6, 6, 9, 0, 0], "abcd"),
    ],
)
def test_spread(
    request_: PlacementRequest, spread: list[Spread], available: list[int], expected: str
) -> None:
    decision = place(replace(request_, spread=tuple(spread)), FIVE, available)
    assert decision.error is None
    assert chosen(decision) == expected
    for each in FIVE:
        assert each.name in expected or decision.refusals[each.id][0].reason in (
            Reason.NOT_CHOSEN,
            Reason.INSUFFICIENT_CAPACITY,
        )


def test_by_zone_and_by_label() -> None:
    fleet = (cluster("a", zones="uv", team="r"), cluster("b", zones="w", team="r"), cluster("c", team="s"))
    by_zone = replace(DUPLICATED, spread=(Spread("zone", "", 3, 3),))
    assert chosen(place(by_zone, fleet, [6, 6, 6])) == "ab"
    by_label = replace(DUPLICATED, spread=(Spread("", "team", 2, 2), clusters(1, 2)))
    assert chosen(place(by_label, fleet, [6, 6, 6])) == "ac"


@pytest.mark.parametrize(
    ("request_", "spread", "available", "reason", "message"),
    [
        (
            DYNAMIC,
            [clusters(6)],
            [9] * 5,
            Reason.TOO_FEW_CLUSTERS,
            "spreadConstraints: by cluster, minGroups is 6; 5 can be had",
        ),
        (
            DYNAMIC,
            [regions(4)],
            [9] * 5,
            Reason.TOO_FEW_CLUSTERS,
            "spreadConstraints: by region, minGroups is 4; 3 can be had",
        ),
        (
            DYNAMIC,
            [regions(1, 2), clusters(5)],
            [9] * 5,
            Reason.TOO_FEW_CLUSTERS,
            "spreadConstraints: no 2 groups by region have the 5 clusters that minGroups by cluster asks for",
        ),
        (
            DYNAMIC,
            [Spread("", "team", 1)],
            [9] * 5,
            Reason.TOO_FEW_CLUSTERS,
            "spreadConstraints: by label team, minGroups is 1; 0 can be had",
        ),
        (
            DYNAMIC,
            [clusters(1, 2)],
            [2] * 5,
            Reason.INSUFFICIENT_CAPACITY,
            "spreadConstraints: 6 replicas are wanted, 4 fit the 2 clusters with the most room",
        ),
    ],
)
def test_what_cannot_be_spread_is_refused(
    request_: PlacementRequest, spread: list[Spread], available: list[int], reason: Reason, message: str
) -> None:
    decision = place(replace(request_, spread=tuple(spread)), FIVE, available)
    assert decision.error is not None
    assert decision.error.reason is reason
    assert decision.error.message.startswith(message)
    assert decision.assignments == {}


ROOM = st.lists(st.integers(0, 9), min_size=5, max_size=5)


def test_a_cluster_without_what_it_is_spread_by_is_told_so() -> None:
    with_rack = cluster("a", "x", "1", rack="r1"), cluster("b", "x", "2", rack="r2")
    without = cluster("c"), cluster("d", "x")
    for spread, lacking in (
        (Spread("", "rack", 1, 1), "has no label rack"),
        (Spread("zone", "", 1, 1), "has no zone"),
    ):
        refused = place(replace(DUPLICATED, spread=(spread,)), (*with_rack, *without), [9] * 4).refusals
        assert [each.message for (each,) in refused.values()] == [
            "spreadConstraints: other clusters were chosen",
            f"spreadConstraints: {lacking}",
            f"spreadConstraints: {lacking}",
        ]
        too_many = replace(spread, min_groups=3, max_groups=0)
        refused = place(replace(DYNAMIC, spread=(too_many,)), (*with_rack, *without), [9] * 4).refusals
        assert [each.message for (each,) in refused.values()] == [
            *[f"spreadConstraints: by {spread}, minGroups is 3; 2 can be had"] * 2,
            *[f"spreadConstraints: {lacking}"] * 2,
        ]


def swapped_by_hand(room: list[int], most: int, replicas: int) -> set[str] | None:
    """As the rule is written down, one look at everything for every swap."""
    order = sorted(zip("abcde", room, strict=True), key=lambda each: (-each[1], each[0]))
    kept, left = order[:most], order[most:]
    for at in reversed(range(len(kept))):
        best = max(left, key=lambda each: each[1], default=("", -1))
        if sum(each[1] for each in kept) < replicas and best[1] > kept[at][1]:
            left[left.index(best)], kept[at] = kept[at], best
    return {name for name, free in kept if free} if sum(each[1] for each in kept) >= replicas else None


@given(ROOM, st.integers(1, 5), st.integers(1, 20))
def test_by_cluster_is_as_by_hand(room: list[int], most: int, replicas: int) -> None:
    request = replace(DYNAMIC, replicas=replicas, spread=(clusters(1, most),), division=Division.AGGREGATED)
    decision = place(request, FIVE, room)
    by_hand = swapped_by_hand(room, most, replicas)
    assert (decision.error is None) == (by_hand is not None)
    if by_hand is not None:
        assert set(chosen(decision)) <= by_hand


@given(ROOM, st.integers(1, 3), st.integers(0, 2), st.integers(1, 5), st.integers(0, 3), st.integers(1, 20))
def test_copies_keep_to_every_constraint(
    room: list[int], least: int, more: int, fewest: int, above: int, replicas: int
) -> None:
    spread = (regions(least, least + more), clusters(fewest, fewest + above))
    decision = place(replace(DUPLICATED, replicas=replicas, spread=spread), FIVE, room)
    if decision.error is None:
        used = {each.region for each in FIVE if each.id in decision.assignments}
        assert least <= len(used) <= least + more
        assert fewest <= len(decision.assignments) <= fewest + above


FIRST = AffinityGroup("first", names("a"))
SECOND = AffinityGroup("second", names("bc"))
TIERED = AffinityGroup("own", names("a"), (names("ab"), names("cd")))


@pytest.mark.parametrize(
    ("request_", "available", "group", "expected"),
    [
        (replace(DYNAMIC, groups=(FIRST, SECOND)), [6, 9, 9, 9, 9], "first", {"a": 6}),
        (replace(DYNAMIC, groups=(FIRST, SECOND)), [5, 3, 3, 9, 9], "second", {"b": 3, "c": 3}),
        # From the group that was used last; from the first when it is placed anew.
        (
            replace(DYNAMIC, groups=(FIRST, SECOND), affinity_name="second"),
            [9, 3, 3, 9, 9],
            "second",
            {"b": 3, "c": 3},
        ),
        (
            replace(DYNAMIC, groups=(FIRST, SECOND), affinity_name="second", fresh=True),
            [9, 3, 3, 9, 9],
            "first",
            {"a": 6},
        ),
        # Tier by tier; a cluster counts in the first that selects it.
        (replace(DYNAMIC, groups=(TIERED,)), [6, 9, 9, 9, 9], "own", {"a": 6}),
        (replace(DYNAMIC, groups=(TIERED,)), [3, 1, 4, 4, 9], "own", {"a": 3, "b": 1, "c": 1, "d": 1}),
        # Down: what overflowed last goes first.
        (
            replace(DYNAMIC, replicas=4, groups=(TIERED,), current={"id-a": 3, "id-c": 5}),
            [0] * 5,
            "own",
            {"a": 3, "c": 1},
        ),
        (
            replace(DYNAMIC, groups=(TIERED,), division=Division.AGGREGATED),
            [3, 1, 4, 4, 9],
            "own",
            {"a": 3, "b": 1, "c": 2},
        ),
    ],
)
def test_groups_of_clusters(
    request_: PlacementRequest, available: list[int], group: str, expected: dict[str, int]
) -> None:
    decision = place(request_, FIVE, available)
    assert decision.affinity_name == group
    assert {each.removeprefix("id-"): count for each, count in decision.assignments.items()} == expected
    assert decision.assignments.keys() | decision.refusals.keys() == {each.id for each in FIVE}


def test_no_group_has_room() -> None:
    decision = place(replace(DYNAMIC, groups=(FIRST, SECOND)), FIVE, [1, 1, 1, 1, 1])
    assert decision.error is not None
    assert decision.affinity_name == ""
    assert decision.error.message == (
        "first: 6 replicas are wanted, 1 fit the cluster that passes; "
        "second: 6 replicas are wanted, 2 fit the 2 clusters that pass"
    )


def test_what_a_cluster_prefers_not_to_run_goes_elsewhere() -> None:
    busy = replace(FIVE[0], taints=(Taint("busy", "PreferNoSchedule"), Taint("old", "PreferNoSchedule")))
    request = replace(
        DUPLICATED, spread=(clusters(1, 1),), tolerations=(Toleration("old", "Exists"),), replicas=1
    )
    decision = place(request, (busy, *FIVE[1:]), [9, 1, 1, 1, 1])
    assert chosen(decision) == "b"
    assert decision.scores["id-a"] == -10.0
    assert decision.score_parts["id-a"] == {"locality": 0.0, "preferred_taints": -10.0}
    tolerant = replace(request, tolerations=(Toleration("", "Exists"),))
    assert chosen(place(tolerant, (busy, *FIVE[1:]), [9, 1, 1, 1, 1])) == "a"


@given(ROOM, st.integers(1, 20), st.lists(st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"])))
def test_a_tolerated_taint_never_matters(room: list[int], replicas: int, effects: list[str]) -> None:
    tainted = (
        replace(FIVE[0], taints=tuple(Taint(f"t{n}", each) for n, each in enumerate(effects))),
        *FIVE[1:],
    )
    request = replace(
        DYNAMIC, replicas=replicas, spread=(clusters(1, 3),), tolerations=(Toleration("", "Exists"),)
    )
    assert place(request, tainted, room) == place(request, FIVE, room)
