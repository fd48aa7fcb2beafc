"""What is sent when, and what is recorded instead. group_wait 10, group_interval 60, repeat_interval 3600."""

from dataclasses import dataclass, replace

import pytest

from controlplane.alerts.alert import Alert, Owned
from controlplane.alerts.configuration import OWNER, Configuration
from controlplane.alerts.flushing import owners_emails
from controlplane.alerts.intervals import Interval
from controlplane.alerts.notice import Notice, What, Why
from controlplane.alerts.silence import Silence
from tests.unit.alerts.making import (
    OWNED,
    Leader,
    alert,
    configured,
    inhibits,
    receiver,
    route,
    silence,
)


@dataclass(frozen=True)
class Sent:
    """One message: when, why, and who fires and is resolved in it, by pod."""

    at: float
    why: Why
    firing: str
    resolved: str = ""


def told(notices: list[Notice]) -> list[Sent]:
    def pods(of: frozenset[str], notice: Notice) -> str:
        return "".join(sorted(each.labels["pod"] for each in notice.alerts if each.fingerprint in of))

    return [Sent(each.at, each.why, pods(each.firing, each), pods(each.resolved, each)) for each in notices]


def a(pod: str, starts: float, ends: float = 1e12, at: float | None = None) -> Alert:
    return alert(pod=pod, starts=starts, ends=ends, at=at)


def play(
    *reports: Alert | Silence | tuple[float, Alert],
    until: float = 200,
    configuration: Configuration | None = None,
) -> tuple[list[Sent], Leader]:
    """Each report arrives when it was made, (at, report) where that is said; what is due is looked at."""
    leader, notices = Leader(configuration or configured()), list[Notice]()
    for each in reports:
        at = each[0] if isinstance(each, tuple) else each.updated_at
        notices += leader.look_until(at - 0.001)
        if isinstance(each, Silence):
            leader.append(each)
        else:
            leader.report(at, each[1] if isinstance(each, tuple) else each)
    notices += leader.look_until(until)
    return told(notices), leader


@dataclass(frozen=True)
class Case:
    says: str
    reports: tuple[Alert | tuple[float, Alert], ...]
    sends: tuple[Sent, ...]
    until: float = 200


FIRST, NEW, ENDED, OVER, AGAIN = (Why.FIRST, Why.NEW_FIRING, Why.RESOLVED, Why.ALL_RESOLVED, Why.REPEAT)
TIMERS = [
    Case("group_wait counts from the arrival", ((5, a("1", 3)),), (Sent(15, FIRST, "1"),)),
    Case("those that come meanwhile go with it", (a("1", 0), a("2", 9)), (Sent(10, FIRST, "12"),)),
    Case("began earlier than group_wait: at once", ((50, a("1", 39)),), (Sent(50, FIRST, "1"),)),
    Case("began just group_wait ago: not yet", ((50, a("1", 40)),), (Sent(60, FIRST, "1"),)),
    Case(
        "one that is old enough takes the others along",
        (a("1", 0), (5, a("2", -20))),
        (Sent(5, FIRST, "12"),),
    ),
    Case(
        "the next after group_interval", (a("1", 0), a("2", 11)), (Sent(10, FIRST, "1"), Sent(70, NEW, "12"))
    ),
    Case(
        "an old one waits for it too",
        (a("1", 0), (11, a("2", -99))),
        (Sent(10, FIRST, "1"), Sent(70, NEW, "12")),
    ),
    Case("nothing new, nothing sent", (a("1", 0), a("1", 0, at=30)), (Sent(10, FIRST, "1"),)),
    Case(
        "repeat_interval is over at a look",
        (a("1", 0),),
        (Sent(10, FIRST, "1"), Sent(3670, AGAIN, "1")),
        3700,
    ),
    Case(
        "one of two ended",
        (a("1", 0), a("2", 0), a("2", 0, 30, 30)),
        (Sent(10, FIRST, "12"), Sent(70, ENDED, "1", "2")),
    ),
    Case("all ended", (a("1", 0), a("1", 0, 30, 30)), (Sent(10, FIRST, "1"), Sent(70, OVER, "", "1"))),
    Case("ended by its timeout", (a("1", 0, 30),), (Sent(10, FIRST, "1"), Sent(70, OVER, "", "1"))),
    Case(
        "what was told as resolved has left",
        (a("1", 0), a("2", 0), a("2", 0, 30, 30), a("3", 71)),
        (Sent(10, FIRST, "12"), Sent(70, ENDED, "1", "2"), Sent(130, NEW, "13")),
    ),
    Case("ended before anybody was told", (a("1", 0), a("1", 0, 5, 5)), ()),
    Case(
        "ended and fired again between two looks",
        (a("1", 0), a("1", 0, 20, 20), a("1", 30)),
        (Sent(10, FIRST, "1"),),
    ),
    Case(
        "fires again after it was told as resolved: group_wait again",
        (a("1", 0), a("1", 0, 30, 30), a("1", 100)),
        (Sent(10, FIRST, "1"), Sent(70, OVER, "", "1"), Sent(110, NEW, "1")),
    ),
    Case(
        "reported as resolved again and again",
        (a("1", 0), a("1", 0, 30, 30), a("1", 0, 30, 90), a("1", 0, 30, 150)),
        (Sent(10, FIRST, "1"), Sent(70, OVER, "", "1")),
        400,
    ),
]


