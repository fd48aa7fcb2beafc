"""NUMA zones: the fit of whole clusters against one node after the other, by the rules one at a time."""

from dataclasses import dataclass, field, replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.fleet import Demand, Fleet, Numa, Outcome, Promise
from controlplane.fleet.demand import Amounts
from schemas.wire.codec import pack_column
from schemas.wire.hardware import Topology, TopologyPolicy
from schemas.wire.reports import Inventory
from tests.unit.reports import PLAIN, facts, inventory, profile, usage

GPU = "nvidia.com/gpu"
RESOURCES = ("cpu", "memory", "hugepages-1Gi", GPU)


@dataclass(frozen=True)
class Node:
    """zones: what each lists. None: no topology object."""

    zones: tuple[dict[str, int], ...] | None = None
    policy: str = "single-numa-node"
    scope: str = "container"
    stale: bool = False
    allocatable: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESOURCES, 64))
    pods: int = 40


def topology(nodes: list[Node], sequence: int = 1, *, epoch: int = 1) -> Topology:
    policies = [
        TopologyPolicy(each.policy, each.scope, each.stale) for each in nodes if each.zones is not None
    ]
    indices = iter(range(len(policies)))
    rows = [
        (at, number, zone) for at, each in enumerate(nodes) for number, zone in enumerate(each.zones or ())
    ]
    return Topology(
        incarnation=1,
        sequence=sequence,
        epoch=epoch,
        nodes=len(nodes),
        policies=policies,
        policy_of=pack_column([-1 if each.zones is None else next(indices) for each in nodes])
        if policies
        else b"",
        zone_node=pack_column([at for at, _, _ in rows]),
        zone_number=pack_column([number for _, number, _ in rows]),
        resources=list(RESOURCES),
        available=[pack_column([zone.get(name, -1) for _, _, zone in rows]) for name in RESOURCES],
        zones=len(rows),
    )


def nodes_of(nodes: list[Node], sequence: int = 1, *, epoch: int = 1, names: str = "") -> Inventory:
    return msgspec.structs.replace(
        inventory(names or " ".join(f"n{at}" for at in range(len(nodes))), sequence, epoch=epoch),
        resources=[*RESOURCES, "pods"],
        allocatable=[
            *(pack_column([each.allocatable.get(name, 0) for each in nodes]) for name in RESOURCES),
            pack_column([each.pods for each in nodes]),
        ],
    )


def built(nodes: list[Node]) -> Fleet:
    fleet = Fleet()
    fleet.apply_facts("c", facts())
    fleet.apply_profile("c", PLAIN, profile())
    fleet.apply_inventory("c", "1-0", nodes_of(nodes))
    fleet.apply_usage("c", "1-0", usage(len(nodes)))
    fleet.apply_topology("c", "1-0", topology(nodes))
    return fleet


def amounts(**given: int) -> Amounts:
    named = {"hugepages": "hugepages-1Gi", "gpu": GPU}
    return tuple(sorted((named.get(name, name), amount) for name, amount in given.items()))


def demand(numa: Numa | None, **requests: int) -> Demand:
    """Of a node it asks at least what its zones are asked for."""
    least = dict.fromkeys(requests, 0) | requests
    for each in (*(numa.starting if numa else ()), numa.pod if numa else ()):
        for name, amount in each:
            least[name] = max(least.get(name, 0), amount)
    return Demand.of(least, numa=numa)


def one(**given: int) -> Numa:
    return Numa(running=(amounts(**given),), pod=amounts(**given))


def room(fleet: Fleet, asked: Demand) -> int:
    (found,) = fleet.available(asked, ["c"])
    counted = fleet.explain("c", asked)
    assert counted.replicas == found
    absent = sum(nodes for _, nodes in counted.absent)
    assert absent + counted.full + counted.unaligned + counted.fits == counted.nodes
    return found


# The rules, one node and one replica at a time


def _ignorable(resource: str) -> bool:
    return resource == "ephemeral-storage" or ("/" in resource and "kubernetes.io/" not in resource)


def zone_for(zones: list[dict[str, int]], asked: Amounts) -> int | None:
    suiting = set(range(64))
    for resource, quantity in asked:
        if quantity == 0:
            continue
        listing = [at for at, zone in enumerate(zones) if resource in zone]
        if not listing and _ignorable(resource):
            continue
        suiting &= {at for at in listing if zones[at][resource] >= quantity}
    return min(suiting) if suiting else None


def taken(zones: list[dict[str, int]], at: int, asked: Amounts) -> None:
    for resource, quantity in asked:
        if at < len(zones) and resource in zones[at]:
            zones[at][resource] -= quantity


