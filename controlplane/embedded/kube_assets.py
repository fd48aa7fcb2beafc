"""Where the binaries of a real Kubernetes API lie: a look-up only, nothing is built or started here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

# tests/kube/binaries/go.mod pins the same version; tests/kube/build.py refuses to build when they differ.
KUBERNETES_VERSION = "v1.36.3"

REQUIRED = ("etcd", "kube-apiserver")
OPTIONAL = ("kube-controller-manager", "kube-scheduler", "kwok")


@dataclass(frozen=True)
class KubeAssets:
    """Paths of executables. The last three may be None: then no Deployment becomes a pod."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path | None
    kube_scheduler: Path | None
    kwok: Path | None

    @property
    def runs_workloads(self) -> bool:
        """Whether a Deployment becomes pods that run on pretended nodes."""
        return None not in (self.kube_controller_manager, self.kube_scheduler, self.kwok)

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the optional binaries that are not there."""
        return tuple(
            field.name.replace("_", "-") for field in fields(self) if getattr(self, field.name) is None
        )


@dataclass(frozen=True)
class KubeMissing:
    """Why no API server can be started here, in one line for a person."""

    reason: str

    def __str__(self) -> str:
        return self.reason


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where `python -m tests.kube.build` puts the binaries: outside any checkout, one folder a version."""
    base = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "muster" / "kube" / KUBERNETES_VERSION


def find_kube_assets(environment: Mapping[str, str] = os.environ) -> KubeAssets | KubeMissing:
    """`KUBEBUILDER_ASSETS` where it is set (the convention of the field), else the cache folder."""
    named = environment.get("KUBEBUILDER_ASSETS")
    folder = Path(named) if named else cache_folder(environment)
    missing = [name for name in REQUIRED if not _executable(folder / name)]
    if missing and named:
        return KubeMissing(f"KUBEBUILDER_ASSETS={named} has no executable {' and '.join(missing)}")
    if missing:
        return KubeMissing(
            f"no {' and '.join(missing)}: set KUBEBUILDER_ASSETS to a folder that has them, "
            "or, where there is Go, run `python -m tests.kube.build` once"
        )
    optional = {name: folder / name if _executable(folder / name) else None for name in OPTIONAL}
    return KubeAssets(
        etcd=folder / "etcd",
        kube_apiserver=folder / "kube-apiserver",
        kube_controller_manager=optional["kube-controller-manager"],
        kube_scheduler=optional["kube-scheduler"],
        kwok=optional["kwok"],
    )


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
