"""Which processes of the centre there are, and which there should be."""

from collections.abc import Iterator, Sequence

from controlplane.doctor.checks import Check
from controlplane.doctor.findings import Finding
from controlplane.doctor.wording import ago
from controlplane.known.replicas import Replica


def judge(replicas: Sequence[Replica]) -> Iterator[Check]:
    """By what they do. Nothing for a database that no process writes itself into yet."""
    for loops in sorted({each.loops for each in replicas}):
        of_kind = [each for each in replicas if each.loops == loops]
        present = [each for each in of_kind if each.is_present]
        gone = [each for each in of_kind if not each.is_present]
        yield from _counted(loops, present, gone)
        if any(each.hears for each in present):
            deaf = (each for each in present if not each.hears)
            yield from (
                Check("replica.nats", "NATS does not answer it", Finding.REPLICA_DEAF, each.name)
                for each in deaf
            )


def _counted(loops: str, present: Sequence[Replica], gone: Sequence[Replica]) -> Iterator[Check]:
    # Where it is being changed, the last that started knows.
    newest = min(present or gone, key=lambda each: each.started_seconds)
    wanted, names = newest.wanted, ", ".join(each.name for each in present) or "none"
    there = f"{len(present)} of {wanted}" if wanted else f"{len(present)}"
    said = f"{there} with {loops}: {names}"
    if wanted > len(present):
        last = "".join(f"; {each.name} was seen {ago(each.seen_seconds)} ago" for each in gone)
        yield Check("replicas", said + last, Finding.REPLICAS_MISSING)
        return
    yield Check("replicas", said)
    if not wanted:
        for each in gone:
            told = f"{each.loops}: seen {ago(each.seen_seconds)} ago, and it did not say that it ends"
            yield Check("replica", told, Finding.REPLICA_GONE, each.name)
