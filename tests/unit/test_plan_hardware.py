"""What lies below a cluster's sum decides where a workload may run: on paper, one case a rule."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from controlplane.placement import PlanResult, plan
from schemas.manifests import Fleet, Workload, parse_manifest
from schemas.reasons import Reason

NFD = "feature.node.kubernetes.io/"
ROOM = {"cpu": 8, "memory": "32Gi", "pods": 110}
KATA = {"name": "kata", "handler": "kata-qemu", "overhead": {"cpu": "500m", "memory": "1Gi"}}
NETWORK = {"name": "net/storage", "type": "macvlan", "pool": "10.1.0.0-24"}
DIVIDED = {
    "replicaScheduling": {"weightPreference": {"dynamicWeight": "AvailableReplicas"}},
}


def nodes(count: int = 1, **fields: Any) -> dict[str, Any]:
    return {"count": count, "allocatable": ROOM, **fields}


def deployment(replicas: int = 1, spec: dict[str, Any] | None = None, **asks: str) -> dict[str, Any]:
    amounts = {"cpu": "2", "memory": "4Gi"} | asks
    container = {"name": "c", "image": "i", "resources": {"requests": amounts, "limits": amounts}}
    pod = {"containers": [container], **(spec or {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": replicas, "template": {"spec": pod}},
    }


def planned(
    clusters: list[dict[str, Any]], manifest: dict[str, Any] | None = None, **spec: Any
) -> PlanResult:
    document = {
        "apiVersion": "muster.dev/v1",
        "kind": "Workload",
        "metadata": {"name": "web"},
        "spec": {"manifests": [manifest or deployment()], "placement": DIVIDED, **spec},
    }
    workload = parse_manifest(document, "web.yaml")
    fleet = parse_manifest(
        {"apiVersion": "muster.dev/v1", "kind": "Fleet", "spec": {"clusters": clusters}}, "fleet.yaml"
    )
    assert isinstance(workload, Workload)
    assert isinstance(fleet, Fleet)
    return plan(workload, fleet)


@dataclass(frozen=True)
class Case:
    """`room`: replicas that fit cluster a, whose nodes and hardware these are; 0 with the reason why not."""

    nodes: list[dict[str, Any]]
    room: int
    spec: dict[str, Any] = field(default_factory=dict[str, Any])
    manifest: dict[str, Any] | None = None
    hardware: dict[str, Any] = field(default_factory=dict[str, Any])
    reason: Reason | None = None
    says: str = ""


def amx(**expression: Any) -> dict[str, Any]:
    return {"features": [{"feature": "cpu.cpuid", "matchExpressions": {"AMXTILE": expression}}]}


def zones(*cpus: int, scope: str = "container", policy: str = "single-numa-node") -> dict[str, Any]:
    each = [{"cpu": cpu, "memory": "16Gi"} for cpu in cpus]
    return {"topology": {"policy": policy, "scope": scope, "zones": each}}


CASES: dict[str, Case] = {
    "a feature as a label": Case(
        [nodes(2, labels={f"{NFD}cpu-cpuid.AMXTILE": "true"}), nodes(3)], 8, amx(op="Exists")
    ),
    "the same feature raw": Case([nodes(features={"cpu.cpuid.AMXTILE": ""}), nodes()], 4, amx(op="Exists")),
    "a feature that no node has": Case(
        [nodes(2)],
        0,
        amx(op="Exists"),
        reason=Reason.NO_NODE_FITS,
        says="2 of 2 lack feature cpu.cpuid.AMXTILE",
    ),
    "a feature that must not be there": Case(
        [nodes(features={"cpu.cpuid.AMXTILE": ""}), nodes()], 4, amx(op="DoesNotExist")
    ),
    "a number to compare": Case(
        [nodes(features={"kernel.version.major": "5"}), nodes(features={"kernel.version.major": "6"})],
        4,
        {
            "features": [
                {"feature": "kernel.version", "matchExpressions": {"major": {"op": "Gt", "value": ["5"]}}}
            ]
        },
    ),
    "RDT as older versions of NFD have it": Case(
        [nodes(labels={f"{NFD}cpu-rdt.RDTMON": "true"}), nodes()],
        4,
        {"features": [{"feature": "cpu.rdt", "matchExpressions": {"RDTMON": {"op": "Exists"}}}]},
    ),
    "a runtime class charges its overhead": Case(
        [nodes()], 3, {"isolation": "kata"}, hardware={"runtimeClasses": [KATA]}
    ),
    "any sandbox": Case([nodes()], 3, {"isolation": "sandboxed"}, hardware={"runtimeClasses": [KATA]}),
    "only nodes that run its handler": Case(
        [nodes(runtimeHandlers=["runc", "kata-qemu"]), nodes(runtimeHandlers=["runc"])],
        3,
        {"isolation": "kata"},
        hardware={"runtimeClasses": [KATA]},
    ),
    "a runtime class that is not there": Case(
        [nodes()],
        0,
        {"isolation": "kata"},
        reason=Reason.RUNTIME_CLASS_MISSING,
        says="has no runtime class kata",
    ),
    "a runtime class that the template names": Case(
        [nodes()],
        0,
        manifest=deployment(spec={"runtimeClassName": "kata"}),
        reason=Reason.RUNTIME_CLASS_MISSING,
    ),
    "as many as there are free addresses": Case(
        [nodes(2)],
        3,
        {"networks": [{"attachment": "net/storage"}]},
        hardware={"attachments": [NETWORK], "pools": [{"name": "10.1.0.0-24", "free": 3}]},
    ),
    "two addresses each, by pool": Case(
        [nodes(2)],
        1,
        {"networks": [{"pool": "10.1.0.0-24"}, {"pool": "10.1.0.0-24"}]},
        hardware={"attachments": [NETWORK], "pools": [{"name": "10.1.0.0-24", "free": 3}]},
    ),
    "VFs of an SR-IOV attachment": Case(
        [nodes(allocatable=ROOM | {"example.com/vf": 2})],
        2,
        {"networks": [{"attachment": "net/fast"}]},
        hardware={"attachments": [{"name": "net/fast", "resource": "example.com/vf"}]},
    ),
    "an attachment that is not there": Case(
        [nodes()], 0, {"networks": [{"attachment": "net/fast"}]}, reason=Reason.NETWORK_MISSING
    ),
    "GPUs of a product with enough memory": Case(
        [
            nodes(
                allocatable=ROOM | {"nvidia.com/gpu": 4},
                labels={"nvidia.com/gpu.product": "A100", "nvidia.com/gpu.memory": "81920"},
            ),
            nodes(
                allocatable=ROOM | {"nvidia.com/gpu": 4},
                labels={"nvidia.com/gpu.product": "A100", "nvidia.com/gpu.memory": "40960"},
            ),
        ],
        2,
        {"gpus": {"count": 2, "product": "A100", "memory": "80Gi"}},
    ),
    "devices of a class": Case(
        [nodes(allocatable=ROOM | {"deviceclass.resource.kubernetes.io/gpu.example.com": 3})],
        3,
        {"gpus": {"deviceClass": "gpu.example.com"}},
        hardware={"deviceClasses": ["gpu.example.com"]},
    ),
    "one zone must hold each replica": Case([nodes(**zones(3, 5))], 3),
    "a zone that is too small": Case(
        [nodes(**zones(1, 1))], 0, reason=Reason.INSUFFICIENT_CAPACITY, says="1 cannot align to one NUMA zone"
    ),
    "a kubelet that does not align refuses nothing": Case([nodes(**zones(1, 1, policy="best-effort"))], 4),
    "a wish for one zone is met by a kubelet that aligns": Case(
        [nodes(**zones(4, 4)), nodes(**zones(4, 4, policy="none")), nodes()],
        4,
        {"topology": {"singleNUMA": True}},
    ),
    "a fractional CPU is pinned by no kubelet": Case(
        [nodes(**zones(1, 1))], 5, manifest=deployment(cpu="1500m")
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_room_below_the_clusters_sum(case: str) -> None:
    given = CASES[case]
    cluster = {"name": "a", "nodes": given.nodes, "hardware": given.hardware}
    result = planned([cluster], given.manifest, **given.spec)
    assert result.available.get("a", 0) == given.room, (result.refusals, result.explanations)
    if given.reason is None:
        assert result.assignments == {"a": 1}
    else:
        assert given.reason in [each.reason for each in result.refusals["a"]]
    said = " ".join([*(each.message for each in result.refusals.get("a", ())), *result.explanations.values()])
    assert given.says in said


def test_what_one_cluster_calls_kata_costs_more_than_in_another() -> None:
    light = KATA | {"overhead": {}}
    result = planned(
        [
            {"name": "a", "nodes": [nodes()], "hardware": {"runtimeClasses": [KATA]}},
            {"name": "b", "nodes": [nodes()], "hardware": {"runtimeClasses": [light]}},
            {"name": "c", "nodes": [nodes()], "hardware": {}},
        ],
        deployment(7),
        isolation="kata",
    )
    assert result.available == {"a": 3, "b": 4}
    assert result.assignments == {"a": 3, "b": 4}
    assert [each.reason for each in result.refusals["c"]] == [Reason.RUNTIME_CLASS_MISSING]


RAY = {
    "apiVersion": "ray.io/v1",
    "kind": "RayCluster",
    "metadata": {"name": "ray", "namespace": "ml"},
    "spec": {
        "headGroupSpec": {"template": deployment(cpu="4")["spec"]["template"]},
        "workerGroupSpecs": [
            {
                "groupName": "w",
                "replicas": 2,
                "template": deployment(cpu="6", memory="8Gi")["spec"]["template"],
            }
        ],
    },
}


@pytest.mark.parametrize(
    ("makes", "fits"),
    [
        ([nodes(3)], True),
        ([nodes(2)], False),
        ([nodes(1), nodes(1, allocatable={"cpu": 5, "memory": "64Gi"})], False),
    ],
    ids=["room for head and workers", "no room for the head beside them", "no room for both workers"],
)
def test_components_are_placed_together_or_not_at_all(makes: list[dict[str, Any]], fits: bool) -> None:
    result = planned([{"name": "a", "nodes": makes}, {"name": "b", "nodes": [nodes()]}], RAY)
    assert result.assignments == ({"a": 1} if fits else {})
    duplicated = planned([{"name": "a", "nodes": makes}], RAY, placement={})
    assert duplicated.assignments == ({"a": 1} if fits else {}), "in every mode"


@pytest.mark.parametrize(
    ("asks", "spec", "resource"),
    [
        ({"fpga.com/x": "1"}, {}, "fpga.com/x"),
        ({"nvidia.com/gpu": "1"}, {}, "nvidia.com/gpu"),
        ({}, {"gpus": {"mig": "1g.10gb", "count": 1}}, "nvidia.com/mig-1g.10gb"),
    ],
)
def test_nodes_that_have_none_of_a_resource_are_not_called_full(
    asks: dict[str, Any], spec: dict[str, Any], resource: str
) -> None:
    with_it = nodes(allocatable=ROOM | {resource: 1}, requested={resource: 1})
    clusters = [{"name": "a", "nodes": [nodes(5)]}, {"name": "b", "nodes": [nodes(2), with_it]}]
    result = planned(clusters, deployment(**asks), **spec)
    assert result.explanations == {
        "a": f"5 of 5 have no {resource}; 0 fit: 0 replicas",
        "b": f"2 of 3 have no {resource}; 1 full ({resource}); 0 fit: 0 replicas",
    }
    assert [each.message for (each,) in result.refusals.values()] == [
        f"not one more replica fits: none of its nodes has {resource}",
        "not one more replica fits",
    ]
    assert result.error is not None
    assert result.error.message == "1 replica is wanted, 0 fit the 2 clusters that pass"
    alone = planned(clusters[:1], deployment(**asks), **spec).error
    assert alone is not None
    assert alone.message == (
        f"1 replica is wanted, 0 fit the cluster that passes: no node there has {resource}"
    )
