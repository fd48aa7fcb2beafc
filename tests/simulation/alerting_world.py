"""A world of alerting that a seed drives: the board, its loops and a store in memory, while everything fails.

It holds up promise 4: once things came to rest each episode that was accepted has its account, whoever was
told that something fires was told of its end, and nothing was told twice but with the same key.
"""

import asyncio
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from typing import TypeVar

from prometheus_client import CollectorRegistry

from controlplane.alerts.alert import Alert
from controlplane.alerts.board import Board
from controlplane.alerts.compile import read_configuration
from controlplane.alerts.configuration import Configuration
from controlplane.alerts.entry import Arrived, Entry, SavedGroup
from controlplane.alerts.fingerprint import fingerprint
from controlplane.alerts.matchers import parse_matchers
from controlplane.alerts.notice import Answer, Flush, Notice, Why
from controlplane.alerts.silence import Acknowledgement, Silence
from controlplane.known.records import Lease
from controlplane.loops.alert_metrics import AlertMetrics
from controlplane.loops.alerting import Alerting, AlertingPorts
from controlplane.loops.board_following import BoardFollower
from controlplane.loops.notifying import Leading
from controlplane.loops.ports import LeaseLost, StoreUnavailable
from tests.simulation.accounts import accounted, received
from tests.simulation.memory_alert_store import MemoryAlertStore
from tests.simulation.virtual_time import WorldClock

T = TypeVar("T")
OK = Answer(delivered=True, code="HTTP 200")
NAMES, PODS = ("A", "B", "C", "D", "E"), ("1", "2", "3")

_FILE = """
route:
  receiver: ops
  group_by: [alertname]
  group_wait: 10s
  group_interval: {interval}
  repeat_interval: 20m
  routes:
    - receiver: {page}
      matchers: ['alertname="A"']
      continue: true
      group_wait: 0s
      muster: {{escalate: [{{after: 3m, receiver: lead}}, {{after: 8m, receiver: boss}}]}}
    - {{receiver: few, matchers: ['alertname=~"A|B|C"'], group_by: ['...'], group_wait: 0s}}
    - {{receiver: quarter, matchers: ['alertname="D"'], mute_time_intervals: [{mute}]}}
receivers:
  - {{name: ops, webhook_configs: [{{url: "http://ops/"}}, {{url: "http://ops2/", send_resolved: false}}]}}
  - {{name: page, webhook_configs: [{{url: "http://page/"}}]}}
  - {{name: page2, webhook_configs: [{{url: "http://page2/"}}]}}
  - {{name: few, webhook_configs: [{{url: "http://few/", limits: {{per_minute: 3}}}}]}}
  - {{name: quarter, webhook_configs: [{{url: "http://quarter/"}}]}}
  - {{name: lead, webhook_configs: [{{url: "http://lead/"}}]}}
  - {{name: boss, webhook_configs: [{{url: "http://boss/", limits: {{per_minute: 2}}}}]}}
inhibit_rules:
  - {{source_matchers: ['alertname="E"'], target_matchers: ['alertname=~"B|D"'], equal: [pod]}}
time_intervals:
  - {{name: first, time_intervals: [{{times: [{{start_time: '00:05', end_time: '00:20'}}]}}]}}
  - {{name: second, time_intervals: [{{times: [{{start_time: '00:12', end_time: '00:35'}}]}}]}}
muster: {{{damping}}}
"""
DAMPING = "flap_damping: {transitions: 4, window: 5m, quiet: 3m}"


def files(draw: Random) -> list[Configuration]:
    """Some that differ in what a reload may change."""
    return [
        read_configuration(_FILE.format(interval=interval, page=page, mute=mute, damping=damping))
        for interval, page, mute, damping in (
            ("1m", "page", "first", draw.choice([DAMPING, ""])),
            ("90s", "page", "second", draw.choice([DAMPING, ""])),
            ("1m", "page2", "first", DAMPING),
        )
    ]


