"""Manifests from files, folders and stdin; all of them are read before any is sent."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from controlplane.client import ClientError
from controlplane.migration import (
    Given,
    GivenFederated,
    GivenKueue,
    GivenPolicy,
    converted,
    converted_federated,
    converted_quota,
    given_object,
)
from controlplane.migration.claims import reach
from controlplane.migration.onto import FROM_ANNOTATION
from controlplane.quota.problems import document_problems
from schemas.manifests import API_VERSION, DOCUMENTS, Cohort, Fleet, Manifest, ManifestError
from schemas.manifests.karmada import Propagation, is_karmadas, parse_policy
from schemas.manifests.karmada_quota import is_federated_quota, parse_federated_quota
from schemas.manifests.kueue import is_kueues, parse_kueues
from schemas.manifests.load import KINDS, Problem, load_documents, parse_manifest
from schemas.manifests.selecting import Precision

_FIRST = ("Flavor", "Cohort", "Tenant")
SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILES = 10_000


def read_manifests(paths: Sequence[Path], hint: str = "nothing was sent") -> list[Manifest]:
    """What workloads depend on (tenants, interpreters, ...) first. ClientError with all that is wrong.

    Karmada's policies become Workloads, with the plain objects of all files that they select; what people
    should know of that is written to stderr. hint: added to the error.
    """
    read = _Read()
    for path in _files(paths):
        source = "stdin" if str(path) == "-" else str(path)
        try:
            text = sys.stdin.buffer.read() if source == "stdin" else path.read_bytes()
            read.take(text, source)
        except ManifestError as error:
            read.problems += [str(problem) for problem in error.problems]
        except OSError as error:
            read.problems.append(f"{source}: {error.strerror}")
    if not read.problems:
        try:
            read.migrate()
        except ManifestError as error:
            read.problems += [str(problem) for problem in error.problems]
    if read.problems:
        raise ClientError("\n".join(read.problems), hint)
    _say(read.notes)
    return sorted(read.manifests, key=_order)


def _order(manifest: Manifest) -> int:
    """What others name comes first; the parent that a Cohort names need not be there yet."""
    kind = manifest.kind
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST) + (kind not in DOCUMENTS)


def named_last(manifests: Sequence[Manifest]) -> list[Manifest]:
    """In the order in which they can be deleted: what names another before it."""
    parents = {each.metadata.name: each.spec.parent or "" for each in manifests if isinstance(each, Cohort)}

    def depth(name: str) -> int:
        seen: list[str] = []
        while name in parents and name not in seen:
            seen.append(name)
            name = parents[name]
        return len(seen)

    return sorted(manifests, key=lambda each: (-_order(each), -depth(each.metadata.name)))


_Raw = tuple[dict[str, Any], str, int]
"""(document, source, index)"""


@dataclass
class _Read:
    """What was found in all files. notes: what people should know."""

    manifests: list[Manifest] = field(default_factory=list[Manifest])
    policies: list[GivenPolicy] = field(default_factory=list[GivenPolicy])
    federated: list[GivenFederated] = field(default_factory=list[GivenFederated])
    kueues: list[_Raw] = field(default_factory=list[_Raw])
    objects: list[Given] = field(default_factory=list[Given])
    problems: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])

    def take(self, text: bytes, source: str) -> None:
        """ManifestError where it is no YAML or holds nothing; what is wrong in a document is kept."""
        empty = True
        for index, document in enumerate(load_documents(text, source)):
            if document is None:
                continue
            empty = False
            try:
                self._take_one(document, source, index)
            except ManifestError as error:
                self.problems += [str(problem) for problem in error.problems]
        if empty:
            needed = f"no manifest in it: one of {', '.join(KINDS)} is needed"
            raise ManifestError([Problem(source, 0, "", needed)])

    def _take_one(self, document: Any, source: str, index: int) -> None:
        fields = cast(dict[str, Any], document) if isinstance(document, dict) else {}
        version, items = fields.get("apiVersion"), fields.get("items")
        if (version, fields.get("kind")) == ("v1", "List") and isinstance(items, list):
            # As `kubectl get -o yaml` writes several.
            for each in cast(list[Any], items):
                self._take_one(each, source, index)
        elif is_federated_quota(fields):
            quota = parse_federated_quota(fields, source, index)
            self.federated.append(GivenFederated(quota, source, index))
        elif is_kueues(fields):
            self.kueues.append((fields, source, index))
        elif is_karmadas(fields):
            self.policies.append(GivenPolicy(parse_policy(fields, source, index), source, index))
        elif isinstance(version, str) and not version.startswith(API_VERSION.partition("/")[0]):
            self.objects.append(given_object(fields, source, index))
        else:
            manifest = parse_manifest(document, source, index)
            _check_quota(manifest, source, index)
            self.manifests.append(manifest)

    def migrate(self) -> None:
        """What is there for Kueue and Karmada becomes Workloads and quotas. ManifestError."""
        self._migrate_quotas()
        if any(isinstance(each.policy, Propagation) for each in self.policies):
            result = converted(self.policies, self.objects)
            self.manifests += result.workloads
            self.notes += result.notes
            return
        right = f"{API_VERSION} is needed, or a PropagationPolicy of Karmada's beside it that selects it"
        problems = [
            each.problem(f"{each.manifest['apiVersion']!r}: {right}", "apiVersion") for each in self.objects
        ]
        alone = "it overrides nothing without a PropagationPolicy beside it: apply them together"
        problems = problems or [each.problem(alone) for each in self.policies]
        if problems:
            raise ManifestError(problems)

    def _migrate_quotas(self) -> None:
        """What a policy of Karmada's selects is for the clusters, and no quota here."""
        kueues: list[GivenKueue] = []
        propagating = [each.policy for each in self.policies if isinstance(each.policy, Propagation)]
        for fields, source, index in self.kueues:
            given = given_object(fields, source, index) if propagating else None
            if given is not None and any(
                reach(each, given.manifest) is not Precision.NONE for each in propagating
            ):
                self.objects.append(given)
            else:
                kueues.append(GivenKueue(parse_kueues(fields, source, index), source, index))
        for result in (converted_quota(kueues), converted_federated(self.federated)):
            for each in result.manifests:
                _check_quota(each, str(each.metadata.annotations[FROM_ANNOTATION]), 0)
            self.manifests += result.manifests
            self.notes += result.notes


