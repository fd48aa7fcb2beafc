"""Whose an alert is: from namespace, object and pod to workload, tenant and the change before it."""

from dataclasses import replace
from typing import Any

import pytest

from controlplane.alerts.alert import NOBODYS
from controlplane.known.known import Known
from controlplane.known.owning import Owners
from controlplane.known.records import (
    ClusterRecord,
    DecisionRecord,
    DocumentRecord,
    PlacementRecord,
    Standing,
    WorkloadRecord,
)
from schemas.wire.orders import Version


def cluster(name: str, **labels: str) -> ClusterRecord:
    return ClusterRecord(f"id-{name}", name, labels, (), "", "", b"", Standing.JOINED, "", 1, 1, 0.0)


def workload(name: str, tenant: str, *objects: tuple[str, str, str]) -> WorkloadRecord:
    spec: dict[str, Any] = {
        "manifests": [
            {"kind": kind, "metadata": {"name": each, "namespace": namespace}}
            for kind, namespace, each in objects
        ]
    }
    return WorkloadRecord(f"uid-{name}", name, {}, {}, tenant, 3, 7, spec, False, 0.0, 1_700_000_000.0)


def tenant(name: str, *patterns: str, **spec: Any) -> DocumentRecord:
    return DocumentRecord(name, {"namespaces": list(patterns), **spec}, 1)


@pytest.fixture
def known() -> Known:
    known = Known(loaded=True)
    known.clusters = {each.id: each for each in (cluster("eu"), cluster("us", environment="prod"))}
    known.documents["Tenant"].replace(
        [
            tenant("retail", "shop-*", owners=[{"name": "Ada", "email": "ada@example.com"}]),
            tenant("plant", "plant", receivers=["plant-oncall"]),
            tenant("lab", "shared", clusters={"clusterNames": ["eu"]}),
            tenant("school", "shared", clusters={"clusterNames": ["us"]}),
        ]
    )
    put(
        known,
        workload("web", "retail", ("Deployment", "shop-eu", "web"), ("Service", "shop-eu", "web")),
        "eu",
    )
    put(known, workload("web-api", "retail", ("Deployment", "shop-eu", "web-api")), "eu", "us")
    put(known, workload("nightly", "plant", ("CronJob", "plant", "nightly")), "us")
    return known


def put(known: Known, record: WorkloadRecord, *clusters: str) -> None:
    known.put_workload(record)
    known.placements[record.uid] = {
        f"id-{name}": PlacementRecord(record.uid, f"id-{name}", 2, 3, Version(1, 1), "") for name in clusters
    }


@pytest.mark.parametrize(
    ("labels", "of_tenant", "of_workload"),
    [
        pytest.param({"namespace": "shop-eu", "deployment": "web"}, "retail", "web", id="a deployment"),
        pytest.param({"namespace": "shop-eu", "pod": "web-5d9c7-x2x9f"}, "retail", "web", id="its pod"),
        pytest.param(
            {"namespace": "shop-eu", "pod": "web-api-5d9c7-x2x9f"},
            "retail",
            "web-api",
            id="the longer name wins",
        ),
        pytest.param(
            {"namespace": "plant", "job_name": "nightly-2890"}, "plant", "nightly", id="a job of it"
        ),
        pytest.param(
            {"namespace": "plant", "pod": "nightly-2890-abcde"}, "plant", "nightly", id="a pod of its job"
        ),
        pytest.param(
            {"namespace": "shop-eu", "pod": "other-1"}, "retail", "", id="only the namespace is known"
        ),
        pytest.param(
            {"namespace": "shop-eu", "deployment": "web-5d9c7"}, "retail", "", id="no such deployment"
        ),
        pytest.param(
            {"namespace": "shop-eu", "deployment": "web", "cluster": "us"},
            "retail",
            "",
            id="a cluster where it does not run",
        ),
        pytest.param({"namespace": "shared", "cluster": "eu"}, "lab", "", id="shared, told by the cluster"),
        pytest.param({"namespace": "shared"}, "", "", id="shared, and nobody says where"),
        pytest.param(
            {"workload": "web", "cluster": "eu", "source": "muster-agent"},
            "retail",
            "",
            id="as an agent says",
        ),
        pytest.param(
            {"workload": "web", "cluster": "us", "source": "muster-agent"}, "", "", id="where it does not run"
        ),
        pytest.param({"workload": "web", "cluster": "eu"}, "", "", id="said by a stranger, no namespace"),
        pytest.param({"tenant": "plant", "workload": "gone"}, "", "", id="a tenant that was reported"),
        pytest.param({"namespace": "kube-system"}, "", "", id="nobody's namespace"),
        pytest.param({"deployment": "web"}, "", "", id="no namespace"),
    ],
)
def test_whose_it_is(known: Known, labels: dict[str, str], of_tenant: str, of_workload: str) -> None:
    owned = Owners(known).of(labels)
    expected = {"tenant": of_tenant, "workload": of_workload}
    assert owned.labels == {name: value for name, value in expected.items() if value}


