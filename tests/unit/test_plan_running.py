"""A plan of a changed template: what no longer fits where it runs does not stay, as the service decides."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.fleet import Demand, Fleet
from controlplane.interpreters import NotUnderstood
from controlplane.placement import ClusterView, PlanResult, fleet_manifest, plan
from controlplane.placement.paper import paper_fleet
from controlplane.placement.running import WORKLOAD, Held
from schemas.manifests import Fleet as FleetManifest
from schemas.manifests import ManifestError, Workload, parse_manifest
from schemas.wire.reports import Bound
from tests.unit.reports import PLAIN, facts, inventory, profile, usage

ROOM: dict[str, Any] = {"weightPreference": {"dynamicWeight": "AvailableReplicas"}}
DUPLICATED: dict[str, Any] = {"replicaSchedulingType": "Duplicated"}
FOUR = {"cpu": 4, "memory": "16Gi", "pods": 110}


def document(
    replicas: int = 2, cpu: str = "1", scheduling: dict[str, Any] = ROOM, name: str = "web", **pod: Any
) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [container], **pod}}},
    }
    spec = {"manifests": [deployment], "placement": {"replicaScheduling": scheduling}}
    return {"apiVersion": "muster.dev/v1", "kind": "Workload", "metadata": {"name": name}, "spec": spec}


def workload(**fields: Any) -> Workload:
    found = parse_manifest(document(**fields), "web.yaml")
    assert isinstance(found, Workload)
    return found


def nodes(count: int = 1, cpu: str | int = 0, **fields: Any) -> dict[str, Any]:
    """Of four cores, of which so many are asked for."""
    return {"count": count, "allocatable": FOUR, "requested": {"cpu": cpu}, **fields}


def fleet(*clusters: dict[str, Any], **spec: Any) -> FleetManifest:
    given = {"apiVersion": "muster.dev/v1", "kind": "Fleet", "spec": {"clusters": list(clusters), **spec}}
    found = parse_manifest(given, "fleet.yaml")
    assert isinstance(found, FleetManifest)
    return found


def planned(wanted: Workload, before: dict[str, Any] | None, *clusters: dict[str, Any]) -> PlanResult:
    """Two replicas run in `a`."""
    running = {} if before is None else {"running": before}
    return plan(wanted, fleet(*clusters, placed={"a": 2}, **running))


def cluster(name: str, *makes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": name, "nodes": list(makes), **fields}


B = cluster("b", nodes(2))


@pytest.mark.parametrize(
    ("wanted", "before", "a", "assigned"),
    [
        pytest.param(
            workload(cpu="4"), document(cpu="2"), cluster("a", nodes(2, 3)), {"b": 2}, id="fits nowhere in a"
        ),
        pytest.param(
            workload(cpu="4"), None, cluster("a", nodes(2, 3)), {"a": 2}, id="what runs now is not told"
        ),
        pytest.param(
            workload(cpu="3"), document(cpu="2"), cluster("a", nodes(2, 3)), {"a": 2}, id="its own give way"
        ),
        pytest.param(
            workload(cpu="4"),
            document(cpu="2"),
            cluster("a", nodes(1, 2), nodes(1, 3)),
            {"a": 1, "b": 1},
            id="one of two could stay",
        ),
        pytest.param(
            workload(cpu="4"),
            document(cpu="2"),
            cluster("a", nodes(1, 4, placed=2), nodes(1, 2)),
            {"a": 1, "b": 1},
            id="which nodes they are on is told",
        ),
        pytest.param(
            workload(cpu="4"),
            document(cpu="2"),
            cluster("a", nodes(1, 2), nodes(1, 2, taints=[{"key": "k", "effect": "NoSchedule"}])),
            {"a": 1, "b": 1},
            id="they are on no node that they do not tolerate",
        ),
        pytest.param(
            workload(cpu="2"), document(cpu="2"), cluster("a", nodes(2, 4)), {"a": 2}, id="asks for the same"
        ),
        pytest.param(
            workload(nodeSelector={"x": "y"}),
            document(),
            cluster("a", nodes(2, 1)),
            {"b": 2},
            id="selects no node there any more",
        ),
        pytest.param(
            workload(cpu="4", scheduling=DUPLICATED),
            document(cpu="2"),
            cluster("a", nodes(2, 3)),
            {"a": 2, "b": 2},
            id="room does not count where nothing is divided",
        ),
        pytest.param(
            workload(cpu="4"), document(cpu="2"), {"name": "a", "available": 0}, {"a": 2}, id="no nodes told"
        ),
    ],
)
def test_what_no_longer_fits_does_not_stay(
    wanted: Workload, before: dict[str, Any] | None, a: dict[str, Any], assigned: dict[str, int]
) -> None:
    b = cluster("b", nodes(2, labels={"x": "y"}))
    assert planned(wanted, before, a, b).assignments == assigned


def test_where_it_fits_nowhere_nothing_moves() -> None:
    result = planned(workload(cpu="5"), document(cpu="2"), cluster("a", nodes(2, 3)), B)
    assert result.assignments == {}
    assert result.error is not None
    assert result.error.message == "2 replicas are wanted, 0 fit the 2 clusters that pass"


def test_what_vanished_from_a_cluster_moves_nothing() -> None:
    bare = cluster("a", nodes(2, 3), hardware={"runtimeClasses": []})
    there = cluster("b", nodes(2), hardware={"runtimeClasses": [{"name": "kata", "handler": "kata"}]})
    kata = {"runtimeClassName": "kata"}
    assert planned(workload(**kata), document(**kata), bare, there).assignments == {"a": 2}
    assert planned(workload(**kata), document(), bare, there).assignments == {"b": 2}


def test_what_is_wrong_with_what_runs_is_named() -> None:
    a = cluster("a", nodes())
    with pytest.raises(NotUnderstood, match=r"spec.running.metadata.name: 'other', and 'web' is planned"):
        planned(workload(), document(name="other"), a)
    with pytest.raises(ManifestError, match=r"spec.running.spec.manifests\[0\].*cpu: 'a lot'"):
        planned(workload(), document(cpu="a lot"), a)
    indivisible = document()
    indivisible["spec"]["manifests"][0]["spec"]["replicas"] = "x"
    with pytest.raises(NotUnderstood, match=r"^spec.running.spec.manifests\[0\].spec.replicas: "):
        planned(workload(), indivisible, a)


def test_what_runs_runs_somewhere() -> None:
    with pytest.raises(ManifestError, match="running: where it runs is missing: state placed"):
        fleet(cluster("a", nodes()), running=document())


@given(st.integers(0, 40), st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=5))
def test_pods_are_spread_evenly_and_nowhere_beyond_what_is_asked_for(
    count: int, makes: list[tuple[int, int]]
) -> None:
    given_nodes = [nodes(number, cpu) for number, cpu in makes]
    clusters = fleet(cluster("a", *given_nodes)).spec.clusters[0].nodes
    assert clusters is not None
    asked = [{"cpu": cpu * 1000} for _, cpu in makes]
    found = Held(count, Demand.of({"cpu": 2000})).on(clusters, asked).tolist()
    most = [cpu // 2 for number, cpu in makes for _ in range(number)]
    assert sum(found) == min(count, sum(most))
    assert all(its <= bound for its, bound in zip(found, most, strict=True))
    full = max(found)
    assert all(its in (bound, full, full - 1) for its, bound in zip(found, most, strict=True))


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=5),
    st.integers(0, 1500),
    st.integers(1, 4000),
)
def test_a_fleet_that_is_written_down_releases_as_much(pods: list[int], foreign: int, asked: int) -> None:
    """pods: of the workload on each node, of one core each."""
    live = Fleet()
    live.apply_facts("c", facts())
    live.apply_profile("c", PLAIN, profile())
    live.apply_inventory("c", "1-0", inventory(" ".join(f"n{row}" for row in range(len(pods)))))
    bound = [Bound("uid", "t", row, count, 0) for row, count in enumerate(pods) if count]
    live.apply_usage("c", "1-0", usage(len(pods), cpu=foreign, bound=bound, requests=[{"cpu": 1000}]))
    demand = Demand.of({"cpu": asked})
    running = workload(replicas=max(1, sum(pods)))
    view = ClusterView("c", "c")
    written = fleet_manifest(live, [view], {"c": sum(pods)}, "uid", running=running)
    again = parse_manifest(
        {"apiVersion": "muster.dev/v1", "kind": "Fleet"}
        | written.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "fleet.yaml",
    )
    assert isinstance(again, FleetManifest)
    paper = paper_fleet(again.spec, {"c": Held(sum(pods), Demand.of({"cpu": 1000, "pods": 1}))})
    assert paper.available(demand, ["c"]) == live.available(demand, ["c"])
    assert paper.room_released("c", (WORKLOAD,), demand) == live.room_released("c", ("uid",), demand)
