"""`replicaBounds` that contradict themselves: refused where no fleet could ever keep them, and only there."""

from typing import Any

import pytest

from controlplane.cli.planning import as_data
from controlplane.interpreters import NotUnderstood
from controlplane.placement import place, plan
from controlplane.placement.bounds import contradiction
from controlplane.placement.rules import AffinityGroup
from schemas.manifests import Fleet, Workload, parse_manifest
from tests.unit.test_placement_bounds import ALL, DYNAMIC, bounds, names, replace

FIELD = "spec.placement.replicaScheduling.replicaBounds"
ROOM = {"weightPreference": {"dynamicWeight": "AvailableReplicas"}}


def rooms(**available: int) -> Fleet:
    clusters = [{"name": name, "available": room} for name, room in available.items()]
    document = {"apiVersion": "muster.dev/v1", "kind": "Fleet", "spec": {"clusters": clusters}}
    found = parse_manifest(document, "fleet.yaml")
    assert isinstance(found, Fleet)
    return found


THREE = rooms(a=10, b=10, c=10)


def workload(
    *rules: dict[str, Any], replicas: int = 4, scheduling: dict[str, Any] = ROOM, **placement: Any
) -> Workload:
    web = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "c"}]}}},
    }
    scaled = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {
            "minReplicas": 1,
            "maxReplicas": placement.pop("ceiling", 0),
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        },
    }
    spec = {
        "manifests": [web, scaled] if scaled["spec"]["maxReplicas"] else [web],
        "placement": {"replicaScheduling": {**scheduling, "replicaBounds": list(rules)}, **placement},
    }
    document = {"apiVersion": "muster.dev/v1", "kind": "Workload", "metadata": {"name": "web"}, "spec": spec}
    found = parse_manifest(document, "web.yaml")
    assert isinstance(found, Workload)
    return found


def bound(least: int = 0, most: int | None = None, *clusters: str) -> dict[str, Any]:
    upper = {} if most is None else {"maxReplicas": most}
    where = {"targetCluster": {"clusterNames": list(clusters)}} if clusters else {}
    return {"minReplicas": least, **upper, **where}


NAMED = {"clusterAffinity": {"clusterNames": ["a", "b"]}}
DUPLICATED = {"replicaSchedulingType": "Duplicated"}


@pytest.mark.promise(7)
@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        pytest.param(
            workload(bound(5)),
            f"{FIELD}[0].minReplicas: 5 in each cluster, and 4 replicas are wanted over all of them: "
            "at most 4, or at least 5 replicas",
            id="a minimum above the replicas",
        ),
        pytest.param(
            workload(bound(5), ceiling=4, replicas=9),
            f"{FIELD}[0].minReplicas: 5 in each cluster, and 4 replicas are wanted over all of them: "
            "at most 4, or at least 5 replicas",
            id="under an autoscaler, its ceiling",
        ),
        pytest.param(
            workload(bound(3, None, "a"), bound(0, 2)),
            f"{FIELD}[0].minReplicas: 3, and replicaBounds[1].maxReplicas is 2 for the same clusters: "
            "at most 2",
            id="a minimum above another rule's maximum for all",
        ),
        pytest.param(
            workload(bound(3, None, "a"), bound(0, 2, "a"), scheduling=DUPLICATED),
            f"{FIELD}[0].minReplicas: 3, and replicaBounds[1].maxReplicas is 2 for the same clusters: "
            "at most 2",
            id="a minimum above another rule's maximum for the same, duplicated",
        ),
        pytest.param(
            workload(bound(0, 1), **NAMED),
            f"{FIELD}: 4 replicas are wanted, and maxReplicas of all clusters that may be used sum to 2: "
            "at least 4, or at most 2 replicas",
            id="maxima below the replicas, where all clusters are named",
        ),
        pytest.param(
            workload(
                bound(0, 1),
                clusterAffinities=[
                    {"affinityName": "x", "clusterNames": ["a"]},
                    {"affinityName": "y", "clusterNames": ["b", "c"], "exclude": ["c"]},
                ],
            ),
            f"{FIELD}: 4 replicas are wanted, and maxReplicas of all clusters that may be used sum to 1: "
            "at least 4, or at most 1 replica",
            id="in every group of clusters",
        ),
    ],
)
def test_what_no_fleet_could_keep_is_not_understood(wanted: Workload, error: str) -> None:
    with pytest.raises(NotUnderstood) as refused:
        plan(wanted, THREE)
    assert str(refused.value) == error


