"""What a pod refers to in its namespace, and which of it the manifests do not bring along. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.interpreters.interpretation import Component
from controlplane.interpreters.pods import mapping, sequence

_CREDENTIALS = (
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "flexVolume",
    "iscsi",
    "rbd",
    "scaleIO",
    "storageos",
)
"""Volumes with `secretRef`, `nodePublishSecretRef` or `secretName`."""


@dataclass(frozen=True)
class Use:
    """One reference. kind: ConfigMap, Secret, ServiceAccount or PersistentVolumeClaim, all of them `v1`.

    path: where it is stated. optional: the pod starts without it too.
    """

    kind: str
    namespace: str
    name: str
    path: str
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def uses(components: Iterable[Component]) -> tuple[Use, ...]:
    """Of all pods of a workload."""
    found: dict[tuple[str, str, str], Use] = {}
    for component in components:
        spec = mapping(component.pod.get("spec"), component.path)
        for use in pod_uses(spec, component.namespace, component.path):
            key = use.kind, use.namespace, use.name
            if key not in found or (found[key].optional and not use.optional):
                found[key] = use
    return tuple(found.values())


def pod_uses(spec: Mapping[str, Any], namespace: str, path: str) -> tuple[Use, ...]:
    """Of a pod spec that stands at `path`, each named thing once, in order; NotUnderstood names the field.

    One that is needed somewhere and optional elsewhere is needed.
    """
    found: dict[tuple[str, str], Use] = {}
    for use in _all(spec, namespace, path):
        held = found.get((use.kind, use.name))
        if held is None or (held.optional and not use.optional):
            found[use.kind, use.name] = use
    return tuple(found.values())


def unmet(uses: Iterable[Use], objects: Sequence[Mapping[str, Any]]) -> tuple[Use, ...]:
    """Those that are needed and stand in none of the manifests: they must be there already."""
    brought = {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"])
        for each in objects
        if each["apiVersion"] == "v1"
    }
    return tuple(
        use for use in uses if not use.optional and (use.kind, use.namespace, use.name) not in brought
    )


def _all(spec: Mapping[str, Any], namespace: str, path: str) -> Iterator[Use]:
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if isinstance(account, str) and account != "default":
        yield Use("ServiceAccount", namespace, account, f"{path}.serviceAccountName")
    yield from _each_named(spec.get("imagePullSecrets"), "Secret", namespace, f"{path}.imagePullSecrets")
    for index, volume in enumerate(sequence(spec.get("volumes"), f"{path}.volumes")):
        at = f"{path}.volumes[{index}]"
        yield from _volume(mapping(volume, at), namespace, at)
    for field in ("initContainers", "containers"):
        for index, container in enumerate(sequence(spec.get(field), f"{path}.{field}")):
            at = f"{path}.{field}[{index}]"
            yield from _container(mapping(container, at), namespace, at)


def _volume(volume: Mapping[str, Any], namespace: str, path: str) -> Iterator[Use]:
    yield from _named(volume, "configMap", "name", "ConfigMap", namespace, path)
    yield from _named(volume, "secret", "secretName", "Secret", namespace, path)
    yield from _named(volume, "persistentVolumeClaim", "claimName", "PersistentVolumeClaim", namespace, path)
    sources = mapping(volume.get("projected"), f"{path}.projected").get("sources")
    for index, source in enumerate(sequence(sources, f"{path}.projected.sources")):
        at = f"{path}.projected.sources[{index}]"
        yield from _references(mapping(source, at), namespace, at, "configMap", "secret")
    for field in _CREDENTIALS:
        at = f"{path}.{field}"
        given = mapping(volume.get(field), at)
        if isinstance(given.get("secretName"), str):
            yield Use("Secret", namespace, given["secretName"], f"{at}.secretName")
        for reference in ("secretRef", "nodePublishSecretRef"):
            yield from _named(given, reference, "name", "Secret", namespace, at)


def _container(container: Mapping[str, Any], namespace: str, path: str) -> Iterator[Use]:
    for index, source in enumerate(sequence(container.get("envFrom"), f"{path}.envFrom")):
        at = f"{path}.envFrom[{index}]"
        yield from _references(mapping(source, at), namespace, at, "configMapRef", "secretRef")
    for index, variable in enumerate(sequence(container.get("env"), f"{path}.env")):
        at = f"{path}.env[{index}].valueFrom"
        source = mapping(mapping(variable, f"{path}.env[{index}]").get("valueFrom"), at)
        yield from _references(source, namespace, at, "configMapKeyRef", "secretKeyRef")


def _references(
    given: Mapping[str, Any], namespace: str, path: str, config_map: str, secret: str
) -> Iterator[Use]:
    yield from _named(given, config_map, "name", "ConfigMap", namespace, path)
    yield from _named(given, secret, "name", "Secret", namespace, path)


def _named(
    given: Mapping[str, Any], field: str, key: str, kind: str, namespace: str, path: str
) -> Iterator[Use]:
    reference = mapping(given.get(field), f"{path}.{field}")
    name = reference.get(key)
    if isinstance(name, str) and name:
        yield Use(kind, namespace, name, f"{path}.{field}.{key}", reference.get("optional") is True)


def _each_named(given: Any, kind: str, namespace: str, path: str) -> Iterator[Use]:
    for index, reference in enumerate(sequence(given, path)):
        name = mapping(reference, f"{path}[{index}]").get("name")
        if isinstance(name, str) and name:
            yield Use(kind, namespace, name, f"{path}[{index}].name")
