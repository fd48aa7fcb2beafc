"""What the people of the world write: small workloads whose every revision can be told from the others."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from controlplane.intent import WorkloadDraft

NAMESPACE = "apps"
OVERRIDDEN_MILLIS = 200
"""What asks for so much is told otherwise in the first cluster that it names: no draw of the seed's."""


@dataclass(frozen=True)
class Wish:
    """One revision as somebody wants it. clusters: names it may go to, none for all of them.

    marker: in the pod template, so that a change of it rolls pods. settings: ConfigMaps beside it.
    tolerated_seconds: how long it stays in a lost cluster; None: it says nothing, -1: for ever. holds_data:
    in a folder of its node. may_move: whatever it is.
    """

    name: str
    marker: int
    replicas: int
    cpu_millis: int
    settings: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    duplicated: bool = False
    tolerated_seconds: int | None = None
    holds_data: bool = False
    may_move: bool = False

    def changed(self, random: Random, marker: int) -> "Wish":
        """Another pod template, and now and then another set of ConfigMaps."""
        added = tuple(name for name in ("conf-a", "conf-b") if random.random() < 0.5)
        settings = tuple(sorted({*self.settings, *added}))
        return replace(self, marker=marker, settings=settings)

    def without_setting(self) -> "Wish":
        return replace(self, settings=self.settings[1:])

    def scaled(self, replicas: int) -> "Wish":
        return replace(self, replicas=replicas)

    def moved(self, clusters: tuple[str, ...]) -> "Wish":
        return replace(self, clusters=clusters)

    def draft(self) -> WorkloadDraft:
        objects = [*(self._config_map(name) for name in self.settings), self._deployment()]
        scheduling: dict[str, Any] = (
            {"replicaSchedulingType": "Duplicated"}
            if self.duplicated
            else {
                "replicaSchedulingType": "Divided",
                "replicaDivisionPreference": "Weighted",
                "weightPreference": {"dynamicWeight": "AvailableReplicas"},
            }
        )
        placement: dict[str, Any] = {"replicaScheduling": scheduling}
        if self.clusters:
            placement["clusterAffinity"] = {"clusterNames": list(self.clusters)}
        if self.tolerated_seconds is not None:
            toleration: dict[str, Any] = {"key": "muster.dev/unreachable", "operator": "Exists"}
            if self.tolerated_seconds >= 0:
                toleration["tolerationSeconds"] = self.tolerated_seconds
            placement["clusterTolerations"] = [toleration]
        spec: dict[str, Any] = {"manifests": objects, "placement": placement}
        if self.may_move:
            spec["failover"] = {"singleton": "Move", "data": "Move"}
        if self.clusters and self.cpu_millis == OVERRIDDEN_MILLIS:
            spec["overrides"] = [self._override(self.clusters[0])]
        return WorkloadDraft(self.name, {}, {}, "", spec)

    @staticmethod
    def _override(cluster: str) -> dict[str, Any]:
        """Its pods ask for less there, and say so."""
        cpu = {
            "path": "/spec/template/spec/containers/0/resources/requests/cpu",
            "operator": "replace",
            "value": f"{OVERRIDDEN_MILLIS // 2}m",
        }
        return {
            "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment"}],
            "targetCluster": {"clusterNames": [cluster]},
            "overriders": {
                "plaintext": [cpu],
                "labelsOverrider": [{"operator": "add", "value": {"overridden": cluster}}],
            },
        }

    def _config_map(self, name: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{self.name}-{name}", "namespace": NAMESPACE},
            "data": {"marker": str(self.marker)},
        }

    def _deployment(self) -> dict[str, Any]:
        labels = {"app": self.name}
        container = {
            "name": "main",
            "image": f"registry.example/{self.name}:{self.marker}",
            "resources": {"requests": {"cpu": f"{self.cpu_millis}m", "memory": "64Mi"}},
        }
        pod: dict[str, Any] = {"containers": [container]}
        if self.holds_data:
            pod["volumes"] = [{"name": "data", "hostPath": {"path": "/data"}}]
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }


def wish(random: Random, name: str, marker: int, cluster_names: tuple[str, ...]) -> Wish:
    """A new workload."""
    anywhere = random.random() < 0.5
    chosen = tuple(each for each in cluster_names if not anywhere and random.random() < 0.5)
    return Wish(
        name=name,
        marker=marker,
        replicas=random.randint(1, 5),
        cpu_millis=random.choice((50, 200, 900)),
        settings=tuple(each for each in ("conf-a", "conf-b") if random.random() < 0.5),
        clusters=chosen,
        duplicated=random.random() < 0.2,
        tolerated_seconds=random.choice((None, None, None, 0, 15, -1)),
        holds_data=random.random() < 0.15,
        may_move=random.random() < 0.25,
    )
