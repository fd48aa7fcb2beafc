"""What holds for every course of events: reports, silences, flushes, failures, leaders that come and go."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.alerts.board import Board
from controlplane.alerts.configuration import Configuration
from controlplane.alerts.entry import Arrived
from controlplane.alerts.intervals import Interval
from controlplane.alerts.notice import Flush, Happened, Notice, What
from tests.unit.alerts.making import Leader, alert, configured, inhibits, receiver, route, silence

NAMES, PODS = ("A", "B", "C"), ("1", "2")
START = 1_700_000_000.0
"""A Tuesday, 22:13:20 UTC: a quarter to eleven is not far."""
CLOSED = (
    What.NOTIFIED,
    What.SILENCED,
    What.INHIBITED,
    What.MUTED,
    What.INACTIVE,
    What.GROUPED,
    What.RESOLVED_NOT_SENT,
    What.DELIVERY_FAILED,
    What.NO_RECEIVER,
)


def configuration() -> Configuration:
    """Three routes: one continues, one is muted from 22:15 to 22:30, one tells nobody.

    No group_wait where an alert is in two groups: since when it is there is one time for both, so that a new
    leader may count group_wait from a report some seconds earlier or later than the former did.
    """
    return configured(
        route(
            routes=(
                route("page", "alertname=A", id="{}/{A}", by=("alertname",), continues=True, wait=0),
                route("night", "alertname=~A|B", id="{}/{AB}", by=(), wait=0, mute=("late",)),
                route("nobody", "alertname=C,pod=2", id="{}/{C}", by=("pod",)),
            ),
        ),
        receiver("team", True),
        receiver("page", True, False),
        receiver("night", True),
        receiver("nobody"),
        inhibit=(inhibits("alertname=B", "alertname=~A|C", "pod"),),
        intervals={"late": (Interval(times=((22 * 60 + 15, 22 * 60 + 30),)),)},
    )


@dataclass(frozen=True)
class Reported:
    """began: seconds before it is reported. lasts: how long from then on it fires, None: it is resolved."""

    name: str
    pod: str
    began: float
    lasts: float | None


@dataclass(frozen=True)
class Silenced:
    name: str
    lasts: float


@dataclass(frozen=True)
class Passed:
    """Time; what is due is looked at when it is due. delivers: what comes of attempts, in turn; None: nothing
    is said of one until the next turn."""

    seconds: float
    delivers: tuple[bool | None, ...]


@dataclass(frozen=True)
class Saved:
    """A checkpoint, beside those that are made every minute."""


BEGAN = st.sampled_from((0.0, 0.0, 5.0, 300.0))
LASTS = st.sampled_from((None, None, 20.0, 300.0, 1e6))
STEPS = st.lists(
    st.one_of(
        st.builds(Reported, st.sampled_from(NAMES), st.sampled_from(PODS), BEGAN, LASTS),
        st.builds(Reported, st.sampled_from(NAMES), st.sampled_from(PODS), BEGAN, LASTS),
        st.builds(
            Passed,
            st.sampled_from((1.0, 15.0, 61.0, 400.0, 4000.0)),
            st.lists(st.sampled_from((True, True, True, False, None)), min_size=1, max_size=3).map(tuple),
        ),
        st.builds(Silenced, st.sampled_from(NAMES), st.sampled_from((30.0, 500.0))),
        st.builds(Saved),
    ),
    max_size=25,
)


class World:
    """Plays steps to a leader; keeps what was flushed."""

    def __init__(self) -> None:
        self.now = START
        self.leader = Leader(configuration())
        self.flushed: list[Flush] = []
        self.turns = 0
        self.open: list[Notice] = []
        self.saved_at = START

    def play(self, step: Reported | Silenced | Passed | Saved) -> None:
        if isinstance(step, Reported):
            starts = self.now - step.began
            ends = self.now if step.lasts is None else self.now + step.lasts
            report = alert(step.name, pod=step.pod, starts=starts, ends=max(starts, ends), at=self.now)
            self.leader.report(self.now, report)
        elif isinstance(step, Silenced):
            added = silence(
                f"alertname={step.name}", ends=self.now + step.lasts, id=f"s{self.now}{step.name}"
            )
            self.leader.append(replace(added, starts_at=self.now, updated_at=self.now))
        elif isinstance(step, Saved):
            self.leader.checkpoint()
        else:
            self._pass(step)
        self.now += 1

    def _pass(self, step: Passed) -> None:
        until = self.now + step.seconds
        for notice in self.open:
            self.leader.settle(notice, self.now)
        self.open = []
        for _ in range(500):
            due = self.leader.board.next_due()
            due = self.saved_at + 60 if due is None else min(due, self.saved_at + 60)
            if due > until:
                break
            self.now = max(self.now, due)
            if self.now >= self.saved_at + 60:
                self.leader.checkpoint()
                self.saved_at = self.now
            for flush in self.leader.flush(self.now):
                self.flushed.append(flush)
                for notice in flush.notices:
                    self._send(notice, step)
            check(self.leader.board, self.now)
        else:
            raise AssertionError("it never comes to rest")
        self.now = until

    def _send(self, notice: Notice, step: Passed) -> None:
        self.turns += 1
        delivers = step.delivers[self.turns % len(step.delivers)]
        if delivers is None:
            self.open.append(notice)
        else:
            self.leader.settle(notice, self.now, delivers)

    def change_leader(self) -> None:
        self.leader = Leader(configuration(), self.leader.kept)
        self.open = self.leader.board.pending


def check(board: Board, now: float) -> None:
    """What fires waits in each of its groups, and each group has its next look."""
    for found in board.alerts.values():
        if not found.resolved(now):
            places = [group for group in board.groups.values() if found.fingerprint in group.members]
            assert places
    for group in board.groups.values():
        assert group.next_at < float("inf")
        assert group.due_at >= min(group.queued_at, group.due_at)
        assert group.queued_at <= group.due_at


@pytest.mark.promise(4)
@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_every_episode_ends_in_a_message_or_a_recorded_reason(steps: list[Reported | Passed]) -> None:
    world = World()
    for step in steps:
        world.play(step)
        check(world.leader.board, world.now)
    world.play(Passed(4000.0, (True,)))
    world.play(Passed(4000.0, (True,)))
    came = {
        (each.fingerprint, each.starts_at) for each in world.leader.kept.history if each.what is What.RECEIVED
    }
    told = {(each.fingerprint, each.starts_at) for each in world.leader.kept.history if each.what in CLOSED}
    known = {found.episode for found in world.leader.board.alerts.values() if not found.resolved(world.now)}
    assert known <= came
    assert came <= told


@pytest.mark.promise(4)
@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_whoever_was_told_that_it_fires_is_told_of_its_end(steps: list[Reported | Passed]) -> None:
    """Where it wants to hear of that, and nothing is open any more."""
    world = World()
    for step in steps:
        world.play(step)
    world.play(Passed(4000.0, (True,)))
    world.play(Passed(4000.0, (True,)))
    board = world.leader.board
    for (group, _, name), sent in world.leader.kept.sent.items():
        if name == "webhook[1]":
            continue
        for fingerprint in sent.firing | sent.owed:
            assert group in board.groups
            assert not board.alerts[fingerprint].resolved(world.now)


def comparable(flushes: list[Flush]) -> list[object]:
    return sorted(
        (
            repr((each.group_key, each.at, each.next_at, each.complete, each.held, each.quiet, each.emptied)),
            repr(each.notices),
            repr(each.cleared),
        )
        for each in flushes
    )


@pytest.mark.promise(4)
@given(STEPS, STEPS)
@settings(max_examples=100, deadline=None)
def test_a_new_leader_goes_on_as_the_former_would_have(before: list[Passed], after: list[Passed]) -> None:
    stayed, changed = World(), World()
    for step in before:
        stayed.play(step)
        changed.play(step)
    changed.change_leader()
    stayed.open = stayed.leader.board.pending
    stayed.flushed, changed.flushed = [], []
    for step in [*after, Passed(4000.0, (True,))]:
        stayed.play(step)
        changed.play(step)
    assert comparable(changed.flushed) == comparable(stayed.flushed)
    assert lines(stayed) <= lines(changed)
    assert {each.what for each in lines(changed) - lines(stayed)} <= set(CLOSED) - {What.NOTIFIED}


def lines(world: World) -> set[Happened]:
    """What was recorded, for whom and why, whenever: a new leader may record a reason that was known."""
    return {
        replace(each, at=0.0, detail="" if each.what is What.INHIBITED else each.detail)
        for each in world.leader.kept.history
    }


@given(st.permutations([(name, pod) for name in NAMES for pod in PODS]), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_the_order_of_arrival_does_not_matter(order: list[tuple[str, str]], cut: int) -> None:
    outcomes: list[object] = []
    for each in (order, sorted(order)):
        leader = Leader(configuration())
        found = [alert(name, pod=pod, starts=START) for name, pod in each]
        leader.report(START, *found[:cut])
        leader.append(silence("alertname=C", starts=START))
        leader.append(Arrived(START, found[cut:]))
        outcomes.append(
            [
                (replace(n, alerts=n.alerts), n.key)
                for n in sorted(leader.look_until(START + 200), key=lambda n: n.key)
            ]
        )
        outcomes.append({replace(line, detail="") for line in leader.kept.history})
    assert outcomes[:2] == outcomes[2:]
