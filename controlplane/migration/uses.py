"""What an object refers to, so that it is of no use without it: as Karmada's `propagateDeps` has it.

Source: karmada-io/karmada pkg/util/helper/pod.go and pkg/resourceinterpreter/default/native/dependencies.go.
Otherwise than there: pods are found in whatever kind has them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from controlplane.migration.objects import Key
from schemas.manifests.objects import group_kind
from schemas.manifests.placement import LabelSelector
from schemas.manifests.selecting import labels_match

Body = Mapping[str, Any]
Labels = Mapping[str, str]
_SECRET_VOLUMES = (
    *(("secret", "secretName"), ("azureFile", "secretName")),
    *(
        (kind, "secretRef")
        for kind in ("cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos")
    ),
    ("csi", "nodePublishSecretRef"),
)


def has_pods(manifest: Body) -> bool:
    return bool(_pods(manifest))


def used_by(manifest: Body) -> frozenset[Key]:
    """ConfigMaps, Secrets, ServiceAccounts and claims of its pods; of an Ingress, the Secrets of its TLS."""
    namespace: str = manifest["metadata"].get("namespace", "")
    if group_kind(manifest) == "networking.k8s.io/Ingress":
        tls = _items(_part(manifest, "spec"), "tls")
        named = {("Secret", str(each.get("secretName") or "")) for each in tls}
    else:
        named = {each for _, pod in _pods(manifest) for each in _used_by_pod(pod)}
        # What a StatefulSet makes for each of its pods is not the claim of that name.
        templates = _items(_part(manifest, "spec"), "volumeClaimTemplates")
        named -= {("PersistentVolumeClaim", _text(_part(each, "metadata"), "name")) for each in templates}
    return frozenset((f"v1/{kind}", namespace, name) for kind, name in named if name)


def sought(manifest: Body) -> tuple[str, str] | None:
    """A label that pods must have, or ("", name) of the object, for it to be there for them.

    None where it is of no such kind, or seeks nothing that a label says.
    """
    spec = _part(manifest, "spec")
    match group_kind(manifest):
        case "v1/Service":
            return _first(_part(spec, "selector"))
        case "autoscaling/HorizontalPodAutoscaler":
            return "", _text(_part(spec, "scaleTargetRef"), "name")
        case "policy/PodDisruptionBudget":
            return _first(_part(_part(spec, "selector"), "matchLabels"))
        case _:
            return None


def _first(labels: Body) -> tuple[str, str] | None:
    return next(((key, str(value)) for key, value in labels.items()), None)


def follows(manifest: Body, leader: Body, labels: Sequence[Labels]) -> bool:
    """Whether a Service, autoscaler or disruption budget is there for the pods of `leader`.

    Both of one namespace; labels: of the leader's pods.
    """
    spec = _part(manifest, "spec")
    match group_kind(manifest):
        case "v1/Service":
            selector = _part(spec, "selector")
            return bool(selector) and any(
                all(each.get(key) == value for key, value in selector.items()) for each in labels
            )
        case "autoscaling/HorizontalPodAutoscaler":
            target = _part(spec, "scaleTargetRef")
            wanted = (target.get("apiVersion"), target.get("kind"), target.get("name"))
            return wanted == (leader["apiVersion"], leader["kind"], leader["metadata"]["name"])
        case _:
            return any(_selected(_part(spec, "selector"), each) for each in labels)


def _selected(selector: Body, labels: Mapping[str, str]) -> bool:
    try:
        return bool(selector) and labels_match(LabelSelector.model_validate(selector), labels)
    except ValueError:
        return False


def pod_labels(manifest: Body) -> list[Labels]:
    """Of each of its pod templates."""
    found = [_part(_part(template, "metadata"), "labels") for template, _ in _pods(manifest)]
    return [{key: value for key, value in labels.items() if isinstance(value, str)} for labels in found]


def _pods(manifest: Body) -> list[tuple[Body, Body]]:
    """(what has the pod's metadata, its spec): wherever there is a list of containers with names."""
    found: list[tuple[Body, Body]] = []
    pending: list[tuple[Body, Any]] = [({}, manifest)]
    while pending:
        parent, value = pending.pop()
        if isinstance(value, Mapping):
            body = cast(Body, value)
            containers = _items(body, "containers")
            if containers and all(isinstance(each.get("name"), str) for each in containers):
                found.append((parent, body))
                continue
            pending += [(body, each) for each in body.values()]
        elif isinstance(value, list):
            pending += [(parent, each) for each in cast(list[Any], value)]
    return found


def _used_by_pod(pod: Body) -> Iterator[tuple[str, str]]:
    account = _text(pod, "serviceAccountName") or _text(pod, "serviceAccount")
    if account != "default":
        yield "ServiceAccount", account
    for each in _items(pod, "imagePullSecrets"):
        yield "Secret", _text(each, "name")
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in _items(pod, field):
            yield from _used_by_container(container)
    for volume in _items(pod, "volumes"):
        yield from _used_by_volume(volume)


def _used_by_container(container: Body) -> Iterator[tuple[str, str]]:
    for each in _items(container, "env"):
        source = _part(each, "valueFrom")
        yield "ConfigMap", _text(_part(source, "configMapKeyRef"), "name")
        yield "Secret", _text(_part(source, "secretKeyRef"), "name")
    for each in _items(container, "envFrom"):
        yield "ConfigMap", _text(_part(each, "configMapRef"), "name")
        yield "Secret", _text(_part(each, "secretRef"), "name")


def _used_by_volume(volume: Body) -> Iterator[tuple[str, str]]:
    yield "ConfigMap", _text(_part(volume, "configMap"), "name")
    yield "PersistentVolumeClaim", _text(_part(volume, "persistentVolumeClaim"), "claimName")
    for kind, field in _SECRET_VOLUMES:
        given = _part(volume, kind).get(field)
        yield "Secret", given if isinstance(given, str) else _text(_part(_part(volume, kind), field), "name")
    for source in _items(_part(volume, "projected"), "sources"):
        yield "ConfigMap", _text(_part(source, "configMap"), "name")
        yield "Secret", _text(_part(source, "secret"), "name")


def _part(body: Body, field: str) -> Body:
    """An object inside, {} where there is none."""
    value = body.get(field)
    return cast(Body, value) if isinstance(value, Mapping) else {}


def _items(body: Body, field: str) -> Sequence[Body]:
    """Objects of a list inside, none where there is no such list."""
    value = body.get(field)
    if not isinstance(value, list):
        return ()
    return [cast(Body, each) for each in cast(list[Any], value) if isinstance(each, Mapping)]


def _text(body: Body, field: str) -> str:
    value = body.get(field)
    return value if isinstance(value, str) else ""
