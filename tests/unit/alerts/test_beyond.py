"""What the board does beyond Alertmanager: damping of what flaps, escalation."""

from dataclasses import replace

import pytest

from controlplane.alerts.configuration import Beyond, Configuration, Escalation, FlapDamping
from controlplane.alerts.notice import Notice, What, Why
from controlplane.alerts.silence import Acknowledgement
from tests.unit.alerts.making import (
    ENDLESS,
    INTERVAL,
    WAIT,
    Leader,
    alert,
    configured,
    receiver,
    route,
    silence,
)

RULE = FlapDamping(transitions=3, window_seconds=600, quiet_seconds=200)
FLAPPED = (0.0, 5.0, 15.0, 25.0, 35.0)
"""It fires at the first, the third and the last."""


def damped(rule: FlapDamping = RULE) -> Configuration:
    return replace(configured(), beyond=Beyond(flap_damping=rule))


def flap(leader: Leader, *at: float, fires: bool = True) -> None:
    """It fires, ends, and so on; what is due meanwhile is looked at."""
    for each in at:
        list(leader.look_until(each))
        leader.report(each, alert(starts=each, ends=ENDLESS if fires else each, at=each))
        fires = not fires


class TestFlapping:
    def test_one_message_says_so_and_the_next_comes_when_it_was_quiet(self) -> None:
        leader = Leader(damped())
        flap(leader, *FLAPPED)
        (said,) = leader.look_until(200)
        assert "more than 3 times" in said.alerts[0].annotations["flapping"]
        assert said.why is Why.NEW_FIRING
        flap(leader, 210.0, 220.0, 230.0, fires=False)
        assert list(leader.look_until(429)) == [], "held, both what fires and what ended"
        (ended,) = leader.look_until(431)
        assert (ended.at, ended.why) == (430.0, Why.ALL_RESOLVED)
        assert "flapping" not in ended.alerts[0].annotations

    def test_every_episode_of_it_has_its_account(self) -> None:
        leader = Leader(damped())
        flap(leader, *FLAPPED)
        list(leader.look_until(200))
        flap(leader, 210.0, 220.0, 230.0, fires=False)
        list(leader.look_until(2000))
        history = leader.kept.history
        came = {each.starts_at for each in history if each.what is What.RECEIVED}
        accounts = (What.NOTIFIED, What.FLAPPING, What.RESOLVED_NOT_SENT)
        told = {each.starts_at for each in history if each.what in accounts}
        assert came <= told
        flapping = [each.starts_at for each in history if each.what is What.FLAPPING]
        assert len(flapping) == len(set(flapping)) >= 1, "once for each"

    @pytest.mark.promise(4)
    def test_a_new_leader_says_it_no_second_time_and_lets_go_at_the_same_moment(self) -> None:
        leader = Leader(damped())
        flap(leader, *FLAPPED)
        assert len(list(leader.look_until(100))) == 1
        leader.checkpoint()
        leader = Leader(damped(), leader.kept)
        assert list(leader.look_until(150)) == []
        leader.report(150, alert(starts=35, ends=150, at=150))
        (ended,) = leader.look_until(1000)
        assert ended.at == 350.0

    def test_what_fires_on_when_it_is_let_go_was_told_of(self) -> None:
        leader = Leader(damped())
        flap(leader, *FLAPPED)
        list(leader.look_until(100))
        assert list(leader.look_until(1000)) == []

    def test_it_is_told_again_where_the_message_that_said_so_failed(self) -> None:
        leader = Leader(damped())
        flap(leader, *FLAPPED)
        at = leader.board.next_due()
        assert at is not None
        (lost,) = leader.look(at, delivered=False)
        assert "flapping" in lost.alerts[0].annotations
        (said,) = leader.look_until(at + INTERVAL)
        assert "flapping" in said.alerts[0].annotations

    def test_a_silence_goes_before_it(self) -> None:
        leader = Leader(damped())
        leader.append(silence("alertname=X"))
        flap(leader, *FLAPPED)
        assert list(leader.look_until(100)) == []
        assert {what for what, _ in leader.happened()} <= {What.SILENCED, What.RESOLVED_NOT_SENT}

    def test_off_nothing_changes(self) -> None:
        plain, off = Leader(configured()), Leader(damped(FlapDamping()))
        notices: list[list[Notice]] = []
        for leader in (plain, off):
            flap(leader, *FLAPPED)
            notices.append(list(leader.look_until(3000)))
            assert next(iter(leader.board.changed_since_checkpoint()[0])).transitions == ()
        assert notices[0] == notices[1]
        assert plain.kept.history == off.kept.history


STEPS = (Escalation(300.0, "lead"), Escalation(900.0, "boss"))


def escalating(*steps: Escalation) -> Configuration:
    root = replace(route(repeat=1e6), escalations=steps or STEPS)
    return configured(root, *(receiver(name, True) for name in ("team", "lead", "boss")))


def told(notices: list[Notice]) -> list[tuple[str, float, str]]:
    return [(each.receiver, each.at, each.why.value) for each in notices]


def acknowledge(leader: Leader, at: float, name: str = "X") -> None:
    leader.append(Acknowledgement(*alert(name).episode, at, "ada"))


