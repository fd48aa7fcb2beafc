"""What was written for others, put onto what is there: it changes what it speaks of, and leaves the rest."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from controlplane.migration.objects import Manifest
from schemas.manifests import Cohort, Flavor, Tenant
from schemas.manifests.load import validated

FROM_ANNOTATION = "muster.dev/from"
"""On what is made of something else: of what it is made."""
_KEPT_OF_QUOTA = ("uncovered", "budget", "limits")
_Made = TypeVar("_Made", Flavor, Cohort, Tenant)


def quota_manifest(
    kind: type[_Made], name: str, spec: Mapping[str, Any], of: object, source: str, document: int
) -> _Made:
    """of: what it is made of, as people know it. ManifestError, by where that was written."""
    metadata = {"name": name, "annotations": {FROM_ANNOTATION: str(of)}}
    fields = {
        "apiVersion": "muster.dev/v1",
        "kind": kind.__name__,
        "metadata": metadata,
        "spec": dict(spec),
    }
    return validated(kind, fields, source, document)


def onto(written: Manifest, stored: Mapping[str, Any] | None) -> Manifest:
    """A manifest as it is to be sent; one that people wrote themselves is sent as it is.

    A Tenant keeps its namespaces, its owners and what is no quota; of its quota uncovered, budget and limits.
    A Flavor keeps its features, clusters and prices. What stays in either keeps its windows.
    """
    metadata = cast(Manifest, written["metadata"])
    made = FROM_ANNOTATION in metadata.get("annotations", {})
    if not made or written["kind"] not in ("Tenant", "Cohort", "Flavor"):
        return written
    plain = {**written, "metadata": {"name": metadata["name"]}}
    if stored is None:
        return plain
    spec, before = cast(Manifest, written["spec"]), cast(Manifest, stored["spec"])
    match written["kind"]:
        case "Tenant":
            kept = cast(Manifest, before.get("quota") or {})
            quota = _with_windows(cast(Manifest, spec["quota"]), kept)
            quota |= {key: kept[key] for key in _KEPT_OF_QUOTA if key in kept}
            return {**plain, "spec": {**before, "quota": quota}}
        case "Flavor":
            return {**plain, "spec": {**before, **spec}}
        case _:
            return {**plain, "spec": _with_windows(spec, before)}


def _with_windows(spec: Manifest, before: Manifest) -> Manifest:
    windows = {
        (flavor["name"], resource["name"]): resource["windows"]
        for flavor in before.get("flavors", ())
        for resource in flavor["resources"]
        if resource.get("windows")
    }
    flavors = [
        {
            **flavor,
            "resources": [
                {**resource, "windows": windows[key]}
                if (key := (flavor["name"], resource["name"])) in windows and "windows" not in resource
                else resource
                for resource in flavor["resources"]
            ],
        }
        for flavor in spec.get("flavors", ())
    ]
    return {**spec, "flavors": flavors}
