"""Last values on their way to the centre: what could not be published is published again, as it is by then.

Every report gets the next sequence of this process when it is handed in. Profiles go before what refers to
them, inventories before facts (a new layout counts once its shards are there) and before usage.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TypeVar

import msgspec
import structlog

from agents import tracing
from agents.ports import Bus, BusAway, BusUnavailable, Clock, PublishRefused
from agents.report_spans import ReportSpans
from agents.timing import Retrying, signalled
from agents.troubles import Trouble
from schemas.wire.codec import MAX_MESSAGE_BYTES, encode
from schemas.wire.reports import Report, Stamp
from schemas.wire.subjects import Subjects

BATCH_MESSAGES = 500
IDLE_SECONDS = 60.0
_RANKS = {
    "profile": 0,
    "inventory": 1,
    "topology": 2,
    "hardware": 2,
    "facts": 3,
    "usage": 4,
    "namespaces": 4,
    "work": 5,
}
R = TypeVar("R", bound=Report)
_log = structlog.get_logger()


def body_digest(body: bytes) -> str:
    """What a beat says of a published body: 16 hex digits over the very bytes that were published."""
    return hashlib.sha256(body).hexdigest()[:16]


class Publisher:
    """One value per tail: `facts`, `hardware`, `namespaces`, `work.<uid>`, `profile.<hash>`; by shard
    `inventory.<shard>`, `topology.<shard>`, `usage.<shard>`.
    """

    def __init__(self, bus: Bus, clock: Clock, random: Random, subjects: Subjects, cluster: str) -> None:
        self._bus = bus
        self._clock = clock
        self._random = random
        self._subjects = subjects
        self._cluster = cluster
        self._incarnation = 0
        self._sequence = 0
        self._last: dict[str, Report] = {}
        self._pending: dict[str, Report] = {}
        self._published: dict[str, tuple[Stamp, str]] = {}
        self._told = 0
        self._something = asyncio.Event()
        self.trace_of: Callable[[str], str] = lambda _: ""
        """Of a workload, the trace of its order."""

    @property
    def pending(self) -> int:
        return len(self._pending)

    def begin(self, incarnation: int) -> None:
        """Everything is said again under a new incarnation."""
        self._incarnation = incarnation
        self._sequence = 0
        self._published.clear()
        self.resend(list(self._last))

    def offer(self, tail: str, report: Report) -> None:
        """The unstamped report, which is published if it says anything new."""
        if self._last.get(tail) != report:
            self._last[tail] = report
            self._stamp(tail)

    def resend(self, tails: Iterable[str]) -> None:
        """Publish again, with a new stamp, what is known under these tails."""
        for tail in tails:
            if tail in self._last:
                self._stamp(tail)

    def resend_all(self) -> None:
        self.resend(list(self._last))

    def forget(self, tail: str) -> None:
        """It is no longer true, and the centre purges it by itself."""
        for known in (self._last, self._pending, self._published):
            known.pop(tail, None)

    def tails(self, kind: str) -> list[str]:
        """All tails of one kind that are known."""
        return [tail for tail in self._last if tail == kind or tail.startswith(f"{kind}.")]

    def known(self, kind: str) -> dict[str, Report]:
        """The last report, unstamped, under each tail of one kind, by what follows the kind."""
        prefix = f"{kind}."
        return {
            tail.removeprefix(prefix): last for tail, last in self._last.items() if tail.startswith(prefix)
        }

    def stamp(self) -> Stamp:
        """The next stamp, for a report that travels otherwise."""
        self._sequence += 1
        return self._incarnation, self._sequence

    def digests(self, count: int) -> dict[str, tuple[Stamp, str]]:
        """`count` of the published reports, the next ones with every call."""
        tails = list(self._published)
        if not tails:
            return {}
        first = self._told % len(tails)
        self._told = first + count
        chosen = (tails + tails)[first : first + min(count, len(tails))]
        return {tail: self._published[tail] for tail in chosen}

    async def run(self) -> None:
        """Until cancelled."""
        retrying = Retrying(self._bus.returns, self._clock, self._random)
        trouble = Trouble("reports_not_published", "reports_published_again", self._clock.now)
        while True:
            if not self._pending or not self._incarnation:
                await signalled(self._clock, self._something, IDLE_SECONDS)
                continue
            try:
                await self._publish_batch()
            except (BusUnavailable, PublishRefused) as error:
                if not isinstance(error, BusAway):
                    trouble.met(pending=len(self._pending), detail=str(error))
                await retrying.failed()
            else:
                retrying.succeeded()
                trouble.over()

    async def _publish_batch(self) -> None:
        tails = sorted(self._pending, key=_rank)[:BATCH_MESSAGES]
        reports = [(tail, self._pending[tail]) for tail in tails]
        bodies = [(tail, report, encode(report)) for tail, report in reports]
        for tail, report, body in bodies:
            if len(body) > MAX_MESSAGE_BYTES:
                _log.error("report_too_large", tail=tail, size_bytes=len(body))
                self._settle(tail, report)
        fitting = [each for each in bodies if len(each[2]) <= MAX_MESSAGE_BYTES]
        await self._publish([(self._subject(tail), body) for tail, _, body in fitting], fitting)
        for tail, report, body in fitting:
            if self._settle(tail, report):
                self._published[tail] = report.stamp, body_digest(body)

    async def _publish(
        self, messages: list[tuple[str, bytes]], fitting: Sequence[tuple[str, Report, bytes]]
    ) -> None:
        if not tracing.is_on():
            await self._bus.publish(messages)
            return
        spans = ReportSpans(self._cluster, [(tail, report) for tail, report, _ in fitting], self.trace_of)
        try:
            await self._bus.publish(messages, spans.traces)
        except (BusUnavailable, PublishRefused) as error:
            spans.ended(type(error).__name__)
            raise
        spans.ended()

    def _settle(self, tail: str, report: Report) -> bool:
        """Whether this is still what was to be said there."""
        if self._pending.get(tail) is not report:
            return False
        del self._pending[tail]
        return True

    def _stamp(self, tail: str) -> None:
        incarnation, sequence = self.stamp()
        report = msgspec.structs.replace(self._last[tail], incarnation=incarnation, sequence=sequence)
        self._pending[tail] = report
        self._something.set()

    def _subject(self, tail: str) -> str:
        kind, _, name = tail.partition(".")
        match kind:
            case "facts":
                return self._subjects.facts(self._cluster)
            case "profile":
                return self._subjects.profile(self._cluster, name)
            case "inventory":
                return self._subjects.inventory(self._cluster, name)
            case "hardware":
                return self._subjects.hardware(self._cluster)
            case "namespaces":
                return self._subjects.namespaces(self._cluster)
            case "topology":
                return self._subjects.topology(self._cluster, name)
            case "usage":
                return self._subjects.usage(self._cluster, name)
            case "work":
                return self._subjects.work(self._cluster, name)
            case _:
                raise ValueError(f"{tail!r} is no report")


def _rank(tail: str) -> int:
    return _RANKS[tail.partition(".")[0]]
