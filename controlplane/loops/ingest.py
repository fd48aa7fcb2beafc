"""Reports in: STATE and USAGE become the fleet and what clusters say of workloads.

1. Take a batch of messages as the stream gives it; work in slices, so that nothing else waits long.
2. Decode by subject. What does not validate is buried with its reason and stops nothing. A word that only a
   later release knows (a state, a reason) is kept as it came; nothing good is concluded from it.
3. Apply by (incarnation, sequence): an older report, or the same again, changes nothing.
4. Count what each cluster sends; over its bound it is named for the watchdog to cut off.
5. Wake who waits: place for capacity, settle for work.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import msgspec
import structlog

from controlplane import tracing
from controlplane.known.known import Known
from controlplane.loops.footprint import ClusterBounds, Footprint
from controlplane.loops.ports import Bus, DeadLetter, Store, StoreUnavailable, StreamBatch, StreamMessage
from controlplane.loops.running import LoopMetrics
from schemas.wire.codec import Malformed, decode
from schemas.wire.hardware import Hardware, Topology
from schemas.wire.reports import Facts, Inventory, Namespaces, Profile, Report, Stamp, Usage, Work
from schemas.wire.subjects import Subjects, token

log = structlog.get_logger()

KINDS = ("facts", "hardware", "namespaces", "profile", "inventory", "topology", "usage", "work")
SLICE_SECONDS = 0.004
MAX_BURIED_WAITING = 1_000
MAX_BURIED_BYTES = 64 * 1024
MOST_SET_ASIDE = 10_000
LONGEST_REASON = 300


class Ingest:
    """Every replica runs one; only memory is written, dead letters excepted."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        known: Known,
        subjects: Subjects,
        metrics: LoopMetrics,
        *,
        capacity_changed: Callable[[], None],
        work_reported: Callable[[str, str], None],
        excess: Callable[[], None],
        bounds: ClusterBounds,
    ) -> None:
        self._store = store
        self._bus = bus
        self._known = known
        self._subjects = subjects
        self._metrics = metrics
        self._capacity_changed = capacity_changed
        self._work_reported = work_reported
        self._excess = excess
        self._buried: list[DeadLetter] = []
        self._caught_up = {False: False, True: False}
        self.footprint = Footprint(bounds)
        self.over_bound: dict[str, str] = {}
        self.drained = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. Following survives reconnects, so an end is an error."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(usage=False))
            group.create_task(self._follow(usage=True))
            group.create_task(self._bury())

    async def _follow(self, *, usage: bool) -> None:
        stream = "usage" if usage else "state"
        seconds = self._metrics.seconds.labels(f"ingest_{stream}")
        passes = self._metrics.passes.labels(f"ingest_{stream}")
        with self._metrics.reading(stream, f"ingest_{stream}"):
            async for batch in self._bus.follow_reports(usage=usage):
                self._metrics.read(stream, f"ingest_{stream}", batch)
                with seconds.time():
                    await self._take(batch)
                passes.inc()
                if batch.caught_up:
                    self._note_caught_up(usage=usage)
                self._capacity_changed()

    def _note_caught_up(self, *, usage: bool) -> None:
        self._caught_up[usage] = True
        if all(self._caught_up.values()):
            self._known.caught_up = True
            self.drained.set()

    async def _take(self, batch: StreamBatch) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        since_ns = tracing.now_ns() if tracing.is_on() else 0
        for message in batch.messages:
            if since_ns and message.trace:
                self._note_trace(message, since_ns)
            self.apply(message)
            if loop.time() - began > SLICE_SECONDS:
                await asyncio.sleep(0)
                began = loop.time()
        if since_ns:
            self._trace(batch, since_ns)

    def _trace(self, batch: StreamBatch, since_ns: int) -> None:
        """One span for all reports that an agent published at once."""
        counts: dict[tuple[str, str], int] = {}
        for message in batch.messages:
            cluster, tail = self._subjects.of_cluster(message.subject)
            if message.trace and not tail.startswith("work."):
                key = cluster, message.trace
                counts[key] = counts.get(key, 0) + 1
        for (cluster, parent), reports in counts.items():
            taken = tracing.span(
                "take in reports",
                parent=parent,
                kind="consumer",
                since=since_ns,
                cluster=cluster,
                reports=reports,
            )
            self._known.traced.reports[cluster] = taken.traceparent
            taken.end()

    def _note_trace(self, message: StreamMessage, since_ns: int) -> None:
        """Before it is applied: whoever settles it is woken by that."""
        cluster, tail = self._subjects.of_cluster(message.subject)
        kind, _, workload = tail.partition(".")
        if kind == "work":
            self._known.traced.work_came(cluster, workload, message.trace, since_ns)

    def apply(self, message: StreamMessage) -> None:
        """One report into memory."""
        cluster, tail = self._subjects.of_cluster(message.subject)
        is_usage = message.subject.startswith(f"{self._subjects.prefix}.usage.")
        tail = f"usage.{tail}" if is_usage else tail
        kind, _, name = tail.partition(".")
        try:
            outcome = self._apply(cluster, kind, name, tail, message.body)
        except ValueError as error:
            outcome = "malformed"
            self._set_aside(cluster, tail, str(error), message.body)
            self._remember_buried(DeadLetter(cluster, message.subject, str(error), message.body))
        except Exception as error:
            # It lies in the stream and would stop every replica at every start: better one report too few.
            log.exception("report_not_understood", cluster=cluster, subject=message.subject)
            outcome, reason = "malformed", f"{type(error).__name__}: {error}"
            self._set_aside(cluster, tail, reason, message.body)
            self._remember_buried(DeadLetter(cluster, message.subject, reason, message.body))
        self._metrics.reports.labels(kind if kind in KINDS else "unknown", outcome).inc()
        self._known.traffic[cluster].reports_received += 1
        self._count(cluster, message)

    def _apply(self, cluster: str, kind: str, name: str, tail: str, body: bytes) -> str:
        fleet = self._known.fleet
        match kind:
            case "facts":
                report = decode(Facts, body)
                fleet.apply_facts(cluster, report)
            case "hardware":
                report = decode(Hardware, body)
                fleet.apply_hardware(cluster, report)
            case "namespaces":
                report = decode(Namespaces, body)
                held = self._known.namespaces.get(cluster)
                if held is not None and held.stamp >= report.stamp:
                    return "old"
                self._known.namespaces[cluster] = report
            case "topology":
                report = decode(Topology, body)
                fleet.apply_topology(cluster, name, report)
            case "profile":
                report = decode(Profile, body)
                fleet.apply_profile(cluster, name, report)
            case "inventory":
                report = decode(Inventory, body)
                fleet.apply_inventory(cluster, name, report)
            case "usage":
                report = decode(Usage, body)
                fleet.apply_usage(cluster, name, report)
            case "work":
                report = _sober(decode(Work, body))
                token(name)
                said = self._known.work.setdefault(name, {}).get(cluster)
                if said is not None and said.stamp >= report.stamp:
                    return "old"
                self._known.work[name][cluster] = report
                self._work_reported(cluster, name)
            case _:
                raise Malformed(f"{kind[:64]!r} is no kind of report: {', '.join(KINDS)} are")
        return self._stamp(cluster, tail, report.stamp)

    def _stamp(self, cluster: str, tail: str, stamp: Stamp) -> str:
        stamps = self._known.stamps.setdefault(cluster, {})
        if stamps.get(tail, (-1, -1)) >= stamp:
            return "old"
        stamps[tail] = stamp
        self._known.set_aside.get(cluster, {}).pop(tail, None)
        return "applied"

    def _set_aside(self, cluster: str, tail: str, reason: str, body: bytes) -> None:
        """It is not asked for again, and what it would have replaced is not taken for the newest."""
        try:
            stamp = decode(Report, body).stamp
        except Malformed:
            return
        aside = self._known.set_aside.setdefault(cluster, {})
        if len(aside) < MOST_SET_ASIDE or tail in aside:
            aside[tail] = stamp, reason[:LONGEST_REASON]

    def _count(self, cluster: str, message: StreamMessage) -> None:
        sent_at = asyncio.get_running_loop().time() if self._known.caught_up else None
        reason = self.footprint.take(cluster, message.subject, len(message.body), sent_at=sent_at)
        if reason is not None and cluster not in self.over_bound:
            self.over_bound[cluster] = reason
            self._excess()

    def _remember_buried(self, letter: DeadLetter) -> None:
        self._metrics.buried.labels("report").inc()
        log.warning("report_malformed", cluster=letter.cluster, subject=letter.subject, detail=letter.reason)
        if len(self._buried) < MAX_BURIED_WAITING:
            self._buried.append(replace(letter, body=letter.body[:MAX_BURIED_BYTES]))

    async def _bury(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            letters, self._buried = self._buried, []
            if not letters:
                continue
            try:
                await self._store.bury(letters)
            except StoreUnavailable as error:
                log.warning("dead_letters_not_buried", count=len(letters), detail=str(error))
                self._buried = (letters + self._buried)[:MAX_BURIED_WAITING]


def _sober(work: Work) -> Work:
    """In a state that is not known nothing has run to its end."""
    if work.state.is_known or not work.finished:
        return work
    return msgspec.structs.replace(work, finished=False)
