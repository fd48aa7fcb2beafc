"""This release's centre hears agents of the release before, of this one, and of one to come.

Recorded messages of real agents, as NATS carried them: everything is taken. As a later release might send
them: what is more is passed over, what is not understood is set aside with its reason and stops nothing.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from controlplane.known.known import Known
from controlplane.known.records import EpochRecord, Lease
from controlplane.loops.alert import AlertLog
from controlplane.loops.beats import Beats
from controlplane.loops.footprint import ClusterBounds
from controlplane.loops.ingest import Ingest
from controlplane.loops.ports import StreamMessage
from controlplane.loops.running import LoopMetrics, Wake
from schemas.reasons import Reason
from schemas.wire.beats import BeatReply
from schemas.wire.codec import decode
from schemas.wire.reports import WorkState
from tests.circle import eventually
from tests.conformance.store_worlds import ME, SettableClock, arrived, lead
from tests.simulation.memory_bus import MemoryNats
from tests.simulation.memory_store import MemoryStore
from tests.upgrades.growing import grown, with_later_values
from tests.upgrades.recordings import SUBJECTS, Line, Recording, recordings

ALL = pytest.mark.parametrize("recording", recordings(), ids=str)


@dataclass
class Hearing:
    """A centre that leads, with the recorded cluster joined."""

    recording: Recording
    clock: SettableClock
    store: MemoryStore
    known: Known
    nats: MemoryNats
    registry: CollectorRegistry
    ingest: Ingest
    beats: Beats
    lease: Lease
    replies: list[BeatReply] = field(default_factory=list[BeatReply])

    @staticmethod
    async def begin(recording: Recording) -> "Hearing":
        clock, registry = SettableClock(recording.recorded_at), CollectorRegistry()
        store, known, metrics = MemoryStore(clock), Known(), LoopMetrics(registry)
        await joined(store, recording)
        lease = await lead(store)
        known.replace_records(await store.load())
        # Who restarts goes on in the history of before: these orders are its own.
        known.epochs, known.last_generation = (EpochRecord(recording.epoch, 0),), 1_000_000
        nats = MemoryNats(SUBJECTS, clock.now)
        bus = nats.connect_centre()
        ingest = Ingest(
            store, bus, known, SUBJECTS, metrics,
            capacity_changed=lambda: None, work_reported=lambda _cluster, _workload: None,
            excess=lambda: None, bounds=ClusterBounds(),
        )  # fmt: skip
        beats = Beats(store, bus, known, clock, lease, Wake())
        return Hearing(recording, clock, store, known, nats, registry, ingest, beats, lease)

    async def hear(self, line: Line) -> None:
        if line.family in ("state", "usage"):
            self.ingest.apply(StreamMessage(line.subject, line.body, 1))
        elif line.family == "beat":
            self.replies.append(decode(BeatReply, await self.beats.answer(self.recording.cluster, line.body)))
        elif line.family == "alert":
            self.nats.store(self.nats.stream_of(line.subject), line.subject, line.body)

    async def hear_all(self, change: Callable[[Line], Line] = lambda line: line) -> None:
        for line in self.recording.lines:
            await self.hear(change(line))

    async def commit_alerts(self) -> list[str]:
        """Names of those that were committed."""
        metrics = LoopMetrics(CollectorRegistry())
        log = AlertLog(
            self.store, self.nats.connect_centre(), self.known, SUBJECTS, self.lease, metrics, self.clock
        )
        running = asyncio.create_task(log.run())
        await eventually("alerts are committed", lambda: self.known.alert_watermarks)
        running.cancel()
        return [each.identity["alertname"] for each in await arrived(self.store, self.recording.cluster)]

    def set_aside(self) -> float:
        """How many reports."""
        return sum(
            sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == "muster_reports_total" and sample.labels["outcome"] == "malformed"
        )

    def states(self) -> set[WorkState]:
        return {works[self.recording.cluster].state for works in self.known.work.values()}


async def joined(store: MemoryStore, recording: Recording) -> None:
    from controlplane.intent import JoinDraft

    await store.invite_cluster(JoinDraft(b"token", "recorded", {}, (), recording.recorded_at * 2), ME)
    asked = recording.joins[0]["asked"]
    await store.join_cluster(
        b"token",
        cluster=recording.cluster,
        cluster_uid=asked["cluster_uid"],
        agent_key=asked["agent_key"],
        sealing_key=b"",
        account_seed=b"",
    )


def assert_whole(hearing: Hearing) -> None:
    """Everything is known of the cluster that is needed to place there."""
    cluster = hearing.recording.cluster
    assert hearing.known.obstacle(cluster, hearing.clock.now()) is None
    totals = hearing.known.fleet.totals(cluster)
    assert totals.nodes == 12
    assert totals.bound["cpu"] > 0
    assert hearing.states() >= {WorkState.APPLIED, WorkState.REFUSED, WorkState.WITHDRAWN}
    assert all(reply.incarnation >= 0 for reply in hearing.replies)


@ALL
async def test_everything_that_a_recorded_agent_said_is_taken(recording: Recording) -> None:
    hearing = await Hearing.begin(recording)
    await hearing.hear_all()
    assert hearing.set_aside() == 0
    assert_whole(hearing)
    assert hearing.replies
    assert await hearing.commit_alerts()


def with_more(line: Line) -> Line:
    if line.family not in ("state", "usage", "beat", "alert"):
        return line
    message = grown(line.kind, line.message)
    if "capabilities" in message:
        message["capabilities"] = [*message["capabilities"], "levitate"]
    return Line(line.subject, msgspec.json.encode(message))


@ALL
async def test_fields_and_capabilities_of_a_later_agent_are_passed_over(recording: Recording) -> None:
    hearing = await Hearing.begin(recording)
    await hearing.hear_all(with_more)
    assert hearing.set_aside() == 0
    assert_whole(hearing)
    assert "levitate" in hearing.known.heard[recording.cluster].beat.capabilities
    assert await hearing.commit_alerts()


def later_values(recording: Recording) -> Iterator[Line]:
    for line in recording.of("state", "usage", "alert"):
        for message in with_later_values(line.kind, line.message):
            yield Line(line.subject, msgspec.json.encode(message))


@ALL
async def test_words_of_a_later_agent_are_kept_and_taken_for_nothing_good(recording: Recording) -> None:
    hearing = await Hearing.begin(recording)
    strange = list(later_values(recording))
    assert len(strange) > 5, "states of work, and reasons of refusals"
    for line in strange:
        await hearing.hear(line)
    assert hearing.set_aside() == 0
    assert all(not each.is_known or each is WorkState.REFUSED for each in hearing.states())
    await hearing.hear_all()


@ALL
async def test_what_a_later_agent_says_and_nobody_understands_is_set_aside_and_stops_nothing(
    recording: Recording,
) -> None:
    hearing = await Hearing.begin(recording)
    strange = [
        Line(f"muster.state.{recording.cluster}.weather", b'{"incarnation":1,"sequence":1,"rain":true}'),
        Line(f"muster.state.{recording.cluster}.work.x", b"\x00binary of a later codec"),
    ]
    for line in strange:
        await hearing.hear(line)
    assert hearing.set_aside() == len(strange)
    await hearing.hear_all()
    assert_whole(hearing)
    assert await hearing.commit_alerts()


@ALL
async def test_a_version_that_this_database_never_issued_is_told_apart_also_of_an_older_agent(
    recording: Recording,
) -> None:
    hearing = await Hearing.begin(recording)
    hearing.known.epochs = ()
    await hearing.hear_all()
    obstacle = hearing.known.obstacle(recording.cluster, hearing.clock.now())
    assert obstacle is not None
    assert obstacle[0] is Reason.AGENT_AHEAD


def test_a_release_before_this_one_is_recorded() -> None:
    assert {each.name for each in recordings()} >= {"0.1.0", "0.1.0-before-quota"}
    for recording in recordings():
        said = {line.family for line in recording.lines}
        assert said == {"state", "usage", "alert", "beat", "beat-reply", "order"}
        verbs = {line.message["verb"] for line in recording.of("order")}
        assert verbs == {"apply", "withdraw", "release"}