@pytest.mark.parametrize(("cluster", "of"), [("eu", ("lab-oncall",)), ("us", ())], ids=["may", "may not"])
def test_a_tenant_that_is_claimed_must_be_one_that_may_be_there(
    known: Known, cluster: str, of: tuple[str, ...]
) -> None:
    known.documents["Tenant"].put(
        DocumentRecord(
            "lab",
            {
                "namespaces": ["shared"],
                "clusters": {"clusterNames": ["eu"]},
                "receivers": ["lab-oncall"],
            },
            2,
        )
    )
    assert Owners(known).of({"tenant": "lab", "cluster": cluster}).receivers == of


def test_who_owns_it_is_no_other_by_a_label(known: Known) -> None:
    owned = Owners(known).of({"namespace": "shop-eu", "deployment": "web", "tenant": "other"})
    assert owned.labels == {"tenant": "retail", "workload": "web"}
    named = Owners(known).of({"namespace": "shop-eu", "deployment": "web", "workload": "deployment-web"})
    assert named.labels == {"tenant": "retail"}


def test_who_hears(known: Known) -> None:
    owners = Owners(known)
    assert owners.of({"tenant": "plant"}).receivers == ("plant-oncall",)
    assert owners.of({"workload": "web", "cluster": "eu", "source": "muster"}).emails == ("ada@example.com",)
    assert owners.of({"namespace": "plant"}).receivers == ("plant-oncall",)
    assert owners.of({"namespace": "shop-eu"}).emails == ("ada@example.com",)


def test_the_change_that_preceded_it(known: Known) -> None:
    known.decisions["uid-web-api"] = DecisionRecord("uid-web-api", 7, 3, True, "", "", {}, 1_700_000_002.5)
    told = Owners(known).of({"namespace": "shop-eu", "deployment": "web-api"}).annotations
    assert told == {
        "placement": "eu:2, us:2",
        "preceding_change": "revision 3 of web-api at 2023-11-14T22:13:20Z, placed at 2023-11-14T22:13:22Z",
    }


def test_what_is_written_later_counts_from_then_on(known: Known) -> None:
    owners = Owners(known)
    labels = {"namespace": "shop-eu", "deployment": "cart"}
    assert owners.of(labels).labels == {"tenant": "retail"}
    record = workload("cart", "retail", ("Deployment", "shop-eu", "cart"))
    put(known, record, "eu")
    assert owners.of(labels).labels == {"tenant": "retail", "workload": "cart"}
    known.put_workload(replace(record, deleted=True))
    assert owners.of(labels).labels == {"tenant": "retail"}
    known.forget_workload(record.uid)
    assert owners.of(labels).labels == {"tenant": "retail"}


def test_nobodys_before_anything_is_loaded() -> None:
    assert Owners(Known()).of({"namespace": "shop-eu"}) is NOBODYS