class UnsureStore(MemoryAlertStore):
    """lose: whether the answer to a call that took effect is lost. committed: every notice by its key."""

    def __init__(self, check: Callable[[Lease], None], lose: Callable[[], bool]) -> None:
        super().__init__(check)
        self.lose = lose
        self.committed: dict[str, Notice] = {}

    async def _carry(self, effect: Callable[[], T]) -> T:
        result = await super()._carry(effect)
        await asyncio.sleep(0.003)
        if self.lose():
            raise StoreUnavailable("the answer was lost")
        return result

    async def commit_flushes(
        self, lease: Lease, flushes: Sequence[Flush], groups: Sequence[SavedGroup]
    ) -> None:
        for notice in (notice for flush in flushes for notice in flush.notices):
            self.committed.setdefault(notice.key, notice)
        await super().commit_flushes(lease, flushes, groups)


@dataclass
class Message:
    at: float
    notice: Notice
    delivered: bool
    lost: bool = False


@dataclass
class Process:
    follower: BoardFollower
    following: "asyncio.Task[None]"
    leading: "asyncio.Task[None] | None" = None


@dataclass
class AlertingWorld:
    """errors: whatever must never happen. accepted: episodes that were answered for."""

    seed: int
    minutes: float = 30.0
    calm: bool = False
    epoch: int = 0
    begun_at: list[float] = field(default_factory=list[float])
    changing: bool = False
    reloads: int = 0
    messages: list[Message] = field(default_factory=list[Message])
    moods: dict[str, str] = field(default_factory=dict[str, str])
    accepted: set[tuple[str, float]] = field(default_factory=set[tuple[str, float]])
    acknowledged: dict[tuple[str, float], float] = field(default_factory=dict[tuple[str, float], float])
    errors: list[str] = field(default_factory=list[str])
    firing: dict[tuple[str, str], tuple[float, float]] = field(
        default_factory=dict[tuple[str, str], tuple[float, float]]
    )

    def __post_init__(self) -> None:
        self.draw = Random(self.seed)
        self.clock = WorldClock(asyncio.get_running_loop())
        self.store = UnsureStore(self._check, self._lose)
        self.files = files(self.draw)
        self.configuration = self.files[0]
        self.numbers = count(1)
        self.leader: Process
        self.other: Process

    def _check(self, lease: Lease) -> None:
        if lease.epoch != self.epoch:
            raise LeaseLost("another leads")

    def _lose(self) -> bool:
        return not self.calm and self.draw.random() < 0.002

    async def send(self, notice: Notice) -> Answer:
        mood = "well" if self.calm else self.moods.get(notice.receiver, "well")
        message = Message(self.clock.now(), notice, delivered=False)
        try:
            await asyncio.sleep(25.0 if mood == "hangs" else self.draw.uniform(0.01, 0.4))
        except asyncio.CancelledError:
            if self.draw.random() < 0.5:
                message.delivered = True
                self.messages.append(message)
            raise
        self.messages.append(message)
        if mood == "refuses":
            return Answer(delivered=False, code="HTTP 400")
        if mood == "fails":
            return Answer(delivered=False, retry=True, code="HTTP 503")
        if mood == "busy":
            return Answer(delivered=False, retry=True, code="HTTP 429", retry_after_seconds=20.0)
        message.delivered = True
        if mood == "forgets" and self.draw.random() < 0.5:
            message.lost = True
            return Answer(delivered=False, retry=True, code="HTTP 504")
        return OK

    async def call(self, url: str) -> Answer:
        return OK

    def board(self, leads: bool) -> Board:
        return CheckedBoard(self.configuration, self.errors, leads)

    def process(self) -> Process:
        follower = BoardFollower(self.store, self.board, AlertMetrics(CollectorRegistry()))
        return Process(follower, asyncio.create_task(follower.run()))

    def lead(self, process: Process) -> None:
        self.epoch += 1
        self.begun_at.append(self.clock.now())
        lease = Lease("alerting", "me", self.epoch)
        ports = AlertingPorts(
            store=self.store,
            channels=self,
            switch=self,
            clock=self.clock,
            metrics=AlertMetrics(CollectorRegistry()),
            configuration=lambda: self.configuration,
            draw=self.draw.random,
        )
        alerting = Alerting(ports, process.follower, Leading(lease, lambda: self.epoch == lease.epoch))
        process.leading = asyncio.create_task(alerting.run())

    async def end(self, process: Process) -> None:
        tasks = [task for task in (process.leading, process.following) if task is not None]
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            expected = (LeaseLost, StoreUnavailable, asyncio.CancelledError)
            if isinstance(ended, BaseException) and not isinstance(ended, expected):
                self.errors.append("".join(traceback.format_exception(ended)))

    async def run(self) -> None:
        self.leader, self.other = self.process(), self.process()
        self.lead(self.leader)
        watching = asyncio.create_task(self._watch())
        until = self.clock.now() + self.minutes * 60
        while self.clock.now() < until:
            await asyncio.sleep(self.draw.choice([0.0, 0.5, 2.0, 10.0, 30.0, 70.0]))
            await self._act()
        self.calm = True
        self.store.away = False
        await asyncio.sleep(50 * 60)
        watching.cancel()

    async def _watch(self) -> None:
        """Whoever stood down, or died, is followed by another epoch."""
        while True:
            await asyncio.sleep(1.0)
            leading = self.leader.leading
            if self.changing or leading is None or not leading.done():
                continue
            error = leading.exception() if not leading.cancelled() else None
            if error is not None and not isinstance(error, LeaseLost | StoreUnavailable):
                self.errors.append("".join(traceback.format_exception(error)))
            if not self.store.away:
                self.lead(self.leader)

    async def _act(self) -> None:
        acts: list[tuple[int, Callable[[], object]]] = [
            (12, self._begin),
            (8, self._finish),
            (3, self._storm),
            (2, self._flap),
            (3, self._silence),
            (2, self._acknowledge),
            (3, self._mood),
            (2, self._kill),
            (1, self._change),
            (1, self._away),
            (1, self._reload),
        ]
        act = self.draw.choices([each for _, each in acts], [weight for weight, _ in acts])[0]
        done = act()
        if asyncio.iscoroutine(done):
            await done

    async def _append(self, *entries: Entry) -> bool:
        process = self.draw.choice([self.leader, self.other])
        try:
            await asyncio.wait_for(process.follower.append(entries), 5)
        except (StoreUnavailable, TimeoutError):
            return False
        return True

    def _alert(self, key: tuple[str, str], starts_at: float, ends_at: float) -> Alert:
        identity = {"alertname": key[0], "pod": key[1]}
        return Alert(fingerprint(identity), identity, {}, starts_at, ends_at, self.clock.now())

    async def _report(self, *keys: tuple[str, str], lasts: float) -> None:
        now = self.clock.now()
        alerts: list[Alert] = []
        for key in keys:
            starts_at, ends_at = self.firing.get(key, (now, 0.0))
            if ends_at <= now:
                starts_at = now
            self.firing[key] = starts_at, max(ends_at, now + lasts) if lasts else now
            alerts.append(self._alert(key, *self.firing[key]))
        if await self._append(Arrived(now, alerts)):
            self.accepted.update(alert.episode for alert in alerts)

    async def _begin(self) -> None:
        key = self.draw.choice(NAMES), self.draw.choice(PODS)
        await self._report(key, lasts=self.draw.choice([40.0, 300.0, 1500.0]))

    async def _storm(self) -> None:
        keys = [(name, pod) for name in NAMES for pod in PODS]
        await self._report(*self.draw.sample(keys, 10), lasts=self.draw.choice([0.0, 40.0, 600.0]))

    async def _flap(self) -> None:
        key = self.draw.choice(NAMES), self.draw.choice(PODS)
        for lasts in (600.0, 0.0) * self.draw.choice([2, 3, 5]):
            await self._report(key, lasts=lasts)
            await asyncio.sleep(self.draw.choice([0.1, 3.0, 20.0]))

    async def _finish(self) -> None:
        now = self.clock.now()
        keys = [key for key, (_, ends_at) in self.firing.items() if ends_at > now]
        if keys:
            await self._report(self.draw.choice(keys), lasts=0.0)

    async def _silence(self) -> None:
        now = self.clock.now()
        text = self.draw.choice(['alertname="A"', 'pod="1"', 'alertname=~"C|D"'])
        cron, lasts = self.draw.choice([("", 60.0), ("", 600.0), ("*/7 * * * *", 1800.0)])
        made = Silence(f"s{next(self.numbers)}", parse_matchers(text), now, now + lasts, "ops", "", now)
        await self._append(replace(made, cron=cron, duration_seconds=120.0 if cron else 0.0))

    async def _acknowledge(self) -> None:
        now = self.clock.now()
        alerts = [each for each in self.leader.follower.board.alerts.values() if not each.resolved(now)]
        if not alerts:
            return
        episode = self.draw.choice(alerts).episode
        if await self._append(Acknowledgement(*episode, now, "ada")):
            self.acknowledged.setdefault(episode, self.clock.now())

    def _mood(self) -> None:
        receiver = self.draw.choice(["ops", "page", "few", "quarter", "lead", "boss"])
        moods = ["well", "well", "fails", "refuses", "busy", "hangs", "forgets"]
        self.moods[receiver] = self.draw.choice(moods)

    async def _kill(self) -> None:
        """The one that leads: what it was sending may arrive; nothing of it is recorded any more."""
        self.epoch += 1
        self.changing = True
        await self.end(self.leader)
        await asyncio.sleep(self.draw.choice([0.0, 1.0, 100.0]))
        self.leader = self.process()
        self.lead(self.leader)
        self.changing = False

    async def _change(self) -> None:
        """The other process leads from now on; the former finds out late."""
        before = self.leader
        self.leader, self.other = self.other, before
        self.lead(self.leader)
        await asyncio.sleep(self.draw.choice([0.1, 5.0]))
        self.changing = True
        await self.end(before)
        self.other = self.process()
        self.changing = False

    async def _away(self) -> None:
        self.store.away = True
        await asyncio.sleep(self.draw.choice([0.2, 3.0, 30.0]))
        self.store.away = False

    def _reload(self) -> None:
        self.reloads += 1
        self.configuration = self.draw.choice(self.files)
        for process in (self.leader, self.other):
            process.follower.board.reconfigure(self.configuration, self.clock.now())


