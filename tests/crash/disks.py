"""A small disk of a test's own, which can be filled: a tmpfs, mounted where the test wants it. Needs root."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

FULL = "ballast"


class NoDisk(Exception):
    """Why none can be mounted, in one line."""


@dataclass(frozen=True)
class Disk:
    folder: Path

    @staticmethod
    def mounted(folder: Path, *, mebibytes: int) -> "Disk":
        """Raises NoDisk."""
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0 or shutil.which("mount") is None:
            raise NoDisk("a tmpfs is mounted by root only")
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0755", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        if done.returncode != 0:
            raise NoDisk(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        return Disk(folder)

    def unmount(self) -> None:
        command = ["umount", "--lazy", str(self.folder)]
        subprocess.run(command, capture_output=True, timeout=10, check=False)

    def fill(self) -> None:
        """To the last byte."""
        with (self.folder / FULL).open("ab", buffering=0) as file:
            size = 1024 * 1024
            while size:
                try:
                    if not file.write(b"\0" * size):
                        size //= 2
                except OSError:
                    size //= 2

    def empty(self) -> None:
        (self.folder / FULL).unlink(missing_ok=True)
