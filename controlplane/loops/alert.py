"""Alerts of agents committed: from the log in NATS into ours in Postgres, gap-free, each once.

1. Follow ALERTS; what does not validate is buried. Where its stamp can be read it still is a link, so that
   the agent, which would send the same bytes for ever, goes on: the dead letter is the recorded reason.
   A single bad alert is buried alone, and the others of its batch are kept.
2. Per cluster, in order: what follows the watermark is taken, what lies at or below it was committed before.
3. A gap waits: the agent is told in the reply to its beat from where to send again, and nothing above the
   gap is committed.
4. Entries and watermark commit in one transaction; then the stream is purged below it.
   The agent trims its spool only to the watermark that the beat tells it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import structlog

from controlplane import tracing
from controlplane.alerts.alert import Alert
from controlplane.alerts.crowding import beyond
from controlplane.alerts.entry import Arrived, Entry
from controlplane.failpoints import reached
from controlplane.known.known import Known
from controlplane.known.records import Lease
from controlplane.loops.alert_reading import AlertReader
from controlplane.loops.ports import AlertLink, Bus, Clock, DeadLetter, Store, StreamBatch
from controlplane.loops.running import LoopMetrics
from schemas.wire.alerts import AlertBatch, follows
from schemas.wire.codec import Malformed, decode
from schemas.wire.reports import Report, Stamp
from schemas.wire.subjects import Subjects

log = structlog.get_logger()

WAITED_FROM_SECONDS = 5.0
"""Less is the way itself, and what the clocks differ by."""
CROWDED = (
    "as many alerts are held as are taken, and this one was new; what fires still is taken once there is room"
)
TOGETHER_ALERTS = 2_000
"""In one transaction: it holds the row of the lease."""


class AlertLog:
    """Commits for one epoch."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        known: Known,
        subjects: Subjects,
        lease: Lease,
        metrics: LoopMetrics,
        clock: Clock,
        resolve_timeout_seconds: Callable[[], float] = lambda: 300.0,
        held: Callable[[], tuple[Mapping[str, Alert], int]] = lambda: ({}, 0),
    ) -> None:
        self._store = store
        self._bus = bus
        self._known = known
        self._subjects = subjects
        self._lease = lease
        self._metrics = metrics
        self._clock = clock
        self._resolve_timeout_seconds = resolve_timeout_seconds
        self._held = held
        self._reader = AlertReader()
        self._traces: dict[tuple[str, Stamp], str] = {}

    async def run(self) -> None:
        """Until cancelled, LeaseLost, or the store or bus is away (the caller starts it again)."""
        metrics = self._metrics
        with metrics.reading("alerts", "alert"):
            async for batch in self._bus.follow_alerts():
                metrics.read("alerts", "alert", batch)
                with metrics.passing("alert"):
                    await self._take(batch)

    async def _take(self, batch: StreamBatch) -> None:
        received: dict[str, list[tuple[int, AlertBatch]]] = defaultdict(list)
        last: dict[str, int] = {}
        self._traces.clear()
        for message in batch.messages:
            cluster, _ = self._subjects.of_cluster(message.subject)
            last[cluster] = message.sequence
            try:
                read = with_wait(decode(AlertBatch, message.body), message.stored_at, self._clock.now())
                received[cluster].append((message.sequence, read))
                if message.trace:
                    self._traces[cluster, read.stamp] = message.trace
            except Malformed as error:
                self._metrics.buried.labels("alert").inc()
                await self._store.bury([DeadLetter(cluster, message.subject, str(error), message.body)])
                empty = _link_of(message.body)
                if empty is not None:
                    received[cluster].append((message.sequence, empty))
        for cluster, batches in received.items():
            await self._commit(cluster, batches)
        for cluster, sequence in last.items():
            await self._bus.purge_alerts(cluster, sequence)

    async def _commit(self, cluster: str, numbered: list[tuple[int, AlertBatch]]) -> None:
        if cluster not in self._known.clusters:
            log.warning("alerts_of_unknown_cluster", cluster=cluster)
            return
        watermark = self._known.alert_watermarks.get(cluster, (0, 0))
        consecutive: list[AlertBatch] = []
        for _, batch in sorted(numbered, key=lambda pair: pair[1].stamp):
            if batch.stamp <= watermark:
                continue
            if not follows(watermark, batch.stamp):
                self._known.alert_gaps.add(cluster)
                log.warning("alert_gap", cluster=cluster, watermark=watermark, found=batch.stamp)
                break
            consecutive.append(batch)
            watermark = batch.stamp
        while consecutive:
            together = _together(consecutive)
            await self._commit_links(cluster, consecutive[:together])
            consecutive = consecutive[together:]

    async def _commit_links(self, cluster: str, batches: list[AlertBatch]) -> None:
        links: list[AlertLink] = []
        buried: list[DeadLetter] = []
        spans: list[tracing.Span] = []
        name = self._known.clusters[cluster].name
        for batch in batches:
            read = self._reader.read(batch, cluster, name, self._resolve_timeout_seconds(), self._clock.now())
            entries, crowded = self._with_room(read.entries)
            span = self._span(cluster, name, batch)
            spans.append(span)
            links.append(AlertLink(batch.stamp, tuple(_traced(each, span) for each in entries)))
            if crowded:
                log.warning("alerts_beyond_bound", cluster=cluster, alerts=len(crowded))
                buried += [
                    DeadLetter(cluster, self._subjects.alert(cluster), CROWDED, each) for each in crowded
                ]
            for position, why in read.refused:
                body = msgspec.json.encode(batch.alerts[position])
                where = f"{self._subjects.alert(cluster)} {batch.stamp} alert {position}"
                buried.append(DeadLetter(cluster, where, why, body))
        if buried:
            self._metrics.buried.labels("alert").inc(len(buried))
            await self._store.bury(buried)
        committed = await self._store.commit_alerts(self._lease, cluster, links)
        for span in spans:
            span.end()
        reached("centre.after_alert_commit")
        self._known.alert_watermarks[cluster] = committed
        self._metrics.alerts.inc(sum(len(batch.alerts) for batch in batches))

    def _span(self, cluster: str, name: str, batch: AlertBatch) -> tracing.Span:
        parent = self._traces.get((cluster, batch.stamp), "")
        alerts, held = len(batch.alerts), batch.held_seconds
        return tracing.span(
            "commit alerts",
            parent=parent,
            kind="consumer",
            cluster=cluster,
            cluster_name=name,
            alerts=alerts,
            held_seconds=held,
        )

    def _with_room(self, entries: Sequence[Entry]) -> tuple[Sequence[Entry], list[bytes]]:
        """What is held goes on being told; new ones beyond the bound have that as their recorded reason."""
        kept, crowded = list[Entry](), list[bytes]()
        held, characters = self._held()
        for entry in entries:
            out = beyond(entry.alerts, held, 0, characters) if isinstance(entry, Arrived) else ()
            if isinstance(entry, Arrived) and out:
                crowded += [
                    msgspec.json.encode(each.labels) for each in entry.alerts if each.fingerprint in out
                ]
                taken = [each for each in entry.alerts if each.fingerprint not in out]
                entry = replace(entry, alerts=taken)
            kept.append(entry)
        return kept, crowded


def _traced(entry: Entry, span: tracing.Span) -> Entry:
    trace = span.traceparent
    return replace(entry, trace=trace) if trace and isinstance(entry, Arrived) else entry


def with_wait(batch: AlertBatch, stored_at: float, now: float) -> AlertBatch:
    """It lay in the stream while the centre was away: held as in the spool, and nothing ended by that."""
    waited = now - stored_at if stored_at else 0.0
    if waited < WAITED_FROM_SECONDS:
        return batch
    return msgspec.structs.replace(batch, held_seconds=batch.held_seconds + waited)


def _together(batches: list[AlertBatch]) -> int:
    """How many of them, at least one, come to no more alerts than one transaction takes."""
    alerts = 0
    for count, batch in enumerate(batches):
        alerts += len(batch.alerts)
        if count and alerts > TOGETHER_ALERTS:
            return count
    return len(batches)


def _link_of(body: bytes) -> AlertBatch | None:
    try:
        link = decode(Report, body)
    except Malformed:
        return None
    return AlertBatch(incarnation=link.incarnation, sequence=link.sequence, received_at=0.0, alerts=[])
