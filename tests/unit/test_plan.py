"""A placement on paper."""

from typing import Any

import pytest

from controlplane.cli.planning import as_data
from controlplane.fleet import Demand, Fleet
from controlplane.interpreters import NotUnderstood
from controlplane.placement import ClusterView, fleet_manifest, plan
from schemas.manifests import Fleet as FleetManifest
from schemas.manifests import Interpreter, Tenant, Workload, parse_manifest
from schemas.reasons import Reason
from tests.benchmarks.world import cluster_reports
from tests.unit.reports import apply


def workload(replicas: int = 9, **pod: Any) -> Workload:
    requests = {"requests": {"cpu": "1500m", "memory": "2Gi"}}
    spec = {"containers": [{"name": "c", "resources": requests}], **pod}
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "template": {"spec": spec}},
    }
    placement = {
        "replicaScheduling": {
            "replicaDivisionPreference": "Weighted",
            "weightPreference": {"dynamicWeight": "AvailableReplicas"},
        }
    }
    document = {
        "apiVersion": "muster.dev/v1",
        "kind": "Workload",
        "metadata": {"name": "web"},
        "spec": {"manifests": [manifest], "placement": placement},
    }
    found = parse_manifest(document, "web.yaml")
    assert isinstance(found, Workload)
    return found


def fleet(*clusters: dict[str, Any], **spec: Any) -> FleetManifest:
    document = {"apiVersion": "muster.dev/v1", "kind": "Fleet", "spec": {"clusters": list(clusters), **spec}}
    found = parse_manifest(document, "fleet.yaml")
    assert isinstance(found, FleetManifest)
    return found


AMX = {
    "name": "a",
    "nodes": [
        {"count": 3, "labels": {"amx": "true"}, "allocatable": {"cpu": 4, "memory": "16Gi"}},
        {"count": 1, "labels": {"amx": "true"}, "allocatable": {"cpu": 4, "memory": "1Gi"}},
        {
            "count": 2,
            "labels": {"amx": "true"},
            "allocatable": {"cpu": 4, "memory": "16Gi"},
            "requested": {"cpu": "3"},
        },
        {"count": 5, "allocatable": {"cpu": 4, "memory": "16Gi"}},
    ],
}


def test_nodes_and_plain_numbers_side_by_side() -> None:
    result = plan(workload(nodeSelector={"amx": "true"}), fleet(AMX, {"name": "b", "available": 12}))
    assert result.error is None
    assert result.assignments == {"a": 3, "b": 6}
    assert result.available == {"a": 6, "b": 12}
    assert result.explanations == {
        "a": "5 of 11 lack label amx=true; 3 full (cpu, memory); 3 fit: 6 replicas",
    }


def test_what_is_placed_stays() -> None:
    result = plan(
        workload(), fleet({"name": "a", "available": 0}, {"name": "b", "available": 9}, placed={"a": 9})
    )
    assert result.assignments == {"a": 9}


def test_placed_anew_by_the_fleet_file() -> None:
    clusters = ({"name": "a", "available": 0}, {"name": "b", "available": 9})
    assert plan(workload(), fleet(*clusters, placed={"a": 9}, reschedule="fresh")).assignments == {
        "a": 4,
        "b": 5,
    }


def test_what_is_printed_is_as_documented() -> None:
    clusters = ({"name": "a", "available": 1}, {"name": "b", "available": 9})
    good = as_data("web", plan(workload(2), fleet(*clusters, placed={"a": 1}, uid="x")), ["a", "b"])
    assert good["assignments"] == {"a": 1, "b": 1}
    assert (good["placed"], good["error"], good["refusals"], good["affinity"]) == (True, None, {}, "")
    assert good["scores"]["a"] == {"total": 100.0, "parts": {"locality": 100.0}}
    bad = as_data("web", plan(workload(99), fleet(*clusters)), ["a", "b"])
    assert bad["error"]["reason"] == "InsufficientCapacity"
    assert bad["assignments"] == {}
    assert bad["refusals"]["a"][0]["reason"] == "InsufficientCapacity"


