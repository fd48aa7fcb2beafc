"""Plain objects as people have them in files, or got them from Karmada's API server."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from schemas.manifests.karmada import Policy
from schemas.manifests.load import ManifestError, Problem, field_path
from schemas.manifests.objects import ObjectError, checked_objects, group_kind

Manifest = dict[str, Any]
Key = tuple[str, str, str]
"""(`group/Kind`, namespace, name)"""
_SERVERS_METADATA = (
    *("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
    *("deletionGracePeriodSeconds", "managedFields", "selfLink", "ownerReferences", "finalizers"),
)
_SERVERS_ENTRIES = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "volume.kubernetes.io/selected-node",
    "kubernetes.io/service-account.uid",
)
_KARMADAS_ENTRY = re.compile(r"(.*\.)?karmada\.io/")
_JOB_LABELS = (
    *("controller-uid", "job-name"),
    *("batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"),
)


@dataclass(frozen=True)
class Given:
    """One object. source, document: where it was written, for problems."""

    manifest: Manifest
    source: str
    document: int

    @property
    def key(self) -> Key:
        metadata = self.manifest["metadata"]
        return group_kind(self.manifest), metadata.get("namespace", ""), metadata["name"]

    def __str__(self) -> str:
        where = f"{self.key[1]}/" if self.key[1] else ""
        return f"{self.manifest['kind']} {where}{self.key[2]}"

    def problem(self, message: str, path: str = "") -> Problem:
        return Problem(self.source, self.document, path, message)


@dataclass(frozen=True)
class GivenPolicy:
    policy: Policy
    source: str
    document: int

    def problem(self, message: str, path: str = "") -> Problem:
        return Problem(self.source, self.document, path, message)


def given_object(document: Manifest, source: str, index: int) -> Given:
    """The object without what a server has written. ManifestError."""
    if str(document.get("apiVersion", "")).startswith("kustomize.config.k8s.io/"):
        right = "a kustomization is no object: kubectl kustomize ... | muster apply -f -"
        raise ManifestError([Problem(source, index, "kind", right)])
    if _is_namespace(document):
        return Given(document, source, index)
    try:
        return Given(pruned(checked_objects([document])[0]), source, index)
    except ObjectError as error:
        raise ManifestError([Problem(source, index, field_path(error.path[1:]), error.message)]) from error


def _is_namespace(document: Manifest) -> bool:
    metadata: Any = document.get("metadata")
    named = isinstance(metadata, dict) and isinstance(cast(Manifest, metadata).get("name"), str)
    return named and (document.get("apiVersion"), document.get("kind")) == ("v1", "Namespace")


def check_once(objects: Sequence[Given]) -> None:
    seen: dict[Key, Given] = {}
    problems: list[Problem] = []
    for each in objects:
        first = seen.setdefault(each.key, each)
        if first is not each:
            there = f"{first.source}[{first.document}]"
            problems.append(each.problem(f"{each} stands in {there} already: each may stand there once"))
    if problems:
        raise ManifestError(problems)


def pruned(manifest: Manifest) -> Manifest:
    """Without what a server wrote, or Karmada: what Karmada does not propagate either.

    Source: karmada-io/karmada pkg/resourceinterpreter/default/native/prune.
    """
    given = cast(Manifest, manifest["metadata"])
    metadata = {key: value for key, value in given.items() if key not in _SERVERS_METADATA}
    for field in ("labels", "annotations"):
        there = cast(Manifest, metadata.get(field) or {})
        entries = {key: value for key, value in there.items() if not _is_servers(key)}
        if entries:
            metadata[field] = entries
        else:
            metadata.pop(field, None)
    rest = {key: value for key, value in manifest.items() if key != "status"}
    changed = {**rest, "metadata": metadata}
    prune = {
        "v1/Service": _service,
        "v1/Secret": _secret,
        "v1/ServiceAccount": _service_account,
        "batch/Job": _job,
    }
    kind = group_kind(manifest)
    return prune[kind](changed) if kind in prune else changed


def _is_servers(key: str) -> bool:
    return key in _SERVERS_ENTRIES or _KARMADAS_ENTRY.match(key) is not None


def _service(manifest: Manifest) -> Manifest:
    """An address of the server's own; `None` is what people write for a headless one."""
    spec: Any = manifest.get("spec")
    if not isinstance(spec, dict) or cast(Manifest, spec).get("clusterIP") in (None, "None"):
        return manifest
    kept = {
        key: value for key, value in cast(Manifest, spec).items() if key not in ("clusterIP", "clusterIPs")
    }
    return {**manifest, "spec": kept}


def _job(manifest: Manifest) -> Manifest:
    """Labels by which the server's own controller finds its pods."""
    spec = _part(manifest, "spec")
    if not spec or spec.get("manualSelector"):
        return manifest
    kept = {key: value for key, value in spec.items() if key != "selector"}
    template = _part(kept, "template")
    metadata = _part(template, "metadata")
    labels = {key: value for key, value in _part(metadata, "labels").items() if key not in _JOB_LABELS}
    if labels != _part(metadata, "labels"):
        kept["template"] = {**template, "metadata": {**metadata, "labels": labels}}
    return {**manifest, "spec": kept}


def _part(body: Manifest, field: str) -> Manifest:
    """An object inside, {} where there is none."""
    value = body.get(field)
    return cast(Manifest, value) if isinstance(value, dict) else {}


def _secret(manifest: Manifest) -> Manifest:
    """A token is each cluster's own."""
    if manifest.get("type") != "kubernetes.io/service-account-token":
        return manifest
    return {key: value for key, value in manifest.items() if key != "data"}


def _service_account(manifest: Manifest) -> Manifest:
    secrets: Any = manifest.get("secrets")
    if not isinstance(secrets, list):
        return manifest
    prefix = f"{manifest['metadata']['name']}-token-"
    kept = [each for each in cast(list[Any], secrets) if not _name(each).startswith(prefix)]
    rest = {key: value for key, value in manifest.items() if key != "secrets"}
    return {**rest, "secrets": kept} if kept else rest


def _name(reference: Any) -> str:
    return str(cast(Manifest, reference).get("name", "")) if isinstance(reference, dict) else ""