@pytest.mark.parametrize("case", TIMERS, ids=lambda case: case.says)
def test_timers(case: Case) -> None:
    sends, _ = play(*case.reports, until=case.until)
    assert tuple(sends) == case.sends


def test_a_group_that_is_empty_is_forgotten_in_the_end() -> None:
    _, leader = play(a("1", 0), a("1", 0, 30, 30), until=2000)
    assert not leader.board.groups
    assert not leader.board.alerts
    assert not leader.kept.groups
    leader.checkpoint()
    assert not leader.kept.alerts


DOWN = inhibits("alertname=Down", "alertname=X", "pod")
SOURCE = alert("Down", pod="1")
HELD = (What.INHIBITED, SOURCE.fingerprint)
SILENT = (What.SILENCED, "s1")
FIRED, HEARD = (What.NOTIFIED, "webhook[0] firing"), (What.NOTIFIED, "webhook[0] resolved")
UNSEEN = (What.RESOLVED_NOT_SENT, "nobody had been told that it fired")
REPLACED = (What.RESOLVED_NOT_SENT, "another report took its place before its group was looked at")
LATER = replace(silence("pod=1"), updated_at=20)


@dataclass(frozen=True)
class Quiet:
    says: str
    reports: tuple[Alert | Silence, ...]
    recorded: tuple[tuple[What, str], ...]
    sends: tuple[Sent, ...] = ()


