"""The board beside what it sends: what is read from it, reloads, checkpoints, those that follow."""

from dataclasses import replace

import pytest

from controlplane.alerts.alert import Owned
from controlplane.alerts.board import Board, Suppressed
from controlplane.alerts.configuration import OWNER
from controlplane.alerts.entry import Arrived, SavedGroup
from controlplane.alerts.intervals import Interval
from controlplane.alerts.notice import What, Why
from controlplane.alerts.silence import Acknowledgement
from tests.unit.alerts.making import (
    OWNED,
    Kept,
    Leader,
    alert,
    configured,
    inhibits,
    receiver,
    route,
    silence,
)

ALWAYS = {"always": (Interval(),)}


def test_what_keeps_an_alert_quiet() -> None:
    configuration = configured(
        route(mute=("always",)), inhibit=(inhibits("alertname=Down", "alertname=X"),), intervals=ALWAYS
    )
    board = Board(configuration)
    source, held = alert("Down"), alert("X")
    board.apply(Arrived(0, (source, held)), 1)
    board.apply(silence("alertname=X", ends=50), 2)
    board.apply(silence("alertname=X", id="s2", starts=60), 3)
    assert board.state_of(held, 10) == Suppressed(("s1",), (source.fingerprint,), ("always",))
    assert board.state_of(held, 55) == Suppressed((), (source.fingerprint,), ("always",))
    assert board.state_of(source, 10) == Suppressed(muted_by=("always",))
    assert board.state_of(alert("unknown"), 10) == Suppressed()


def test_receivers_are_those_of_its_routes() -> None:
    routes = (route("b", "alertname=X", id="{}/{X}", continues=True), route("a", "pod=1", id="{}/{pod}"))
    board = Board(configured(route("c", routes=routes)))
    both, one, none = alert(pod="1"), alert(pod="2"), alert("Y")
    board.apply(Arrived(0, (both, one, none)), 1)
    assert [board.receivers_of(each) for each in (both, one, none)] == [("b", "a"), ("b",), ("c",)]


def test_two_routes_alike_have_groups_of_their_own() -> None:
    """Alertmanager gives both the same key; webhooks are shown that one."""
    same = [
        route(to, "alertname=X", id=f"{{}}/{{X}}/#{place}", continues=True) for place, to in enumerate("ab")
    ]
    leader = Leader(
        configured(route(routes=same), receiver("team", True), *(receiver(to, True) for to in "ab"))
    )
    leader.report(0, alert())
    notices = leader.look(10)
    assert sorted(notice.receiver for notice in notices) == ["a", "b"]
    assert {notice.shown_group_key for notice in notices} == {'{}/{X}:{alertname="X"}'}
    assert len({notice.group_key for notice in notices}) == 2


def test_a_reload_keeps_timers_of_groups_that_it_still_makes() -> None:
    leader = Leader(configured())
    leader.report(0, alert("X"), alert("Y"))
    leader.look(10)
    leader.report(15, alert("X", pod="2", starts=15))
    added = route("other", "alertname=Y", id="{}/{Y}")
    leader.board.reconfigure(
        configured(route(routes=(added,)), receiver("team", True), receiver("other", True)), 20
    )
    (moved,) = leader.look(20)
    assert (moved.receiver, moved.why) == ("other", Why.FIRST)
    assert leader.board.next_due() == 70
    (new,) = leader.look(70)
    assert (new.receiver, new.why, len(new.firing)) == ("team", Why.NEW_FIRING, 2)
    assert set(leader.kept.groups) == {'{}:{alertname="X"}', '{}/{Y}:{alertname="Y"}'}


def test_a_reload_drops_nothing_that_waits() -> None:
    leader = Leader(configured())
    leader.report(0, alert("X"))
    leader.board.reconfigure(configured(route(wait=30)), 5)
    assert leader.board.next_due() == 10
    leader.look(10)
    leader.report(20, alert("X", ends=20, at=20))
    leader.board.reconfigure(configured(route(by=())), 30)
    assert leader.look(30) == []
    assert (What.RESOLVED_NOT_SENT, "nobody had been told that it fired") in leader.happened()


def test_what_was_settled_does_not_come_back_with_a_reload() -> None:
    leader = Leader(configured())
    leader.report(0, alert("X"))
    leader.look(10)
    leader.report(20, alert("X", ends=20, at=20))
    leader.look(70)
    leader.board.reconfigure(configured(route(by=("alertname", "pod"))), 80)
    leader.board.reconfigure(configured(route(by=())), 85)
    leader.board.reconfigure(configured(), 90)
    lines = len(leader.kept.history)
    assert list(leader.look_until(4000)) == []
    assert len(leader.kept.history) == lines


def test_a_mute_that_a_reload_takes_away_is_over() -> None:
    leader = Leader(configured(route(mute=("always",)), intervals=ALWAYS))
    leader.report(0, alert("X"))
    assert leader.look(10) == []
    leader.board.reconfigure(configured(), 20)
    assert [notice.at for notice in leader.look_until(200)] == [20]


def test_whoever_follows_forgets_what_ended() -> None:
    board = Board(configured())
    board.apply(Arrived(0, (alert("X", ends=10), alert("Y"))), 1)
    board.apply(Arrived(969, (alert("Y", at=969),)), 2)
    assert len(board.alerts) == 2
    board.apply(Arrived(970, (alert("Y", at=970),)), 3)
    assert [each.labels["alertname"] for each in board.alerts.values()] == ["Y"]
    assert list(board.groups) == ['{}:{alertname="Y"}']


