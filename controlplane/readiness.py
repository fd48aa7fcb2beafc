"""Whether this process is to be asked, and what it lacks: one rule, when it starts and while it runs.

It is ready once it has read what Postgres holds, and while no other can answer better: what only it lacks, as
NATS, makes it unready; what all of them lack, as a Postgres that is away, does not. Were all of them unready,
nobody could be asked anything, not even what is wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from controlplane.api.ports import LOADING, STALE, NotReady

STALE_SECONDS = 5.0
"""Without an answer of Postgres: what is read then is of before."""
DEAF_SECONDS = 10.0
"""Without an answer of NATS: by then, those that it does not answer either have said so, and were read."""
PARTS = (LOADING, "alerts", STALE, "bus", "streams")


@dataclass(frozen=True)
class Standing:
    """Of one process. nats_said: why NATS was not opened yet, "" where it was; nats_tried: whether it was.

    hearing: others that do the same, are answered by NATS, and are ready.
    postgres_silent_seconds: since it answered. was_ready: it has been since it started.
    """

    is_loaded: bool
    alerts_loaded: bool
    is_caught_up: bool
    hears: bool
    nats_tried: bool = True
    nats_said: str = ""
    hearing: Sequence[str] = ()
    postgres_silent_seconds: float = 0.0
    was_ready: bool = False


def judge(at: Standing) -> list[NotReady]:
    """What it lacks; where none of that is waited for, it is ready."""
    found: list[NotReady] = []
    if not at.is_loaded:
        found.append(NotReady(LOADING, "Postgres is being loaded"))
    elif at.postgres_silent_seconds > STALE_SECONDS:
        said = f"Postgres has not answered for {at.postgres_silent_seconds:.0f} s: what is read is of before"
        found.append(NotReady(STALE, f"{said}, and nothing is taken", answers=True))
    if not at.alerts_loaded:
        found.append(NotReady("alerts", "the log of alerts is being read"))
    if not at.hears:
        found.append(_deaf(at))
    if not at.is_caught_up:
        # What cannot be read while NATS is away is waited for by nobody; nor is what is read again.
        answers = at.was_ready or (not at.hears and at.nats_tried)
        found.append(NotReady("streams", "STATE and USAGE are being replayed", answers=answers))
    return found


def _deaf(at: Standing) -> NotReady:
    said = f"NATS: {at.nats_said or 'it does not answer'}; no agent is heard, alerts are served"
    if at.hearing:
        return NotReady("bus", f"{said}; it answers {', '.join(at.hearing)}")
    return NotReady("bus", said, answers=at.nats_tried)


class Readiness:
    """look: how it stands now, but for whether it was ready."""

    def __init__(self, look: Callable[[], Standing], registry: CollectorRegistry) -> None:
        self._look = look
        self._was_ready = False
        ready = Gauge("muster_ready", "1 while this process is to be asked", registry=registry)
        ready.set_function(lambda: float(self.is_ready))
        lacks = Gauge("muster_lacks", "1 for what this process lacks", ["what"], registry=registry)
        for part in PARTS:
            lacks.labels(part).set_function(partial(self._lacks, part))

    def found(self) -> list[NotReady]:
        """What it lacks now."""
        found = judge(replace(self._look(), was_ready=self._was_ready))
        self._was_ready |= all(each.answers for each in found)
        return found

    @property
    def is_ready(self) -> bool:
        return all(each.answers for each in self.found())

    def _lacks(self, part: str) -> float:
        return float(any(each.what == part for each in self.found()))
