"""Nodes that an autoscaler may add: room after the room there is, told apart, and promised once."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controlplane.fleet import Demand, Fleet, Promise
from controlplane.fleet.headroom import MOST_NODES, Make
from controlplane.known.known import Known
from controlplane.known.records import ClusterRecord, Loaded, Standing
from controlplane.placement import fleet_manifest
from controlplane.placement.headroom import makes_of
from controlplane.placement.rules import ClusterView
from schemas.manifests.fleet import FleetHeadroom, HeadroomList
from schemas.wire.reports import Bound, Taint, profile_hash
from tests.unit.reports import LABELS, PLAIN, apply, facts, inventory, profile, usage
from tests.unit.test_changes import cluster, nodes, planned, workload

WORKER = Demand.of({"cpu": 1000})
AMX = Demand.of({"cpu": 1000}, {"amx": "true"})


def make(count: int = 2, cpu: int = 4000, present: int = 2, **given: Any) -> Make:
    return Make(count, {"cpu": cpu, "memory": 64, "pods": 10}, present=present, **given)


def fleet_of(*makes: Make) -> Fleet:
    """Two nodes of 4 cores, nothing runs there."""
    fleet = Fleet()
    apply(fleet, "c", "facts", facts())
    for labels in (LABELS, {"amx": "true"}):
        apply(fleet, "c", f"profile.{profile_hash(labels)}", profile(labels))
    report(fleet, "a b", 1)
    fleet.put_headroom("c", makes)
    return fleet


def report(fleet: Fleet, names: str, sequence: int, profiles: tuple[str, ...] = (), **said: Any) -> None:
    apply(
        fleet,
        "c",
        "inventory.1-0",
        inventory(names, sequence, epoch=sequence, profiles=profiles, memory=10**12),
    )
    apply(fleet, "c", "usage.1-0", usage(len(names.split()), sequence, epoch=sequence, **said))


def room(fleet: Fleet, demand: Demand = WORKER) -> int:
    (found,) = fleet.available(demand, ["c"])
    return found


class TestRoom:
    @pytest.mark.parametrize(
        ("makes", "demand", "expected"),
        [
            pytest.param((), WORKER, 8, id="none"),
            pytest.param((make(),), WORKER, 16, id="two-more-nodes"),
            pytest.param((make(3, cpu=2500), make(1, cpu=1000)), WORKER, 15, id="of-two-makes"),
            pytest.param((make(taints=(Taint("own", "NoSchedule"),)),), WORKER, 8, id="a-taint-keeps-off"),
            pytest.param((make(),), AMX, 0, id="without-the-label"),
            pytest.param((make(labels={"amx": "true"}, present=0),), AMX, 8, id="with-the-label"),
            pytest.param((make(cpu=500),), WORKER, 8, id="too-small"),
        ],
    )
    def test_it_counts_beside_what_is_there(
        self, makes: tuple[Make, ...], demand: Demand, expected: int
    ) -> None:
        assert room(fleet_of(*makes), demand) == expected

    def test_it_is_told_apart(self) -> None:
        fleet = fleet_of(make())
        counts = fleet.explain("c", WORKER)
        assert (counts.nodes, counts.fits, counts.replicas) == (2, 2, 8)
        assert (counts.to_come, counts.headroom) == (2, 8)
        assert str(counts) == "2 fit: 8 replicas now; 8 more by headroom of 2 nodes"

    def test_what_is_promised_takes_what_is_there_first(self) -> None:
        fleet = fleet_of(make())
        fleet.promise("c", "one", Promise.of("t", WORKER, 6))
        counts = fleet.explain("c", WORKER)
        assert (counts.replicas, counts.headroom) == (2, 8)
        fleet.promise("c", "two", Promise.of("t", WORKER, 6))
        counts = fleet.explain("c", WORKER)
        assert (counts.replicas, counts.headroom, room(fleet)) == (0, 4, 4)

    def test_sums_of_the_cluster_do_not_count_it(self) -> None:
        (found,) = fleet_of(make()).sums(["c"])
        assert (found.allocatable["cpu"], found.free["cpu"]) == (8000, 8000)
        assert fleet_of(make()).totals("c").nodes == 2

    def test_another_declaration_takes_the_place_of_the_first(self) -> None:
        fleet = fleet_of(make())
        fleet.put_headroom("c", (make(1),))
        assert room(fleet) == 12
        fleet.put_headroom("c", ())
        assert room(fleet) == 8

    def test_it_waits_for_the_cluster(self) -> None:
        fleet = Fleet()
        fleet.put_headroom("c", (make(),))
        assert room(fleet) == 0


class TestNodesThatCame:
    def test_they_are_taken_off(self) -> None:
        fleet = fleet_of(make(3))
        report(fleet, "a b n1 n2", 2)
        assert [left for _, left in fleet.headroom("c")] == [1]
        assert room(fleet) == 20, "five nodes, as before"
        report(fleet, "a b n1 n2 n3 n4", 3)
        assert (room(fleet), [left for _, left in fleet.headroom("c")]) == (24, [0])

    def test_only_those_of_its_labels_are(self) -> None:
        labels = {"amx": "true"}
        fleet = fleet_of(make(2, labels=labels, present=0))
        report(fleet, "a b n1", 2, (PLAIN, PLAIN, PLAIN))
        assert [left for _, left in fleet.headroom("c")] == [2]
        report(fleet, "a b n1 n2", 3, (PLAIN, PLAIN, PLAIN, profile_hash(labels)))
        assert [left for _, left in fleet.headroom("c")] == [1]

    def test_nodes_that_left_do_not_add_to_it(self) -> None:
        fleet = fleet_of(make(2))
        report(fleet, "a", 2)
        assert [left for _, left in fleet.headroom("c")] == [2]

    @pytest.mark.promise(2)
    def test_a_promise_that_was_waiting_for_them_is_not_counted_twice(self) -> None:
        """Pods that were promised to a node to come are bound to it when it is there."""
        fleet = fleet_of(make(2))
        fleet.promise("c", "w", Promise.of("t", WORKER, 12))
        assert room(fleet) == 4
        report(fleet, "a b n1", 2)
        assert room(fleet) == 4
        bound = [Bound("w", "t", node, 4, 0) for node in range(3)]
        report(fleet, "a b n1", 3, bound=bound)
        assert room(fleet) == 4


@given(
    promised=st.lists(st.integers(1, 6), max_size=8),
    count=st.integers(0, 5),
    cpu=st.integers(500, 9000),
)
def test_never_more_is_promised_than_was_declared(promised: list[int], count: int, cpu: int) -> None:
    fleet = fleet_of(make(count, cpu=cpu))
    total, given_away = 8 + count * (cpu // 1000), 0
    for number, replicas in enumerate(promised):
        fits = room(fleet)
        assert fits == total - given_away
        take = min(replicas, fits)
        if take:
            fleet.promise("c", f"w{number}", Promise.of("t", WORKER, take))
            given_away += take
    counts = fleet.explain("c", WORKER)
    assert counts.replicas == max(0, 8 - given_away)
    assert counts.replicas + counts.headroom == total - given_away


def test_what_is_stored_is_counted_by_whoever_loads_it() -> None:
    """A leader that comes after another begins with what was declared."""
    fleet = fleet_of()
    record = ClusterRecord(
        id="c",
        name="north",
        labels={},
        taints=(),
        cluster_uid="u",
        agent_key="k",
        sealing_key=b"",
        standing=Standing.JOINED,
        standing_reason="",
        incarnation=0,
        resource_version=1,
        joined_at=0.0,
        headroom=(make(),),
    )
    known = Known(fleet=fleet)
    known.replace_records(Loaded((record,), {}, (), (), (), (), (), 0, {}, 0))
    assert room(fleet) == 16
    known.put_cluster(replace(record, headroom=()))
    assert room(fleet) == 8
    known.put_cluster(record)
    assert room(fleet) == 16
    known.put_cluster(replace(record, standing=Standing.REMOVED))
    assert fleet.headroom("c") == []


MORE = {"count": 2, "allocatable": {"cpu": 8, "memory": "64Gi"}}


class TestOnPaper:
    def test_it_lets_a_workload_run(self) -> None:
        assert planned(workload(8), cluster("a")).error is not None
        grown = planned(workload(8), cluster("a", headroom=[MORE]))
        assert (grown.assignments, grown.available) == ({"a": 8}, {"a": 12})
        assert grown.explanations["a"] == "1 fit: 4 replicas now; 8 more by headroom of 2 nodes"

    def test_a_cluster_that_has_no_node_yet(self) -> None:
        made = {"name": "a", "nodes": list[Any](), "headroom": [MORE]}
        assert planned(workload(8), made).assignments == {"a": 8}

    def test_what_is_left_is_written_down(self) -> None:
        fleet = fleet_of(make(3, labels={"pool": "x"}, present=0))
        written = fleet_manifest(fleet, [ClusterView("c", "c")]).spec.clusters[0]
        shown = written.model_dump(mode="json", by_alias=True, exclude_defaults=True)["headroom"]
        assert shown == [
            {"count": 3, "labels": {"pool": "x"}, "allocatable": {"cpu": "4", "memory": "64", "pods": "10"}}
        ]

    @given(
        count=st.integers(1, 9),
        replicas=st.integers(1, 40),
        cores=st.integers(1, 16),
        there=st.integers(0, 3),
    )
    def test_more_of_it_never_loses_a_placement(
        self, count: int, replicas: int, cores: int, there: int
    ) -> None:
        def with_headroom(more: int) -> dict[str, Any]:
            made = {"count": more, "allocatable": {"cpu": cores, "memory": "64Gi"}}
            return {
                "name": "a",
                "nodes": [nodes()] * there,
                "headroom": [made] if more else [],
            }

        if planned(workload(replicas), with_headroom(count - 1)).error is None:
            assert planned(workload(replicas), with_headroom(count)).error is None


@pytest.mark.parametrize(
    ("given_", "where"),
    [
        ({"count": 0}, "headroom.0.count"),
        ({"count": 10_001}, "headroom.0.count"),
        ({"allocatable": dict[str, Any]()}, "headroom.0.allocatable"),
        ({"requested": {"cpu": 1}}, "headroom.0.requested"),
        ({"labels": {"not a key": "x"}}, "headroom.0.labels"),
        ({"taints": [{"key": "a", "effect": "Sometimes"}]}, "headroom.0.taints.0.effect"),
    ],
)
def test_makes_that_are_not_taken(given_: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as error:
        HeadroomList.model_validate({"headroom": [{**MORE, **given_}]})
    loc = ".".join(str(part) for part in error.value.errors()[0]["loc"])
    assert loc.startswith(where)


def test_amounts_and_numbers_are_checked_too() -> None:
    some = FleetHeadroom.model_validate({**MORE, "count": MOST_NODES})
    with pytest.raises(ValueError, match=r"headroom: 20,000 nodes: up to 10,000"):
        makes_of([some, some], "headroom")
    wrong = FleetHeadroom.model_validate({"count": 1, "allocatable": {"cpu": "lots"}})
    with pytest.raises(ValueError, match=r"headroom\[0\]\.allocatable\.cpu: 'lots' is no quantity"):
        makes_of([wrong], "headroom")


def test_headroom_beside_a_plain_number_is_a_contradiction() -> None:
    with pytest.raises(ValueError, match="state nodes, not available"):
        planned(workload(), {"name": "a", "available": 3, "headroom": [MORE]})
