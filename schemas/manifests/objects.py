"""Kubernetes objects inside a Workload: their form is checked here, their meaning where it is understood."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from schemas.manifests.base import dns_subdomain, label_key, label_value
from schemas.quantities import quantity_amount

_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_API_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9][a-z0-9]*")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PATH_SEGMENT = re.compile(r"(?!\.{1,2}$)[^/%]{1,253}")
_MAX_DEPTH = 64
_SURELY_FINE_DEPTH = 60
_SCALARS = frozenset({str, int, float, bool, type(None)})

NAMESPACED = frozenset(
    {
        "v1/ConfigMap",
        "v1/Secret",
        "v1/Service",
        "v1/ServiceAccount",
        "v1/Pod",
        "v1/PersistentVolumeClaim",
        "v1/Endpoints",
        "v1/LimitRange",
        "v1/ResourceQuota",
        "v1/ReplicationController",
        "v1/PodTemplate",
        "apps/Deployment",
        "apps/StatefulSet",
        "apps/ReplicaSet",
        "apps/DaemonSet",
        "apps/ControllerRevision",
        "batch/Job",
        "batch/CronJob",
        "autoscaling/HorizontalPodAutoscaler",
        "policy/PodDisruptionBudget",
        "networking.k8s.io/Ingress",
        "networking.k8s.io/NetworkPolicy",
        "discovery.k8s.io/EndpointSlice",
        "rbac.authorization.k8s.io/Role",
        "rbac.authorization.k8s.io/RoleBinding",
        "coordination.k8s.io/Lease",
    }
)
CLUSTER_SCOPED = frozenset(
    {
        "v1/Node",
        "v1/PersistentVolume",
        "rbac.authorization.k8s.io/ClusterRole",
        "rbac.authorization.k8s.io/ClusterRoleBinding",
        "storage.k8s.io/StorageClass",
        "storage.k8s.io/CSIDriver",
        "storage.k8s.io/VolumeAttachment",
        "scheduling.k8s.io/PriorityClass",
        "node.k8s.io/RuntimeClass",
        "apiextensions.k8s.io/CustomResourceDefinition",
        "apiregistration.k8s.io/APIService",
        "admissionregistration.k8s.io/MutatingWebhookConfiguration",
        "networking.k8s.io/IngressClass",
        "admissionregistration.k8s.io/ValidatingWebhookConfiguration",
        "admissionregistration.k8s.io/ValidatingAdmissionPolicy",
        "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding",
    }
)
"""`group/Kind`, core kinds as `v1/Kind`."""


class ObjectError(ValueError):
    """Something in an object is not right. `path` leads to it from the list of manifests."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


class ObjectErrors(ValueError):
    """All that is not right, where it is more than one thing."""

    def __init__(self, errors: Sequence[ObjectError]) -> None:
        super().__init__("; ".join(each.message for each in errors))
        self.errors = tuple(errors)


def refuse_all(errors: Iterable[ObjectError]) -> None:
    """Raises ObjectErrors where there is any."""
    found = tuple(errors)
    if found:
        raise ObjectErrors(found)


def group_kind(manifest: Mapping[str, Any]) -> str:
    """`apps/Deployment`, core kinds as `v1/Pod`."""
    group, slash, _ = str(manifest["apiVersion"]).rpartition("/")
    return f"{group if slash else manifest['apiVersion']}/{manifest['kind']}"


