"""Webster's method, replica by replica."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.placement.division import divide, fnv1a_32

EVEN, ODD = "uid-0", "uid-1"
WEIGHTS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3), st.one_of(st.integers(0, 5), st.integers(0, 2**31)), max_size=15
)


def one_by_one(
    replicas: int,
    weights: dict[str, int],
    uid: str,
    floors: dict[str, int] | None = None,
    caps: dict[str, int] | None = None,
) -> dict[str, int]:
    order = sorted((each for each in weights if weights[each] > 0), reverse=fnv1a_32(uid) % 2 == 1)
    seats = {each: (floors or {}).get(each, 0) for each in order}
    for _ in range(replicas - sum(seats.values())):
        best = min(
            [each for each in order if seats[each] < (caps or {}).get(each, replicas)],
            key=lambda each: (-Fraction(weights[each], 2 * seats[each] + 1), seats[each], order.index(each)),
        )
        seats[best] += 1
    return {name: given for name, given in seats.items() if given}


def test_the_uids_are_even_and_odd() -> None:
    assert (fnv1a_32(EVEN) % 2, fnv1a_32(ODD) % 2) == (0, 1)


@pytest.mark.parametrize(("text", "value"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)])
def test_fnv1a(text: str, value: int) -> None:
    assert fnv1a_32(text) == value


@pytest.mark.parametrize(
    ("replicas", "weights", "uid", "expected"),
    [
        (8, {"A": 100_000, "B": 80_000, "C": 30_000, "D": 20_000}, EVEN, {"A": 3, "B": 3, "C": 1, "D": 1}),
        (4, {"Alpha": 1200, "Beta": 900, "Gamma": 400}, EVEN, {"Alpha": 2, "Beta": 1, "Gamma": 1}),
        (12, {"A": 6, "B": 12, "C": 18}, EVEN, {"A": 2, "B": 4, "C": 6}),
        (1, {"a": 1, "b": 1}, EVEN, {"a": 1}),
        (1, {"a": 1, "b": 1}, ODD, {"b": 1}),
        # 3/3 and 1/1 tie: the one without seats wins.
        (2, {"a": 3, "b": 1}, EVEN, {"a": 1, "b": 1}),
        (3, {"a": 1, "b": 0}, EVEN, {"a": 3}),
        (0, {"a": 1}, EVEN, {}),
        (0, {}, EVEN, {}),
    ],
)
def test_seats(replicas: int, weights: dict[str, int], uid: str, expected: dict[str, int]) -> None:
    assert divide(replicas, weights, uid) == expected


def test_nobody_to_give_to_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 replicas and nobody"):
        divide(3, {"a": 0}, EVEN)


@given(st.integers(0, 400), WEIGHTS, st.sampled_from([EVEN, ODD]))
def test_the_start_changes_nothing(replicas: int, weights: dict[str, int], uid: str) -> None:
    if any(weights.values()):
        assert divide(replicas, weights, uid) == one_by_one(replicas, weights, uid)


@given(st.integers(1, 10**9), WEIGHTS)
def test_sums_are_exact(replicas: int, weights: dict[str, int]) -> None:
    if any(weights.values()):
        assert sum(divide(replicas, weights, EVEN).values()) == replicas


@given(WEIGHTS, st.data())
def test_nobody_gets_more_than_its_weight_while_the_weights_cover_the_replicas(
    weights: dict[str, int], data: st.DataObject
) -> None:
    if any(weights.values()):
        replicas = data.draw(st.integers(0, sum(weights.values())))
        assert all(given <= weights[name] for name, given in divide(replicas, weights, EVEN).items())


@given(st.integers(0, 300), WEIGHTS, st.sampled_from([EVEN, ODD]), st.data())
def test_bounds_hold_replica_by_replica(
    replicas: int, weights: dict[str, int], uid: str, data: st.DataObject
) -> None:
    floors = {each: data.draw(st.integers(0, 12)) for each in weights}
    caps = {each: floors[each] + data.draw(st.integers(0, 60)) for each in weights if each != "a"}
    able = [each for each in weights if weights[each] > 0]
    most = sum(min(caps.get(each, replicas), replicas) for each in able)
    if able and sum(floors[each] for each in able) <= replicas <= most:
        bounded = divide(replicas, weights, uid, floors, caps)
        assert bounded == one_by_one(replicas, weights, uid, floors, caps)
        assert sum(bounded.values()) == replicas


@pytest.mark.parametrize(
    ("floors", "caps"), [({"a": 2, "b": 2}, {}), ({}, {"a": 1, "b": 1})], ids=["too much", "too little"]
)
def test_bounds_that_cannot_be_met_are_an_error(floors: dict[str, int], caps: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="3 replicas, and between"):
        divide(3, {"a": 1, "b": 1}, EVEN, floors, caps)
