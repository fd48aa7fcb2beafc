"""What a workload asks below the cluster comes to, cluster by cluster: classes, networks, GPUs, devices."""

from dataclasses import replace
from typing import Any

import pytest

from controlplane.fleet.demand import Demand, Numa, Operator, Requirement, Toleration
from controlplane.interpreters import Component, NotUnderstood, pod_requests
from controlplane.interpreters.adaption import Adaption, Claim
from controlplane.placement.hardware import Resolved, resolve
from controlplane.placement.needs import Needs, needs_of
from controlplane.placement.rules import ClusterHardware, ClusterView, Refused
from schemas.manifests import WorkloadSpec
from schemas.wire.hardware import Attachment, Hardware, PodToleration, Pool, RuntimeClass

MIB = 2**20
KATA = RuntimeClass(
    name="kata",
    handler="kata-qemu",
    overhead={"cpu": 250, "memory": 320 * MIB},
    node_selector={"kata": "yes"},
    tolerations=[PodToleration("kata", "Exists")],
)
GVISOR = RuntimeClass(name="gvisor", handler="runsc")
PLAIN = RuntimeClass(name="crun", handler="crun")
SRIOV = Attachment(namespace="net", name="fast", type="sriov", resource="example.com/vf")
POOLED = Attachment(namespace="net", name="storage", type="macvlan", pool="10.1.0.0-24")
DEMAND = Demand.of({"cpu": 1000, "memory": 1024 * MIB})


def view(**report: Any) -> ClusterView:
    hardware = ClusterHardware.of(Hardware(incarnation=1, sequence=1, **report))
    return ClusterView(
        id="c", name="c", hardware=hardware, served=frozenset({"resource.k8s.io/v1/ResourceClaimTemplate"})
    )


FULL = view(
    runtime_classes=[KATA, GVISOR, PLAIN],
    attachments=[SRIOV, POOLED],
    pools=[Pool(name="10.1.0.0-24", total=250, free=3)],
    device_classes=["gpu.example.com"],
)
BARE = view()


def template(
    *, spec: dict[str, Any] | None = None, annotations: dict[str, str] | None = None, **asks: str
) -> Any:
    container = {"name": "c", "image": "i", "resources": {"requests": asks, "limits": asks}}
    return {
        "metadata": {"annotations": annotations or {}},
        "spec": {"containers": [container], **(spec or {})},
    }


def component(pod: Any) -> Component:
    path = "spec.manifests[0].spec.template.spec"
    demand = Demand.of(pod_requests(pod["spec"], path))
    return Component("", 1, demand, "", path, namespace="shop", pod=pod)


