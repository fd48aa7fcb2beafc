"""The fleet against a naive model: node by node, with Python's own integers."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.fleet import Demand, Fleet, Promise, Toleration
from schemas.wire.reports import Bound, Taint, profile_hash
from tests.unit.reports import LABELS, facts, inventory, profile, usage

KINDS = ({"disk": "ssd"}, {"disk": "hdd"})
TAINT = Taint("t", "NoSchedule")


@dataclass(frozen=True)
class Node:
    cpu: int
    memory: int
    foreign: int
    bound: int
    kind: int
    tainted: bool
    ready: bool


@dataclass
class Shape:
    """Shards of nodes. Amounts reach beyond what a 32-bit or a float32 column would hold."""

    shards: list[list[Node]] = field(default_factory=list[list[Node]])


BIG = st.one_of(st.integers(0, 50), st.integers(0, 2**53 - 1))
NODES = st.builds(
    Node,
    BIG,
    BIG,
    BIG,
    st.integers(0, 3),
    st.integers(0, 1),
    st.booleans(),
    st.sampled_from([True, True, False]),
)
SHAPES = st.builds(Shape, st.lists(st.lists(NODES, max_size=5), min_size=1, max_size=3))
REQUESTS = st.fixed_dictionaries(
    {"cpu": st.one_of(st.integers(0, 10), BIG), "memory": st.one_of(st.integers(0, 10), BIG)}
)
DEMANDS = st.builds(Demand.of, REQUESTS, st.sampled_from([{}, *KINDS]))
ASKED = {"cpu": 2, "memory": 1}


def built(shape: Shape) -> Fleet:
    fleet = Fleet()
    fleet.apply_facts("c", facts(layout=len(shape.shards)))
    hashes = [profile_hash(each) for each in KINDS]
    for each in (*KINDS, LABELS):
        fleet.apply_profile("c", profile_hash(each), profile(each))
    for index, nodes in enumerate(shape.shards):
        shard = f"{len(shape.shards)}-{index}"
        fleet.apply_inventory(
            "c",
            shard,
            inventory(
                " ".join(f"n{index}-{row}" for row in range(len(nodes))),
                cpu=[node.cpu for node in nodes],
                memory=[node.memory for node in nodes],
                profiles=[hashes[node.kind] for node in nodes],
                taints=[[TAINT] if node.tainted else [] for node in nodes],
                conditions=[["Ready"] if node.ready else [] for node in nodes],
            ),
        )
        bound = [Bound("w", "t", row, node.bound, 0) for row, node in enumerate(nodes) if node.bound]
        fleet.apply_usage(
            "c",
            shard,
            usage(len(nodes), cpu=[node.foreign for node in nodes], requests=[ASKED], bound=bound),
        )
    return fleet


def free(node: Node) -> dict[str, int]:
    return {
        "cpu": max(0, node.cpu - node.foreign - node.bound * ASKED["cpu"]),
        "memory": max(0, node.memory - node.bound * ASKED["memory"]),
        "pods": 10 - node.bound,
    }


def open_to(node: Node, demand: Demand) -> bool:
    return node.ready and not node.tainted and demand.selects(KINDS[node.kind])


def room(amounts: dict[str, int], demand: Demand) -> int:
    return min(amounts[name] // amount for name, amount in demand.requests)


@settings(max_examples=300)
@given(SHAPES, DEMANDS)
def test_capacity_is_that_of_the_model(shape: Shape, demand: Demand) -> None:
    nodes = [node for shard in shape.shards for node in shard if open_to(node, demand)]
    expected = sum(room(free(node), demand) for node in nodes)
    fleet = built(shape)
    assert fleet.available(demand, ["c"]) == [expected]
    assert fleet.explain("c", demand).replicas == expected
    assert fleet.bound("w", "c") == sum(node.bound for shard in shape.shards for node in shard)


@settings(max_examples=200)
@given(SHAPES, st.lists(st.tuples(DEMANDS, st.integers(0, 12)), max_size=4), DEMANDS)
@pytest.mark.promise(2)
def test_what_is_promised_is_packed_on_the_first_nodes(
    shape: Shape, promised: list[tuple[Demand, int]], demand: Demand
) -> None:
    nodes = [(node, free(node)) for shard in shape.shards for node in shard]
    fleet = built(shape)
    fleet.available(demand, ["c"])
    for number, (asked, replicas) in enumerate(promised):
        fleet.promise("c", f"p{number}", Promise.of("t", asked, replicas))
        for node, amounts in nodes:
            takes = min(replicas, room(amounts, asked)) if open_to(node, asked) else 0
            replicas -= takes
            for name, amount in asked.requests:
                amounts[name] -= takes * amount
    expected = sum(room(amounts, demand) for node, amounts in nodes if open_to(node, demand))
    assert fleet.available(demand, ["c"]) == [expected]
    again = built(shape)
    for number, (asked, replicas) in enumerate(promised):
        again.promise("c", f"p{number}", Promise.of("t", asked, replicas))
    assert again.available(demand, ["c"]) == [expected], "packed one by one or all at once"


@given(SHAPES, DEMANDS, st.integers(1, 20))
def test_a_promise_takes_exactly_its_replicas_from_its_own_signature(
    shape: Shape, demand: Demand, replicas: int
) -> None:
    fleet = built(shape)
    (before,) = fleet.available(demand, ["c"])
    fleet.promise("c", "p", Promise.of("t", demand, replicas))
    assert fleet.available(demand, ["c"]) == [max(0, before - replicas)]
    fleet.unpromise("c", "p")
    assert fleet.available(demand, ["c"]) == [before]


TOLERATING = [Toleration("t", "Exists", effect="NoSchedule")]


@given(SHAPES, REQUESTS, st.sampled_from([{}, *KINDS]))
def test_a_taint_that_is_tolerated_never_matters(
    shape: Shape, requests: dict[str, int], selector: dict[str, str]
) -> None:
    demand = Demand.of(requests, selector, tolerations=TOLERATING)
    clean = Shape([[replace(node, tainted=False) for node in shard] for shard in shape.shards])
    assert built(shape).available(demand, ["c"]) == built(clean).available(demand, ["c"])
    assert built(clean).available(Demand.of(requests, selector), ["c"]) == built(clean).available(
        demand, ["c"]
    )


@given(SHAPES, DEMANDS, NODES)
def test_one_more_node_never_loses_room(shape: Shape, demand: Demand, more: Node) -> None:
    wider = Shape([*shape.shards[:-1], [*shape.shards[-1], more]])
    assert built(wider).available(demand, ["c"]) >= built(shape).available(demand, ["c"])
