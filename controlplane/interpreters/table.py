"""The kinds that Muster understands by declaration, written as an Interpreter of the user's is.

So that either can be copied from the other (docs/operations/kinds.md). Sources: the API types and CRDs of
each project, at the API version named beside it.
"""

from collections.abc import Mapping
from typing import Any

_VM_CPU = "spec.template.spec.domain.cpu"
_SLOTS = 'spec.flinkConfiguration["taskmanager.numberOfTaskSlots"]'
_KNATIVE_SCALE = 'spec.template.metadata.annotations["autoscaling.knative.dev/{}-scale"]'

TABLE: tuple[Mapping[str, Any], ...] = (
    # KubeVirt, kubevirt.io/v1. A vCPU is counted as a CPU: how far a cluster overcommits is its own affair.
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
    # Knative, serving.knative.dev/v1. Its own autoscaler works under max-scale; 0 and none mean no bound.
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
    # OpenFunction, core.openfunction.io/v1beta1, v1beta2. Without `serving` it has no pods.
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
    # Argo Rollouts, argoproj.io/v1alpha1. A paused canary serves.
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
    # Kubeflow, kubeflow.org/v1. Names are the replica types: Master, Worker.
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
            "finishedWhen": [{"condition": "Succeeded"}, {"condition": "Failed"}],
        },
    },
    # KubeRay, ray.io/v1. numOfHosts pods make one replica of a worker group.
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
    # Flink Kubernetes Operator, flink.apache.org/v1beta1.
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
            "finishedWhen": [{"path": "status.jobStatus.state", "in": ["FINISHED"]}],
            "message": "status.error",
        },
    },
    # Volcano, batch.volcano.sh/v1alpha1. Pods above minAvailable are started as well.
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
            "finishedWhen": [
                {"path": "status.state.phase", "in": ["Completed", "Failed", "Terminated"]},
            ],
            "desired": "spec.minAvailable",
            "ready": "status.running",
            "message": "status.state.message",
        },
    },
)
