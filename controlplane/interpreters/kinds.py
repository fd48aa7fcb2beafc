"""The kinds with pods that Muster understands; every other object is carried along."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.interpreters.pods import NotUnderstood, mapping, sequence

_MOST_REPLICAS = 2**31 - 1

APPLY_FIRST = (
    "CustomResourceDefinition",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
)
APPLY_LAST = (
    "DaemonSet",
    "Pod",
    "ReplicaSet",
    "Deployment",
    "StatefulSet",
    "Job",
    "CronJob",
    "HorizontalPodAutoscaler",
    "Ingress",
)


@dataclass(frozen=True)
class Podded:
    """A kind with replicas. counts: the fields that hold them, from `spec`; none for a single pod."""

    counts: tuple[str, ...]
    bare: bool = False

    @property
    def spec_path(self) -> str:
        return "spec" if self.bare else "spec.template.spec"

    def replicas(self, manifest: Mapping[str, Any], path: str) -> int:
        """1 where it is left out, as Kubernetes has it."""
        if not self.counts:
            return 1
        spec = mapping(manifest.get("spec"), f"{path}.spec")
        amounts = [self._count(spec, each, f"{path}.spec.{each}") for each in self.counts]
        return 1 if amounts[0] is None else amounts[0]

    def template(self, manifest: Any, path: str) -> dict[str, Any]:
        """The pod template, the pod itself where it is one; NotUnderstood when it has no containers."""
        whole = mapping(manifest, path)
        template = whole if self.bare else mapping(mapping(whole.get("spec"), path).get("template"), path)
        where = f"{path}.{self.spec_path}"
        if not sequence(mapping(template.get("spec"), where).get("containers"), f"{where}.containers"):
            raise NotUnderstood(f"{where}.containers: at least one container is needed")
        if not self.bare:
            self._check_selector(whole, template, path)
        return template

    def scale(self, manifest: dict[str, Any], replicas: int) -> None:
        """A field beside the first is scaled only where it is there: a Job's completions are its own."""
        spec = mapping(manifest.get("spec"), "spec")
        scaled = dict.fromkeys(self.counts[:1], replicas)
        scaled |= {
            each: replicas for each in self.counts[1:] if spec.get(each) == spec.get(self.counts[0], 1)
        }
        if self.counts:
            manifest["spec"] = spec | scaled

    def indivisible(self, manifest: Mapping[str, Any]) -> str:
        if self.counts[1:]:
            spec = mapping(manifest.get("spec"), "spec")
            count, total = spec.get(self.counts[0], 1), spec.get(self.counts[1])
            if total is not None and total != count:
                return (
                    f"{self.counts[1]} {total} is not {self.counts[0]} {count}: make them equal, or duplicate"
                )
        return ""

    @staticmethod
    def _count(spec: Mapping[str, Any], field: str, path: str) -> int | None:
        count = spec.get(field)
        if count is None:
            return None
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MOST_REPLICAS:
            raise NotUnderstood(f"{path}: {count!r}: a whole number from 0 to {_MOST_REPLICAS} is needed")
        return count

    @staticmethod
    def _check_selector(manifest: Mapping[str, Any], template: Mapping[str, Any], path: str) -> None:
        selector = mapping(mapping(manifest["spec"], path).get("selector"), f"{path}.spec.selector")
        wanted = mapping(selector.get("matchLabels"), f"{path}.spec.selector.matchLabels")
        metadata = mapping(template.get("metadata"), f"{path}.spec.template.metadata")
        labels = mapping(metadata.get("labels"), f"{path}.spec.template.metadata.labels")
        for key, value in wanted.items():
            if labels.get(key) != value:
                raise NotUnderstood(
                    f"{path}.spec.template.metadata.labels: {key}: {value} is needed, as the selector has it"
                )


PODDED: Mapping[str, Podded] = {
    "apps/Deployment": Podded(("replicas",)),
    "apps/StatefulSet": Podded(("replicas",)),
    "apps/ReplicaSet": Podded(("replicas",)),
    "batch/Job": Podded(("parallelism", "completions")),
    "v1/Pod": Podded((), bare=True),
}
"""`group/Kind`, core kinds as `v1/Kind`."""


def kind_of(manifest: Mapping[str, Any]) -> str:
    """`apps/Deployment`; `v1/Pod`."""
    version: str = manifest["apiVersion"]
    return f"{version.rpartition('/')[0] or version}/{manifest['kind']}"
