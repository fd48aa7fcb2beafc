"""Aggregated division, a placement made anew, and how many replicas a cluster may have in every mode."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.placement import (
    Affinity,
    ClusterView,
    Decision,
    Division,
    PlacementRequest,
    ReplicaBounds,
    Spread,
    StaticWeight,
    place,
)
from schemas.reasons import Reason

ALL = tuple(ClusterView(f"id-{name}", name) for name in "abcd")
DYNAMIC = PlacementRequest("uid-0", 6, division=Division.DYNAMIC)
AGGREGATED = replace(DYNAMIC, division=Division.AGGREGATED)
STATIC = replace(DYNAMIC, division=Division.STATIC)
DUPLICATED = replace(DYNAMIC, division=Division.DUPLICATED)


def names(text: str) -> Affinity:
    return Affinity(names=frozenset(text))


def bounds(text: str, least: int = 0, most: int | None = None) -> ReplicaBounds:
    return ReplicaBounds(names(text), least, most)


def running(**replicas: int) -> dict[str, int]:
    return {f"id-{name}": count for name, count in replicas.items()}


def by_name(decision: Decision) -> dict[str, int]:
    return {cluster.removeprefix("id-"): replicas for cluster, replicas in decision.assignments.items()}


@pytest.mark.parametrize(
    ("request_", "available", "expected"),
    [
        (AGGREGATED, [3, 6, 2, 5], {"b": 6}),
        (AGGREGATED, [3, 4, 2, 1], {"a": 3, "b": 3}),
        (AGGREGATED, [2, 2, 2, 2], {"a": 2, "b": 2, "c": 2}),
        # Those that hold replicas come first, though others have more room.
        (replace(AGGREGATED, current=running(d=2)), [9, 9, 9, 4], {"d": 6}),
        (replace(AGGREGATED, current=running(d=2)), [9, 1, 1, 3], {"a": 3, "d": 3}),
        # Down: the shortest prefix of what runs, then in proportion.
        (replace(AGGREGATED, current=running(a=2, b=5, c=4)), [0, 0, 0, 9], {"b": 3, "c": 3}),
        (replace(AGGREGATED, current=running(a=2, b=4)), [9, 9, 9, 9], {"a": 2, "b": 4}),
    ],
)
def test_aggregated(request_: PlacementRequest, available: list[int], expected: dict[str, int]) -> None:
    assert by_name(place(request_, ALL, available)) == expected


@pytest.mark.parametrize(
    ("request_", "available", "expected"),
    [
        # Steady stays; fresh weighs what is free and what is placed.
        (replace(DYNAMIC, current=running(a=6)), [0, 6, 0, 0], {"a": 6}),
        (replace(DYNAMIC, current=running(a=6), fresh=True), [0, 6, 0, 0], {"a": 3, "b": 3}),
        (replace(DYNAMIC, current=running(a=6), fresh=True), [6, 6, 0, 0], {"a": 4, "b": 2}),
        (replace(AGGREGATED, current=running(a=3, b=3), fresh=True), [3, 1, 9, 0], {"a": 6}),
    ],
)
def test_fresh(request_: PlacementRequest, available: list[int], expected: dict[str, int]) -> None:
    assert by_name(place(request_, ALL, available)) == expected


@pytest.mark.parametrize(
    ("request_", "available", "expected"),
    [
        (replace(DUPLICATED, bounds=(bounds("a", most=2), bounds("b", 9))), [0] * 4, "a2 b9 c6 d6"),
        (replace(DUPLICATED, bounds=(bounds("a", most=0),)), [0] * 4, "b6 c6 d6"),
        (replace(STATIC, replicas=8, bounds=(bounds("a", 5),)), [0] * 4, "a5 b1 c1 d1"),
        (replace(STATIC, replicas=8, bounds=(bounds("abc", most=1),)), [0] * 4, "a1 b1 c1 d5"),
        (
            replace(STATIC, weights=(StaticWeight(names("ab"), 1),), bounds=(bounds("c", 2),)),
            [0] * 4,
            "a3 b3",
        ),
        (replace(DYNAMIC, bounds=(bounds("d", 3),)), [9, 0, 0, 3], "a3 d3"),
        (replace(DYNAMIC, bounds=(bounds("a", most=2),)), [90, 2, 2, 2], "a2 b2 c1 d1"),
        # Several rules at once: the highest minimum, the lowest maximum.
        (
            replace(DYNAMIC, bounds=(bounds("ab", 1), bounds("a", 2, 3), bounds("abcd", 0, 4))),
            [90, 1, 0, 90],
            "a3 b1 d2",
        ),
        # All of a minimum must fit where nothing runs yet.
        (replace(DYNAMIC, bounds=(bounds("b", 4),)), [9, 3, 0, 0], "a6"),
        # What runs over a new maximum moves; what is under a new minimum is filled up.
        (replace(DYNAMIC, current=running(a=6), bounds=(bounds("a", most=2),)), [0, 9, 0, 0], "a2 b4"),
        (replace(DYNAMIC, current=running(a=6), bounds=(bounds("b", 2),)), [0, 9, 0, 0], "a4 b2"),
        (replace(DYNAMIC, current=running(a=6, b=4), bounds=(bounds("b", 4),)), [0, 0, 0, 0], "a2 b4"),
        (replace(AGGREGATED, bounds=(bounds("d", 2),)), [9, 9, 9, 9], "a4 d2"),
        (replace(AGGREGATED, bounds=(bounds("abcd", most=3),)), [9, 8, 9, 9], "a3 c3"),
        (replace(DYNAMIC, bounds=(bounds("a", most=0),), replicas=0), [0] * 4, "a0 b0 c0 d0"),
    ],
)
def test_bounds(request_: PlacementRequest, available: list[int], expected: str) -> None:
    decision = place(request_, ALL, available)
    assert decision.error is None
    assert by_name(decision) == {each[0]: int(each[1:]) for each in expected.split()}
    assert decision.assignments.keys() | decision.refusals.keys() == {each.id for each in ALL}


@pytest.mark.parametrize(
    ("request_", "reason", "message"),
    [
        (
            replace(DYNAMIC, bounds=(bounds("ab", 4), bounds("bc", 0, 3))),
            Reason.INVALID,
            "replicaBounds: cluster b must have at least 4 replicas and may have at most 3",
        ),
        (
            replace(STATIC, bounds=(bounds("abcd", 2),)),
            Reason.INVALID,
            "replicaBounds: minReplicas sum to 8 (a 2, b 2, c 2, d 2), and 6 replicas are wanted: "
            "lower them, select fewer clusters, or ask for 8 replicas",
        ),
        (
            replace(DYNAMIC, bounds=(bounds("abcd", 2),)),
            Reason.INVALID,
            "replicaBounds: minReplicas sum to 8 (a 2, b 2, c 2, d 2), and 6 replicas are wanted: "
            "lower them, select fewer clusters, or ask for 8 replicas",
        ),
        (
            replace(STATIC, bounds=(bounds("abcd", 0, 1),)),
            Reason.INSUFFICIENT_CAPACITY,
            "replicaBounds: 6 replicas are wanted, maxReplicas sum to 4",
        ),
        (
            replace(DYNAMIC, bounds=(bounds("abcd", 0, 1),)),
            Reason.INSUFFICIENT_CAPACITY,
            "replicaBounds: 6 replicas are wanted, maxReplicas sum to 4",
        ),
        (
            replace(AGGREGATED, replicas=20, bounds=(bounds("abc", 0, 2),)),
            Reason.INSUFFICIENT_CAPACITY,
            "replicaBounds: 20 replicas are wanted, 15 fit the 4 clusters that pass within their bounds, "
            "36 without",
        ),
        (
            replace(DYNAMIC, replicas=99, bounds=(bounds("a", 0, 9),)),
            Reason.INSUFFICIENT_CAPACITY,
            "99 replicas are wanted, 36 fit the 4 clusters that pass",
        ),
        (
            replace(DYNAMIC, bounds=(bounds("abcd", 0, 2),), spread=(Spread("cluster", "", 1, 2),)),
            Reason.INSUFFICIENT_CAPACITY,
            "spreadConstraints: 6 replicas are wanted, 4 fit the 2 clusters with the most room that "
            "maxGroups allows, within replicaBounds",
        ),
    ],
)
def test_bounds_that_cannot_be_met_move_nothing(
    request_: PlacementRequest, reason: Reason, message: str
) -> None:
    decision = place(replace(request_, current={}), ALL, [9] * 4)
    assert decision.error is not None
    assert (decision.error.reason, decision.error.message) == (reason, message)
    assert decision.assignments == {}


def test_why_a_cluster_within_bounds_is_left_out() -> None:
    request = replace(DYNAMIC, bounds=(bounds("b", 4), bounds("c", most=0)))
    refused = place(request, ALL, [9, 3, 9, 0]).refusals
    assert refused["id-b"][0].message == "replicaBounds: it must have at least 4 replicas, 3 fit"
    assert refused["id-c"][0].message == "replicaBounds: it may have at most 0 replicas"


def test_where_maxima_are_in_the_way_the_rows_say_so() -> None:
    request = replace(DYNAMIC, replicas=20, bounds=(bounds("ab", most=4), bounds("c", 3)))
    refused = place(request, ALL, [100, 3, 2, 1]).refusals
    assert [each.message for (each,) in refused.values()] == [
        "replicaBounds: 100 replicas fit, it may have at most 4: not enough with all others",
        "3 replicas fit: not enough with all others",
        "replicaBounds: 2 replicas fit, it must have at least 3: not enough with all others",
        "1 replica fit: not enough with all others",
    ]
    running_on = replace(DYNAMIC, replicas=9, current=running(a=3), bounds=(bounds("abcd", most=2),))
    error = place(running_on, ALL, [9] * 4).error
    assert error is not None
    assert error.message == "replicaBounds: 9 replicas are wanted, maxReplicas sum to 8"


DIVIDED = st.sampled_from([Division.DYNAMIC, Division.AGGREGATED])
ROOM = st.lists(st.integers(0, 12), min_size=4, max_size=4)
PLACED = st.dictionaries(st.sampled_from([each.id for each in ALL]), st.integers(1, 8))
BOUNDS = st.lists(
    st.builds(
        lambda where, least, above: bounds(where, least, None if above is None else least + above),
        st.sampled_from([*"abcd", "ab", "abcd"]),
        st.integers(0, 4),
        st.none() | st.integers(0, 6),
    ),
    max_size=3,
).map(tuple)


@given(st.integers(1, 30), DIVIDED, ROOM, PLACED, BOUNDS, st.booleans())
def test_what_is_placed_is_exact_and_within_room_and_bounds(
    replicas: int,
    division: Division,
    room: list[int],
    placed: dict[str, int],
    limits: tuple[ReplicaBounds, ...],
    fresh: bool,
) -> None:
    request = replace(
        DYNAMIC, replicas=replicas, division=division, current=placed, bounds=limits, fresh=fresh
    )
    decision = place(request, ALL, room)
    if decision.error is not None:
        assert decision.assignments == {}
        return
    assert sum(decision.assignments.values()) == replicas
    for cluster, free in zip(ALL, room, strict=True):
        given_ = decision.assignments.get(cluster.id, 0)
        had = placed.get(cluster.id, 0)
        mine = [each for each in limits if cluster.name in each.target.names]
        least = max((each.least for each in mine), default=0)
        most = min((each.most for each in mine if each.most is not None), default=replicas + had)
        assert given_ <= min(free + had, most)
        assert given_ >= least or least > free + had or (not had and least > free)


@given(st.integers(1, 30), ROOM, PLACED, st.permutations(range(4)))
def test_aggregated_does_not_depend_on_the_order_of_the_clusters(
    replicas: int, room: list[int], placed: dict[str, int], order: list[int]
) -> None:
    request = replace(AGGREGATED, replicas=replicas, current=placed)
    shuffled = place(request, [ALL[each] for each in order], [room[each] for each in order])
    assert shuffled == place(request, ALL, room)


@given(st.integers(1, 30), ROOM)
def test_aggregated_uses_as_few_clusters_as_any_could(replicas: int, room: list[int]) -> None:
    decision = place(replace(AGGREGATED, replicas=replicas), ALL, room)
    if decision.error is None:
        widest = sorted(room, reverse=True)
        fewest = next(count for count in range(1, 5) if sum(widest[:count]) >= replicas)
        assert len(decision.assignments) <= fewest