def test_a_cluster_without_a_fitting_node_is_refused_by_name() -> None:
    result = plan(workload(nodeSelector={"gpu": "h100"}), fleet(AMX))
    assert result.error is not None
    assert result.error.reason is Reason.NO_CLUSTER_FITS
    assert [each.reason for each in result.refusals["a"]] == [Reason.NO_NODE_FITS]


def test_a_tenant_is_a_hard_filter() -> None:
    tenant = Tenant.model_validate(
        {"metadata": {"name": "t"}, "spec": {"namespaces": ["*"], "environments": ["test"]}}
    )
    clusters = (
        {"name": "a", "available": 100, "environment": "prod"},
        {"name": "b", "available": 9, "environment": "test"},
    )
    result = plan(workload(), fleet(*clusters), tenant)
    assert result.assignments == {"b": 9}
    assert [each.reason for each in result.refusals["a"]] == [Reason.TENANT_MAY_NOT]


@pytest.mark.parametrize(
    ("clusters", "spec", "message"),
    [
        ({"name": "a", "available": 1}, {"placed": {"z": 1}}, "spec.placed.z: no such cluster"),
        (
            {"name": "a", "nodes": [{"allocatable": {"cpu": "1.1.M"}}]},
            {},
            r"spec.clusters\[0\].nodes\[0\].allocatable.cpu: '1.1.M' is no quantity",
        ),
    ],
)
def test_a_wrong_field_is_named(clusters: dict[str, Any], spec: dict[str, Any], message: str) -> None:
    with pytest.raises(NotUnderstood, match=message):
        plan(workload(), fleet(clusters, **spec))


def test_a_fleet_written_down_plans_as_the_fleet_itself() -> None:
    live = Fleet()
    for tail, report in cluster_reports(3, nodes=250):
        apply(live, "id", tail, report)
    demand = Demand.of({"cpu": 1500, "memory": 2 * 1024**3}, {"kubernetes.io/arch": "amd64"})
    written = fleet_manifest(live, [ClusterView("id", "three", region="eu")], {"id": 4}, "uid")
    again = parse_manifest(written.model_dump(mode="json"), "fleet.yaml")
    assert isinstance(again, FleetManifest)
    assert again.spec.placed == {"three": 4}
    result = plan(workload(10, nodeSelector={"kubernetes.io/arch": "amd64"}), again)
    assert result.available == {"three": live.available(demand, ["id"])[0]}
    assert result.explanations["three"].endswith(str(live.explain("id", demand)).rpartition("; ")[2])


def test_a_set_goes_where_all_of_it_fits_and_a_declared_kind_is_understood() -> None:
    group = {"replicas": 3, "template": {"spec": {"containers": [requesting("2")]}}}
    lead = {"template": {"spec": {"containers": [requesting("3")]}}}
    manifest = {
        "apiVersion": "example.com/v1",
        "kind": "Gang",
        "metadata": {"name": "gang", "namespace": "x"},
        "spec": {"lead": lead, "groups": [group]},
    }
    asked = workload().model_copy(
        update={"spec": workload().spec.model_copy(update={"manifests": [manifest]})}
    )
    paper = fleet(
        {"name": "wide", "nodes": [{"count": 3, "allocatable": {"cpu": 3, "memory": "8Gi"}}]},
        {"name": "deep", "nodes": [{"count": 1, "allocatable": {"cpu": 9, "memory": "8Gi"}}]},
    )
    declared = parse_manifest(
        {
            "apiVersion": "muster.dev/v1",
            "kind": "Interpreter",
            "metadata": {"name": "gang"},
            "spec": {
                "group": "example.com",
                "kind": "Gang",
                "components": [
                    {"name": "lead", "at": "spec.lead", "template": "template"},
                    {"at": "spec.groups[*]", "replicas": "replicas", "template": "template"},
                ],
            },
        },
        "gang.yaml",
    )
    assert isinstance(declared, Interpreter)
    assert plan(asked, paper, None, [declared]).assignments == {"deep": 1}
    assert plan(asked, paper).assignments == {"wide": 0, "deep": 0}


def requesting(cpu: str) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}}
