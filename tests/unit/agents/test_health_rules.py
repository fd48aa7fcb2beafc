"""Objects of declared kinds, judged by the rules that their order carries."""

from typing import Any

import msgspec
import pytest

from agents.observe.health import judge_by, rule_for
from agents.observe.rows import ObjectRows
from agents.ports import Resource
from controlplane.interpreters import KINDS
from schemas.wire.orders import HealthCheck, HealthRule
from schemas.wire.reports import ObjectStatus


def judged(rule: HealthRule, body: dict[str, Any], *, version: str = "v1") -> ObjectStatus:
    rows = ObjectRows(Resource(rule.group, version, rule.kind.lower() + "s", rule.kind, True))
    metadata = {"name": "x", "namespace": "ns", "generation": 2}
    ref, row = rows.row(msgspec.json.encode({"metadata": metadata, **body}))
    assert rule_for(ref, [rule]) is rule
    return judge_by(rule, ref, row.found, row.status)


def declared(kind: str) -> HealthRule:
    rule = KINDS[kind].health
    assert rule is not None
    return rule


def condition(kind: str, status: str = "True", **fields: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, **fields}]}


@pytest.mark.parametrize(
    ("kind", "body", "healthy", "counts", "message"),
    [
        ("ray.io/RayCluster", {}, False, (0, 0), "not ready yet"),
        (
            "ray.io/RayCluster",
            {"status": {"state": "ready", "desiredWorkerReplicas": 2, "readyWorkerReplicas": 2}},
            True,
            (2, 2),
            "",
        ),
        (
            "ray.io/RayCluster",
            {"status": {"desiredWorkerReplicas": 2, "readyWorkerReplicas": 1}},
            False,
            (2, 1),
            "1 of 2 ready",
        ),
        ("ray.io/RayCluster", {"status": {"state": "failed"}}, False, (0, 0), "status.state is failed"),
        (
            "argoproj.io/Rollout",
            {
                "spec": {"replicas": 5},
                "status": {"phase": "Healthy", "readyReplicas": 5, "observedGeneration": "2"},
            },
            True,
            (5, 5),
            "",
        ),
        (
            "argoproj.io/Rollout",
            {"spec": {"replicas": 5}, "status": {"phase": "Healthy", "observedGeneration": "1"}},
            False,
            (5, 0),
            "what was asked for last is not acted on yet",
        ),
        (
            "argoproj.io/Rollout",
            {"spec": {"replicas": 5}, "status": {"phase": "Degraded", "message": "ProgressDeadlineExceeded"}},
            False,
            (5, 0),
            "ProgressDeadlineExceeded",
        ),
        ("kubeflow.org/PyTorchJob", {"status": condition("Running")}, True, (0, 0), ""),
        (
            "kubeflow.org/PyTorchJob",
            {"status": condition("Failed", message="worker 0 failed")},
            False,
            (0, 0),
            "worker 0 failed",
        ),
        ("serving.knative.dev/Service", {"status": condition("Ready")}, True, (0, 0), ""),
        (
            "serving.knative.dev/Service",
            {"status": condition("Ready", "False", reason="RevisionMissing")},
            False,
            (0, 0),
            "RevisionMissing",
        ),
        (
            "kubevirt.io/VirtualMachine",
            {"status": {"printableStatus": "Running", "ready": True}},
            True,
            (0, 0),
            "Running",
        ),
        (
            "kubevirt.io/VirtualMachine",
            {"status": {"printableStatus": "ErrorUnschedulable"}},
            False,
            (0, 0),
            "ErrorUnschedulable",
        ),
        (
            "batch.volcano.sh/Job",
            {"spec": {"minAvailable": 3}, "status": {"state": {"phase": "Running"}, "running": 3}},
            True,
            (3, 3),
            "",
        ),
        (
            "flink.apache.org/FlinkDeployment",
            {"status": {"jobStatus": {"state": "FAILED"}, "lifecycleState": "STABLE"}},
            False,
            (0, 0),
            "status.jobStatus.state is FAILED",
        ),
        (
            "core.openfunction.io/Function",
            {"status": {"serving": {"state": "Running"}}},
            True,
            (0, 0),
            "",
        ),
    ],
)
def test_declared_kinds(
    kind: str, body: dict[str, Any], healthy: bool, counts: tuple[int, int], message: str
) -> None:
    status = judged(declared(kind), body)
    assert (status.healthy, (status.desired, status.ready), status.message) == (healthy, counts, message)


@pytest.mark.parametrize(
    ("rule", "body", "healthy"),
    [
        ({}, {"status": condition("Ready", "False")}, False),
        ({}, {"status": {"anything": 1}}, True),
        ({"ready": "status.up", "desired": "spec.size"}, {"spec": {"size": 2}, "status": {"up": 2}}, True),
        ({"ready": "status.up", "desired": "spec.size"}, {"spec": {"size": 3}, "status": {"up": 2}}, False),
        ({"ready": "status.up", "desired": "spec.size"}, {"spec": {"size": 3}}, False),
        ({"ready": "status.up", "desired": "spec.size"}, {"spec": {"size": 3}, "status": {}}, False),
        ({"ready": "status.up", "desired": "spec.size"}, {"spec": {"size": 0}}, True),
        ({"ready": "status.up"}, {"status": {"up": "many"}}, True),
        ({"ready": "no path at all"}, {"status": {}}, True),
        ({"healthy": (HealthCheck("status.on", (True,)),)}, {"status": {"on": 1}}, False),
        ({"healthy": (HealthCheck("status.on", (True,)),)}, {"status": {"on": True}}, True),
        ({"healthy": (HealthCheck("status.on", (True,)),)}, {"status": "odd"}, False),
    ],
)
def test_rules(rule: dict[str, Any], body: dict[str, Any], healthy: bool) -> None:
    assert judged(HealthRule(group="example.com", kind="Widget", **rule), body).healthy is healthy


@pytest.mark.parametrize(
    ("enough", "ready", "healthy"), [(2, 3, True), (3, 3, True), (4, 3, False), (None, 3, False)]
)
def test_under_an_autoscaler_its_lower_bound_is_enough(enough: int | None, ready: int, healthy: bool) -> None:
    rule = HealthRule(group="apps", kind="Deployment", enough=enough)
    status = {"observedGeneration": 2, "replicas": 9, "updatedReplicas": 9, "readyReplicas": ready}
    assert judged(rule, {"spec": {"replicas": 9}, "status": status}).healthy is healthy


@pytest.mark.parametrize(
    ("body", "ready", "message"),
    [
        ({"spec": {"schedule": "* * * * *"}}, 0, "not run yet"),
        (
            {"spec": {}, "status": {"active": [{"name": "a"}], "lastScheduleTime": "2026-05-01T00:00:00Z"}},
            1,
            "last scheduled 2026-05-01T00:00:00Z",
        ),
        ({"spec": {"suspend": True}}, 0, "suspended"),
    ],
)
def test_a_cron_job(body: dict[str, Any], ready: int, message: str) -> None:
    rows = ObjectRows(Resource("batch", "v1", "cronjobs", "CronJob", True))
    _, row = rows.row(msgspec.json.encode({"metadata": {"name": "x", "namespace": "ns"}, **body}))
    assert (row.status.healthy, row.status.ready, row.status.message) == (True, ready, message)
