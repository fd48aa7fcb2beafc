"""From what is ordered and what is there to what is done, object by object. Pure.

What exists and does not bear the label of this workload is somebody else's: it is refused by name, never
touched; where the order says so, what bears no workload's label is taken over. Nothing at all is put into
the agent's own namespace, where its records and keys lie. `replicas` is left out once
another manager owns it; where the order leaves it out and only Muster owns it, the live value stays, for
leaving it out would set it to 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.namespace import NAMESPACE
from schemas.reasons import Reason
from schemas.wire.limits import WHERE_THERE
from schemas.wire.orders import FIELD_MANAGER, WORKLOAD_LABEL, ObjectRef
from schemas.wire.reports import Refusal

Manifest = dict[str, Any]
_NEVER_REMOVED = ("Namespace",)


@dataclass(frozen=True)
class EnsureNamespace:
    name: str


@dataclass(frozen=True)
class Create:
    ref: ObjectRef
    manifest: Manifest


@dataclass(frozen=True)
class Apply:
    """Onto exactly the object that was read."""

    ref: ObjectRef
    manifest: Manifest
    uid: str
    resource_version: str


@dataclass(frozen=True)
class Adopt:
    """As `Apply`, onto an object that was nobody's of ours until now."""

    ref: ObjectRef
    manifest: Manifest
    uid: str
    resource_version: str


@dataclass(frozen=True)
class Delete:
    ref: ObjectRef
    uid: str
    resource_version: str


@dataclass(frozen=True)
class Disown:
    """It stays, and is Muster's no more."""

    ref: ObjectRef
    uid: str
    resource_version: str


@dataclass(frozen=True)
class Refuse:
    refusal: Refusal


class BadManifest(ValueError):
    """An ordered object that is none; the text names the field."""


def ref_of(manifest: Mapping[str, Any]) -> ObjectRef:
    """Raises BadManifest."""
    metadata: Any = manifest.get("metadata")
    if not isinstance(metadata, dict):
        raise BadManifest("metadata: an object is expected")
    texts = (manifest.get("apiVersion"), manifest.get("kind"), _text(metadata, "name"))  # pyright: ignore[reportUnknownArgumentType]
    api_version, kind, name = texts
    if not (isinstance(api_version, str) and isinstance(kind, str) and api_version and kind and name):
        raise BadManifest("apiVersion, kind and metadata.name are expected")
    return ObjectRef(api_version, kind, _text(metadata, "namespace"), name)  # pyright: ignore[reportUnknownArgumentType]


def check_ordered(workload: str, manifests: list[Manifest]) -> tuple[ObjectRef, ...]:
    """The objects of an order. Raises BadManifest where one is malformed, twice there, or not labelled."""
    refs: dict[ObjectRef, None] = {}
    for index, manifest in enumerate(manifests):
        try:
            ref = ref_of(manifest)
        except BadManifest as error:
            raise BadManifest(f"objects[{index}]: {error}") from error
        if ref in refs:
            raise BadManifest(f"objects[{index}]: {ref} is there twice")
        if labels_of(manifest).get(WORKLOAD_LABEL) != workload:
            raise BadManifest(f"objects[{index}]: {ref} lacks the label {WORKLOAD_LABEL}={workload}")
        refs[ref] = None
    return tuple(refs)


def namespaces_of(refs: tuple[ObjectRef, ...]) -> tuple[EnsureNamespace, ...]:
    """Namespaces that the objects need and the order does not bring itself."""
    brought = {ref.name for ref in refs if ref.kind == "Namespace" and ref.api_version == "v1"}
    needed = dict.fromkeys(ref.namespace for ref in refs if ref.namespace)
    return tuple(EnsureNamespace(name) for name in needed if name not in brought)


def is_only_where_there(manifest: Manifest) -> bool:
    """Whether no namespace is made for it."""
    metadata: Manifest = manifest.get("metadata") or {}
    annotations: Any = metadata.get("annotations")
    return isinstance(annotations, dict) and WHERE_THERE in annotations


def plan_object(
    workload: str, manifest: Manifest, live: Manifest | None, *, overwrite: bool = False
) -> Create | Apply | Adopt | Refuse:
    """What to do for one ordered object, given what is there under its name.

    overwrite: what no workload of Muster's owns is taken over; what another one owns never is.
    """
    ref = ref_of(manifest)
    if ref.namespace == NAMESPACE:
        return Refuse(_in_our_namespace(ref))
    if live is None:
        return Create(ref, manifest)
    metadata: Manifest = live["metadata"]
    owner = labels_of(live).get(WORKLOAD_LABEL)
    if owner != workload:
        if owner or not overwrite:
            return Refuse(owned_by_other(ref, live, overwrite=overwrite))
        wanted = _without_replicas(manifest) if _scaler_of(live) else manifest
        return Adopt(ref, wanted, metadata["uid"], metadata["resourceVersion"])
    return Apply(ref, with_replicas(manifest, live), metadata["uid"], metadata["resourceVersion"])


