"""What a placement is charged, cluster by cluster."""

import pytest

from controlplane.fleet import Demand, Fleet
from controlplane.interpreters import interpret
from controlplane.interpreters.adaption import Adaption
from controlplane.known.charging import beyond, charge_in, requests_of
from controlplane.known.flavors import Assignment
from controlplane.placement import ClusterView
from controlplane.placement.hardware import Resolved
from controlplane.placement.rules import ClusterHardware
from controlplane.quota.quota import Group, TenantQuota
from schemas.wire.hardware import Attachment

POD = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]}
WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"replicas": 4, "template": {"spec": POD}},
}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "shop"}}
NIC = Attachment(namespace="shop", name="fast", pool="sriov-a")
VIEW = ClusterView("id", "north", hardware=ClusterHardware(attachments={"shop/fast": NIC}))


def quota(*resources: str) -> TenantQuota:
    return TenantQuota("shop", groups=(Group(frozenset(resources), ("default",)),))


def with_address(demand: Demand) -> Demand:
    return Demand(demand.requests, pools=(("shop/fast", 1),))


@pytest.mark.parametrize(
    ("covered", "asked"),
    [
        (("cpu",), {"cpu": 500}),
        (("cpu", "pods"), {"cpu": 500, "pods": 1}),
        (("cpu", "addresses/sriov-a"), {"cpu": 500, "addresses/sriov-a": 1}),
        (("cpu", "addresses/another"), {"cpu": 500}),
    ],
)
def test_what_muster_counts_itself_is_counted_where_a_quota_names_it(
    covered: tuple[str, ...], asked: dict[str, int]
) -> None:
    demand = with_address(Demand.of({"cpu": 500}))
    assert requests_of(quota(*covered), demand, VIEW) == asked


def test_a_cluster_is_charged_for_its_replicas_and_for_its_objects_once() -> None:
    interpretation = interpret([WEB, CONFIG])
    chosen = dict.fromkeys(("cpu", "objects", "addresses/sriov-a"), "default")
    demand = with_address(interpretation.components[0].demand)
    charged = charge_in(
        quota(*chosen),
        Assignment({"": chosen}, {}),
        interpretation,
        (Resolved(demand, Adaption()),),
        3,
        VIEW,
        Fleet(),
    )
    assert charged == {
        ("default", "cpu"): 1500,
        ("default", "addresses/sriov-a"): 3,
        ("default", "objects"): 2,
    }


def test_only_what_is_not_charged_yet_is_charged() -> None:
    asked, charged = {("f", "cpu"): 5, ("f", "memory"): 2}, {("f", "cpu"): 3, ("g", "cpu"): 9}
    assert beyond(asked, charged) == {("f", "cpu"): 2, ("f", "memory"): 2}