QUIET = [
    Quiet("a silence", (silence("pod=1"), a("1", 0)), (SILENT,)),
    Quiet("a maintenance", (silence("pod=1", maintenance=True), a("1", 0)), ((What.MAINTENANCE, "s1"),)),
    Quiet("a source that fires", (SOURCE, a("1", 0)), (HELD,)),
    Quiet("inhibition comes before silences", (silence("alertname=X"), SOURCE, a("1", 0)), (HELD,)),
    Quiet(
        "silenced in the first place: its end is recorded",
        (silence("pod=1"), a("1", 0), a("1", 0, 30, 30)),
        (SILENT, (What.RESOLVED_NOT_SENT, "Silenced s1")),
    ),
    Quiet(
        "silenced after it was told: its end is told",
        (a("1", 0), LATER, a("1", 0, 80, 80)),
        (FIRED, SILENT, HEARD),
        (Sent(10, FIRST, "1"), Sent(130, OVER, "", "1")),
    ),
    Quiet(
        "its end is owed although others were told of meanwhile",
        (a("1", 0), LATER, a("2", 30), a("1", 0, 80, 80)),
        (FIRED, SILENT, FIRED, FIRED, HEARD),
        (Sent(10, FIRST, "1"), Sent(70, NEW, "2"), Sent(130, ENDED, "2", "1")),
    ),
    Quiet(
        "its end is owed although nothing else fires any more",
        (a("1", 0), a("2", 0), LATER, a("2", 0, 30, 30), a("1", 0, 80, 80)),
        (FIRED, FIRED, SILENT, HEARD, HEARD),
        (Sent(10, FIRST, "12"), Sent(70, OVER, "", "2"), Sent(130, OVER, "", "1")),
    ),
    Quiet(
        "inhibited after it was told: its end is told",
        (a("1", 0), replace(SOURCE, starts_at=20, updated_at=20), a("1", 0, 80, 80)),
        (FIRED, HELD, HEARD),
        (Sent(10, FIRST, "1"), Sent(130, OVER, "", "1")),
    ),
    Quiet(
        "a silence that ends: told at the next look",
        (silence("pod=1", ends=50), a("1", 0)),
        (SILENT, FIRED),
        (Sent(70, FIRST, "1"),),
    ),
    Quiet(
        "ended and fired again between two looks: nothing new to say",
        (a("1", 0), a("1", 0, 20, 20), a("1", 30)),
        (FIRED, REPLACED, (What.GROUPED, "it was told to fire already")),
        (Sent(10, FIRST, "1"),),
    ),
    Quiet(
        "told to fire, then said to have begun earlier: nothing new to say",
        (a("1", 10), a("1", 3, 400, 40)),
        (FIRED, REPLACED, (What.GROUPED, "it was told to fire already")),
        (Sent(20, FIRST, "1"),),
    ),
    Quiet("ended unseen", (a("1", 0), a("1", 0, 5, 5)), (UNSEEN,)),
    Quiet("came when it had ended", (a("1", 0, 5, 5),), (UNSEEN,)),
]


@pytest.mark.promise(4)
@pytest.mark.parametrize("case", QUIET, ids=lambda case: case.says)
def test_what_is_not_sent_has_its_reason(case: Quiet) -> None:
    down = route("sink", "alertname=Down", id="{}/{Down}")
    receivers = receiver("team", True), receiver("sink")
    configuration = configured(route(routes=(down,)), *receivers, inhibit=(DOWN,))
    found, leader = play(*case.reports, configuration=configuration, until=300)
    assert tuple(found) == case.sends
    nobody = (What.NO_RECEIVER, "the receiver has no integration")
    assert sorted(each for each in leader.happened() if each != nobody) == sorted(case.recorded)


@pytest.mark.promise(4)
def test_a_reason_is_recorded_when_it_changes_and_not_at_every_look() -> None:
    second = replace(silence("alertname=X", id="s2"), updated_at=130, starts_at=130)
    _, leader = play(silence("pod=1", ends=400), a("1", 0), second, until=1000)
    assert leader.happened() == [(What.SILENCED, "s1"), (What.SILENCED, "s1,s2"), (What.SILENCED, "s2")]


@pytest.mark.promise(4)
def test_a_receiver_without_integrations_is_a_reason() -> None:
    _, leader = play(
        a("1", 0), a("1", 0, 100, 100), configuration=configured(route("null"), receiver("null"))
    )
    assert leader.happened() == [
        (What.NO_RECEIVER, "the receiver has no integration"),
        (What.RESOLVED_NOT_SENT, "the receiver has no integration"),
    ]


DAY = 86_400.0
NOON = 19_000 * DAY + DAY / 2
LUNCH = {"lunch": (Interval(times=((12 * 60, 13 * 60),)),)}


