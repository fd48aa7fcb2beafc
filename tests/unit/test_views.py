"""Workloads compiled with what is known of tenants: whose namespaces they use is asked at placing."""

from typing import Any

import pytest

from controlplane.known.compiling import Compiler
from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord, WorkloadRecord

SPEC: dict[str, Any] = {
    "manifests": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop-eu"}}
    ]
}


def tenant(name: str, *patterns: str) -> DocumentRecord:
    return DocumentRecord(name, {"namespaces": list(patterns)}, 1)


def workload(tenant: str) -> WorkloadRecord:
    return WorkloadRecord("uid", "web", {}, {}, tenant, 1, 1, SPEC, False, 0.0, 0.0)


@pytest.mark.parametrize(
    ("of", "others", "claimants"),
    [
        ("retail", [], []),
        ("retail", [tenant("plant", "plant-*")], []),
        ("retail", [tenant("plant", "plant-*", "*-eu")], ["plant"]),
        ("retail", [tenant("b", "shop-eu"), tenant("a", "*")], ["a", "b"]),
        ("", [tenant("plant", "*")], []),
    ],
    ids=["alone", "apart", "overlapping", "two, by name", "the operator's own"],
)
def test_other_tenants_that_claim_its_namespace(
    of: str, others: list[DocumentRecord], claimants: list[str]
) -> None:
    known = Known()
    known.documents["Tenant"].replace([tenant("retail", "shop-*"), *others])
    compiled = Compiler(known).compiled(workload(of))
    assert [rule.name for rule in compiled.request.claimants] == claimants


def test_a_tenant_that_comes_or_goes_counts_from_then_on() -> None:
    known = Known()
    known.documents["Tenant"].replace([tenant("retail", "shop-*")])
    compiler, record = Compiler(known), workload("retail")
    assert compiler.compiled(record).request.claimants == ()
    known.documents["Tenant"].put(tenant("plant", "shop-eu"))
    assert [rule.name for rule in compiler.compiled(record).request.claimants] == ["plant"]
    known.documents["Tenant"].drop("plant")
    assert compiler.compiled(record).request.claimants == ()
