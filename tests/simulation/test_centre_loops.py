"""Single loops of the centre, on store and bus of the seeded world: what they never forget, and do."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from controlplane.alerts import crowding
from controlplane.alerts.alert import Alert as Reported
from controlplane.alerts.board import Board
from controlplane.alerts.configuration import Configuration, Receiver, Route
from controlplane.alerts.entry import Arrived
from controlplane.known.known import Heard, Known
from controlplane.known.records import Change, Lease, OutboxRecord, PlacementRecord, Request
from controlplane.loops.alert import CROWDED, AlertLog, with_wait
from controlplane.loops.alert_reading import AlertReader
from controlplane.loops.beats import Beats
from controlplane.loops.dispatch import Dispatch
from controlplane.loops.follow import Follow
from controlplane.loops.footprint import ClusterBounds, Footprint
from controlplane.loops.place import RETRY_SECONDS, Place
from controlplane.loops.ports import StoreUnavailable
from controlplane.loops.running import LoopMetrics, Wake
from controlplane.loops.settle import Settle
from controlplane.loops.watchdog import Watchdog
from schemas.wire.alerts import Alert, AlertBatch
from schemas.wire.beats import Beat, BeatReply
from schemas.wire.codec import decode, encode
from schemas.wire.orders import OrderBody, Verb, Version
from schemas.wire.reports import Stamp, Work, WorkState
from schemas.wire.subjects import Subjects
from tests.conformance.store_worlds import (
    BEGIN_SECONDS,
    ME,
    AnyStore,
    SettableClock,
    arrived,
    decision,
    draft,
    joined,
    lead,
    order,
    whats,
)
from tests.simulation.ledger import Ledger
from tests.simulation.memory_bus import MemoryNats
from tests.simulation.memory_store import MemoryStore
from tests.simulation.network import Fate
from tests.unit import reports

NOTHING = msgspec.json.encode(OrderBody(name="web"))
WORKLOAD = "6b0c1b3e-0000-4000-8000-000000000001"


class Around:
    """What every loop stands on."""

    store: AnyStore

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.fates: list[Fate] = []
        self.store = MemoryStore(self.clock, fate=lambda: self.fates.pop() if self.fates else Fate.DONE)
        self.subjects = Subjects("muster")
        self.nats = MemoryNats(self.subjects, self.clock.now)
        self.bus = self.nats.connect_centre()
        self.known = Known()
        self.metrics = LoopMetrics(CollectorRegistry())
        self.footprint = Footprint(ClusterBounds(subjects=10))

    async def lead(self) -> Lease:
        lease = await lead(self.store)
        self.known.replace_records(await self.store.load())
        return lease

    def settle(self, lease: Lease) -> Settle:
        return Settle(self.store, self.bus, self.known, self.subjects, lease, self.metrics, self.footprint)

    def place(self, lease: Lease) -> Place:
        follow = Follow(self.store, self.known)
        return Place(
            self.store,
            self.known,
            follow,
            Ledger(1),
            self.clock,
            lease,
            self.metrics,
            orders_committed=lambda: None,
        )

    def watchdog(self, lease: Lease) -> Watchdog:
        return Watchdog(
            self.store, self.bus, self.known, self.subjects, self.clock, lease, {}, self.footprint
        )


def work(state: WorkState, version: Version) -> Work:
    return Work(
        incarnation=1,
        sequence=1,
        version=version,
        carried_out=version,
        state=state,
        objects=[],
        pods=0,
        ready=0,
    )


def beat(sequence: int, tails: list[str]) -> bytes:
    told: tuple[Stamp, str] = (1, 1), ""
    digests: dict[str, tuple[Stamp, str]] = dict.fromkeys(tails, told)
    return encode(
        Beat(incarnation=1, sequence=sequence, clock=BEGIN_SECONDS, agent_version="1", digests=digests)
    )


async def test_a_lost_report_is_asked_for_though_beats_tell_of_a_few_reports_in_turn() -> None:
    around = Around()
    cluster = (await joined(around.store)).id
    lease = await around.lead()
    around.known.fleet.apply_facts(cluster, reports.facts())
    beats = Beats(around.store, around.bus, around.known, around.clock, lease, Wake())
    shards = [f"inventory.200-{number}" for number in range(200)]
    around.known.stamps[cluster] = dict.fromkeys(shards, (1, 1))
    del around.known.stamps[cluster]["inventory.200-7"]
    asked: list[str] = []
    for number in range(8):
        told = (shards * 4)[number * 64 : (number + 1) * 64]
        reply = decode(BeatReply, await beats.answer(cluster, beat(number, told)))
        asked += [tail for tail in reply.resend if tail.startswith("inventory.200-")]
    assert set(asked) == {"inventory.200-7"}


async def test_the_purged_report_of_a_removal_is_not_asked_for() -> None:
    around = Around()
    cluster = (await joined(around.store)).id
    lease = await around.lead()
    beats = Beats(around.store, around.bus, around.known, around.clock, lease, Wake())
    for number in range(4):
        reply = decode(BeatReply, await beats.answer(cluster, beat(number, [f"work.{WORKLOAD}"])))
        assert f"work.{WORKLOAD}" not in reply.resend


async def test_what_is_recorded_is_asked_for_only_when_no_report_of_it_came_between_two_beats() -> None:
    around = Around()
    cluster = (await joined(around.store)).id
    lease = await around.lead()
    beats = Beats(around.store, around.bus, around.known, around.clock, lease, Wake())
    around.known.put_order(
        OutboxRecord(cluster, WORKLOAD, Verb.APPLY, Version(1, 1), NOTHING, b"", acknowledged=Version(1, 1))
    )
    asked = [
        f"work.{WORKLOAD}" in decode(BeatReply, await beats.answer(cluster, beat(number, []))).resend
        for number in range(3)
    ]
    assert asked == [False, True, True]


async def test_a_brief_beat_acknowledges_what_was_recorded_and_is_asked_for_nothing() -> None:
    around = Around()
    cluster = (await joined(around.store)).id
    lease = await around.lead()
    told: dict[str, Version] = {}
    beats = Beats(
        *(around.store, around.bus, around.known, around.clock, lease, Wake()),
        recorded=lambda _, versions: told.update(versions),
    )
    brief = Beat(
        incarnation=1,
        sequence=1,
        clock=BEGIN_SECONDS,
        agent_version="1",
        recorded={WORKLOAD: Version(1, 1)},
        brief=True,
    )
    for _ in range(3):
        assert decode(BeatReply, await beats.answer(cluster, encode(brief))).resend == []
    assert told == {WORKLOAD: Version(1, 1)}


class TestSettle:
    @pytest.mark.parametrize(
        ("recorded", "acknowledged"),
        [
            pytest.param(Version(1, 2), Version(1, 2), id="this order"),
            pytest.param(Version(1, 1), None, id="an older one"),
            pytest.param(Version(1, 3), None, id="one that was never ordered"),
        ],
    )
    async def test_an_order_is_acknowledged_by_the_version_that_is_recorded(
        self, recorded: Version, acknowledged: Version | None
    ) -> None:
        around = Around()
        cluster = (await joined(around.store)).id
        lease = await around.lead()
        around.known.put_order(OutboxRecord(cluster, WORKLOAD, Verb.APPLY, Version(1, 2), NOTHING, b""))
        settle = around.settle(lease)
        settle.recorded(cluster, {WORKLOAD: recorded})
        around.fates = [Fate.LOST]
        if acknowledged is not None:
            with pytest.raises(StoreUnavailable):
                await settle.run_pass()
        await settle.run_pass()
        record = around.known.order(cluster, WORKLOAD)
        assert record is not None
        assert record.acknowledged == acknowledged

    @pytest.mark.promise(3)
    @pytest.mark.parametrize(
        ("version", "floor", "ahead"),
        [
            pytest.param(Version(1, 2), None, False, id="our own"),
            pytest.param(Version(1, 1), None, False, id="an older one"),
            pytest.param(Version(1, 3), None, True, id="a later one"),
            pytest.param(Version(1, 3), Version(1, 2), True, id="later than what was recovered"),
            pytest.param(Version(1, 3), Version(1, 3), False, id="it was recovered"),
        ],
    )
    async def test_a_report_of_an_order_later_than_ours_tells_of_a_restored_database(
        self, version: Version, floor: Version | None, ahead: bool
    ) -> None:
        """Of a block of generations reserved before the backup: this database counts it as issued."""
        around = Around()
        cluster = (await joined(around.store)).id
        around.known.work[WORKLOAD] = {cluster: work(WorkState.APPLIED, version)}
        lease = await around.lead()
        around.known.clusters[cluster] = replace(around.known.clusters[cluster], floor=floor)
        around.known.put_order(OutboxRecord(cluster, WORKLOAD, Verb.APPLY, Version(1, 2), NOTHING, b""))
        await around.settle(lease).run_pass()
        assert (cluster in around.known.newer_stored) == ahead

    @pytest.mark.promise(2)
    async def test_what_is_withdrawn_stays_ordered_while_pods_of_it_are_there(self) -> None:
        """So tells an agent that began anew: its record is done before the pods are gone."""
        around = Around()
        cluster = (await joined(around.store)).id
        settle = around.settle(await around.lead())
        around.known.put_order(OutboxRecord(cluster, WORKLOAD, Verb.WITHDRAW, Version(1, 2), NOTHING, b""))
        gone = work(WorkState.WITHDRAWN, Version(1, 2))
        for pods in (3, 1, 0):
            around.known.work[WORKLOAD] = {cluster: structs.replace(gone, pods=pods)}
            settle.offer(cluster, WORKLOAD)
            await settle.run_pass()
            assert (around.known.order(cluster, WORKLOAD) is not None) == bool(pods)

    async def test_a_removal_leaves_nothing_of_the_cluster_s_bounds_used(self) -> None:
        around = Around()
        cluster = (await joined(around.store)).id
        lease = await around.lead()
        settle = around.settle(lease)
        for number in range(10):
            uid = f"{WORKLOAD[:-2]}{number:02}"
            subject = around.subjects.work(cluster, uid)
            around.footprint.take(cluster, subject, 100, sent_at=None)
            around.known.work[uid] = {cluster: work(WorkState.WITHDRAWN, Version(1, 1))}
            settle.offer(cluster, uid)
        await settle.run_pass()
        assert around.footprint.take(cluster, "another", 1, sent_at=None) is None

    @pytest.mark.parametrize("failing", ["first", "second"])
    async def test_a_removal_is_told_once_whichever_write_the_store_did_not_take(self, failing: str) -> None:
        around = Around()
        cluster = (await joined(around.store)).id
        uid = (await around.store.submit_workload(draft(), ME)).uid
        lease = await around.lead()
        settle = around.settle(lease)
        around.known.work[uid] = {cluster: work(WorkState.WITHDRAWN, Version(1, 1))}
        settle.offer(cluster, uid)
        around.fates = [Fate.LOST] if failing == "first" else [Fate.LOST, Fate.DONE]
        with pytest.raises(StoreUnavailable):
            await settle.run_pass()
        await settle.run_pass()
        told = [each for each in await around.store.changes(0, 100) if each.by == "agent/north"]
        assert [(each.name, each.what) for each in told] == [("web", "Withdrawn")]


class TestWatchdog:
    async def test_a_shard_of_a_layout_that_is_over_is_purged_once(self) -> None:
        around = Around()
        cluster = (await joined(around.store)).id
        lease = await around.lead()
        fleet = around.known.fleet
        fleet.apply_facts(cluster, reports.facts(5))
        fleet.apply_inventory(cluster, "4-0", reports.inventory("n1", 3))
        assert fleet.stale_shards(cluster) == ["4-0"]
        await around.watchdog(lease).run_pass()
        assert fleet.stale_shards(cluster) == []

    async def test_a_standing_that_the_store_did_not_take_is_told_in_the_next_pass(self) -> None:
        around = Around()
        await joined(around.store)
        watchdog = around.watchdog(await around.lead())
        around.fates = [Fate.LOST]
        with pytest.raises(StoreUnavailable):
            await watchdog.run_pass()
        await watchdog.run_pass()
        changes: list[Change] = list(await around.store.changes(0, 100))
        assert whats(changes)[-1] == "Unknown" or "ClusterUnknown" in whats(changes)


class TestPlace:
    @pytest.mark.promise(1)
    async def test_what_ran_on_a_cluster_that_was_removed_while_nobody_led_is_decided_again(self) -> None:
        around = Around()
        cluster = (await joined(around.store)).id
        record = await around.store.submit_workload(draft(), ME)
        lease = await around.lead()
        await around.store.commit_decisions(lease, [decision(record, order(cluster, lease, 1))])
        await around.store.remove_cluster("north", ME)
        lease = await around.lead()
        await around.place(lease).run_pass()
        (decided,) = (await around.store.load()).decisions
        assert decided.resource_version == record.resource_version
        assert decided.message != "as decided"

    @pytest.mark.promise(9)
    async def test_a_deletion_that_preserves_waits_for_an_agent_that_can(self) -> None:
        around = Around()
        cluster = (await joined(around.store)).id
        settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}}
        given = draft(manifests=[settings], preserveResourcesOnDeletion=True)
        record = await around.store.submit_workload(given, ME)
        lease = await around.lead()
        (generation,) = await around.store.reserve_generations(lease, 1)
        ordered = replace(order(cluster, lease, generation), body=NOTHING)
        await around.store.commit_decisions(lease, [decision(record, ordered)])
        await around.store.delete_workload("web", ME)
        lease = await around.lead()
        place = around.place(lease)
        older = msgspec.structs.replace(reports.facts(), capabilities=["apply", "withdraw"])
        around.known.fleet.apply_facts(cluster, older)
        await place.run_pass()
        held = await around.store.load()
        assert [each.verb for each in held.outbox] == [Verb.APPLY]
        assert held.decisions[0].reason == "CapabilityMissing"
        assert "north" in held.decisions[0].message

        newer = msgspec.structs.replace(older, sequence=2, capabilities=["apply", "withdraw", "preserve"])
        around.known.fleet.apply_facts(cluster, newer)
        around.clock.seconds += RETRY_SECONDS
        await place.run_pass()
        (withdrawal,) = (await around.store.load()).outbox
        assert withdrawal.verb is Verb.WITHDRAW
        assert msgspec.json.decode(withdrawal.body, type=OrderBody).preserve

    @pytest.mark.promise(9)
    @pytest.mark.parametrize("refused", ["before the recovery", "after it"])
    async def test_what_is_refused_is_ordered_in_a_recovered_cluster_as_it_was(self, refused: str) -> None:
        around = Around()
        cluster = (await joined(around.store)).id
        record = await around.store.submit_workload(draft(), ME)
        lease = await around.lead()
        (generation,) = await around.store.reserve_generations(lease, 1)
        before = replace(order(cluster, lease, generation), body=NOTHING)
        await around.store.commit_decisions(lease, [decision(record, before)])
        await around.store.submit_workload(draft(manifests=[{"kind": "not understood"}]), ME)
        if refused == "before the recovery":
            await around.lead()
            await around.place(lease).run_pass()
        floor = Version(lease.epoch, generation)
        await around.store.record_request_done(lease, cluster, Request.NONE, floor)
        await around.lead()
        place = around.place(lease)
        for _ in range(2):
            await place.run_pass()
        held = await around.store.load()
        (ordered,), (placed,), (decided,) = held.outbox, held.placements, held.decisions
        assert (decided.placed, decided.revision) == (False, 2)
        assert (ordered.verb, ordered.body) == (Verb.APPLY, NOTHING)
        assert ordered.version > floor
        assert placed == PlacementRecord(record.uid, cluster, 2, 1, ordered.version, "template")
        assert around.known.placements_of(record.uid) == {cluster: placed}
        assert around.known.order(cluster, record.uid) == ordered

    async def test_what_was_promised_before_is_loaded_in_slices(self) -> None:
        around = Around()
        cluster = (await joined(around.store)).id
        record = await around.store.submit_workload(draft(), ME)
        lease = await around.lead()
        body = msgspec.json.encode(OrderBody(name="web", revision=1, template="t"))
        for number in range(1_000):
            uid, version = f"{number}", Version(1, number)
            around.known.workloads[uid] = replace(record, uid=uid)
            around.known.put_order(OutboxRecord(cluster, uid, Verb.APPLY, version, body, b"", 1, version))
            around.known.placements[uid] = {cluster: PlacementRecord(uid, cluster, 1, 1, version, "t")}
        place = around.place(lease)
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count_turns())
        around.fates = [Fate.LOST]
        with pytest.raises(StoreUnavailable):
            await place.run_pass()
        counting.cancel()
        assert turns >= 20


class TestDispatch:
    async def test_a_long_backlog_is_looked_through_in_slices_and_goes_out_oldest_first(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("controlplane.loops.dispatch.LOOKED_AT_ONCE", 20)
        around = Around()
        cluster = (await joined(around.store)).id
        lease = await around.lead()
        heard = Beat(incarnation=1, sequence=1, clock=BEGIN_SECONDS, agent_version="1")
        around.known.heard[cluster] = Heard(BEGIN_SECONDS, lease.epoch, heard)
        for number in range(6_000):
            version = Version(lease.epoch, number)
            around.known.put_order(OutboxRecord(cluster, f"w{number}", Verb.WITHDRAW, version, b"", b""))
        dispatch = Dispatch(around.store, around.bus, around.known, around.clock, lease, around.metrics)
        passing = asyncio.create_task(dispatch.run_pass())
        turns = 0
        while not around.nats.orders.subjects() and not passing.done():
            turns += 1
            await asyncio.sleep(0)
        await passing
        sent = [message.subject for message in around.nats.orders.after(0, 10_000)]
        numbers = [int(subject.rpartition("w")[2]) for subject in sent]
        assert set(numbers[:1_000]) == set(range(1_000))
        assert (len(sent), around.known.unpublished) == (6_000, set())
        assert turns > 300, "the first was published without letting others run"


def other(name: str, now: float) -> Reported:
    return Reported(name, {"alertname": name}, {}, now, now + 240.0, now)


class TestAlertLog:
    @pytest.mark.promise(1)
    @pytest.mark.promise(4)
    async def test_a_batch_that_does_not_validate_is_a_dead_letter_and_holds_up_nothing(self) -> None:
        """The agent would send the same bytes for ever: its stamp is the link, the letter is the reason."""
        around = Around()
        cluster = (await joined(around.store)).id
        lease = await around.lead()
        subject = around.subjects.alert(cluster)
        good = Alert(labels={"alertname": "NodeNotReady"})
        bodies = [
            b'{"incarnation": 1, "sequence": 1, "received_at": 1.0, "alerts": [{"labels": 7}]}',
            b'{"alerts": []}',
            encode(AlertBatch(incarnation=1, sequence=2, received_at=2.0, alerts=[good])),
        ]
        for body in bodies:
            around.nats.store(around.nats.alerts, subject, body)
        log = AlertLog(
            around.store, around.bus, around.known, around.subjects, lease, around.metrics, around.clock
        )
        running = asyncio.create_task(log.run())
        async with asyncio.timeout(5):
            while around.known.alert_watermarks.get(cluster) != (1, 2):  # noqa: ASYNC110
                await asyncio.sleep(0)
        running.cancel()
        assert len(await arrived(around.store, cluster)) == 1
        assert len(await around.store.dead_letters(cluster, 10)) == 2

    @pytest.mark.promise(5)
    @pytest.mark.parametrize("ahead_seconds", [24 * 3600.0, 9e10])
    async def test_the_clock_of_one_cluster_makes_nobody_forget_the_alerts_of_others(
        self, ahead_seconds: float
    ) -> None:
        around = Around()
        cluster = (await joined(around.store)).id
        lease, now = await around.lead(), around.clock.now()
        said = AlertBatch(
            incarnation=1,
            sequence=1,
            received_at=now + ahead_seconds,
            alerts=[Alert(labels={"alertname": "Ahead"}, ends_at=now + ahead_seconds + 10.0)],
        )
        around.nats.store(around.nats.alerts, around.subjects.alert(cluster), encode(said))
        log = AlertLog(
            around.store, around.bus, around.known, around.subjects, lease, around.metrics, around.clock
        )
        running = asyncio.create_task(log.run())
        async with asyncio.timeout(5):
            while around.known.alert_watermarks.get(cluster) != (1, 1):  # noqa: ASYNC110
                await asyncio.sleep(0)
        running.cancel()
        [ahead] = await arrived(around.store, cluster)
        board = Board(Configuration(Route("{}", "{}", "team"), {"team": Receiver("team")}))
        board.apply(Arrived(now, [other("Others", now)]), 1)
        board.apply(Arrived(ahead.updated_at, [ahead]), 2)
        assert len(board.alerts) == 2

    @pytest.mark.promise(4)
    async def test_a_flood_beyond_what_is_held_at_once_is_dead_letters_and_ends_are_taken(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(crowding, "MOST_OF_ONE_CLUSTER", 1)
        around = Around()
        cluster = (await joined(around.store)).id
        lease = await around.lead()
        known, flood = Alert(labels={"alertname": "Known"}), Alert(labels={"alertname": "Flood"})
        batch = AlertBatch(incarnation=1, sequence=1, received_at=1.0, alerts=[known, flood])
        around.nats.store(around.nats.alerts, around.subjects.alert(cluster), encode(batch))
        name = around.known.clusters[cluster].name
        entry = AlertReader().read(batch, cluster, name, 300.0).entries[0]
        assert isinstance(entry, Arrived)
        held = {entry.alerts[0].fingerprint: entry.alerts[0]}
        log = AlertLog(
            around.store,
            around.bus,
            around.known,
            around.subjects,
            lease,
            around.metrics,
            around.clock,
            held=lambda: (held, 0),
        )
        running = asyncio.create_task(log.run())
        async with asyncio.timeout(5):
            while around.known.alert_watermarks.get(cluster) != (1, 1):  # noqa: ASYNC110
                await asyncio.sleep(0)
        running.cancel()
        assert [each.labels["alertname"] for each in await arrived(around.store, cluster)] == ["Known"]
        [letter] = await around.store.dead_letters(cluster, 10)
        assert b"Flood" in letter.body
        assert letter.reason == CROWDED


@pytest.mark.parametrize(
    ("held", "stored_at", "now", "expected"),
    [
        pytest.param(0.0, 1_000.0, 1_001.0, 0.0, id="on its way"),
        pytest.param(0.0, 1_000.0, 4_600.0, 3_600.0, id="an hour in the stream, with the centre away"),
        pytest.param(60.0, 1_000.0, 4_600.0, 3_660.0, id="in the spool before"),
        pytest.param(0.0, 2_000.0, 1_000.0, 0.0, id="a clock ahead of ours"),
        pytest.param(60.0, 0.0, 4_600.0, 60.0, id="the stream does not say"),
    ],
)
def test_what_lay_in_the_stream_was_held(held: float, stored_at: float, now: float, expected: float) -> None:
    batch = AlertBatch(incarnation=1, sequence=1, received_at=900.0, held_seconds=held, alerts=[])
    assert with_wait(batch, stored_at, now).held_seconds == expected
