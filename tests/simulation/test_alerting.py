"""The loops of alerting over a store in memory, in virtual time: what is sent when, and nothing twice."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from controlplane.alerts.alert import Alert
from controlplane.alerts.board import Board
from controlplane.alerts.compile import read_configuration
from controlplane.alerts.configuration import Configuration
from controlplane.alerts.entry import Arrived
from controlplane.alerts.fingerprint import fingerprint
from controlplane.alerts.notice import Answer, Notice, What
from controlplane.alerts.silence import Acknowledgement
from controlplane.known.records import Lease
from controlplane.loops.alert_metrics import AlertMetrics
from controlplane.loops.alerting import CHECKPOINT_SECONDS, Alerting, AlertingPorts
from controlplane.loops.board_following import BoardFollower
from controlplane.loops.lanes import pause_seconds
from controlplane.loops.notifying import Leading
from controlplane.loops.ports import LeaseLost, StoreUnavailable
from tests.simulation.memory_alert_store import MemoryAlertStore
from tests.simulation.virtual_time import VirtualLoop, WorldClock

CONFIGURATION = """
route:
  receiver: ops
  group_by: [alertname]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 1h
  routes:
    - {receiver: slow, matchers: ['to="slow"']}
    - {receiver: few, matchers: ['to="few"'], group_by: ['...'], group_wait: 0s}
receivers:
  - {name: ops, webhook_configs: [{url: "http://ops.example/"}]}
  - {name: slow, webhook_configs: [{url: "http://slow.example/"}]}
  - {name: few, webhook_configs: [{url: "http://few.example/", limits: {per_minute: 3}}]}
