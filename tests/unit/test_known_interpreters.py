"""Interpreters in memory: what they add to what is understood, and who uses them."""

from typing import Any

from controlplane.interpreters import KINDS
from controlplane.known.interpreters import Interpreters, users
from controlplane.known.records import DocumentRecord, WorkloadRecord


def record(name: str = "widget", version: int = 1, **spec: Any) -> DocumentRecord:
    given = {"group": "example.com", "kind": "Widget", "components": [{"template": "spec.template"}]}
    return DocumentRecord(name, given | spec, version)


def workload(name: str, api_version: str, kind: str, *, deleted: bool = False) -> WorkloadRecord:
    manifests = [{"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}}]
    return WorkloadRecord(name, name, {}, {}, "", 1, 1, {"manifests": manifests}, deleted, 0, 0)


def test_what_is_declared_comes_over_what_is_known() -> None:
    held = Interpreters()
    assert held.kinds is KINDS
    held.put(record())
    assert held.kinds.keys() - KINDS.keys() == {"example.com/Widget"}
    before = held.kinds
    held.put(record(version=1, kind="Other"))
    assert held.kinds is before, "what is not newer changes nothing"
    held.put(record("ray", 2, group="ray.io", kind="RayCluster"))
    assert held.kinds["ray.io/RayCluster"] != KINDS["ray.io/RayCluster"]
    held.drop("ray")
    held.drop("widget")
    assert held.kinds is KINDS


def test_one_that_is_not_understood_any_more_keeps_no_other_out() -> None:
    held = Interpreters()
    held.replace([record("bad", components="all"), record()])
    assert held.kinds.keys() - KINDS.keys() == {"example.com/Widget"}
    assert set(held.records) == {"bad", "widget"}


def test_who_uses_one() -> None:
    workloads = [
        workload("b", "example.com/v1", "Widget"),
        workload("a", "example.com/v2beta1", "Widget"),
        workload("other", "example.org/v1", "Widget"),
        workload("gone", "example.com/v1", "Widget", deleted=True),
    ]
    assert users(workloads, "example.com/Widget") == ["a", "b"]
    held = Interpreters()
    assert not held.declares(workloads[0])
    held.put(record())
    assert [held.declares(each) for each in workloads[:3]] == [True, True, False]
