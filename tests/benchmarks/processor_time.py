"""CPU time of this process and of everything that it started, by program; Linux only."""

import os
from pathlib import Path

PROGRAMS = (
    ("-m controlplane", "centre"),
    ("-m agents", "agents"),
    ("nats-server", "nats"),
    ("postgres", "postgres"),
)
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> dict[str, float]:
    """By program, `load` for this process. What ended since it was last asked counts where it was started."""
    found = {"load": 0.0} | {name: 0.0 for _, name in PROGRAMS}
    processes = {int(each.name): each for each in Path("/proc").iterdir() if each.name.isdigit()}
    times = {pid: read for pid, each in processes.items() if (read := _read(each)) is not None}
    ours = {os.getpid()}
    while more := {pid for pid, (parent, _, _) in times.items() if parent in ours} - ours:
        ours |= more
    for pid in ours & times.keys():
        _, command, seconds = times[pid]
        named = (name for part, name in PROGRAMS if part in command)
        found[next(named, "load") if pid != os.getpid() else "load"] += seconds
    return found


def _read(process: Path) -> tuple[int, str, float] | None:
    """(parent, command line, seconds with those of children that were waited for); None where it has gone."""
    try:
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    is_ours = process.name == str(os.getpid())
    ticks = sum(int(field) for field in fields[11 : 13 if is_ours else 15])
    return int(fields[1]), command, ticks / _TICKS_PER_SECOND
