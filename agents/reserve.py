"""Room on a disk, kept for what frees room: on a full one not even a deletion can be written."""

import os
from pathlib import Path

RESERVE_BYTES = 8 * 1024 * 1024
"""SQLite begins its log anew after 4 MiB, and before that copies them into the database."""


class Reserve:
    """A file of `size_bytes` beside what it is kept for; 0: none is kept."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes

    @property
    def is_kept(self) -> bool:
        return not self._size_bytes or self._path.exists()

    def keep(self) -> bool:
        """Whether it is there now; where there is no room for it, none is taken."""
        if self.is_kept:
            return True
        partial = self._path.with_name(f"{self._path.name}.partial")
        try:
            with partial.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size_bytes)
            partial.rename(self._path)
        except OSError:
            partial.unlink(missing_ok=True)
            return False
        return True

    def give_up(self) -> bool:
        """Whether there is more room than before."""
        if not self._size_bytes or not self._path.exists():
            return False
        self._path.unlink()
        return True