@pytest.mark.parametrize(
    ("wanted", "assigned"),
    [
        pytest.param(workload(bound(5), replicas=0), {"a": 0, "b": 0, "c": 0}, id="scaled to nothing"),
        pytest.param(workload(bound(5), scheduling=DUPLICATED), dict.fromkeys("abc", 5), id="duplicated"),
        pytest.param(workload(bound(9, None, "far"), replicas=9), dict.fromkeys("abc", 3), id="of nobody"),
        pytest.param(
            workload(bound(1), bound(0, 0, "far")), {"a": 1, "b": 1, "c": 2}, id="crossed where nobody is"
        ),
        pytest.param(workload(bound(0, 2), **NAMED), {"a": 2, "b": 2}, id="maxima that are just enough"),
        pytest.param(
            workload(bound(0, 1, "a"), **NAMED), {"a": 1, "b": 3}, id="one of the named has no maximum"
        ),
        pytest.param(
            workload(
                bound(0, 1, "a"),
                clusterAffinities=[
                    {
                        "affinityName": "x",
                        "clusterNames": ["a"],
                        "overflowAffinities": [{"affinityName": "y"}],
                    }
                ],
            ),
            {"a": 1, "b": 1, "c": 2},
            id="an overflow to whoever there is",
        ),
    ],
)
def test_what_some_fleet_keeps_is_taken(wanted: Workload, assigned: dict[str, int]) -> None:
    assert plan(wanted, THREE).assignments == assigned


@pytest.mark.promise(7)
@pytest.mark.parametrize(
    ("wanted", "on", "says"),
    [
        pytest.param(
            workload(bound(2)),
            THREE,
            "minReplicas sum to 6 (a 2, b 2, c 2), and 4 replicas are wanted: lower them, select fewer "
            "clusters, or ask for 6 replicas",
            id="minima over the clusters there are",
        ),
        pytest.param(
            workload(bound(1), replicas=6),
            rooms(**{f"c{number}": 10 for number in range(7)}),
            "minReplicas sum to 7 (c0 1, c1 1, c2 1, c3 1, c4 1, and 2 more), and 6 replicas are wanted: "
            "lower them, select fewer clusters, or ask for 7 replicas",
            id="of many clusters a few are named",
        ),
        pytest.param(
            workload(bound(2), bound(0, 1, "b")),
            THREE,
            "cluster b must have at least 2 replicas and may have at most 1",
            id="crossed in one cluster",
        ),
        pytest.param(workload(bound(2)), rooms(a=9), "", id="fewer clusters"),
        pytest.param(workload(bound(2)), rooms(), "", id="no clusters"),
        pytest.param(
            workload(bound(2)),
            rooms(a=9, b=9, c=1),
            "",
            id="one of them has no room for its minimum",
        ),
        pytest.param(workload(bound(0, 1)), THREE, "", id="maxima that further clusters would make up for"),
    ],
)
def test_what_the_clusters_there_are_cannot_keep(wanted: Workload, on: Fleet, says: str) -> None:
    result = plan(wanted, on)
    error = as_data("web", result, [])["error"]
    found = error["message"] if error is not None and error["reason"] == "Invalid" else ""
    assert found.removeprefix("replicaBounds: ") == says


@pytest.mark.parametrize(
    ("room", "contradicts"),
    [([9, 9, 9, 9], True), ([9, 9, 1, 1], False)],
    ids=["in every group", "only where there happens to be room"],
)
def test_of_groups_all_must_contradict(room: list[int], contradicts: bool) -> None:
    groups = (AffinityGroup("one", names("ab")), AffinityGroup("other", names("cd")))
    request = replace(DYNAMIC, replicas=3, groups=groups, bounds=(bounds("abd", 2), bounds("c", 2, 2)))
    assert bool(contradiction(place(request, ALL, room))) is contradicts
