"""A fleet that is written down for `muster plan` takes what the fleet itself takes: its NUMA zones too."""

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.fleet import Fleet, Numa
from controlplane.placement import ClusterView, fleet_manifest
from controlplane.placement.paper import paper_fleet
from schemas.manifests import Fleet as FleetManifest
from schemas.manifests import parse_manifest
from tests.unit.test_fleet_numa import NODES, NUMAS, Node, built, demand, one


def read_back(fleet: Fleet) -> FleetManifest:
    """As the API writes it and the command reads it."""
    written = fleet_manifest(fleet, [ClusterView("c", "c")])
    document = written.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    found = parse_manifest({"apiVersion": "muster.dev/v1", "kind": "Fleet"} | document, "fleet.yaml")
    assert isinstance(found, FleetManifest)
    return found


ZONES = ({"cpu": 8, "memory": 32}, {"cpu": 6, "memory": 32})


def test_nodes_of_equal_zones_are_one_make() -> None:
    other = ({"cpu": 8, "memory": 32}, {"cpu": 2, "memory": 32})
    paper = read_back(
        built(
            [
                Node(ZONES),
                Node(other),
                Node(ZONES),
                Node(ZONES, scope="pod"),
                Node(),
                Node(ZONES, policy="none"),
            ]
        )
    )
    makes = paper.spec.clusters[0].nodes
    assert makes is not None
    told = [
        (each.count, None if each.topology is None else (each.topology.scope, len(each.topology.zones)))
        for each in makes
    ]
    assert told == [(2, ("container", 2)), (1, ("container", 2)), (1, ("pod", 2)), (2, None)]
    assert makes[0].topology is not None
    assert makes[0].topology.zones[1] == {"cpu": "6m", "memory": "32"}


def test_stale_zones_stay_stale() -> None:
    fleet = built([Node(ZONES, stale=True), Node(ZONES)])
    asked = demand(one(cpu=4, memory=4))
    assert fleet.available(asked, ["c"]) == [3]
    paper = read_back(fleet)
    makes = paper.spec.clusters[0].nodes
    assert makes is not None
    assert [each.topology.stale for each in makes if each.topology is not None] == [True, False]
    assert paper_fleet(paper.spec).available(asked, ["c"]) == [3]


@settings(deadline=None, max_examples=100)
@given(st.lists(NODES, max_size=4), NUMAS)
def test_what_is_written_fits_as_often(nodes: list[Node], numa: Numa) -> None:
    fleet = built(nodes)
    asked = demand(numa)
    assert paper_fleet(read_back(fleet).spec).available(asked, ["c"]) == fleet.available(asked, ["c"])