class CheckedBoard(Board):
    """An entry that cannot be applied is an error here; the follower only logs it."""

    def __init__(self, configuration: Configuration, errors: list[str], leads: bool) -> None:
        super().__init__(configuration, leads=leads)
        self._errors = errors

    def apply(self, entry: Entry, id: int) -> None:
        try:
            super().apply(entry, id)
        except Exception:
            self._errors.append(traceback.format_exc())
            raise


def violations(world: AlertingWorld) -> list[str]:
    """What does not hold, once all came to rest."""
    return [
        *world.errors,
        *_without_account(world),
        *_told_twice(world),
        *_ends_untold(world),
        *_open(world),
        *_escalated_though_acknowledged(world),
        *_faster_than_allowed(world),
    ]


def _without_account(world: AlertingWorld) -> list[str]:
    history = world.store.tables.history.values()
    came, closed = set(received(history)), accounted(history)
    return [
        *(f"accepted, not in the history: {each}" for each in sorted(world.accepted - came - closed)),
        *(f"no account: {each}" for each in sorted(came - closed)),
    ]


def _notices(world: AlertingWorld, message: Message) -> list[Notice]:
    if not message.notice.folded:
        return [message.notice]
    return [world.store.committed[key] for key in message.notice.folded]


def _told_twice(world: AlertingWorld) -> list[str]:
    found: list[str] = []
    by: dict[str, str] = {}
    last: dict[tuple[str, str, str], Notice] = {}
    for message in (message for message in world.messages if message.delivered):
        for notice in _notices(world, message):
            way = notice.group_key, notice.receiver, notice.integration
            if message.lost:
                continue
            if by.setdefault(notice.key, message.notice.key) != message.notice.key:
                found.append(f"{message.at}: {way} told in two messages: {notice.why}")
            before = last.get(way)
            flaps = any("flapping" in alert.annotations for alert in notice.alerts)
            news = before is None or before.key == notice.key or _content(before) != _content(notice)
            # Where ends are not wanted Alertmanager forgets what fires once all that is heard of has ended.
            forgets = notice.integration == "webhook[1]"
            repeats = notice.why is Why.REPEAT or flaps or forgets
            if before is not None and not news and not repeats:
                found.append(f"{message.at}: {way} told again: {notice.why} after {before.why}")
            last[way] = notice
    return found