def plan_removal(
    workload: str, ref: ObjectRef, live: Manifest | None, *, preserve: bool = False
) -> Delete | Disown | None:
    """None where nothing of ours is there: gone, somebody else's by now, or never ours to remove."""
    if live is None or ref.kind in _NEVER_REMOVED or labels_of(live).get(WORKLOAD_LABEL) != workload:
        return None
    metadata: Manifest = live["metadata"]
    step = Disown if preserve else Delete
    return step(ref, metadata["uid"], metadata["resourceVersion"])


def _in_our_namespace(ref: ObjectRef) -> Refusal:
    return Refusal(
        reason=Reason.OWNED_BY_OTHER,
        message=f"{ref}: namespace {NAMESPACE} is the agent's own: use another one",
        object=str(ref),
    )


def owned_by_other(ref: ObjectRef, live: Manifest, *, overwrite: bool = False) -> Refusal:
    """Names the manager that wrote most recently, as the cluster has noted it."""
    other = labels_of(live).get(WORKLOAD_LABEL)
    right = "rename yours, or remove it there"
    if other:
        owner = f"workload {other} of Muster's"
        right += "; Overwrite takes nothing from another workload" if overwrite else ""
    else:
        owner = ", ".join(_managers(live)) or "somebody who is not noted"
        right = "rename yours, remove it there, or take it over: conflictResolution: Overwrite"
    return Refusal(
        reason=Reason.OWNED_BY_OTHER,
        message=f"{ref} exists and belongs to {owner}; {right}",
        object=str(ref),
    )


def with_replicas(manifest: Manifest, live: Manifest) -> Manifest:
    """The manifest with `spec.replicas` as it has to be sent."""
    spec: Manifest | None = manifest.get("spec")
    live_spec: Manifest = live.get("spec") or {}
    if spec is None or "replicas" not in live_spec:
        return manifest
    owners = _owners_of_replicas(live)
    if owners - {FIELD_MANAGER}:
        return _without_replicas(manifest)
    if "replicas" not in spec and FIELD_MANAGER in owners:
        return {**manifest, "spec": {**spec, "replicas": live_spec["replicas"]}}
    return manifest


def _without_replicas(manifest: Manifest) -> Manifest:
    spec: Manifest | None = manifest.get("spec")
    if spec is None or "replicas" not in spec:
        return manifest
    return {**manifest, "spec": {key: value for key, value in spec.items() if key != "replicas"}}


def labels_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    metadata: Manifest = manifest.get("metadata") or {}
    labels: Any = metadata.get("labels")
    return labels if isinstance(labels, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _text(metadata: dict[str, Any], key: str) -> str:
    value = metadata.get(key, "")
    return value if isinstance(value, str) else ""


def _entries(live: Manifest) -> list[Manifest]:
    found: list[Manifest] | None = live["metadata"].get("managedFields")
    return found or []


def _managers(live: Manifest) -> list[str]:
    entries = [entry for entry in _entries(live) if entry.get("subresource") != "status"]
    entries.sort(key=lambda entry: str(entry.get("time", "")), reverse=True)
    return list(dict.fromkeys(str(entry.get("manager", "")) for entry in entries if entry.get("manager")))


def _owners_of_replicas(live: Manifest) -> set[str]:
    return {str(entry.get("manager", "")) for entry in _replica_entries(live)}


def _scaler_of(live: Manifest) -> str:
    """Who scales it through the scale subresource, as autoscalers do; "" for nobody.

    Who merely wrote the number down with all the rest gives it up with all the rest.
    """
    entries = (entry for entry in _replica_entries(live) if entry.get("subresource") == "scale")
    return next((str(entry.get("manager", "")) for entry in entries), "")


def _replica_entries(live: Manifest) -> list[Manifest]:
    found: list[Manifest] = []
    for entry in _entries(live):
        fields: Manifest = entry.get("fieldsV1") or {}
        spec: Manifest = fields.get("f:spec") or {}
        if "f:replicas" in spec and entry.get("subresource") != "status":
            found.append(entry)
    return found
