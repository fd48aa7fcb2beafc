"""What a cluster needs changed in a pod template is put in beside what the template says itself."""

from typing import Any

import pytest

from controlplane.fleet.demand import Operator, Requirement
from controlplane.interpreters.adaption import Adaption, Claim, adapt, claim_template

A = Requirement("a", Operator.EXISTS)
B = Requirement("b", Operator.IN, ("1", "2"))
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def adapted(adaption: Adaption, **spec: Any) -> dict[str, Any]:
    template: dict[str, Any] = {"spec": {"containers": [{"name": "c"}, {"name": "d"}], **spec}}
    adapt(template, adaption, "shop")
    return template


def test_nothing_to_change_changes_nothing() -> None:
    assert adapted(Adaption()) == {"spec": {"containers": [{"name": "c"}, {"name": "d"}]}}


def test_the_runtime_class_is_set() -> None:
    assert adapted(Adaption(runtime_class="kata"))["spec"]["runtimeClassName"] == "kata"


@pytest.mark.parametrize(("stated", "joined"), [("", "n/b@net1"), ("n/a", "n/a,n/b@net1")])
def test_networks_join_those_that_are_stated(stated: str, joined: str) -> None:
    template: dict[str, Any] = {
        "metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": stated, "other": "kept"}},
        "spec": {"containers": [{}]},
    }
    adapt(template, Adaption(networks=("n/b@net1",)), "shop")
    assert template["metadata"]["annotations"] == {
        "k8s.v1.cni.cncf.io/networks": joined,
        "other": "kept",
    }


def test_the_first_container_asks_for_what_is_added_as_request_and_limit() -> None:
    containers = adapted(Adaption(requests=(("nvidia.com/gpu", 2),)))["spec"]["containers"]
    assert containers[0]["resources"] == {
        "limits": {"nvidia.com/gpu": "2"},
        "requests": {"nvidia.com/gpu": "2"},
    }
    assert "resources" not in containers[1]


def test_each_term_is_joined_with_each_alternative() -> None:
    stated = {
        "nodeAffinity": {
            REQUIRED: {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "x", "operator": "Exists"}]},
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]},
                ]
            }
        },
        "podAntiAffinity": {"kept": True},
    }
    spec = adapted(Adaption(node_terms=((A,), (B,))), affinity=stated)["spec"]
    a, b = {"key": "a", "operator": "Exists"}, {"key": "b", "operator": "In", "values": ["1", "2"]}
    x = {"key": "x", "operator": "Exists"}
    fields = [{"key": "metadata.name", "operator": "In", "values": ["n"]}]
    assert spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"] == [
        {"matchExpressions": [x, a]},
        {"matchExpressions": [x, b]},
        {"matchExpressions": [a], "matchFields": fields},
        {"matchExpressions": [b], "matchFields": fields},
    ]
    assert spec["affinity"]["podAntiAffinity"] == {"kept": True}


def test_without_terms_each_alternative_is_one() -> None:
    spec = adapted(Adaption(node_terms=((A,),)))["spec"]
    assert spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"] == [
        {"matchExpressions": [{"key": "a", "operator": "Exists"}]}
    ]


def test_devices_are_claimed_by_a_template_beside_the_object() -> None:
    claim = Claim("resource.k8s.io/v1", "gpu.example.com", 2)
    spec = adapted(Adaption(claim=claim))["spec"]
    made = claim_template(claim, "shop", "web")
    assert spec["resourceClaims"] == [
        {"name": "muster-devices", "resourceClaimTemplateName": made["metadata"]["name"]}
    ]
    assert spec["containers"][0]["resources"] == {"claims": [{"name": "muster-devices"}]}
    assert made["metadata"] == {"name": "shop-muster-devices", "namespace": "web"}
    assert made["spec"]["spec"]["devices"]["requests"] == [
        {"name": "devices", "exactly": {"deviceClassName": "gpu.example.com", "count": 2}}
    ]