def admitted(node: Node, numa: Numa, zones: list[dict[str, int]]) -> bool:
    """One replica more; `zones` changes by what it takes."""
    if node.scope == "pod":
        at = zone_for(zones, numa.pod)
        if at is not None:
            taken(zones, at, numa.pod)
        return at is not None
    if any(zone_for(zones, each) is None for each in numa.starting):
        return False
    for each in numa.running:
        at = zone_for(zones, each)
        if at is None:
            return False
        taken(zones, at, each)
    return True


def expected(node: Node, asked: Demand) -> int:
    free = {**node.allocatable, "pods": node.pods}
    most = min(free.get(name, 0) // amount for name, amount in asked.requests)
    numa = asked.numa
    if numa is None:
        return most
    aligns = node.zones is not None and node.policy == "single-numa-node"
    if not aligns:
        return 0 if numa.wanted else most
    if node.stale:
        return 0
    zones = [dict(zone) for zone in node.zones or ()]
    placed = 0
    while placed < most and admitted(node, numa, zones):
        placed += 1
    return placed


class TestRules:
    TWO = ({"cpu": 8, "memory": 16}, {"cpu": 8, "memory": 16})

    @pytest.mark.parametrize(
        ("node", "numa", "fits"),
        [
            (Node(TWO), one(cpu=4), 4),
            (Node(TWO), one(cpu=5), 2),
            (Node(TWO), one(cpu=9), 0),
            (Node(None), one(cpu=9), 7),
            (Node(TWO, policy="best-effort"), one(cpu=9), 7),
            (Node(TWO, policy="restricted"), one(cpu=9), 7),
            (Node(TWO, stale=True), one(cpu=4), 0),
            (Node(TWO, policy="none", stale=True), one(cpu=9), 7),
            (Node(TWO), one(cpu=4, memory=9), 2),
            (Node(TWO), one(gpu=1), 40),
            (Node(TWO), one(hugepages=1), 0),
            (Node(({"cpu": 8, GPU: 0}, {"cpu": 8, GPU: 2})), one(cpu=4, gpu=1), 2),
            (Node(({"cpu": 8, GPU: 2}, {"cpu": 8})), one(cpu=4, gpu=1), 2),
            (Node(()), one(cpu=1), 0),
            (Node(()), one(gpu=1), 40),
            (Node(TWO), Numa(running=(amounts(cpu=8), amounts(cpu=8)), pod=amounts(cpu=16)), 1),
            (Node(TWO, scope="pod"), Numa(running=(amounts(cpu=8),) * 2, pod=amounts(cpu=16)), 0),
            (Node(TWO), Numa(running=(amounts(cpu=5), amounts(cpu=4)), pod=amounts(cpu=9)), 1),
            (Node(TWO), Numa(starting=(amounts(cpu=9),), running=(amounts(cpu=1),), pod=amounts(cpu=9)), 0),
            (
                Node(TWO),
                Numa(starting=(amounts(cpu=8),), running=(amounts(cpu=1),), pod=amounts(cpu=8)),
                8,
            ),
            (
                Node(TWO, scope="pod"),
                Numa(starting=(amounts(cpu=8),), running=(amounts(cpu=1),), pod=amounts(cpu=8)),
                2,
            ),
            (Node(TWO), Numa(wanted=True), 40),
            (Node(None), Numa(wanted=True), 0),
            (Node(TWO, policy="none"), Numa(wanted=True), 0),
            (Node(TWO, stale=True), Numa(wanted=True), 0),
        ],
    )
    def test_what_one_node_admits(self, node: Node, numa: Numa, fits: int) -> None:
        asked = demand(numa, cpu=sum(dict(each).get("cpu", 0) for each in numa.running))
        assert room(built([node]), asked) == fits == expected(node, asked)

    def test_explained(self) -> None:
        fleet = built([Node(self.TWO), Node(self.TWO), Node(None)])
        assert str(fleet.explain("c", demand(one(cpu=9)))) == (
            "2 cannot align to one NUMA zone; 1 fit: 7 replicas"
        )


ZONES = st.lists(
    st.dictionaries(st.sampled_from(RESOURCES), st.integers(0, 12), min_size=1), min_size=0, max_size=3
).map(tuple)
NODES = st.builds(
    Node,
    st.one_of(st.none(), ZONES, ZONES),
    st.sampled_from(["single-numa-node", "single-numa-node", "single-numa-node", "best-effort"]),
    st.sampled_from(["container", "pod"]),
    st.sampled_from([False, False, False, True]),
    st.dictionaries(st.sampled_from(RESOURCES), st.integers(0, 30)).map(
        lambda given: dict.fromkeys(RESOURCES, 30) | given
    ),
    st.integers(0, 12),
)
AMOUNTS = st.dictionaries(st.sampled_from(RESOURCES), st.integers(1, 6), min_size=1, max_size=3).map(
    lambda given: tuple(sorted(given.items()))
)


def _numa(starting: list[Amounts], running: list[Amounts], wanted: bool) -> Numa:
    whole: dict[str, int] = {}
    for each in running:
        for name, amount in each:
            whole[name] = whole.get(name, 0) + amount
    for each in starting:
        for name, amount in each:
            whole[name] = max(whole.get(name, 0), amount)
    return Numa(tuple(starting), tuple(running), tuple(sorted(whole.items())), wanted)


NUMAS = st.builds(
    _numa,
    st.lists(AMOUNTS, max_size=1),
    st.lists(AMOUNTS, min_size=1, max_size=3),
    st.sampled_from([False, False, True]),
)


@settings(max_examples=500)
@given(st.lists(NODES, max_size=5), NUMAS)
def test_fit_is_that_of_one_node_after_the_other(nodes: list[Node], numa: Numa) -> None:
    asked = demand(numa)
    assert room(built(nodes), asked) == sum(expected(each, asked) for each in nodes)


@pytest.mark.promise(2)
@settings(max_examples=300)
@given(st.lists(NODES, max_size=4), NUMAS, st.integers(0, 9))
def test_packing_takes_exactly_its_replicas(nodes: list[Node], numa: Numa, replicas: int) -> None:
    asked = demand(numa)
    fleet = built(nodes)
    before = room(fleet, asked)
    fleet.promise("c", "w", Promise.of("t", asked, replicas))
    assert room(fleet, asked) == max(0, before - replicas)
    again = built(nodes)
    again.promise("c", "w", Promise.of("t", asked, replicas))
    assert room(again, asked) == max(0, before - replicas)
    fleet.unpromise("c", "w")
    assert room(fleet, asked) == before


@settings(max_examples=200)
@given(st.lists(NODES, max_size=4), NUMAS, NUMAS, st.integers(0, 6))
def test_others_see_the_zones_that_are_promised(
    nodes: list[Node], numa: Numa, other: Numa, replicas: int
) -> None:
    first, second = demand(numa), demand(other)
    fleet = built(nodes)
    fleet.promise("c", "w", Promise.of("t", first, replicas))
    left = replicas
    total = 0
    for node in nodes:
        takes = min(left, expected(node, first))
        left -= takes
        zones = [dict(zone) for zone in node.zones or ()]
        if node.zones is not None and node.policy == "single-numa-node":
            for _ in range(takes):
                assert admitted(node, numa, zones)
        free = {
            name: amount - takes * dict(first.requests).get(name, 0)
            for name, amount in node.allocatable.items()
        }
        changed = replace(
            node,
            zones=None if node.zones is None else tuple(zones),
            allocatable=free,
            pods=node.pods - takes,
        )
        total += expected(changed, second)
    assert room(fleet, second) == total


@given(st.lists(NODES, min_size=1, max_size=4), NUMAS, NODES)
def test_one_more_node_never_loses_room(nodes: list[Node], numa: Numa, more: Node) -> None:
    asked = demand(numa)
    assert room(built([*nodes, more]), asked) >= room(built(nodes), asked)


@given(st.lists(NODES, min_size=1, max_size=3), NUMAS, ZONES)
def test_one_more_zone_never_loses_room(
    nodes: list[Node], numa: Numa, more: tuple[dict[str, int], ...]
) -> None:
    """Of zones that list what the others do: one that is alone in listing a device makes it count."""
    asked = demand(numa)
    wider = [
        each
        if not each.zones
        else replace(
            each,
            zones=(
                *each.zones,
                *(
                    {name: zone.get(name, 0) for name in {n for z in each.zones or () for n in z}}
                    for zone in more
                ),
            ),
        )
        for each in nodes
    ]
    assert room(built(wider), asked) >= room(built(nodes), asked)


class TestReports:
    WIDE = Node(({"cpu": 8}, {"cpu": 8}))
    ASKED = demand(one(cpu=8))

    def test_nothing_is_asked_for_that_was_never_sent(self) -> None:
        fleet = Fleet()
        fleet.apply_facts("c", facts())
        fleet.apply_profile("c", PLAIN, profile())
        fleet.apply_inventory("c", "1-0", nodes_of([self.WIDE]))
        fleet.apply_usage("c", "1-0", usage(1))
        assert (fleet.missing("c"), fleet.completeness("c")) == ([], None)
        assert room(fleet, self.ASKED) == 8, "by the node alone"
        assert fleet.apply_topology("c", "1-0", topology([self.WIDE], 3)) is Outcome.APPLIED
        assert room(fleet, self.ASKED) == 2
        assert fleet.apply_topology("c", "1-0", topology([Node(None)], 3)) is Outcome.OLDER
        assert fleet.applied("c", "topology.1-0") == (1, 3)

    def test_of_a_new_epoch_it_waits_for_the_inventory(self) -> None:
        fleet = built([self.WIDE])
        two = [self.WIDE, self.WIDE]
        assert fleet.apply_topology("c", "1-0", topology(two, 2, epoch=2)) is Outcome.WAITING
        assert fleet.missing("c") == ["inventory.1-0"]
        assert room(fleet, self.ASKED) == 2
        fleet.apply_inventory("c", "1-0", nodes_of(two, 2, epoch=2))
        fleet.apply_usage("c", "1-0", usage(2, 2, epoch=2))
        assert (fleet.missing("c"), room(fleet, self.ASKED)) == ([], 4)

    def test_a_new_node_waits_for_its_zones_and_others_keep_theirs(self) -> None:
        fleet = built([self.WIDE])
        fleet.apply_inventory("c", "1-0", nodes_of([self.WIDE] * 2, 2, epoch=2, names="new n0"))
        fleet.apply_usage("c", "1-0", usage(2, 2, epoch=2))
        assert fleet.missing("c") == ["topology.1-0"]
        assert room(fleet, self.ASKED) == 2
        assert room(fleet, demand(None, cpu=1)) == 80, "what needs no zone goes on"
        fleet.apply_topology("c", "1-0", topology([self.WIDE] * 2, 2, epoch=2))
        assert (fleet.missing("c"), room(fleet, self.ASKED)) == ([], 4)

    def test_zones_that_are_gone_bound_nothing(self) -> None:
        fleet = built([self.WIDE])
        assert room(fleet, self.ASKED) == 2
        fleet.apply_topology("c", "1-0", topology([Node(None)], 2))
        assert room(fleet, self.ASKED) == 8
        fleet.apply_inventory("c", "1-0", nodes_of([self.WIDE], 2, epoch=2, names="other"))
        fleet.apply_usage("c", "1-0", usage(1, 2, epoch=2))
        assert (fleet.missing("c"), room(fleet, self.ASKED)) == ([], 8)

    def test_a_node_with_more_zones_than_any_before(self) -> None:
        fleet = built([self.WIDE])
        room(fleet, self.ASKED)
        fleet.apply_topology("c", "1-0", topology([Node(({"cpu": 8},) * 4)], 2))
        assert room(fleet, self.ASKED) == 4
        fleet.apply_topology("c", "1-0", topology([Node(({"cpu": 3},))], 3))
        assert room(fleet, self.ASKED) == 0

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"zone_node": pack_column([1, 0])}, "zone_node: not ascending"),
            ({"zone_node": pack_column([0, 7])}, "zone_node: not ascending below 1"),
            ({"zone_node": pack_column([-1, 0])}, "zone_node: -1 is negative"),
            ({"zone_number": pack_column([0, 0])}, "zone_number: not ascending within"),
            ({"zone_number": pack_column([0, 65])}, "zone_number: 65"),
            ({"policy_of": pack_column([4])}, "policy_of: index 4 into 1"),
            ({"available": [pack_column([-2, 0])] * 4}, "available cpu: -2 is negative"),
            ({"nodes": 2, "policy_of": pack_column([0, 0])}, "nodes: 2 of epoch 1, whose inventory has 1"),
        ],
    )
    def test_what_contradicts_itself_is_refused_by_name(
        self, changes: dict[str, object], message: str
    ) -> None:
        bad = msgspec.structs.replace(topology([self.WIDE], 2), **changes)
        fleet = built([self.WIDE])
        with pytest.raises(ValueError, match=message):
            fleet.apply_topology("c", "1-0", bad)
        assert room(fleet, self.ASKED) == 2


def test_of_a_node_of_more_zones_than_are_looked_at_nothing_is_said() -> None:
    zone = dict.fromkeys(RESOURCES, 4)
    nodes = [Node((zone,) * 16), Node((zone,) * 17), Node((zone,) * 17, policy="none")]
    fleet = built(nodes)
    assert room(fleet, demand(one(cpu=4), cpu=4)) == 16 + 16, "as much as the third has in all"
    assert fleet.explain("c", demand(one(cpu=4), cpu=4)).unaligned == 1
