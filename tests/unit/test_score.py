"""What a cluster scores, part by part, and that the defaults decide as Karmada does."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controlplane.fleet.demand import Operator, Requirement, Term, Toleration
from controlplane.fleet.preferences import Preference
from controlplane.fleet.slack import Slack
from controlplane.fleet.sums import Sum
from controlplane.interpreters import NotUnderstood, interpret
from controlplane.placement import ClusterView, Division, PlacementRequest, Spread, place
from controlplane.placement.rules import ScoreWeights
from controlplane.placement.score import (
    PARTS,
    added,
    balance,
    costs,
    needed,
    price_of,
    score_table,
    slack,
)
from schemas.manifests import Placement
from schemas.wire.reports import Taint

GI = 2**30
A, B, C = (ClusterView(f"id-{name}", name) for name in "abc")
REQUEST = PlacementRequest("uid-0", 6, division=Division.AGGREGATED)
EMPTY: dict[str, Any] = {}
PREFERENCE = Preference(10, Term((Requirement("amx", Operator.EXISTS),)))


@pytest.mark.parametrize(
    ("whole", "asked", "more", "expected"),
    [
        pytest.param(Sum({"cpu": 1000, "memory": GI}, {"cpu": 1000, "memory": GI}), {}, 0, 100.0, id="idle"),
        pytest.param(
            Sum({"cpu": 1000, "memory": GI}, {"cpu": 0, "memory": GI}), {}, 0, 0.0, id="cpu-is-full"
        ),
        pytest.param(
            Sum({"cpu": 1000, "memory": 1000}, {"cpu": 900, "memory": 300}), {}, 0, 30.0, id="the-scarcer"
        ),
        pytest.param(
            Sum({"cpu": 1000, "memory": 1000}, {"cpu": 900, "memory": 300}),
            {"memory": 50},
            4,
            10.0,
            id="after-placement",
        ),
        pytest.param(
            Sum({"cpu": 1000, "memory": 1000}, {"cpu": 900, "memory": 300}),
            {"cpu": 600},
            2,
            0.0,
            id="never-below-nothing",
        ),
        pytest.param(Sum({"cpu": 1000}, {"cpu": 250}), {}, 0, 25.0, id="one-resource-is-told"),
        pytest.param(Sum({}, {}), {}, 0, None, id="nothing-is-told"),
        pytest.param(Sum({"cpu": 0, "memory": 0}, {"cpu": 0, "memory": 0}), {}, 0, None, id="no-nodes"),
    ],
)
def test_balance(whole: Sum, asked: dict[str, int], more: int, expected: float | None) -> None:
    assert balance(whole, asked, more) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("current", "available", "expected"),
    [({}, 100, 6), ({}, 4, 4), ({"id-a": 2}, 100, 4), ({"id-a": 9}, 100, 0), ({"id-b": 2}, 100, 6)],
)
def test_balance_counts_what_would_be_added(current: dict[str, int], available: int, expected: int) -> None:
    assert added(replace(REQUEST, current=current), A, available) == expected


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        pytest.param({"a": 0.04, "b": 0.01, "c": None}, {"id-a": 0.0, "id-b": 75.0}, id="unknown-has-none"),
        pytest.param({"a": 0.02, "b": 0.02}, {"id-a": 0.0, "id-b": 0.0}, id="all-alike"),
        pytest.param({"a": 0.0, "b": 0.02}, {"id-a": 100.0, "id-b": 0.0}, id="free"),
        pytest.param({"a": 0.0, "b": 0.0}, {"id-a": 100.0, "id-b": 100.0}, id="all-free"),
        pytest.param({"a": None}, {}, id="no-prices"),
    ],
)
def test_cost_is_against_the_dearest(prices: dict[str, float | None], expected: dict[str, float]) -> None:
    views = [ClusterView(f"id-{name}", name, price=price) for name, price in prices.items()]
    assert costs(views) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["0.034", "0", "12", "1e-3"])
def test_a_price(text: str) -> None:
    assert price_of({"muster.dev/price-per-core-hour": text}) == float(text)


@pytest.mark.parametrize("text", ["", "cheap", "-1", "nan", "inf", "1e12"])
def test_no_price(text: str) -> None:
    with pytest.raises(ValueError, match="price of a core for an hour"):
        price_of({"muster.dev/price-per-core-hour": text})


def test_slack_that_is_not_known_is_no_zero() -> None:
    assert slack(Slack(0.4)) == 40.0
    assert slack(Slack(None, "it serves no metrics")) is None


@pytest.mark.parametrize(
    ("weights", "preferences", "expected"),
    [
        pytest.param(ScoreWeights(), (), (), id="the-defaults-measure-nothing"),
        pytest.param(ScoreWeights(), (PREFERENCE,), ("preferred_features",), id="unless-the-pod-prefers"),
        pytest.param(ScoreWeights(preferred_features=0), (PREFERENCE,), (), id="which-can-be-turned-off"),
        pytest.param(ScoreWeights(slack=0.5, cost=2), (), ("slack", "cost"), id="what-has-a-weight"),
    ],
)
def test_only_what_counts_is_measured(
    weights: ScoreWeights, preferences: tuple[Preference, ...], expected: tuple[str, ...]
) -> None:
    assert needed(replace(REQUEST, score=weights, preferences=preferences)) == expected


def test_a_score_is_the_weighted_sum_of_its_parts() -> None:
    request = replace(
        REQUEST,
        current={"id-a": 1},
        score=ScoreWeights(locality=0.5, slack=2.0, cost=0.0),
        measures={"slack": {"id-a": 10.0, "id-b": 40.0}, "cost": {"id-a": 99.0}},
    )
    views = (A, replace(B, taints=(Taint("busy", "PreferNoSchedule"),)), C)
    decision = place(request, views, [9, 9, 9])
    assert decision.scores == {"id-a": 70.0, "id-b": 70.0, "id-c": 0.0}
    assert decision.score_parts == {
        "id-a": {"locality": 50.0, "slack": 20.0},
        "id-b": {"locality": 0.0, "preferred_taints": -10.0, "slack": 80.0},
        "id-c": {"locality": 0.0},
    }


def test_every_part_is_told_with_why_it_is_none() -> None:
    request = replace(REQUEST, score=ScoreWeights(slack=2.0))
    table = score_table(request, A, {"slack": {"id-a": 30.0}}, {"cost": "no price"})
    assert tuple(row.part for row in table) == PARTS
    told = {row.part: (row.value, row.weight, row.adds, row.lacks) for row in table}
    assert told["slack"] == (30.0, 2.0, 60.0, "")
    assert told["cost"] == (None, 0.0, 0.0, "no price")
    assert told["locality"] == (0.0, 1.0, 0.0, "")


CHEAP = {"cost": {"id-a": 0.0, "id-b": 50.0, "id-c": 100.0}}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(REQUEST, {"id-a": 6}, id="aggregated-by-room-alone"),
        pytest.param(
            replace(REQUEST, score=ScoreWeights(cost=1), measures=CHEAP), {"id-c": 6}, id="the-cheapest-first"
        ),
        pytest.param(
            replace(REQUEST, score=ScoreWeights(cost=1), measures=CHEAP, current={"id-b": 1}),
            {"id-b": 6},
            id="but-where-it-runs-wins",
        ),
        pytest.param(
            replace(
                REQUEST,
                division=Division.DYNAMIC,
                score=ScoreWeights(cost=1),
                measures=CHEAP,
                spread=(Spread(max_groups=2),),
            ),
            {"id-b": 3, "id-c": 3},
            id="spread-takes-the-best",
        ),
        pytest.param(
            replace(REQUEST, division=Division.DYNAMIC, score=ScoreWeights(cost=1), measures=CHEAP),
            {"id-a": 2, "id-b": 2, "id-c": 2},
            id="weights-by-room-stay-weights-by-room",
        ),
    ],
)
def test_what_a_score_decides(request_: PlacementRequest, expected: dict[str, int]) -> None:
    assert place(request_, (A, B, C), [8, 8, 8]).assignments == expected


names = st.sampled_from("abcdefgh")


@given(
    rooms=st.dictionaries(names, st.integers(0, 20), min_size=1),
    current=st.dictionaries(names, st.integers(1, 9), max_size=3),
    tainted=st.sets(names, max_size=3),
    tolerates=st.booleans(),
    division=st.sampled_from(Division),
    most=st.integers(0, 4),
    measures=st.dictionaries(names, st.floats(0, 100)),
)
def test_without_weights_measures_decide_nothing(
    rooms: dict[str, int],
    current: dict[str, int],
    tainted: set[str],
    tolerates: bool,
    division: Division,
    most: int,
    measures: dict[str, float],
) -> None:
    """An unchanged policy of Karmada's decides as before, whatever is known beside it."""
    taints = (Taint("busy", "PreferNoSchedule"),)
    views = [ClusterView(name, name, taints=taints if name in tainted else ()) for name in sorted(rooms)]
    request = PlacementRequest(
        "uid",
        7,
        division=division,
        spread=(Spread(max_groups=most),),
        current={name: count for name, count in current.items() if name in rooms},
        tolerations=(Toleration("busy", "Exists"),) if tolerates else (),
    )
    available = [rooms[view.name] for view in views]
    known = dict.fromkeys(("balance", "slack", "cost"), measures)
    assert place(request, views, available) == place(replace(request, measures=known), views, available)


