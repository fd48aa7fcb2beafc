"""Kinds by declaration: what an Interpreter says, compiled; and the ones that Muster brings along.

The table is written as the manifests are (docs/operations/kinds.md), so that either can be copied from the
other. Sources: the API types and CRDs of each project, as of the versions named beside it.
"""

from collections.abc import Mapping
from typing import Any

from controlplane.interpreters.kinds import Amount, Count, Kind, Kinds, Part
from schemas.manifests.interpreter import (
    HealthCheck,
    InterpreterComponent,
    InterpreterHealth,
    InterpreterSpec,
    ReplicaCount,
)
from schemas.paths import Path, parse_path, parse_product
from schemas.wire import orders


def compiled_kind(spec: InterpreterSpec) -> tuple[str, Kind]:
    """(`group/Kind`, what is understood of it)"""
    parts = tuple(_part(each) for each in spec.components)
    only = parts[0]
    return f"{spec.group}/{spec.kind}", Kind(
        parts=parts,
        scaled=(*only.at, *only.count.alternatives[0][0][1]) if spec.divisible else None,
        minimum=_optional(spec.minimum),
        stopped=tuple((parse_path(each.path), tuple(each.in_)) for each in spec.stopped_when),
        refused=tuple((parse_path(each.path), each.message) for each in spec.refuse),
        selector=_optional(spec.selector),
        as_text=True,
        health=None if spec.health is None else _health(spec.group, spec.kind, spec.health),
    )


def _part(component: InterpreterComponent) -> Part:
    return Part(
        name=component.name,
        names=_optional(component.name_from),
        at=parse_path(component.at),
        count=_count(component.replicas),
        template=_optional(component.template),
        pods=tuple(map(parse_path, component.pod_spec)),
        labels=parse_path(component.labels or ""),
        amounts=tuple(
            Amount(
                resource,
                tuple(map(parse_product, amount.from_)),
                amount.default,
            )
            for resource, amount in component.requests.items()
        ),
        devices=tuple(map(parse_path, component.devices)),
        binary=component.binary_units,
    )


def _count(replicas: ReplicaCount | str | int) -> Count:
    if isinstance(replicas, int):
        return Count(default=replicas)
    if isinstance(replicas, str):
        return Count((parse_product(replicas),))
    return Count(tuple(map(parse_product, replicas.from_)), replicas.default)


def _health(group: str, kind: str, health: InterpreterHealth) -> orders.HealthRule:
    return orders.HealthRule(
        group=group,
        kind=kind,
        healthy=tuple(map(_check, health.healthy_when)),
        failed=tuple(map(_check, health.failed_when)),
        desired=health.desired or "",
        ready=health.ready or "",
        updated=health.updated or "",
        message=health.message or "",
    )


def _check(check: HealthCheck) -> orders.HealthCheck:
    return orders.HealthCheck(check.path or "", tuple(check.in_), check.condition or "", check.status)


def _optional(path: str | None) -> Path | None:
    return None if path is None else parse_path(path)


_VM_CPU = "spec.template.spec.domain.cpu"
_SLOTS = 'spec.flinkConfiguration["taskmanager.numberOfTaskSlots"]'
_KNATIVE_SCALE = 'spec.template.metadata.annotations["autoscaling.knative.dev/{}-scale"]'

