"""Below the nodes of a simulated cluster: it refuses what a real one does, and says what a real one says."""

from collections.abc import Generator
from typing import Any

import msgspec
import pytest

from agents.ports import NotServed
from agents.simulated import SimulatedCluster
from agents.simulation import catalogue
from agents.simulation.kubelets import Pace
from agents.simulation.networks import NETWORKS
from schemas.wire.orders import ObjectRef

POOL = ObjectRef("whereabouts.cni.cncf.io/v1alpha1", "IPPool", "kube-system", "10.56.217.0-27")
GUARANTEED = {"cpu": "40", "memory": "8Gi"}


@pytest.fixture
def datacentre() -> Generator[SimulatedCluster]:
    cluster = SimulatedCluster(make="datacentre", pace=Pace(ready_seconds=1.0, termination_seconds=1.0))
    yield cluster
    cluster.close()


def deployment(
    replicas: int,
    requests: dict[str, str] | None = None,
    *,
    limits: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    name: str = "web",
    **spec: Any,
) -> dict[str, Any]:
    resources = {"requests": requests or {"cpu": "100m"}, "limits": limits or {}}
    template = {
        "metadata": {"labels": {"app": name}, "annotations": annotations or {}},
        "spec": {"containers": [{"name": "main", "image": "web:1", "resources": resources}], **spec},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def run(cluster: SimulatedCluster, seconds: int = 8, *, start: float = 1000.0) -> None:
    for second in range(seconds):
        cluster.tick(start + second)


def pods(cluster: SimulatedCluster, name: str = "web") -> list[dict[str, Any]]:
    found = [each for each in cluster.objects("Pod") if each["metadata"]["namespace"] == "default"]
    return [each for each in found if each["metadata"].get("labels", {}).get("app") == name]


def is_ready(pod: dict[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"]["conditions"])


def messages(cluster: SimulatedCluster) -> set[str]:
    conditions = [each for pod in pods(cluster) for each in pod["status"].get("conditions", ())]
    return {each["message"] for each in conditions if each.get("message")}


@pytest.mark.parametrize(
    ("make", "classes", "features", "topologies", "attachments"),
    [
        ("datacentre", ["kata"], 12, 12, 2),
        ("cloud", ["gvisor"], None, None, None),
        ("edge", [], None, None, None),
    ],
)
def test_each_make_serves_what_it_has(
    make: str, classes: list[str], features: int | None, topologies: int | None, attachments: int | None
) -> None:
    cluster = SimulatedCluster(make=make)
    assert [each["metadata"]["name"] for each in cluster.objects("RuntimeClass")] == classes
    for kind, count in (
        ("NodeFeature", features),
        ("NodeResourceTopology", topologies),
        ("NetworkAttachmentDefinition", attachments),
    ):
        served = [each for each in cluster._resources.values() if each.kind == kind]  # pyright: ignore[reportPrivateUsage]
        assert bool(served) == (count is not None)
        if served:
            assert len(cluster.objects(kind)) == count
    cluster.close()


async def test_what_is_not_served_is_not_there() -> None:
    cluster = SimulatedCluster(make="edge")
    with pytest.raises(NotServed):
        async for _ in cluster.list(catalogue.NODE_FEATURES):
            pass
    cluster.close()


def test_a_sandboxed_pod_gets_overhead_and_goes_where_its_class_says(datacentre: SimulatedCluster) -> None:
    datacentre.put_as("people", deployment(6, runtimeClassName="kata"))
    run(datacentre)
    found = pods(datacentre)
    assert len(found) == 6
    assert all(is_ready(each) for each in found)
    assert all(each["spec"]["overhead"] == {"cpu": "250m", "memory": "320Mi"} for each in found)
    assert {each["spec"]["nodeName"] for each in found} <= {"amx-001", "amx-002", "amx-003", "amx-004"}


def test_a_class_that_is_not_there_lets_no_pod_be_made_until_it_is(datacentre: SimulatedCluster) -> None:
    datacentre.put_as("people", deployment(2, runtimeClassName="gvisor"))
    run(datacentre)
    assert pods(datacentre) == []
    status = datacentre.objects("Deployment")[0]["status"]
    assert [(each["type"], each["reason"]) for each in status["conditions"]] == [
        ("ReplicaFailure", "FailedCreate")
    ]
    assert 'RuntimeClass "gvisor" not found' in status["conditions"][0]["message"]
    datacentre.put_as(
        "people",
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": "gvisor"},
            "handler": "runc",
        },
    )
    run(datacentre, start=1010.0)
    assert [is_ready(each) for each in pods(datacentre)] == [True, True]
    assert "conditions" not in datacentre.objects("Deployment")[0]["status"]


def test_a_handler_that_the_node_does_not_run_holds_the_pod_up(datacentre: SimulatedCluster) -> None:
    body = {"metadata": {"name": "odd"}, "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass"}
    datacentre.put_as("people", body | {"handler": "firecracker"})
    datacentre.put_as("people", deployment(1, runtimeClassName="odd"))
    run(datacentre)
    assert messages(datacentre) == {"FailedCreatePodSandBox: no runtime for 'firecracker' is configured"}
    assert [each["status"]["phase"] for each in pods(datacentre)] == ["Pending"]


def available(cluster: SimulatedCluster, node: str, resource: str = "cpu") -> list[str]:
    topology = next(
        each for each in cluster.objects("NodeResourceTopology") if each["metadata"]["name"] == node
    )
    return [
        each["available"]
        for zone in topology["zones"]
        for each in zone["resources"]
        if each["name"] == resource
    ]


def test_pinned_pods_fill_zones_and_what_fits_none_fails(datacentre: SimulatedCluster) -> None:
    """Two of 40 fill the zones of 63; the third fits the node's sum and no zone of it."""
    on_one = {"nodeSelector": {"kubernetes.io/hostname": "amx-001"}}
    datacentre.put_as("people", deployment(2, GUARANTEED, limits=GUARANTEED, **on_one))
    run(datacentre)
    assert [is_ready(each) for each in pods(datacentre)] == [True, True]
    assert available(datacentre, "amx-001") == ["23", "23"]
    datacentre.put_as("people", deployment(3, GUARANTEED, limits=GUARANTEED, **on_one))
    datacentre.tick(1010.0)
    failed = [each for each in pods(datacentre) if each["status"]["phase"] == "Failed"]
    assert [each["status"]["reason"] for each in failed] == ["TopologyAffinityError"]
    datacentre.put_as("people", deployment(0, GUARANTEED, limits=GUARANTEED, **on_one))
    run(datacentre, start=1020.0)
    assert available(datacentre, "amx-001") == ["63", "63"], "what is gone gives its zone back"


@pytest.mark.parametrize(
    ("requests", "limits", "node", "left"),
    [
        pytest.param({"cpu": "100"}, {}, "amx-001", ["63", "63"], id="burstable-is-not-pinned"),
        pytest.param(
            {"cpu": "70500m", "memory": "1Gi"},
            {"cpu": "70500m", "memory": "1Gi"},
            "amx-001",
            ["63", "63"],
            id="a-fraction-of-a-cpu-is-not-pinned",
        ),
        pytest.param(
            {"cpu": "100", "memory": "1Gi"},
            {"cpu": "100", "memory": "1Gi"},
            "amx-008",
            ["0", "26"],
            id="best-effort-spreads",
        ),
    ],
)
def test_only_a_kubelet_that_has_to_refuses(
    datacentre: SimulatedCluster, requests: dict[str, str], limits: dict[str, str], node: str, left: list[str]
) -> None:
    chosen = {"kubernetes.io/hostname": node}
    datacentre.put_as("people", deployment(1, requests, limits=limits, nodeSelector=chosen))
    run(datacentre)
    assert [is_ready(each) for each in pods(datacentre)] == [True]
    assert available(datacentre, node) == left


def allocations(cluster: SimulatedCluster) -> dict[str, Any]:
    found = cluster.look(POOL)
    assert found is not None
    return found["spec"]["allocations"]


@pytest.mark.parametrize(
    "networks", ["sriov-data", "default/sriov-data@eth7", '[{"name": "sriov-data", "interface": "eth7"}]']
)
def test_addresses_are_given_until_none_is_left_and_come_back(
    datacentre: SimulatedCluster, networks: str
) -> None:
    """/27 less its network and broadcast, less the lower /28 that is left out, less nine of others': six."""
    vf = {"intel.com/sriov_data": "1"}
    wanted = deployment(8, vf, limits=vf, annotations={NETWORKS: networks})
    datacentre.put_as("people", wanted)
    assert len(allocations(datacentre)) == 9
    run(datacentre)
    held = [each for each in allocations(datacentre).values() if each["podref"].startswith("default/web-")]
    assert len(held) == 6
    assert sorted(map(int, allocations(datacentre))) == list(range(16, 31))
    assert sorted(is_ready(each) for each in pods(datacentre)) == [False] * 2 + [True] * 6
    assert messages(datacentre) == {"FailedCreatePodSandBox: Could not allocate IP in range: 10.56.217.0/27"}
    wanted["spec"]["replicas"] = 2
    datacentre.put_as("people", wanted)
    run(datacentre, start=1010.0)
    assert len(allocations(datacentre)) == 11


def test_an_attachment_that_is_not_there_holds_the_pod_up(datacentre: SimulatedCluster) -> None:
    datacentre.put_as("people", deployment(1, annotations={NETWORKS: "legacy/missing"}))
    run(datacentre)
    assert messages(datacentre) == {
        "FailedCreatePodSandBox: cannot find a network-attachment-definition (missing) in namespace (legacy)"
    }


def test_a_pool_begins_with_its_first_address(datacentre: SimulatedCluster) -> None:
    config = {"type": "macvlan", "ipam": {"type": "whereabouts", "range": "10.9.0.0/29"}}
    datacentre.put_as(
        "people",
        {
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": "lan", "namespace": "default"},
            "spec": {"config": msgspec.json.encode(config).decode()},
        },
    )
    datacentre.put_as("people", deployment(1, annotations={NETWORKS: "lan, lan"}))
    run(datacentre)
    pool = datacentre.look(ObjectRef(POOL.api_version, POOL.kind, POOL.namespace, "10.9.0.0-29"))
    assert pool is not None
    given = pool["spec"]["allocations"]
    assert {offset: each["ifname"] for offset, each in given.items()} == {"1": "net1", "2": "net2"}