class TestEscalation:
    def test_steps_count_from_the_first_message_and_are_taken_once(self) -> None:
        leader = Leader(escalating())
        leader.report(0, alert())
        assert told(list(leader.look_until(1e5))) == [
            ("team", WAIT, "First"),
            ("lead", WAIT + 300, "Escalation"),
            ("boss", WAIT + 900, "Escalation"),
        ]

    def test_whoever_was_told_hears_of_the_end(self) -> None:
        leader = Leader(escalating())
        leader.report(0, alert())
        list(leader.look_until(400))
        leader.report(400, alert(ends=400, at=400))
        ends = list(leader.look_until(5000))
        assert {(each.receiver, each.resolved) for each in ends} == {
            ("team", frozenset({alert().fingerprint})),
            ("lead", frozenset({alert().fingerprint})),
        }

    @pytest.mark.parametrize("at", [5.0, 200.0, 309.0])
    def test_nobody_is_told_of_what_is_acknowledged(self, at: float) -> None:
        leader = Leader(escalating())
        leader.report(0, alert())
        list(leader.look_until(at))
        acknowledge(leader, at)
        assert {each.receiver for each in leader.look_until(5000)} <= {"team"}

    def test_an_acknowledgement_between_steps_ends_it(self) -> None:
        leader = Leader(escalating())
        leader.report(0, alert())
        assert [each.receiver for each in leader.look_until(500)] == ["team", "lead"]
        acknowledge(leader, 500)
        assert list(leader.look_until(5000)) == []

    def test_only_what_nobody_took_on_is_in_the_message(self) -> None:
        leader = Leader(replace(escalating(), root=replace(escalating().root, group_by=())))
        leader.report(0, alert("X"), alert("Y"))
        acknowledge(leader, 50)
        list(leader.look_until(300))
        (step,) = leader.look_until(400)
        assert [each.identity["alertname"] for each in step.alerts] == ["Y"]

    def test_what_comes_later_has_its_own_time(self) -> None:
        leader = Leader(replace(escalating(), root=replace(escalating().root, group_by=())))
        leader.report(0, alert("X"))
        acknowledge(leader, 50)
        list(leader.look_until(400))
        leader.report(400, alert("Y", starts=400))
        steps = [each for each in leader.look_until(5000) if each.why is Why.ESCALATION]
        assert told(steps) == [("lead", 700.0, "Escalation"), ("boss", 1300.0, "Escalation")]

    def test_what_is_silenced_meanwhile_is_not_escalated_until_it_is_heard_again(self) -> None:
        leader = Leader(escalating())
        leader.report(0, alert())
        list(leader.look_until(200))
        leader.append(silence("alertname=X", starts=200, ends=450))
        assert [each for each in leader.look_until(449) if each.receiver == "lead"] == []
        steps = [each for each in leader.look_until(600) if each.receiver == "lead"]
        assert len(steps) == 1
        assert steps[0].at <= 450 + INTERVAL

    def test_another_outbreak_begins_at_the_first_step(self) -> None:
        leader = Leader(escalating())
        leader.report(0, alert())
        list(leader.look_until(500))
        leader.report(500, alert(ends=500, at=500))
        list(leader.look_until(700))
        leader.report(700, alert(starts=700))
        after = [each for each in leader.look_until(1500) if each.why is Why.ESCALATION]
        assert [each.receiver for each in after] == ["lead"]

    @pytest.mark.promise(4)
    @pytest.mark.parametrize("at", [100.0, 320.0, 700.0])
    def test_a_new_leader_counts_on(self, at: float) -> None:
        leader = Leader(escalating())
        leader.report(0, alert())
        before = list(leader.look_until(at))
        leader.checkpoint()
        leader = Leader(escalating(), leader.kept)
        notices = [*before, *leader.look_until(1e5)]
        assert [(each.receiver, each.at) for each in notices] == [
            ("team", WAIT),
            ("lead", WAIT + 300),
            ("boss", WAIT + 900),
        ]

    def test_where_the_first_message_failed_for_good_it_escalates_too(self) -> None:
        leader = Leader(escalating())
        leader.report(0, alert())
        receivers: list[str] = []
        while (due := leader.board.next_due()) is not None and due <= 400:
            for flush in leader.flush(due):
                for notice in flush.notices:
                    leader.settle(notice, due, delivered=notice.receiver != "team")
                    receivers.append(notice.receiver)
        assert "lead" in receivers

    def test_history_says_who_was_told_so(self) -> None:
        leader = Leader(escalating())
        leader.report(0, alert())
        list(leader.look_until(400))
        assert leader.happened(What.NOTIFIED)[-1] == (What.NOTIFIED, "webhook[0] escalated")

    def test_a_reload_keeps_where_it_stands(self) -> None:
        leader = Leader(escalating())
        leader.report(0, alert())
        list(leader.look_until(200))
        leader.board.reconfigure(escalating(Escalation(250.0, "boss")), 200)
        assert told(list(leader.look_until(5000))) == [("boss", WAIT + 250, "Escalation")]


@pytest.mark.promise(4)
def test_what_gave_way_has_its_account_though_another_of_its_groups_looks_first() -> None:
    late = replace(route("late", "alertname=X", id="{}/{X}", continues=True), group_wait_seconds=100.0)
    soon = replace(route("soon", "alertname=~X", id="{}/{~X}"), group_wait_seconds=0.0)
    leader = Leader(configured(route(routes=(late, soon)), receiver("late", True), receiver("soon", True)))
    leader.report(1, alert(starts=1, ends=1, at=1))
    leader.report(2, alert(starts=2, ends=2, at=2))
    list(leader.look_until(3))
    leader.report(3, alert(starts=3, at=3))
    list(leader.look_until(300))
    accounts = {each.starts_at for each in leader.kept.history if each.what is not What.RECEIVED}
    assert {1.0, 2.0, 3.0} <= accounts