TABLE: tuple[Mapping[str, Any], ...] = (
    # KubeVirt v1.4, core/v1. A vCPU is counted as a CPU: how far a cluster overcommits is its own affair.
    {
        "group": "kubevirt.io",
        "kind": "VirtualMachine",
        "components": [
            {
                "template": "spec.template",
                "requests": {
                    "cpu": {
                        "from": [
                            "spec.template.spec.domain.resources.requests.cpu",
                            "spec.template.spec.domain.resources.limits.cpu",
                            f"{_VM_CPU}.cores * {_VM_CPU}.sockets * {_VM_CPU}.threads",
                            f"{_VM_CPU}.sockets * {_VM_CPU}.threads",
                            f"{_VM_CPU}.threads",
                        ],
                        "default": 1,
                    },
                    "memory": {
                        "from": [
                            "spec.template.spec.domain.resources.requests.memory",
                            "spec.template.spec.domain.resources.limits.memory",
                            "spec.template.spec.domain.memory.guest",
                        ]
                    },
                },
                "devices": [
                    "spec.template.spec.domain.devices.gpus[*].deviceName",
                    "spec.template.spec.domain.devices.hostDevices[*].deviceName",
                ],
            }
        ],
        "stoppedWhen": [
            {"path": "spec.running", "in": [False]},
            {"path": "spec.runStrategy", "in": ["Halted"]},
        ],
        "refuse": [
            {
                "path": "spec.instancetype",
                "message": "what it stands for is known only in its cluster: state spec.template.spec.domain",
            }
        ],
        "health": {
            "healthyWhen": [
                {"path": "status.ready", "in": [True]},
                {"path": "status.printableStatus", "in": ["Running", "Migrating", "Stopped", "Paused"]},
            ],
            "message": "status.printableStatus",
        },
    },
    # Knative Serving v1. Its own autoscaler works under max-scale; 0 and none mean no bound.
    {
        "group": "serving.knative.dev",
        "kind": "Service",
        "divisible": True,
        "components": [{"replicas": _KNATIVE_SCALE.format("max"), "template": "spec.template"}],
        "minimum": _KNATIVE_SCALE.format("min"),
        "health": {
            "healthyWhen": [{"condition": "Ready"}],
            "failedWhen": [{"condition": "Ready", "status": "False"}],
        },
    },
    # OpenFunction core/v1beta1 and v1beta2. Without `serving` it is only built, and has no pods.
    {
        "group": "core.openfunction.io",
        "kind": "Function",
        "divisible": True,
        "components": [
            {
                "at": "spec.serving",
                "replicas": "scaleOptions.maxReplicas",
                "podSpec": ["template"],
                "labels": "labels",
            }
        ],
        "minimum": "spec.serving.scaleOptions.minReplicas",
        "health": {
            "healthyWhen": [
                {"path": "status.serving.state", "in": ["Running"]},
                {"path": "status.build.state", "in": ["Succeeded", "Skipped"]},
            ],
            "failedWhen": [
                {"path": "status.serving.state", "in": ["Failed", "Timeout", "UnknownRuntime"]},
                {"path": "status.build.state", "in": ["Failed", "Timeout", "Canceled"]},
            ],
            "message": "status.serving.message",
        },
    },
    # Argo Rollouts v1alpha1. A paused canary serves; `phase` says the same as `kubectl argo rollouts`.
    {
        "group": "argoproj.io",
        "kind": "Rollout",
        "divisible": True,
        "components": [{"replicas": "spec.replicas", "template": "spec.template"}],
        "selector": "spec.selector",
        "refuse": [
            {
                "path": "spec.workloadRef",
                "message": "its pods stand in another object: state selector and template in the Rollout",
            }
        ],
        "health": {
            "healthyWhen": [{"path": "status.phase", "in": ["Healthy", "Paused"]}],
            "failedWhen": [{"path": "status.phase", "in": ["Degraded"]}],
            "desired": "spec.replicas",
            "ready": "status.readyReplicas",
            "updated": "status.updatedReplicas",
            "message": "status.message",
        },
    },
    # Kubeflow Training Operator v1. Names are the replica types: Master, Worker.
    {
        "group": "kubeflow.org",
        "kind": "PyTorchJob",
        "components": [{"at": "spec.pytorchReplicaSpecs[*]", "replicas": "replicas", "template": "template"}],
        "stoppedWhen": [{"path": "spec.runPolicy.suspend", "in": [True]}],
        "health": {
            "healthyWhen": [
                {"condition": "Running"},
                {"condition": "Succeeded"},
                {"condition": "Suspended"},
            ],
            "failedWhen": [{"condition": "Failed"}],
        },
    },
    # KubeRay v1.3, ray.io/v1. numOfHosts pods make one replica of a worker group.
    {
        "group": "ray.io",
        "kind": "RayCluster",
        "components": [
            {"name": "head", "at": "spec.headGroupSpec", "template": "template"},
            {
                "nameFrom": "groupName",
                "at": "spec.workerGroupSpecs[*]",
                "replicas": {"from": ["replicas * numOfHosts", "minReplicas * numOfHosts"], "default": 0},
                "template": "template",
            },
        ],
        "stoppedWhen": [{"path": "spec.suspend", "in": [True]}],
        "health": {
            "healthyWhen": [
                {"path": "status.state", "in": ["ready", "suspended"]},
                {"condition": "RayClusterProvisioned"},
            ],
            "failedWhen": [
                {"path": "status.state", "in": ["failed", "unhealthy"]},
                {"condition": "ReplicaFailure"},
            ],
            "desired": "status.desiredWorkerReplicas",
            "ready": "status.readyWorkerReplicas",
            "updated": "status.availableWorkerReplicas",
            "message": "status.reason",
        },
    },
    # Flink Kubernetes Operator v1beta1. Task managers: as stated, or parallelism over slots of each.
    {
        "group": "flink.apache.org",
        "kind": "FlinkDeployment",
        "components": [
            {
                "name": "jobmanager",
                "replicas": "spec.jobManager.replicas",
                "podSpec": ["spec.podTemplate.spec", "spec.jobManager.podTemplate.spec"],
                "labels": "spec.jobManager.podTemplate.metadata.labels",
                "requests": {
                    "cpu": {"from": ["spec.jobManager.resource.cpu"], "default": 1},
                    "memory": {"from": ["spec.jobManager.resource.memory"]},
                },
                "binaryUnits": True,
            },
            {
                "name": "taskmanager",
                "replicas": {
                    "from": ["spec.taskManager.replicas", f"spec.job.parallelism / {_SLOTS}"],
                },
                "podSpec": ["spec.podTemplate.spec", "spec.taskManager.podTemplate.spec"],
                "labels": "spec.taskManager.podTemplate.metadata.labels",
                "requests": {
                    "cpu": {"from": ["spec.taskManager.resource.cpu"], "default": 1},
                    "memory": {"from": ["spec.taskManager.resource.memory"]},
                },
                "binaryUnits": True,
            },
        ],
        "stoppedWhen": [{"path": "spec.job.state", "in": ["suspended"]}],
        "health": {
            "healthyWhen": [
                {"path": "status.jobStatus.state", "in": ["RUNNING", "FINISHED", "SUSPENDED"]},
                {"path": "status.lifecycleState", "in": ["DEPLOYED", "STABLE", "SUSPENDED"]},
            ],
            "failedWhen": [
                {"path": "status.jobStatus.state", "in": ["FAILED", "FAILING"]},
                {"path": "status.lifecycleState", "in": ["FAILED", "ROLLED_BACK"]},
                {"path": "status.jobManagerDeploymentStatus", "in": ["ERROR"]},
            ],
            "message": "status.error",
        },
    },
    # Volcano batch/v1alpha1. Counted are all of a task's pods: those above minAvailable start as well.
    {
        "group": "batch.volcano.sh",
        "kind": "Job",
        "components": [
            {
                "nameFrom": "name",
                "at": "spec.tasks[*]",
                "replicas": "replicas",
                "template": "template",
            }
        ],
        "health": {
            "healthyWhen": [
                {
                    "path": "status.state.phase",
                    "in": ["Running", "Restarting", "Completing", "Completed", "Terminated"],
                }
            ],
            "failedWhen": [{"path": "status.state.phase", "in": ["Failed", "Aborted"]}],
            "desired": "spec.minAvailable",
            "ready": "status.running",
            "message": "status.state.message",
        },
    },
)

DECLARED: Kinds = dict(compiled_kind(InterpreterSpec.model_validate(each)) for each in TABLE)
