"""The processes of the centre, as each says of itself in Postgres."""

from collections.abc import Iterable
from dataclasses import dataclass

PRESENT_SECONDS = 15.0
"""Since it was seen last: it says something every few seconds."""
FORGOTTEN_SECONDS = 3_600.0
"""One that died is told of for so long."""


@dataclass(frozen=True)
class Replica:
    """name: its host and where it listens. wanted: how many with the same loops there should be; 0: nobody
    said. hears: NATS answers it. ready: it is to be asked. started_seconds, seen_seconds: ago, by the clock
    of Postgres.
    """

    name: str
    loops: str
    version: str
    wanted: int
    hears: bool
    ready: bool = False
    started_seconds: float = 0.0
    seen_seconds: float = 0.0

    @property
    def is_present(self) -> bool:
        return self.seen_seconds <= PRESENT_SECONDS


def hearing_beside(replicas: Iterable[Replica], name: str, loops: str) -> list[str]:
    """Others that do the same, are there, answered by NATS, and ready: what this one cannot say, they can."""
    return sorted(
        each.name
        for each in replicas
        if each.name != name and each.loops == loops and each.is_present and each.hears and each.ready
    )


def leads_unseen(replicas: Iterable[Replica], name: str, holder: str) -> bool:
    """Whether the holder of the lease is a process beside this one that writes no row, as those of a release
    before there were rows. NATS answers it, or it would not lead. holder: HOST-PID-ID; a row is of HOST:PORT.
    """
    host = holder.rsplit("-", 2)[0]
    seen = {each.name.rpartition(":")[0] for each in replicas if each.name != name and each.is_present}
    return bool(holder) and host not in seen