@given(rooms=st.lists(st.integers(1, 30), min_size=1, max_size=8), data=st.data())
def test_more_room_never_loses_a_placement(rooms: list[int], data: st.DataObject) -> None:
    views = [ClusterView(f"c{at}", f"c{at}") for at in range(len(rooms))]
    measures = {"slack": {view.id: data.draw(st.floats(0, 100)) for view in views}}
    request = PlacementRequest(
        "uid",
        data.draw(st.integers(1, sum(rooms))),
        division=data.draw(st.sampled_from((Division.DYNAMIC, Division.AGGREGATED))),
        score=ScoreWeights(slack=1.0),
        measures=measures,
    )
    assert place(request, views, rooms).error is None
    more = [room + data.draw(st.integers(0, 30)) for room in rooms]
    grown = place(request, views, more)
    assert grown.error is None
    assert place(request, views, more) == grown


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"speed": 1}, "speed"),
        ({"slack": -1}, "slack"),
        ({"slack": 101}, "slack"),
        ({"slack": "1"}, "slack"),
        ({"slack": True}, "slack"),
        ({"preferredFeatures": float("nan")}, "preferredFeatures"),
    ],
)
def test_weights_that_are_not_taken(given: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as error:
        Placement.model_validate({"scoreWeights": given})
    assert error.value.errors()[0]["loc"] == ("scoreWeights", where)


def test_weights_left_out_have_their_defaults() -> None:
    found = Placement.model_validate({"scoreWeights": {"slack": 2}}).score_weights
    assert found.model_dump(by_alias=False) == {
        "locality": 1.0,
        "balance": 0.0,
        "slack": 2.0,
        "cost": 0.0,
        "preferred_features": 1.0,
        "preferred_taints": 1.0,
    }


def pod(preferred: Any) -> list[dict[str, Any]]:
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    spec = {"containers": [{"name": "c"}], "affinity": affinity}
    return [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}]


def test_preferred_node_affinity_is_read() -> None:
    expression = {"key": "amx", "operator": "Exists"}
    found = interpret(
        pod(
            [
                {"weight": 10, "preference": {"matchExpressions": [expression]}},
                {"weight": 1, "preference": {}},
            ]
        )
    )
    assert found.preferences == (PREFERENCE,)


@pytest.mark.parametrize(
    ("preferred", "text"),
    [
        ([{"weight": 0, "preference": EMPTY}], r"\[0\]\.weight: 0: a whole number from 1 to 100"),
        ([{"weight": 101, "preference": EMPTY}], "weight"),
        ([{"preference": EMPTY}], "weight: None"),
        (
            [{"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}],
            "operator: 'Near'",
        ),
        ({"weight": 1}, "a list is needed"),
    ],
)
def test_preferences_that_are_not_taken(preferred: Any, text: str) -> None:
    with pytest.raises(NotUnderstood, match=text):
        interpret(pod(preferred))
