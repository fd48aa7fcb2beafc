"""What a simulated cluster serves, and what the API server does to objects of each kind."""

from typing import Any

from agents.ports import Rejected, Resource
from agents.simulation.bodies import part

NODES = Resource("", "v1", "nodes", "Node", False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False)
PODS = Resource("", "v1", "pods", "Pod", True)
EVENTS = Resource("", "v1", "events", "Event", True)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True)
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet", True)
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet", True)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", True)
JOBS = Resource("batch", "v1", "jobs", "Job", True)
RUNTIME_CLASSES = Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False)
NODE_FEATURES = Resource("nfd.k8s-sigs.io", "v1alpha1", "nodefeatures", "NodeFeature", True)
NODE_TOPOLOGIES = Resource(
    "topology.node.k8s.io", "v1alpha2", "noderesourcetopologies", "NodeResourceTopology", False
)
ATTACHMENTS = Resource(
    "k8s.cni.cncf.io", "v1", "network-attachment-definitions", "NetworkAttachmentDefinition", True
)
IP_POOLS = Resource("whereabouts.cni.cncf.io", "v1alpha1", "ippools", "IPPool", True)
DEVICE_CLASSES = Resource("resource.k8s.io", "v1", "deviceclasses", "DeviceClass", False)
RESOURCE_SLICES = Resource("resource.k8s.io", "v1", "resourceslices", "ResourceSlice", False)
RESOURCE_CLAIMS = Resource("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim", True)

BUILT_IN = (
    NODES,
    NAMESPACES,
    PODS,
    EVENTS,
    Resource("", "v1", "configmaps", "ConfigMap", True),
    Resource("", "v1", "secrets", "Secret", True),
    Resource("", "v1", "services", "Service", True),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", True),
    Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True),
    Resource("", "v1", "resourcequotas", "ResourceQuota", True),
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    DAEMON_SETS,
    JOBS,
    Resource("batch", "v1", "cronjobs", "CronJob", True),
    Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True),
    Resource("networking.k8s.io", "v1", "ingresses", "Ingress", True),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role", True),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", True),
    Resource("coordination.k8s.io", "v1", "leases", "Lease", True),
    RUNTIME_CLASSES,
)
METRICS = (
    Resource("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", False),
    Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", True),
)
WORKLOADS = (DEPLOYMENTS, STATEFUL_SETS, REPLICA_SETS, DAEMON_SETS, JOBS)
_REPLICATED = {"Deployment", "StatefulSet", "ReplicaSet"}
_SELECTING = {"Deployment", "StatefulSet", "ReplicaSet", "DaemonSet"}
_COUNTS_GENERATIONS = {"Deployment", "StatefulSet", "ReplicaSet", "DaemonSet", "Job", "CronJob"} | {
    "Ingress",
    "NetworkPolicy",
    "PodDisruptionBudget",
}


def counts_generations(kind: str) -> bool:
    """Whether `metadata.generation` grows with the spec of this kind."""
    return kind in _COUNTS_GENERATIONS


def fill_defaults(body: dict[str, Any]) -> None:
    """The defaults that matter to whoever counts replicas; changes `body`."""
    kind = body["kind"]
    if kind in _REPLICATED:
        body.setdefault("spec", {}).setdefault("replicas", 1)
    elif kind == "Job":
        spec = body.setdefault("spec", {})
        spec.setdefault("parallelism", 1)
        spec.setdefault("completions", spec["parallelism"])
    elif kind == "Pod":
        body.setdefault("status", {}).setdefault("phase", "Pending")
    elif kind == "Namespace":
        body.setdefault("status", {}).setdefault("phase", "Active")


def validate(body: dict[str, Any]) -> None:
    """Refuse what an API server refuses of a workload. Raises Rejected naming the field."""
    kind, spec = body["kind"], body.get("spec", {})
    if kind in _REPLICATED and not (isinstance(spec.get("replicas"), int) and spec["replicas"] >= 0):
        raise Rejected(f"{kind}: spec.replicas: must be a number of at least 0, is {spec.get('replicas')!r}")
    if kind in _SELECTING:
        chosen = part(spec, "selector", "matchLabels")
        labels = part(spec, "template", "metadata", "labels")
        if not chosen:
            raise Rejected(f"{kind}: spec.selector: Required value")
        if any(labels.get(key) != value for key, value in chosen.items()):
            raise Rejected(
                f"{kind}: spec.template.metadata.labels: `selector` does not match template labels"
            )
        if not spec.get("template", {}).get("spec", {}).get("containers"):
            raise Rejected(f"{kind}: spec.template.spec.containers: Required value")


def validate_change(live: dict[str, Any], body: dict[str, Any]) -> None:
    """Refuse changes of what is immutable. Raises Rejected naming the field."""
    kind = body["kind"]
    fields = {"Job": ("template", "completions"), "Pod": ("containers",)}.get(kind, ())
    fields += ("selector",) if kind in _SELECTING else ()
    for field in fields:
        if live.get("spec", {}).get(field) != body.get("spec", {}).get(field):
            raise Rejected(f"{kind}: spec.{field}: field is immutable")
