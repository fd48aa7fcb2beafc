"""Clocks of processes set off by libfaketime (Debian's package): what they believe the time of day to be.

Only the time of day is another; timers, which follow the monotonic clock, run as ever. NATS (Go asks the
kernel, not libc) and Postgres keep the machine's time.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.peers.debian import faketime_library


@dataclass(frozen=True)
class Clocks:
    """One file a program, which reads it at each look at the time: a change is believed at once."""

    folder: Path
    library: Path

    @staticmethod
    def at(folder: Path) -> "Clocks":
        """Raises NoPeers where the library cannot be had."""
        folder.mkdir(parents=True, exist_ok=True)
        return Clocks(folder, faketime_library())

    def set_off(self, program: str, seconds: int) -> None:
        path = self.folder / program
        written = path.with_name(f"{program}.new")
        written.write_text(f"{seconds:+d}\n")
        written.rename(path)

    def environment(self, program: str) -> dict[str, str]:
        if not (self.folder / program).exists():
            self.set_off(program, 0)
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / program),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