def _check_quota(manifest: Manifest, source: str, index: int) -> None:
    """What is wrong with a quota by itself. ManifestError."""
    found = document_problems(manifest)
    if found:
        raise ManifestError([Problem(source, index, each.path, each.message) for each in found])


def _say(notes: Sequence[str]) -> None:
    if notes:
        from controlplane.cli.output import console

        for note in notes:
            console(errors=True).print(f"note: {note}", style="yellow", markup=False)


def read_one(path: Path, kind: type[Any]) -> Any:
    """The one manifest of `kind` in a file. ClientError where there is none, or more."""
    named = [manifest for manifest in read_manifests([path], hint="") if isinstance(manifest, kind)]
    if len(named) != 1:
        raise ClientError(f"{path}: {len(named)} of kind {kind.__name__}; one is needed")
    return named[0]


def document(manifest: Manifest) -> dict[str, Any]:
    """As it is sent: what was written, and nothing that was not."""
    written = manifest.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {"apiVersion": manifest.api_version, "kind": manifest.kind} | written


def address(manifest: Manifest) -> str:
    """Where the service keeps it. ClientError for a kind that it does not keep."""
    if isinstance(manifest, Fleet):
        raise ClientError(
            f"Fleet {manifest.metadata.name} is for `muster plan --fleet`; the service learns its own",
            "leave it out of what is applied",
        )
    return f"/{manifest.kind.lower()}s/{manifest.metadata.name}"


def _files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if str(path) == "-" or path.is_file():
            files.append(path)
        elif path.is_dir():
            below = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
            if not below:
                raise ClientError(f"{path}: no {', '.join(SUFFIXES)} in it")
            files += below
        else:
            raise ClientError(f"{path}: no such file or folder")
    if len(files) > MAX_FILES:
        raise ClientError(f"{len(files):,} files; at most {MAX_FILES:,} at once")
    return files
