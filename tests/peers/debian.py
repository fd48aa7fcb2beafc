"""Debian's prometheus, prometheus-alertmanager and libfaketime, unpacked into a cache folder, not installed.

`apt-get download` fetches them with the machine's own sources; no root is needed. Once a machine.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("prometheus", "prometheus-alertmanager")
FAKETIME = ("libfaketime",)
TIMEOUT_SECONDS = 90
LAST_LINES = 3
_BUILT_FOR = b"/usr/share/prometheus/alertmanager"


class NoPeers(Exception):
    """Why the packages are not here, in one line."""


@dataclass(frozen=True)
class Peers:
    """templates: the folder that `alertmanager` is to be started in."""

    prometheus: Path
    amtool: Path
    alertmanager: Path
    templates: Path


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "muster" / "debian"


def fetch(folder: Path | None = None) -> Peers:
    """From the cache, else by apt; of several processes one fetches, the others wait. Raises NoPeers."""
    root = _fetched(folder or cache_folder(), "root", PACKAGES)
    return Peers(
        prometheus=root / "usr/bin/prometheus",
        amtool=root / "usr/bin/amtool",
        alertmanager=root / "usr/bin/alertmanager-of-any-folder",
        templates=root / "usr/share/prometheus/alertmanager",
    )


def faketime_library(folder: Path | None = None) -> Path:
    """What is preloaded by a process of many threads. From the cache, else by apt. Raises NoPeers."""
    root = _fetched(folder or cache_folder(), "faketime", FAKETIME)
    for library in sorted(root.glob("usr/lib/*/faketime/libfaketimeMT.so.1")):
        return library
    raise NoPeers(f"{FAKETIME[0]} has no libfaketimeMT.so.1")


def _fetched(folder: Path, name: str, packages: Sequence[str]) -> Path:
    root = folder / name
    if not root.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not root.is_dir():
                _download(folder, root, packages)
    return root


def _download(folder: Path, root: Path, packages: Sequence[str]) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise NoPeers(f"no {tool} on PATH: Debian's {', '.join(packages)} cannot be fetched")
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as temporary:
        try:
            _run(["apt-get", "download", *packages], Path(temporary))
        except NoPeers:
            _download_by_lists_of_our_own(Path(temporary), packages)
        whole = Path(temporary) / "root"
        for package in Path(temporary).glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(whole)], Path(temporary))
        alertmanager = whole / "usr/bin/prometheus-alertmanager"
        if alertmanager.exists():
            _free_of_folder(alertmanager)
        whole.rename(root)


def _download_by_lists_of_our_own(folder: Path, packages: Sequence[str]) -> None:
    """A fresh machine knows no package before `apt-get update`, and its own lists may be root's."""
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    own = ["-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}"]
    _run(["apt-get", *own, "update"], folder)
    _run(["apt-get", *own, "download", *packages], folder)


def _free_of_folder(binary: Path) -> None:
    """Debian's build reads its templates from /usr/share only; this one from the folder it is started in."""
    free = binary.read_bytes().replace(_BUILT_FOR, b"." + b"/" * (len(_BUILT_FOR) - 1))
    changed = binary.with_name("alertmanager-of-any-folder")
    changed.write_bytes(free)
    changed.chmod(0o755)


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise NoPeers(f"{' '.join(command)} took more than {TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        said = " | ".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise NoPeers(f"{' '.join(command)} failed: {said}")