"""
OK = Answer(delivered=True, code="HTTP 200")
Answers = Callable[[Notice, int], Answer]


def delivered(notice: Notice, tried: int) -> Answer:
    return OK


def refused(notice: Notice, tried: int) -> Answer:
    return Answer(delivered=False, code="HTTP 400", detail="no")


@dataclass
class Receivers:
    """answers: by receiver; what is asked takes `takes_seconds`. sent: when, and what."""

    clock: WorldClock
    answers: dict[str, Answers] = field(default_factory=dict[str, Answers])
    takes_seconds: dict[str, float] = field(default_factory=dict[str, float])
    sent: list[tuple[float, Notice]] = field(default_factory=list[tuple[float, Notice]])
    called: list[float] = field(default_factory=list[float])

    async def send(self, notice: Notice) -> Answer:
        await asyncio.sleep(self.takes_seconds.get(notice.receiver, 0.05))
        self.sent.append((self.clock.now(), notice))
        tried = sum(notice.key == other.key for _, other in self.sent)
        return self.answers.get(notice.receiver, delivered)(notice, tried)

    async def call(self, url: str) -> Answer:
        self.called.append(self.clock.now())
        return OK

    def to(self, receiver: str) -> list[Notice]:
        return [notice for _, notice in self.sent if notice.receiver == receiver]


@dataclass
class World:
    """One database and the processes that come and go on it."""

    clock: WorldClock
    receivers: Receivers
    store: MemoryAlertStore
    configuration: Configuration
    epoch: int = 0
    alive: bool = True
    running: list["asyncio.Task[None]"] = field(default_factory=list["asyncio.Task[None]"])
    follower: BoardFollower | None = None
    leading: "asyncio.Task[None] | None" = None

    @classmethod
    def make(cls, text: str = CONFIGURATION) -> "World":
        clock = WorldClock(asyncio.get_running_loop())
        world: World

        def check(lease: Lease) -> None:
            if lease.epoch != world.epoch or not world.alive:
                raise LeaseLost("another leads")

        world = cls(clock, Receivers(clock), MemoryAlertStore(check), read_configuration(text))
        return world

    async def lead(self) -> None:
        """A fresh process, which leads from now on; the one before was killed."""
        await self.kill()
        self.epoch += 1
        self.alive = True
        lease, metrics = Lease("alerting", "me", self.epoch), AlertMetrics(CollectorRegistry())
        follower = BoardFollower(self.store, lambda leads: Board(self.configuration, leads=leads), metrics)
        ports = AlertingPorts(
            store=self.store,
            channels=self.receivers,
            switch=self.receivers,
            clock=self.clock,
            metrics=metrics,
            configuration=lambda: self.configuration,
            draw=lambda: 1.0,
        )
        alerting = Alerting(ports, follower, Leading(lease, lambda: self.alive and self.epoch == lease.epoch))
        self.follower = follower
        self.leading = asyncio.create_task(alerting.run())
        self.running = [asyncio.create_task(follower.run()), self.leading]

    async def kill(self) -> None:
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        self.running = []

    async def post(self, *alerts: Alert) -> None:
        assert self.follower is not None
        await self.follower.append([Arrived(self.clock.now(), alerts)])

    def alert(self, name: str, *, ends_in: float = 7200.0, **labels: str) -> Alert:
        now = self.clock.now()
        identity = dict(sorted({"alertname": name, **labels}.items()))
        return Alert(fingerprint(identity), identity, {}, now, now + ends_in, now)

    def happened(self, what: What) -> list[str]:
        return [line.fingerprint for line in self.store.tables.history.values() if line.what is what]


def simulated(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    loop.run_to_end(test())
    assert loop.unhandled == []


class TestSending:
    def test_a_group_is_told_of_after_group_wait_and_its_end_after_group_interval(self) -> None:
        async def story() -> None:
            world = World.make()
            await world.lead()
            began = world.clock.now()
            await world.post(world.alert("Down", node="a"), world.alert("Down", node="b"))
            await asyncio.sleep(11)
            ((at, told),) = world.receivers.sent
            assert (len(told.firing), told.receiver) == (2, "ops")
            assert at - began == pytest.approx(10, abs=0.3)
            await world.post(
                world.alert("Down", node="a", ends_in=0), world.alert("Down", node="b", ends_in=0)
            )
            await asyncio.sleep(61)
            _, (at, ended) = world.receivers.sent
            assert (len(ended.resolved), len(ended.firing)) == (2, 0)
            assert at - began == pytest.approx(70, abs=0.5)
            assert len(world.happened(What.NOTIFIED)) >= 2

        simulated(story)

    def test_one_who_hangs_delays_nobody_else(self) -> None:
        async def story() -> None:
            world = World.make()
            world.receivers.takes_seconds["slow"] = 30.0
            await world.lead()
            for number in range(40):
                await world.post(world.alert(f"s{number}", to="slow"), world.alert(f"o{number}"))
            await asyncio.sleep(12)
            assert len(world.receivers.to("ops")) == 40
            assert world.receivers.to("slow") == []

        simulated(story)

    @pytest.mark.promise(4)
    def test_what_fails_is_tried_again_with_the_same_key_and_every_attempt_is_recorded(self) -> None:
        async def story() -> None:
            world = World.make()
            world.receivers.answers["ops"] = lambda _, tried: (
                OK if tried == 4 else Answer(delivered=False, retry=True, code="HTTP 503")
            )
            await world.lead()
            await world.post(world.alert("Down"))
            await asyncio.sleep(30)
            assert [notice.key for notice in world.receivers.to("ops")] == [
                world.receivers.to("ops")[0].key
            ] * 4
            times = [at for at, _ in world.receivers.sent]
            pauses = [round(later - earlier) for earlier, later in pairwise(times)]
            assert pauses == [1, 2, 4]
            lines = await world.store.read_attempts()
            assert [line.attempt.answer.delivered for line in lines] == [True, False, False, False]
            assert [line.attempt.last for line in lines] == [True, False, False, False]

        simulated(story)

    def test_what_is_refused_for_good_is_not_tried_again(self) -> None:
        async def story() -> None:
            world = World.make()
            world.receivers.answers["ops"] = refused
            await world.lead()
            await world.post(world.alert("Down"))
            await asyncio.sleep(30)
            assert len(world.receivers.sent) == 1
            assert len(world.happened(What.DELIVERY_FAILED)) == 1

        simulated(story)

    def test_over_a_limit_one_message_stands_for_the_rest(self) -> None:
        async def story() -> None:
            world = World.make()
            await world.lead()
            await world.post(*(world.alert(f"a{number}", to="few") for number in range(50)))
            await asyncio.sleep(30)
            told = world.receivers.to("few")
            assert len(told) == 3, "a minute takes three"
            assert frozenset[str]().union(*(notice.firing for notice in told)) == {
                world.alert(f"a{number}", to="few").fingerprint for number in range(50)
            }
            assert len(world.happened(What.DIGESTED)) == 48
            assert (await world.store.load_board()).pending == ()

        simulated(story)

    def test_a_limit_holds_over_a_restart(self) -> None:
        async def story() -> None:
            world = World.make()
            await world.lead()
            began = world.clock.now()
            await world.post(*(world.alert(f"a{number}", to="few") for number in range(2)))
            await asyncio.sleep(2)
            assert len(world.receivers.to("few")) == 2
            await world.lead()
            await world.post(*(world.alert(f"b{number}", to="few") for number in range(9)))
            await asyncio.sleep(20)
            digest = world.receivers.to("few")[-1]
            assert (len(world.receivers.to("few")), len(digest.firing)) == (3, 9)
            await world.post(world.alert("c", to="few"))
            await asyncio.sleep(60)
            at, told = world.receivers.sent[-1]
            assert told.receiver == "few"
            assert at - began >= 60

        simulated(story)

    def test_integrations_of_one_robot_share_its_limit(self) -> None:
        async def story() -> None:
            robot = "dingtalk_configs: [{url: 'http://robot.example/'}]"
            text = (
                "route: {receiver: a, routes: ["
                "{receiver: a, matchers: ['to=a'], group_by: ['...'], group_wait: 0s},"
                "{receiver: b, matchers: ['to=b'], group_by: ['...'], group_wait: 0s}]}\n"
                f"receivers: [{{name: a, {robot}}}, {{name: b, {robot}}}]\n"
            )
            world = World.make(text)
            await world.lead()
            for number in range(40):
                await world.post(world.alert(f"n{number}", to="a" if number % 2 else "b"))
            await asyncio.sleep(59)
            assert len(world.receivers.sent) == 20, "as many as DingTalk takes in a minute"
            await asyncio.sleep(60)
            told = [notice.firing for _, notice in world.receivers.sent]
            assert len(frozenset[str]().union(*told)) == sum(len(each) for each in told) == 40

        simulated(story)

    @pytest.mark.promise(4)
    def test_a_digest_is_sent_again_as_it_was(self) -> None:
        async def story() -> None:
            world = World.make()
            await world.lead()
            world.receivers.takes_seconds["few"] = 5.0
            await world.post(*(world.alert(f"a{number}", to="few") for number in range(20)))
            await asyncio.sleep(2)
            (digest,) = [each for each in (await world.store.load_board()).pending if each.folded]
            world.epoch += 1
            await world.lead()
            await asyncio.sleep(200)
            told = world.receivers.to("few")
            assert [notice.key for notice in told if notice.folded] == [digest.key]
            assert len({fingerprint for notice in told for fingerprint in notice.firing}) == 20
            assert (await world.store.load_board()).pending == ()

        simulated(story)


class TestLeaders:
    @pytest.mark.promise(4)
    def test_who_comes_after_a_crash_resets_no_timer_and_tells_nothing_twice(self) -> None:
        async def story() -> None:
            world = World.make()
            await world.lead()
            began = world.clock.now()
            await world.post(world.alert("Down"))
            await asyncio.sleep(20)
            assert len(world.receivers.sent) == 1
            await world.lead()
            await asyncio.sleep(CHECKPOINT_SECONDS + 10)
            await world.lead()
            await asyncio.sleep(600)
            assert len(world.receivers.sent) == 1, "told again"
            await world.post(world.alert("Down", ends_in=0))
            await asyncio.sleep(61)
            at, ended = world.receivers.sent[1]
            assert ended.resolved
            assert (at - began - 10) % 60 == pytest.approx(0, abs=1.5), "its timer was reset"

        simulated(story)

    @pytest.mark.promise(4)
    def test_group_wait_goes_on_over_a_crash(self) -> None:
        async def story() -> None:
            world = World.make()
            await world.lead()
            began = world.clock.now()
            await world.post(world.alert("Down"))
            await asyncio.sleep(6)
            await world.lead()
            await asyncio.sleep(6)
            ((at, _),) = world.receivers.sent
            assert at - began == pytest.approx(10, abs=0.5)

        simulated(story)

    @pytest.mark.promise(4)
    def test_what_was_committed_and_not_sent_is_sent_by_the_next_with_the_same_key(self) -> None:
        async def story() -> None:
            world = World.make()
            world.receivers.takes_seconds["ops"] = 5.0
            await world.lead()
            await world.post(world.alert("Down"))
            await asyncio.sleep(12)
            (pending,) = (await world.store.load_board()).pending
            await world.lead()
            await asyncio.sleep(7)
            ((_, told),) = world.receivers.sent
            assert told.key == pending.key
            assert (await world.store.load_board()).pending == ()

        simulated(story)

    @pytest.mark.promise(4)
    def test_what_was_resolved_while_nobody_led_is_told_of_once(self) -> None:
        async def story() -> None:
            world = World.make()
            await world.lead()
            await world.post(world.alert("Down"))
            await asyncio.sleep(12)
            await world.kill()
            ended = Arrived(world.clock.now(), [world.alert("Down", ends_in=0)])
            await world.store.append_entries([ended])
            await asyncio.sleep(3600)
            await world.lead()
            await asyncio.sleep(200)
            assert [bool(notice.resolved) for notice in world.receivers.to("ops")] == [False, True]

        simulated(story)

    def test_who_slept_through_its_lease_sends_nothing(self) -> None:
        async def story() -> None:
            world = World.make()
            await world.lead()
            await world.post(world.alert("Down"))
            world.alive = False
            await asyncio.sleep(20)
            assert world.receivers.sent == []
            assert world.leading is not None
            assert isinstance(world.leading.exception(), LeaseLost)

        simulated(story)

    @pytest.mark.promise(4)
    def test_postgres_away_between_sending_and_recording_sends_nothing_twice(self) -> None:
        async def story() -> None:
            world = World.make()
            world.receivers.takes_seconds["ops"] = 3.0
            await world.lead()
            await world.post(world.alert("Down"))
            await asyncio.sleep(11)
            world.store.away = True
            await asyncio.sleep(6)
            world.store.away = False
            await asyncio.sleep(5)
            if world.leading is not None and world.leading.done():
                assert isinstance(world.leading.exception(), StoreUnavailable)
                await world.lead()
            await asyncio.sleep(120)
            assert len({notice.key for notice in world.receivers.to("ops")}) == 1
            assert (await world.store.load_board()).pending == ()

        simulated(story)

    @pytest.mark.promise(4)
    def test_who_ends_in_order_lets_what_is_being_sent_arrive(self) -> None:
        async def story() -> None:
            world = World.make()
            world.receivers.takes_seconds["ops"] = 1.0
            await world.lead()
            await world.post(world.alert("Down"))
            await asyncio.sleep(10.5)
            await world.lead()
            await asyncio.sleep(30)
            assert len(world.receivers.sent) == 1
            assert len(await world.store.read_attempts()) == 1

        simulated(story)


class TestBeyond:
    def test_a_heartbeat_that_stays_away_is_an_alert_until_it_is_back(self) -> None:
        async def story() -> None:
            text = CONFIGURATION + (
                "muster: {heartbeats: [{name: prometheus, matchers: ['alertname=\"Watchdog\"'],"
                " every: 2m}]}\n"
            )
            world = World.make(text)
            await world.lead()

            def missing() -> list[Alert]:
                assert world.follower is not None
                now = world.clock.now()
                alerts = world.follower.board.alerts.values()
                return [
                    each
                    for each in alerts
                    if each.identity["alertname"] == "HeartbeatMissing" and not each.resolved(now)
                ]

            await world.post(world.alert("Watchdog"))
            await asyncio.sleep(100)
            await world.post(world.alert("Watchdog"))
            await asyncio.sleep(110)
            assert missing() == []
            await asyncio.sleep(20)
            (alert,) = missing()
            assert alert.identity["heartbeat"] == "prometheus"
            await asyncio.sleep(600)
            assert [each.starts_at for each in missing()] == [alert.starts_at]
            await world.lead()
            await asyncio.sleep(30)
            assert [each.starts_at for each in missing()] == [alert.starts_at]
            await world.post(world.alert("Watchdog"))
            await asyncio.sleep(5)
            assert missing() == []

        simulated(story)

    def test_a_heartbeat_that_was_never_heard_of_counts_from_when_it_was_first_expected(self) -> None:
        async def story() -> None:
            beats = "{name: late, matchers: ['alertname=\"Late\"'], every: 10m}"
            world = World.make(CONFIGURATION)
            await world.lead()
            await asyncio.sleep(3600)
            world.configuration = read_configuration(CONFIGURATION + f"muster: {{heartbeats: [{beats}]}}\n")
            began = world.clock.now()
            for _ in range(3):
                await asyncio.sleep(180)
                assert world.receivers.sent == [], "an hour of not expecting it is none of staying away"
                await world.lead()
            await asyncio.sleep(100)
            ((at, told),) = world.receivers.sent
            assert at - began == pytest.approx(610, abs=5)
            assert told.alerts[0].identity["heartbeat"] == "late"
            await world.post(world.alert("Late"))
            await asyncio.sleep(70)
            ended = [notice for notice in world.receivers.to("ops") if notice.resolved]
            assert [notice.resolved for notice in ended] == [{told.alerts[0].fingerprint}]

        simulated(story)

    def test_who_comes_after_an_outage_listens_before_it_says_that_one_stays_away(self) -> None:
        async def story() -> None:
            beats = "{name: prometheus, matchers: ['alertname=\"Watchdog\"'], every: 5m}"
            world = World.make(CONFIGURATION + f"muster: {{heartbeats: [{beats}]}}\n")
            await world.lead()
            await world.post(world.alert("Watchdog"))
            await asyncio.sleep(60)
            await world.kill()
            await asyncio.sleep(7200)
            await world.lead()
            await asyncio.sleep(30)
            await world.post(world.alert("Watchdog"))
            await asyncio.sleep(200)
            assert "HeartbeatMissing" not in {
                alert.identity["alertname"] for notice in world.receivers.to("ops") for alert in notice.alerts
            }

        simulated(story)

    def test_the_dead_mans_switch_is_called_while_all_is_well(self) -> None:
        async def story() -> None:
            text = (
                CONFIGURATION + "muster: {dead_mans_switch: {url: 'http://outside.example/', every: 30s}}\n"
            )
            world = World.make(text)
            await world.lead()
            await asyncio.sleep(100)
            assert len(world.receivers.called) == 3
            world.alive = False
            await asyncio.sleep(100)
            assert len(world.receivers.called) == 3

        simulated(story)

    def test_what_is_acknowledged_at_any_door_is_not_escalated(self) -> None:
        async def story() -> None:
            text = CONFIGURATION.replace(
                "  repeat_interval: 1h\n",
                "  repeat_interval: 1h\n  muster: {escalate: [{after: 5m, receiver: slow}]}\n",
            )
            world = World.make(text)
            await world.lead()
            taken, left = world.alert("Taken"), world.alert("Left")
            await world.post(taken, left)
            await asyncio.sleep(60)
            await world.store.append_entries([Acknowledgement(*taken.episode, world.clock.now(), "ada")])
            await world.lead()
            await asyncio.sleep(600)
            assert [notice.firing for notice in world.receivers.to("slow")] == [{left.fingerprint}]
            assert world.happened(What.ACKNOWLEDGED) == [taken.fingerprint]

        simulated(story)


class TestFollowing:
    @pytest.mark.promise(4)
    def test_what_two_centres_are_told_at_once_is_told_once(self) -> None:
        async def story() -> None:
            world = World.make()
            await world.lead()
            assert world.follower is not None
            other = BoardFollower(
                world.store,
                lambda leads: Board(world.configuration, leads=leads),
                AlertMetrics(CollectorRegistry()),
            )
            following = asyncio.create_task(other.run())
            same = world.alert("Down")
            for _ in range(5):
                said = replace(same, updated_at=world.clock.now())
                entry = Arrived(world.clock.now(), [said])
                await asyncio.gather(world.follower.append([entry]), other.append([entry]))
                await asyncio.sleep(13)
            assert len(world.receivers.sent) == 1
            ends = [replace(same, ends_at=world.clock.now(), updated_at=world.clock.now())]
            entry = Arrived(world.clock.now(), ends)
            await asyncio.gather(world.follower.append([entry]), other.append([entry]))
            await asyncio.sleep(200)
            assert [bool(notice.resolved) for _, notice in world.receivers.sent] == [False, True]
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

        simulated(story)

    def test_a_replica_knows_what_another_appended_and_one_that_was_trimmed_below_loads_anew(self) -> None:
        async def story() -> None:
            world = World.make()
            await world.lead()
            assert world.follower is not None
            other = BoardFollower(
                world.store,
                lambda leads: Board(world.configuration, leads=leads),
                AlertMetrics(CollectorRegistry()),
            )
            following = asyncio.create_task(other.run())
            await world.post(world.alert("Down"))
            await asyncio.sleep(1)
            assert list(other.board.alerts) == list(world.follower.board.alerts)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            for number in range(5):
                await world.post(world.alert(f"a{number}"))
            await asyncio.sleep(2000)
            assert min(world.store.tables.log, default=99) > 3, "it was trimmed"
            following = asyncio.create_task(other.run())
            await world.post(world.alert("last"))
            await asyncio.sleep(15)
            assert set(other.board.alerts) == set(world.follower.board.alerts)
            following.cancel()

        simulated(story)


@pytest.mark.parametrize(
    ("number", "asked", "draw", "pause"),
    [
        (1, None, 1.0, 1.0),
        (1, None, 0.0, 0.5),
        (4, None, 1.0, 8.0),
        (50, None, 1.0, 60.0),
        (1, 20.0, 1.0, 20.0),
        (1, 0.0, 1.0, 1.0),
        (1, 1e9, 1.0, 300.0),
    ],
)
def test_pauses(number: int, asked: float | None, draw: float, pause: float) -> None:
    answer = replace(Answer(delivered=False, retry=True), retry_after_seconds=asked)
    assert pause_seconds(number, answer, draw) == pause