def needs(pod: Any = None, **fields: Any) -> Needs:
    stated = {"manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}], **fields}
    spec = WorkloadSpec.model_validate(stated)
    return needs_of(spec, [component(pod or template())])[0]


def resolved(asked: Needs, cluster: ClusterView = FULL, demand: Demand = DEMAND) -> Resolved:
    found = resolve(asked, demand, cluster)
    assert isinstance(found, Resolved), found
    return found


def refused(asked: Needs, cluster: ClusterView) -> str:
    found = resolve(asked, DEMAND, cluster)
    assert isinstance(found, Refused)
    return f"{found.reason.value}: {found.message}"


def test_features_become_requirements_of_nodes_in_a_fixed_order() -> None:
    asked = needs(
        features=[
            {"feature": "cpu.cpuid", "matchExpressions": {"B": {"op": "Exists"}, "A": {"op": "Exists"}}},
            {"feature": "kernel.version", "matchExpressions": {"major": {"op": "Gt", "value": ["5"]}}},
        ]
    )
    assert resolved(asked).demand.traits == (
        Requirement("feature:cpu.cpuid.A", Operator.EXISTS),
        Requirement("feature:cpu.cpuid.B", Operator.EXISTS),
        Requirement("feature:kernel.version.major", Operator.GT, ("5",)),
    )
    assert resolved(asked).adaption == Adaption(), "how a cluster spells a feature is asked of the fleet"


@pytest.mark.parametrize(
    ("isolation", "chosen", "handler"),
    [("kata", "kata", "kata-qemu"), ("sandboxed", "gvisor", "runsc"), ("crun", "crun", "crun")],
)
def test_a_runtime_class_is_put_in_where_its_handler_runs(isolation: str, chosen: str, handler: str) -> None:
    found = resolved(needs(isolation=isolation))
    assert found.adaption.runtime_class == chosen
    assert Requirement(f"handler:{handler}", Operator.EXISTS) in found.demand.traits


def test_a_runtime_class_brings_its_overhead_nodes_and_tolerations() -> None:
    demand = resolved(needs(isolation="kata")).demand
    assert dict(demand.requests) == {"cpu": 1250, "memory": (1024 + 320) * MIB, "pods": 1}
    assert demand.node_selector == (("kata", "yes"),)
    assert demand.tolerations == (Toleration("kata", "Exists"),)


def test_a_runtime_class_of_the_template_is_counted_and_left_as_it_is() -> None:
    found = resolved(needs(template(spec={"runtimeClassName": "kata"})))
    assert dict(found.demand.requests)["cpu"] == 1250
    assert found.adaption == Adaption()


def test_an_overhead_of_nothing_asks_for_nothing() -> None:
    kata = RuntimeClass(name="kata", handler="kata", overhead={"example.com/none": 0, "cpu": 0})
    assert resolved(needs(isolation="kata"), view(runtime_classes=[kata])).demand.requests == DEMAND.requests


def test_overhead_that_the_template_states_is_not_counted_twice() -> None:
    spec = {"runtimeClassName": "kata", "overhead": {"cpu": "250m", "memory": "320Mi"}}
    assert dict(resolved(needs(template(spec=spec))).demand.requests)["cpu"] == 1000


def test_overhead_belongs_to_the_pod_and_to_no_container() -> None:
    demand = Demand.of({"cpu": 2000})
    zoned = Demand(demand.requests, numa=Numa(running=((("cpu", 2000),),), pod=(("cpu", 2000),)))
    numa = resolved(needs(isolation="kata"), demand=zoned).demand.numa
    assert numa is not None
    assert numa.running == ((("cpu", 2000),),)
    assert dict(numa.pod)["cpu"] == 2250


def test_an_attachment_is_put_in_with_what_its_interface_takes() -> None:
    asked = needs(networks=[{"attachment": "net/fast", "interface": "net1"}, {"pool": "10.1.0.0-24"}])
    found = resolved(asked)
    assert found.adaption.networks == ("net/fast@net1", "net/storage")
    assert found.adaption.requests == (("example.com/vf", 1),)
    assert dict(found.demand.requests)["example.com/vf"] == 1
    assert found.demand.pools == (("net/storage", 1),)


def test_an_attachment_without_a_namespace_is_one_of_the_objects_own() -> None:
    assert needs(networks=[{"attachment": "fast"}]).networks[0].attachment == "shop/fast"


@pytest.mark.parametrize(
    "annotation",
    [
        "net/storage@eth1, net/storage",
        '[{"name": "storage", "namespace": "net"}, {"name": "storage", "namespace": "net"}]',
    ],
)
def test_attachments_that_the_template_names_are_counted_and_not_put_in_again(annotation: str) -> None:
    pod = template(annotations={"k8s.v1.cni.cncf.io/networks": annotation})
    found = resolved(needs(pod))
    assert found.demand.pools == (("net/storage", 2),)
    assert found.adaption == Adaption()


def test_a_resource_that_the_template_asks_for_itself_is_not_added() -> None:
    pod = template(**{"example.com/vf": "1"})
    assert resolved(needs(pod, networks=[{"attachment": "net/fast"}])).adaption.requests == ()


def test_an_attachment_among_the_workloads_own_objects_need_not_be_there_before() -> None:
    own = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "mine", "namespace": "shop"},
    }
    asked = needs(manifests=[own], networks=[{"attachment": "mine"}])
    assert resolved(asked, BARE).adaption.networks == ("shop/mine",)


def test_gpus_are_chosen_by_the_labels_of_gpu_feature_discovery() -> None:
    gpus = {"count": 2, "product": "NVIDIA-A100", "memory": "40Gi", "sharing": "Exclusive"}
    found = resolved(needs(gpus=gpus))
    wanted = (
        Requirement("nvidia.com/gpu.product", Operator.IN, ("NVIDIA-A100",)),
        Requirement("nvidia.com/gpu.memory", Operator.GT, ("40959",)),
        Requirement("nvidia.com/gpu.sharing-strategy", Operator.NOT_IN, ("mps", "time-slicing")),
    )
    assert found.demand.traits == wanted
    assert found.adaption == Adaption(requests=(("nvidia.com/gpu", 2),), node_terms=(wanted,))
    assert dict(found.demand.requests)["nvidia.com/gpu"] == 2


@pytest.mark.parametrize(
    ("sharing", "products"),
    [(None, ("T4", "T4-SHARED")), ("Exclusive", ("T4",)), ("Shared", ("T4-SHARED",))],
)
def test_a_product_that_is_shared_in_time_goes_by_another_name(
    sharing: str | None, products: tuple[str, ...]
) -> None:
    gpus: dict[str, Any] = {"count": 1, "product": ["T4"]} | ({"sharing": sharing} if sharing else {})
    assert needs(gpus=gpus).traits[0].values == products


