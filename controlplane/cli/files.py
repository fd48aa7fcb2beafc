"""Manifests from files, folders and stdin; all of them are read before any is sent."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from controlplane.client import ClientError
from schemas.manifests import Fleet, Interpreter, Manifest, ManifestError, Tenant, load_manifests

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILES = 10_000


def read_manifests(paths: Sequence[Path]) -> list[Manifest]:
    """Tenants and Interpreters first. ClientError with everything that is wrong in any of them."""
    found: list[Manifest] = []
    problems: list[str] = []
    for path in _files(paths):
        source = "stdin" if str(path) == "-" else str(path)
        try:
            text = sys.stdin.buffer.read() if source == "stdin" else path.read_bytes()
            found += load_manifests(text, source)
        except ManifestError as error:
            problems += [str(problem) for problem in error.problems]
        except OSError as error:
            problems.append(f"{source}: {error.strerror}")
    if problems:
        raise ClientError("\n".join(problems), "nothing was sent")
    return sorted(found, key=lambda manifest: not isinstance(manifest, Tenant | Interpreter))


def read_one(path: Path, kind: type[Any]) -> Any:
    """The one manifest of `kind` in a file. ClientError where there is none, or more."""
    named = [manifest for manifest in read_manifests([path]) if isinstance(manifest, kind)]
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