@pytest.mark.parametrize(
    ("says", "muted", "begins", "sends"),
    [
        ("a mute that ends", {"mute": ("lunch",)}, NOON + 60, NOON + 3600),
        ("an active time that begins", {"active": ("lunch",)}, NOON - 600, NOON),
        ("not muted", {"mute": ("lunch",)}, NOON - 600, NOON - 590),
        ("active", {"active": ("lunch",)}, NOON + 60, NOON + 70),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
@pytest.mark.promise(4)
def test_a_group_that_an_interval_held_is_told_of_at_its_end(
    says: str, muted: dict[str, tuple[str, ...]], begins: float, sends: float
) -> None:
    configuration = configured(
        route(mute=muted.get("mute", ()), active=muted.get("active", ())), intervals=LUNCH
    )
    found, leader = play(a("1", begins), until=sends + 30, configuration=configuration)
    assert found == [Sent(sends, FIRST, "1")]
    what = What.INACTIVE if "active" in muted else What.MUTED
    held = [(what, "lunch")] if sends > begins + 10 else []
    assert leader.happened() == [*held, FIRED]


@pytest.mark.promise(4)
def test_an_end_within_a_mute_is_told_when_the_mute_ends() -> None:
    begins = NOON - 100
    ended = a("1", begins, NOON + 100, NOON + 100)
    unseen = a("2", NOON + 10)
    found, leader = play(
        a("1", begins),
        unseen,
        ended,
        a("2", NOON + 10, NOON + 100, NOON + 100),
        configuration=configured(route(mute=("lunch",)), intervals=LUNCH),
        until=NOON + 4000,
    )
    assert found == [Sent(begins + 10, FIRST, "1"), Sent(NOON + 3600, OVER, "", "1")]
    assert (What.RESOLVED_NOT_SENT, "Muted lunch") in leader.happened()


def test_send_resolved_is_each_integrations_own() -> None:
    configuration = configured(route(), receiver("team", True, False))
    leader = Leader(configuration)
    leader.report(0, a("1", 0), a("2", 0))
    assert [each.integration for each in leader.look(10)] == ["webhook[0]", "webhook[1]"]
    leader.report(20, a("2", 0, 20, 20))
    assert [each.integration for each in leader.look(70)] == ["webhook[0]"]
    leader.report(80, a("1", 0, 80, 80))
    assert [each.integration for each in leader.look(130)] == ["webhook[0]"]
    assert not any(each.firing for each in leader.kept.sent.values())


@pytest.mark.promise(4)
def test_where_ends_are_not_wanted_the_reason_says_so() -> None:
    _, leader = play(a("1", 0), a("1", 0, 30, 30), configuration=configured(route(), receiver("team", False)))
    assert leader.happened() == [
        (What.NOTIFIED, "webhook[0] firing"),
        (What.RESOLVED_NOT_SENT, "send_resolved is off"),
    ]


@pytest.mark.promise(4)
def test_what_could_not_be_delivered_is_told_at_the_next_look() -> None:
    leader = Leader(configured())
    leader.report(0, a("1", 0))
    (failed,) = leader.look(10, delivered=False)
    (again,) = leader.look(70)
    assert (again.why, again.key, again.at) == (Why.FIRST, failed.key, 70)
    assert leader.happened() == [
        (What.DELIVERY_FAILED, "webhook[0] firing"),
        (What.NOTIFIED, "webhook[0] firing"),
    ]


@pytest.mark.promise(4)
def test_an_end_that_could_not_be_delivered_is_told_again() -> None:
    leader = Leader(configured())
    leader.report(0, a("1", 0))
    leader.look(10)
    leader.report(20, a("1", 0, 20, 20))
    assert len(leader.look(70, delivered=False)) == 1
    assert told(leader.look(130)) == [Sent(130, OVER, "", "1")]


def test_a_notice_under_way_is_not_decided_again_and_holds_up_no_other() -> None:
    leader = Leader(configured(route(), receiver("team", True, True)))
    leader.report(0, a("1", 0))
    slow, quick = (notice for flush in leader.flush(10) for notice in flush.notices)
    leader.settle(quick, 11)
    leader.report(20, a("2", 20))
    (second,) = [notice for flush in leader.flush(70) for notice in flush.notices]
    assert (second.integration, told([second])) == ("webhook[1]", [Sent(70, NEW, "12")])
    leader.settle(second, 71)
    assert leader.board.next_due() == 130
    leader.settle(slow, 72)
    assert leader.board.next_due() == 72
    assert told(leader.look(72)) == [Sent(72, NEW, "12")]


def test_alerts_of_a_message_are_in_alertmanagers_order() -> None:
    leader = Leader(configured(route(by=())))
    labelled = [
        {"job": "b"},
        {"job": "a", "instance": "2"},
        {"job": "a", "instance": "1"},
        {"job": "a"},
        {"zone": "1"},
        {"pod": "1"},
        {},
        {"pod": "0", "zone": "1"},
    ]
    leader.report(0, *(alert(**labels) for labels in labelled))
    (notice,) = leader.look(10)
    found = [{k: v for k, v in each.labels.items() if k != "alertname"} for each in notice.alerts]
    assert found == [
        {"job": "a", "instance": "1"},
        {"job": "a", "instance": "2"},
        {"job": "a"},
        {"job": "b"},
        {},
        {"zone": "1"},
        {"pod": "1"},
        {"pod": "0", "zone": "1"},
    ]


def test_the_key_follows_from_what_is_told() -> None:
    keys: list[str] = []
    for starts in (0.0, 0.0, 1.0):
        leader = Leader(configured())
        leader.report(2, alert(pod="1", starts=starts, at=2))
        keys += [notice.key for notice in leader.look_until(4000)]
    assert keys[:2] == keys[2:4]
    assert len(set(keys)) == 4


OWNERS = configured(
    route("ops", routes=(route(OWNER, "namespace=~.+", id="{}/{ns}"),)),
    receiver("ops", True),
    receiver("shop", True),
    receiver("pay", True),
)


def owned(namespace: str) -> Alert:
    return alert(namespace=namespace)


INSTEAD = (What.NO_RECEIVER, "no owner: ops is told instead")
OWNING = [
    ("a receiver of its own", Owned({"tenant": "t"}, receivers=("shop",)), ["shop"], []),
    ("two of them", Owned({"tenant": "t"}, receivers=("shop", "pay")), ["pay", "shop"], []),
    ("e-mail", Owned({"tenant": "t"}, emails=("a@x.org", "b@x.org")), ["owner:a@x.org,b@x.org"], []),
    ("nobody: the receiver above", Owned(), ["ops"], [INSTEAD]),
    ("one that is not configured", Owned(receivers=("gone",)), ["ops"], [INSTEAD]),
]


@pytest.mark.parametrize(("says", "owner", "receivers", "recorded"), OWNING, ids=[each[0] for each in OWNING])
def test_the_owner_hears(
    says: str, owner: Owned, receivers: list[str], recorded: list[tuple[What, str]]
) -> None:
    OWNED["a"] = owner
    leader = Leader(OWNERS, owners=True)
    leader.report(0, owned("a"))
    notices = leader.look(10)
    assert sorted(notice.receiver for notice in notices) == receivers
    assert leader.happened(What.NO_RECEIVER) == recorded
    assert all(notice.group_labels["tenant"] == owner.labels.get("tenant", "") for notice in notices)


def test_tenants_never_share_a_message_and_owners_hear_of_their_own() -> None:
    OWNED["a"] = Owned({"tenant": "t"}, receivers=("shop",))
    OWNED["b"] = Owned({"tenant": "t"}, receivers=("pay",))
    OWNED["c"] = Owned({"tenant": "u"}, receivers=("pay",))
    leader = Leader(OWNERS, owners=True)
    leader.report(0, owned("a"), owned("b"), owned("c"))
    heard = [
        (
            notice.receiver,
            notice.group_labels["tenant"],
            [each.identity["namespace"] for each in notice.alerts],
        )
        for notice in leader.look(10)
    ]
    assert sorted(heard) == [("pay", "t", ["b"]), ("pay", "u", ["c"]), ("shop", "t", ["a"])]


def test_addresses_of_owners() -> None:
    assert owners_emails("owner:a@x.org,b@x.org") == ("a@x.org", "b@x.org")
    assert owners_emails("ops") == ()