def test_whoever_leads_does_not_before_it_was_told() -> None:
    board = Board(configured(), leads=True)
    board.apply(Arrived(0, (alert("X", ends=10),)), 1)
    board.apply(Arrived(5000, (alert("Y", at=5000),)), 2)
    assert len(board.alerts) == 2


def test_one_that_was_to_fire_for_long_and_ended_is_forgotten() -> None:
    board = Board(configured())
    board.apply(Arrived(0, (alert("X", ends=1e9),)), 1)
    board.apply(Arrived(5, (alert("X", ends=5, at=5),)), 2)
    board.apply(Arrived(1000, ()), 3)
    assert not board.alerts


def test_a_checkpoint_in_slices_is_whole_with_the_log_after_it() -> None:
    """What is saved may be younger than the entry it is said to be of; the log is replayed over it."""
    leader = Leader(configured())
    for place in range(30):
        leader.report(place, alert(pod=str(place % 20), starts=place))
    applied = leader.board.applied
    first, _ = leader.board.changed_since_checkpoint(15)
    leader.report(40, alert(pod="1", starts=1, ends=40, at=40))
    rest, _ = leader.board.changed_since_checkpoint(15)
    assert (len(first), len(rest)) == (15, 6)
    assert leader.board.changed_since_checkpoint(15) == ([], [])
    leader.kept.applied = applied
    leader.kept.alerts = {each.alert.fingerprint: each for each in [*first, *rest]}
    after = Leader(configured(), leader.kept)
    assert after.board.alerts == leader.board.alerts
    assert {key: group.saved() for key, group in after.board.groups.items()} == {
        key: group.saved() for key, group in leader.board.groups.items()
    }


def test_a_group_that_the_configuration_makes_no_more_is_removed_by_the_next_leader() -> None:
    kept = Kept(groups={"{}/{gone}:{}": SavedGroup("{}/{gone}:{}", 100, {}, flushed=True)})
    leader = Leader(configured(), kept)
    assert leader.board.next_due() == 0
    assert [(flush.group_key, flush.next_at) for flush in leader.flush(5)] == [("{}/{gone}:{}", None)]
    assert kept.groups == {}
    assert leader.board.next_due() is None


def test_pending_notices_are_there_for_the_next_leader_and_decided_by_nobody_again() -> None:
    leader = Leader(configured())
    leader.report(0, alert("X"))
    (flush,) = leader.flush(10)
    after = Leader(configured(), leader.kept)
    assert after.board.pending == list(flush.notices)
    assert after.look(70) == []
    after.settle(after.board.pending[0], 75)
    assert after.board.pending == []
    assert after.look(75) == []


def test_due_says_the_same_until_it_is_committed() -> None:
    leader = Leader(configured())
    leader.report(0, alert("X"), alert("Y"))
    first = leader.board.due(10)
    assert leader.board.due(10) == first
    assert leader.board.due(10, limit=1) == first[:1]
    leader.board.committed(first)
    assert leader.board.due(10) == []


def test_what_comes_between_a_look_and_its_commit_is_not_lost() -> None:
    leader = Leader(configured())
    leader.report(0, alert("X", ends=5))
    flushes = leader.board.due(10)
    leader.report(11, alert("X", pod="2", starts=11))
    leader.board.committed(flushes)
    assert leader.board.next_due() == 21
    assert [len(notice.firing) for notice in leader.look(21)] == [1]


def test_one_that_fires_again_while_its_end_is_told_stays() -> None:
    leader = Leader(configured())
    leader.report(0, alert("X"))
    leader.look(10)
    leader.report(20, alert("X", ends=20, at=20))
    (ended,) = (notice for flush in leader.flush(70) for notice in flush.notices)
    leader.report(71, alert("X", starts=71))
    leader.settle(ended, 72)
    assert [(notice.at, notice.why) for notice in leader.look_until(200)] == [(130, Why.NEW_FIRING)]


def test_an_owner_is_asked_for_when_an_episode_begins() -> None:
    root = route("ops", routes=(route(OWNER, id="{}/{o}"),))
    OWNED["n"] = Owned({"tenant": "t"}, {"placement": "a"}, ("shop",))
    leader = Leader(
        configured(root, receiver("ops", True), receiver("shop", True), receiver("pay", True)), owners=True
    )
    first = alert(namespace="n")
    leader.report(0, first)
    OWNED["n"] = Owned({"tenant": "u"}, receivers=("pay",))
    leader.report(5, replace(first, updated_at=5))
    found = leader.board.alerts[first.fingerprint]
    assert (found.labels["tenant"], found.owned.annotations) == ("t", {"placement": "a"})
    assert "tenant" not in found.identity
    leader.report(6, alert(namespace="n", ends=6, at=6))
    leader.report(8, alert(namespace="n", starts=8))
    assert [(notice.receiver, notice.group_labels["tenant"]) for notice in leader.look(18)] == [("pay", "u")]


@pytest.mark.promise(4)
def test_acknowledgements_are_kept_with_their_episode() -> None:
    board = Board(configured())
    board.apply(Arrived(0, (alert("X", ends=10),)), 1)
    board.apply(Acknowledgement(alert("X").fingerprint, 0, 5, "ops"), 2)
    assert board.acknowledgements[alert("X").episode].by == "ops"
    board.apply(Arrived(2000, ()), 3)
    assert not board.acknowledgements