def test_a_mig_profile_is_a_resource_of_its_own() -> None:
    assert needs(gpus={"count": 1, "mig": "1g.5gb+me"}).requests == (("nvidia.com/mig-1g.5gb.me", 1),)


def test_devices_are_claimed_where_their_class_is() -> None:
    found = resolved(needs(gpus={"deviceClass": "gpu.example.com", "count": 4}))
    assert found.adaption.claim == Claim("resource.k8s.io/v1", "gpu.example.com", 4)
    assert dict(found.demand.requests)["deviceclass.resource.kubernetes.io/gpu.example.com"] == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"isolation": "kata"}, "RuntimeClassMissing: has no runtime class kata"),
        (
            {"isolation": "sandboxed"},
            "RuntimeClassMissing: has no runtime class whose handler is a sandbox "
            "(kata, runsc, gvisor, firecracker, urunc, quark)",
        ),
        ({"networks": [{"attachment": "net/fast"}]}, "NetworkMissing: has no attachment net/fast"),
        ({"networks": [{"pool": "10.1.0.0-24"}]}, "NetworkMissing: has no pool 10.1.0.0-24"),
        (
            {"gpus": {"deviceClass": "gpu.example.com"}},
            "DeviceClassMissing: has no device class gpu.example.com",
        ),
    ],
)
def test_a_cluster_without_it_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    assert refused(needs(**fields), BARE) == message


def test_a_cluster_that_serves_no_claim_templates_is_refused_by_name() -> None:
    cluster = ClusterView("c", "c", hardware=FULL.hardware, served=frozenset())
    asked = needs(gpus={"deviceClass": "gpu.example.com"})
    assert refused(asked, cluster) == "ApiNotServed: does not serve resource.k8s.io/v1/ResourceClaimTemplate"


def test_where_hardware_is_not_known_nothing_is_refused_for_it() -> None:
    asked = needs(isolation="kata", networks=[{"attachment": "net/fast"}], gpus={"deviceClass": "x"})
    assert resolved(asked, ClusterView("c", "c")) == Resolved(DEMAND, Adaption())


def test_single_numa_is_wanted_of_the_kubelet() -> None:
    numa = resolved(needs(topology={"singleNUMA": True})).demand.numa
    assert numa == Numa(wanted=True)


@pytest.mark.parametrize(
    ("fields", "pod", "message"),
    [
        (
            {"isolation": "kata"},
            template(spec={"runtimeClassName": "gvisor"}),
            "spec.template.spec.runtimeClassName is gvisor: leave one out",
        ),
        (
            {"gpus": {"count": 1}},
            template(**{"nvidia.com/gpu": "1"}),
            "spec.gpus.count: the pod template asks for nvidia.com/gpu itself: leave one out",
        ),
        (
            {"gpus": {"product": "T4"}},
            template(),
            "spec.gpus.count: how many? The pod template does not ask for nvidia.com/gpu",
        ),
        (
            {},
            template(annotations={"k8s.v1.cni.cncf.io/networks": "[{]"}),
            "k8s.v1.cni.cncf.io/networks: no list of objects with name",
        ),
    ],
)
def test_what_contradicts_itself_is_named(fields: dict[str, Any], pod: Any, message: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        needs(pod, **fields)
    assert message in str(caught.value)


def test_without_pods_there_is_nothing_to_ask_of_nodes() -> None:
    spec = WorkloadSpec.model_validate(
        {
            "manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}],
            "isolation": "kata",
        }
    )
    with pytest.raises(NotUnderstood, match=r"spec\.isolation: no object in spec\.manifests has pods"):
        needs_of(spec, [])


def test_what_has_no_pod_template_states_its_needs_itself() -> None:
    spec = WorkloadSpec.model_validate(
        {
            "manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}],
            "isolation": "kata",
        }
    )
    machine = replace(component(template()), adaptable=False)
    with pytest.raises(NotUnderstood, match=r"spec\.isolation: .* is no pod spec"):
        needs_of(spec, [machine])


def test_of_several_templates_each_states_its_own_gpus() -> None:
    spec = WorkloadSpec.model_validate(
        {
            "manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}],
            "gpus": {"count": 1},
        }
    )
    with pytest.raises(NotUnderstood, match=r"spec\.gpus: the workload has 2 pod templates"):
        needs_of(spec, [component(template()), component(template())])
