"""Builds binaries of a real Kubernetes API, and Helm, from pinned Go modules: `python -m tests.kube.build`.

Once a machine and version: about seven minutes on two cores, into the cache folder that
controlplane.embedded.kube_assets looks in, and one beside it. Needs Go and its module proxy, nothing else.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from controlplane.embedded.kube_assets import KUBERNETES_VERSION, cache_folder

MODULE = Path(__file__).parent / "binaries"
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
}
HELM_MODULE, HELM = MODULE / "helm", "helm.sh/helm/v3"
BUILD_TIMEOUT_SECONDS = 45 * 60
LAST_LINES = 5


class CannotBuild(Exception):
    """Why the binaries cannot be built here, in one line (what Go said last may follow it)."""


def build(say: Callable[[str], None], folder: Path | None = None) -> Path:
    """Build what is missing and return the folder; of several processes one builds, the others wait.

    A binary appears under its name only when it is whole. Raises CannotBuild.
    """
    folder = folder or cache_folder()
    if not _missing(folder):
        return folder
    go = shutil.which("go")
    if go is None:
        raise CannotBuild("no Go toolchain on PATH")
    _check_version()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder.parent / f"{folder.name}.lock", say):
        missing = _missing(folder)
        for position, name in enumerate(missing, start=1):
            step = f"[{position}/{len(missing)}] {name}"
            say(f"{step}: building (Kubernetes {KUBERNETES_VERSION}; minutes, once a machine) ...")
            started = time.monotonic()
            _build_one(go, PACKAGES[name], folder / name, MODULE, _link_flags())
            say(f"{step}: built in {time.monotonic() - started:.0f} s")
    return folder


def helm_binary() -> Path:
    """Where `build_helm` puts it. Raises CannotBuild where nothing is pinned."""
    return cache_folder().parent.parent / "helm" / _pinned(HELM_MODULE, HELM) / "helm"


def build_helm(say: Callable[[str], None]) -> Path:
    """Helm's binary, as `build`."""
    binary = helm_binary()
    version = binary.parent.name
    if binary.is_file():
        return binary
    go = shutil.which("go")
    if go is None:
        raise CannotBuild("no Go toolchain on PATH")
    binary.parent.mkdir(parents=True, exist_ok=True)
    with _locked(binary.parent.parent / f"{version}.lock", say):
        if not binary.is_file():
            say(f"helm {version}: building (minutes, once a machine) ...")
            _build_one(go, f"{HELM}/cmd/helm", binary, HELM_MODULE, _helm_link_flags(version))
    return binary


def _missing(folder: Path) -> list[str]:
    return [name for name in PACKAGES if not (folder / name).is_file()]


def _build_one(go: str, package: str, binary: Path, module: Path, link_flags: str) -> None:
    with tempfile.TemporaryDirectory(prefix=".building-", dir=binary.parent) as temporary:
        output = Path(temporary) / binary.name
        command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", link_flags]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
        try:
            done = subprocess.run(
                [*command, "-o", str(output), package],
                cwd=module,
                env=environment,
                capture_output=True,
                text=True,
                timeout=BUILD_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise CannotBuild(f"go build of {binary.name} took more than {BUILD_TIMEOUT_SECONDS} s") from None
        if done.returncode != 0:
            said = "\n".join(done.stderr.splitlines()[-LAST_LINES:])
            raise CannotBuild(f"go build of {binary.name} failed\n{said}")
        output.rename(binary)


def _link_flags() -> str:
    """The version is the linker's to set; without it the API server calls itself v0.0.0."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    version = "k8s.io/component-base/version"
    values = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s", "-w", *(f"-X {version}.{name}={value}" for name, value in values.items())])


def _helm_link_flags(version: str) -> str:
    """As Helm's own Makefile: charts ask which Kubernetes they are rendered for."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    values = {f"{HELM}/internal/version.version": version}
    for package in (f"{HELM}/pkg/chartutil", f"{HELM}/pkg/lint/rules"):
        values |= {f"{package}.k8sVersionMajor": major, f"{package}.k8sVersionMinor": minor}
    return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in values.items())])


def _pinned(module: Path, path: str) -> str:
    found = re.search(
        rf"^(?:require )?\t?{re.escape(path)} (v\S+)", (module / "go.mod").read_text(), re.MULTILINE
    )
    if found is None:
        raise CannotBuild(f"{module / 'go.mod'} pins no {path}")
    return found[1]


def _check_version() -> None:
    pinned = _pinned(MODULE, "k8s.io/kubernetes")
    if pinned != KUBERNETES_VERSION:
        raise CannotBuild(f"go.mod pins {pinned}, kube_assets.KUBERNETES_VERSION says {KUBERNETES_VERSION}")


@contextmanager
def _locked(path: Path, say: Callable[[str], None]) -> Generator[None]:
    """Held by the process alone; the kernel frees it when the process ends, however it ends."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process builds the Kubernetes binaries: waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    """With --if-possible a machine that cannot build is told why, and that is no failure."""
    try:
        for one in (build, build_helm):
            print(one(lambda line: print(line, file=sys.stderr, flush=True)))
    except CannotBuild as reason:
        print(f"Kubernetes binaries not built: {reason}", file=sys.stderr)
        sys.exit(0 if "--if-possible" in sys.argv[1:] else 1)


if __name__ == "__main__":
    main()