def _content(notice: Notice) -> frozenset[tuple[str, float, bool]]:
    return frozenset((*alert.episode, alert.fingerprint in notice.firing) for alert in notice.alerts)


def _ends_untold(world: AlertingWorld) -> list[str]:
    board, now = world.leader.follower.board, world.clock.now()
    found: list[str] = []
    for group_key, ways in board.sent.items():
        for (receiver, integration), sent in ways.items():
            known = board.configuration.receivers.get(receiver)
            wants = known and any(
                each.name == integration and each.send_resolved for each in known.integrations
            )
            for fingerprint_ in (sent.firing | sent.owed) if wants else ():
                alert = board.alerts.get(fingerprint_)
                if alert is None or alert.resolved(now - 600):
                    found.append(f"its end was not told: {fingerprint_} of {group_key} to {receiver}")
    return found


def _open(world: AlertingWorld) -> list[str]:
    tables, board = world.store.tables, world.leader.follower.board
    found = [f"pending: {key}" for key in tables.notices]
    found += [f"under way: {key}" for key in board.under_way]
    saved = world.store._load()  # pyright: ignore[reportPrivateUsage]
    for key, group in saved.groups.items():
        held = board.groups.get(key)
        if held is not None and held.flushed and held.saved() != group:
            found.append(f"the database knows a group otherwise: {held.saved()} and {group}")
    sent = {(each.group_key, each.receiver, each.integration): each for each in saved.sent}
    known = {(key, *way): each for key, ways in board.sent.items() for way, each in ways.items()}
    if sent != known:
        found.append(f"the database knows otherwise what was sent: {set(sent.items()) ^ set(known.items())}")
    return found


def _escalated_though_acknowledged(world: AlertingWorld) -> list[str]:
    steps = [each for each in world.store.committed.values() if each.why is Why.ESCALATION]
    return [
        f"{notice.at}: escalated though acknowledged: {alert.episode}"
        for notice in steps
        for alert in notice.alerts
        if notice.at > world.acknowledged.get(alert.episode, notice.at) + 5
    ]


def _faster_than_allowed(world: AlertingWorld) -> list[str]:
    """What a leader had sent and not recorded nobody after it can count: as many more are borne for each."""
    found: list[str] = []
    for receiver, most in (("few", 3), ("boss", 2)):
        times = sorted(message.at for message in world.messages if message.notice.receiver == receiver)
        for index, at in enumerate(times):
            within = sum(1 for other in times[index:] if other < at + 59.9)
            leaders = 1 + sum(1 for begun_at in world.begun_at if at < begun_at < at + 59.9)
            if within > most * leaders:
                found.append(f"{at}: {within} messages within a minute to {receiver}")
    return found