def checked_objects(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects, `default` filled in for a namespace left out where the kind is known to have one.

    Of a kind that Kubernetes itself does not have, no namespace means that it is cluster-scoped.
    """
    seen: dict[tuple[str, str, str], int] = {}
    checked: list[dict[str, Any]] = []
    for index, manifest in enumerate(manifests):
        manifest = _checked(manifest, index)
        metadata = manifest["metadata"]
        key = (group_kind(manifest), metadata.get("namespace", ""), metadata["name"])
        if key in seen:
            raise ObjectError((index,), f"the same object stands at {seen[key]}: each may stand there once")
        seen[key] = index
        checked.append(manifest)
    return checked


def _checked(manifest: dict[str, Any], index: int) -> dict[str, Any]:
    _check_depth(manifest, index)
    for field, pattern, right in (
        ("apiVersion", _API_VERSION, "VERSION or GROUP/VERSION, as apps/v1"),
        ("kind", _KIND, "a kind, as Deployment"),
    ):
        value = manifest.get(field)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ObjectError(
                (index, field), f"{value!r}: {right}" if field in manifest else f"missing: {right}"
            )
    kind = manifest["kind"]
    if manifest["apiVersion"] == "v1" and kind == "Namespace":
        raise ObjectError(
            (index, "kind"), "Namespace: agents make the namespaces that are missing: leave it out"
        )
    if kind.endswith("List"):
        raise ObjectError((index, "kind"), f"{kind}: a list is no object: write its items one by one")
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict):
        raise ObjectError((index, "metadata"), "missing: an object with at least name")
    return manifest | {"metadata": _metadata(cast(dict[str, Any], metadata), group_kind(manifest), index)}


def _metadata(metadata: dict[str, Any], kind: str, index: int) -> dict[str, Any]:
    at = (index, "metadata")
    if "generateName" in metadata:
        raise ObjectError(
            (*at, "generateName"), "not taken: an object is applied again under its name: use name"
        )
    name = metadata.get("name")
    if not isinstance(name, str):
        raise ObjectError((*at, "name"), "missing: a DNS name")
    if kind.startswith("rbac.authorization.k8s.io/"):
        if not _PATH_SEGMENT.fullmatch(name):
            raise ObjectError((*at, "name"), f"{name!r} is no name: up to 253 characters without / and %")
    else:
        _guard((*at, "name"), dns_subdomain, name)
    _check_labels(metadata, at)
    namespace = metadata.get("namespace")
    if namespace is None:
        return metadata | {"namespace": "default"} if kind in NAMESPACED else metadata
    if kind in CLUSTER_SCOPED:
        raise ObjectError((*at, "namespace"), f"{kind} is cluster-scoped: leave the namespace out")
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        raise ObjectError((*at, "namespace"), f"{namespace!r} is no namespace: up to 63 of a-z 0-9 -")
    return metadata


def _check_labels(metadata: dict[str, Any], at: tuple[str | int, ...]) -> None:
    for field, check_value in (("labels", label_value), ("annotations", None)):
        entries = metadata.get(field)
        if entries is None:
            continue
        if not isinstance(entries, dict):
            raise ObjectError((*at, field), "an object of strings is needed")
        for key, value in cast(dict[Any, Any], entries).items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise ObjectError((*at, field, str(key)), f"{value!r}: a string is needed, so quote it")
            _guard((*at, field, key), label_key, key)
            if check_value is not None:
                _guard((*at, field, key), check_value, value)


def _guard(path: tuple[str | int, ...], check: Any, value: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise ObjectError(path, str(error)) from error


def _check_depth(manifest: dict[str, Any], index: int) -> None:
    """JSON nests less than 64 deep, its keys are strings, and `resources` hold quantities."""
    # Where something stands is worked out only when it is wrong.
    if not _is_sound(manifest, _SURELY_FINE_DEPTH):
        _refuse_unsound(manifest, index)


def _is_sound(value: Any, depth: int) -> bool:
    """Whether all of that holds, as far as a quick look tells."""
    if type(value) in _SCALARS:
        return True
    if not depth:
        return False
    if isinstance(value, list):
        return all(_is_sound(inner, depth - 1) for inner in cast(list[Any], value))
    if not isinstance(value, dict):
        return False
    for key, inner in cast(dict[Any, Any], value).items():
        if type(key) is not str or not (type(inner) in _SCALARS or _is_sound(inner, depth - 1)):
            return False
        if key == "resources" and not _has_amounts(inner):
            return False
    return True


def _has_amounts(resources: Any) -> bool:
    if not isinstance(resources, dict):
        return True
    try:
        for field in ("requests", "limits"):
            _check_amounts(cast(dict[str, Any], resources).get(field), ())
    except ObjectError:
        return False
    return True


def _refuse_unsound(manifest: dict[str, Any], index: int) -> None:
    """Raises ObjectError where something is wrong."""
    pending: list[tuple[Any, tuple[str | int, ...]]] = [(manifest, (index,))]
    while pending:
        value, path = pending.pop()
        if len(path) > _MAX_DEPTH:
            raise ObjectError(path[:4], f"nested more than {_MAX_DEPTH} deep")
        if isinstance(value, dict):
            for key, inner in cast(dict[Any, Any], value).items():
                if not isinstance(key, str):
                    raise ObjectError((*path, str(key)), f"{key!r} as a key: a string is needed, so quote it")
                pending.append((inner, (*path, key)))
        elif isinstance(value, list):
            pending += [(inner, (*path, at)) for at, inner in enumerate(cast(list[Any], value))]
        elif not isinstance(value, str | int | float | bool | None):
            raise ObjectError(path, f"{value!r} is not JSON: quote it")
        if len(path) > 2 and path[-1] in ("requests", "limits") and path[-2] == "resources":
            _check_amounts(value, path)


def _check_amounts(amounts: Any, path: tuple[str | int, ...]) -> None:
    if amounts is None:
        return
    if not isinstance(amounts, dict):
        raise ObjectError(path, "an object of quantities is needed")
    for resource, text in cast(dict[str, Any], amounts).items():
        if not isinstance(text, str | int | float):
            raise ObjectError((*path, resource), f"{text!r}: a quantity is needed")
        try:
            quantity_amount(resource, text)
        except ValueError as error:
            raise ObjectError((*path, resource), str(error)) from error
