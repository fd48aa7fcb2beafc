"""One look at one group: inhibition, active and mute intervals, silences; then dedup for each integration.

What is not sent has its reason recorded when that reason first holds or changes, not at every look.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from controlplane.alerts.alert import Alert
from controlplane.alerts.configuration import OWNER, Configuration, FlapDamping, Integration, Receiver
from controlplane.alerts.dedup import why_send
from controlplane.alerts.groups import EMPTY_KEPT_SECONDS, Group, Reason, Record, Routing, in_order
from controlplane.alerts.inhibition import Inhibition
from controlplane.alerts.notice import Flush, Happened, Notice, Sent, What, Why
from controlplane.alerts.silence import Silence
from controlplane.alerts.silencing import Silences
from controlplane.alerts.timing import Timing

SHORTEST_DEADLINE_SECONDS = 10.0
ALWAYS_FIT = 300
MOST_CHARACTERS = 64 * 1024 * 1024
LEFT_OUT = "the message would be too large: labels and annotations are left out"
_NAMING = ("alertname", "cluster")
OWNERS_EMAIL = "owner:"
"""Receivers `owner:a@example.com,b@example.com` are e-mail to owners that have no receiver of their own."""

SentKey = tuple[str, str, str]
_ACCOUNTED = (What.NOTIFIED, What.RESOLVED_NOT_SENT)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a look needs beside the group. sent, under_way: by group, then by (receiver, integration).

    applied: the last entry that is known.
    """

    configuration: Configuration
    routing: Routing
    inhibition: Inhibition
    silences: Silences
    timing: Timing
    sent: Mapping[str, Mapping[tuple[str, str], Sent]]
    under_way: Mapping[str, Mapping[tuple[str, str], Notice]]
    applied: int

    @property
    def damping(self) -> FlapDamping:
        return self.configuration.beyond.flap_damping


@dataclass(slots=True)
class Look:
    """Collects what a look comes to.

    held: members that are kept quiet, and why; fallen: those whose owner is not known. told: what the log of
    notifications has as firing; told_now: in the notices of this look; under_way: in those that are not
    settled yet; kept: resolved, and to be told once an interval lets them, or once they were quiet. flapping:
    those that are held for that alone.
    """

    group: Group
    at: float
    facts: Facts
    silent: Reason | None
    sent: Mapping[tuple[str, str], Sent]
    firing: list[Record] = field(default_factory=list[Record])
    resolved: list[Record] = field(default_factory=list[Record])
    held: dict[str, Reason] = field(default_factory=dict[str, Reason])
    fallen: dict[str, Reason] = field(default_factory=dict[str, Reason])
    told: set[str] = field(default_factory=set[str])
    told_now: set[str] = field(default_factory=set[str])
    under_way: set[str] = field(default_factory=set[str])
    log: list[Sent] = field(default_factory=list[Sent])
    kept: set[str] = field(default_factory=set[str])
    flapping: dict[str, Record] = field(default_factory=dict[str, Record])
    notices: list[Notice] = field(default_factory=list[Notice])
    cleared: list[Sent] = field(default_factory=list[Sent])
    happened: list[Happened] = field(default_factory=list[Happened])
    complete: bool = True
    integrations: int = 0


def look(group: Group, at: float, facts: Facts) -> Flush:
    """What this group comes to at `at`. Changes nothing; Board.committed does, once it is recorded."""
    route = group.route
    looking = Look(group, at, facts, facts.timing.silent(route, at), facts.sent.get(group.key, {}))
    judge(looking)
    members = [*looking.firing, *looking.resolved]
    ways = set[tuple[str, str]]()
    for receiver, only in addressed(facts, group, route.receiver, members, looking.fallen):
        for integration in receiver.integrations:
            ways.add((receiver.name, integration.name))
            _decide(looking, receiver, integration, only)
    looking.integrations = len(ways)
    for receiver, integration, sent in _told_besides(facts, group, ways):
        _decide(looking, receiver, integration, sent.firing | sent.owed, ends_alone=True)
    _account(looking)
    fires = any(record.alert.ends_at > at for record in group.members.values())
    open_still = fires or looking.notices or looking.kept
    emptied = looking.complete and not open_still
    return Flush(
        group_key=group.key,
        at=at,
        next_at=_next(group, at, emptied),
        notices=tuple(looking.notices),
        happened=tuple(looking.happened),
        entry=facts.applied,
        complete=looking.complete,
        held=looking.silent is not None,
        quiet=not fires,
        cleared=tuple(looking.cleared),
        emptied=emptied,
    )


def _next(group: Group, at: float, emptied: bool) -> float | None:
    if not emptied:
        return at + group.route.group_interval_seconds
    return at + EMPTY_KEPT_SECONDS if group.placed else None


def judge(looking: Look) -> None:
    """Who passes, and why others do not: inhibited, then outside of active times or muted, then silenced."""
    at, facts, silent = looking.at, looking.facts, looking.silent
    for fingerprint, record in looking.group.members.items():
        fires = record.alert.ends_at > at
        (looking.firing if fires else looking.resolved).append(record)
        reason: Reason | None = None
        if record.sides.target_of:
            source = facts.inhibition.inhibited_by(record.sides, at)
            reason = (What.INHIBITED, source) if source is not None else None
        reason = reason or silent or silenced(facts.silences, record, at)
        if reason is None and at < quiet_at(record, facts.damping):
            looking.flapping[fingerprint] = record
            reason = What.FLAPPING, _said(facts.damping)
        if reason is not None:
            looking.held[fingerprint] = reason


def quiet_at(record: Record, rule: FlapDamping) -> float:
    """Until when it is held for flapping, should it stay as it is; 0: it is not."""
    if not rule.transitions or not record.flapping_since:
        return 0.0
    return record.transitions[-1] + rule.quiet_seconds


def _said(rule: FlapDamping) -> str:
    often = f"it began and ended more than {rule.transitions} times within {rule.window_seconds:g} s"
    return f"{often}: held until it was quiet for {rule.quiet_seconds:g} s"


def silenced(silences: Silences, record: Record, at: float) -> Reason | None:
    """By whom; a maintenance only where nothing else silences it."""
    found = silenced_by(silences, record, at)
    if not found:
        return None
    ordinary = sorted(each.id for each in found if not each.maintenance)
    if ordinary:
        return What.SILENCED, ",".join(ordinary)
    return What.MAINTENANCE, ",".join(sorted(each.id for each in found))


def silenced_by(silences: Silences, record: Record, at: float) -> list[Silence]:
    """Those that are active; each silence is tried once on each alert, and remembered."""
    if record.silences_mark != silences.mark:
        if record.silences_mark < 0:
            record.silences = silences.matching(record.labels)
        else:
            record.silences = silences.matching_since(record.silences, record.silences_mark, record.labels)
        record.silences_mark = silences.mark
    return silences.active_among(record.silences, at) if record.silences else []


def addressed(
    facts: Facts, group: Group, name: str, members: Collection[Record], fallen: dict[str, Reason]
) -> Iterable[tuple[Receiver, frozenset[str] | None]]:
    """Receivers that `name` stands for, and what of the group is theirs: fingerprints, None for all.

    fallen: is given those of which no owner is known, for whom the receiver above hears.
    """
    receivers, route = facts.configuration.receivers, group.route
    if name != OWNER:
        yield receivers.get(name) or Receiver(name), None
        return
    theirs: dict[str, set[str]] = {}
    for record in members:
        owned, fingerprint = record.alert.owned, record.alert.fingerprint
        names = [name for name in owned.receivers if name in receivers]
        if not names and owned.emails:
            names = [OWNERS_EMAIL + ",".join(owned.emails)]
        if not names:
            instead = facts.routing.instead_of_owner.get(route.id, "")
            fallen[fingerprint] = What.NO_RECEIVER, f"no owner: {instead or 'nobody'} is told instead"
            names = [instead] if instead else []
        for each in names:
            theirs.setdefault(each, set()).add(fingerprint)
    for each, fingerprints in sorted(theirs.items()):
        yield _receiver(facts, each), frozenset(fingerprints)


def _receiver(facts: Facts, name: str) -> Receiver:
    known = facts.configuration.receivers.get(name)
    if known is None and name.startswith(OWNERS_EMAIL):
        known = Receiver(name, (Integration("email", 0, True, None),))
    return known or Receiver(name)


def _told_besides(
    facts: Facts, group: Group, ways: Collection[tuple[str, str]]
) -> Iterable[tuple[Receiver, Integration, Sent]]:
    """Who was told that something fires, and hears of nothing new: by escalation, or before a reload."""
    for (name, way), sent in facts.sent.get(group.key, {}).items():
        if (name, way) in ways or not (sent.firing or sent.owed):
            continue
        receiver = _receiver(facts, name)
        yield from ((receiver, each, sent) for each in receiver.integrations if each.name == way)


def still_owed(facts: Facts, group: Group, records: Collection[Record]) -> set[str]:
    """Those of whose end somebody who was told that they fire is still to hear."""
    owed: set[str] = set()
    log = facts.sent.get(group.key)
    if not log:
        return owed
    ways = set[tuple[str, str]]()
    for receiver, only in addressed(facts, group, group.route.receiver, records, {}):
        for integration in receiver.integrations:
            ways.add((receiver.name, integration.name))
            sent = log.get((receiver.name, integration.name))
            if sent is not None and integration.send_resolved:
                told = sent.firing | sent.owed
                owed |= told if only is None else told & only
    for _, integration, sent in _told_besides(facts, group, ways):
        if integration.send_resolved:
            owed |= sent.firing | sent.owed
    return owed


def owners_emails(receiver: str) -> tuple[str, ...]:
    """The addresses that such a receiver stands for; none where it is an ordinary one."""
    if not receiver.startswith(OWNERS_EMAIL):
        return ()
    return tuple(receiver.removeprefix(OWNERS_EMAIL).split(","))


def _decide(
    looking: Look,
    receiver: Receiver,
    integration: Integration,
    only: frozenset[str] | None,
    *,
    ends_alone: bool = False,
) -> None:
    """One integration: what passes to it, whether that is news, and the notice."""
    group, at, facts = looking.group, looking.at, looking.facts
    key = group.key, receiver.name, integration.name
    sent = looking.sent.get(key[1:])
    told = frozenset[str]()
    if sent is not None:
        told = sent.firing | sent.owed
        looking.told |= told
        looking.log.append(sent)
    notice = facts.under_way.get(group.key, {}).get(key[1:])
    if notice is not None:
        looking.complete = False
        looking.under_way |= notice.firing | notice.resolved
        return
    mine = None if only is None else only.__contains__
    firing = [each for each in looking.firing if mine is None or mine(each.alert.fingerprint)]
    unheard = _unheard_flaps(looking, sent)
    quiet = looking.held.keys() - unheard
    firing = [each for each in firing if each.alert.fingerprint not in quiet]
    ended = [each for each in looking.resolved if mine is None or mine(each.alert.fingerprint)]
    # The end of what was told goes out although it is silenced or inhibited meanwhile.
    resolved = [
        each for each in ended if each.alert.fingerprint in told or each.alert.fingerprint not in looking.held
    ]
    if looking.flapping:
        swings = looking.flapping.keys() - unheard
        resolved = [each for each in resolved if each.alert.fingerprint not in swings]
        if integration.send_resolved:
            looking.kept |= {each.alert.fingerprint for each in ended} & told & swings
    if looking.silent is not None:
        if integration.send_resolved:
            looking.kept |= {each.alert.fingerprint for each in ended} & told
        if integration.send_resolved or looking.firing:
            return
        resolved = [each for each in ended if each.alert.fingerprint in told]
    fires = frozenset(each.alert.fingerprint for each in firing)
    ends = frozenset(each.alert.fingerprint for each in resolved)
    if not fires and not ends:
        return
    why = why_send(
        replace(sent, firing=sent.firing - unheard) if sent is not None and unheard & fires else sent,
        fires,
        ends,
        send_resolved=integration.send_resolved,
        repeat_interval_seconds=group.route.repeat_interval_seconds,
        now=at,
    )
    if why is None or (ends_alone and why not in (Why.ALL_RESOLVED, Why.RESOLVED)):
        return
    if not integration.send_resolved:
        resolved, ends = [], frozenset[str]()
        if not fires:
            looking.cleared.append(Sent(*key, firing=frozenset(), resolved=frozenset(), at=at))
            return
    looking.told_now |= fires | ends
    looking.notices.append(make_notice(looking, key, why, [*firing, *resolved], fires, ends, sent))


def _unheard_flaps(looking: Look, sent: Sent | None) -> set[str]:
    """Those of which it was not told that they flap: one message says so, whatever it was told before."""
    return {
        fingerprint
        for fingerprint, record in looking.flapping.items()
        if sent is None
        or sent.at <= record.flapping_since
        or (fingerprint not in sent.firing and fingerprint not in sent.resolved)
    }


def make_notice(
    looking: Look,
    key: SentKey,
    why: Why,
    records: list[Record],
    firing: frozenset[str],
    resolved: frozenset[str],
    sent: Sent | None,
) -> Notice:
    route, at = looking.group.route, looking.at
    alerts = tuple(record.alert for record in in_order(records))
    if looking.flapping:
        says = {"flapping": _said(looking.facts.damping)}
        alerts = tuple(
            replace(each, annotations={**each.annotations, **says})
            if each.fingerprint in looking.flapping
            else each
            for each in alerts
        )
    return Notice(
        notice_key(key, alerts, firing, sent),
        *key,
        why=why,
        at=at,
        deadline=at + max(route.group_interval_seconds, SHORTEST_DEADLINE_SECONDS),
        group_labels=looking.group.labels,
        alerts=_cut(alerts),
        firing=firing,
        resolved=resolved,
    )


def _cut(alerts: tuple[Alert, ...]) -> tuple[Alert, ...]:
    """As they are, while they fit into one message; of those beyond it what tells one from another."""
    if len(alerts) <= ALWAYS_FIT:
        return alerts
    characters, kept = 0, list[Alert]()
    for alert in alerts:
        characters += alert.characters
        kept.append(alert if characters <= MOST_CHARACTERS else _bare(alert))
    return tuple(kept)


def _bare(alert: Alert) -> Alert:
    named = {name: value[:200] for name, value in alert.identity.items() if name in _NAMING}
    return replace(alert, identity=named, annotations={"muster": LEFT_OUT}, generator_url="")


def notice_key(key: SentKey, alerts: tuple[Alert, ...], firing: frozenset[str], sent: Sent | None) -> str:
    """See Notice.key. What fires counts with its start, what is resolved without its end."""
    told = sorted(
        f"{alert.fingerprint} {alert.starts_at!r}" if alert.fingerprint in firing else f"-{alert.fingerprint}"
        for alert in alerts
    )
    text = "\n".join((*key, *told, repr(sent.at if sent is not None else 0.0)))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _account(looking: Look) -> None:
    """A line of history for everybody who came, ended, or is not told of: promise 4."""
    group = looking.group
    for record in (*looking.firing, *looking.resolved):
        if record.groups and record.groups[0] is group:
            _account_episodes(looking, record)
    for record in looking.firing:
        _account_firing(looking, record)
    for record in looking.resolved:
        _account_resolved(looking, record)


def _account_episodes(looking: Look, record: Record) -> None:
    group, alert = looking.group, record.alert
    for starts_at, entry in record.earlier:
        if entry > group.looked_entry:
            _line(
                looking,
                alert,
                What.RESOLVED_NOT_SENT,
                "another report took its place before its group was looked at",
                starts_at,
            )
    if record.began > group.looked_entry:
        looking.happened.append(
            Happened(alert.fingerprint, alert.starts_at, record.began_at, What.RECEIVED, "", alert.source)
        )
    if alert.ends_at <= looking.at and not group.looked(record):
        looking.happened.append(Happened(alert.fingerprint, alert.starts_at, alert.ends_at, What.RESOLVED))


def _account_firing(looking: Look, record: Record) -> None:
    alert, fingerprint = record.alert, record.alert.fingerprint
    reason = looking.held.get(fingerprint) or looking.fallen.get(fingerprint)
    if reason is None:
        if not looking.integrations:
            reason = What.NO_RECEIVER, "the receiver has no integration"
        elif fingerprint in looking.told_now or _is_told(looking, record):
            return
        else:
            reason = What.GROUPED, "it was told to fire already"
    _reason(looking, alert, reason)


def _is_told(looking: Look, record: Record) -> bool:
    """Whether a message of an earlier look tells, or told, of this very episode."""
    alert = record.alert
    if record.began > looking.group.looked_entry:
        return False
    if alert.fingerprint in looking.under_way:
        return True
    return alert.fingerprint in looking.told and any(
        alert.fingerprint in sent.firing and alert.starts_at <= sent.at for sent in looking.log
    )


def _account_resolved(looking: Look, record: Record) -> None:
    alert, fingerprint = record.alert, record.alert.fingerprint
    if fingerprint in looking.told_now or fingerprint in looking.kept or not looking.complete:
        return
    before = looking.group.reasons.get(fingerprint)
    if before is not None and before[0] in _ACCOUNTED:
        return
    held = looking.held.get(fingerprint)
    if held is not None:
        detail = f"{held[0].value} {held[1]}"
    elif not looking.integrations:
        detail = "the receiver has no integration"
    elif fingerprint in looking.told:
        detail = "send_resolved is off"
    else:
        detail = "nobody had been told that it fired"
    _reason(looking, alert, (What.RESOLVED_NOT_SENT, detail))


def _reason(looking: Look, alert: Alert, reason: Reason) -> None:
    """Recorded when it first holds or changes; another source of the same inhibition is no change."""
    before = looking.group.reasons.get(alert.fingerprint)
    if before == reason or (before is not None and before[0] is reason[0] is What.INHIBITED):
        return
    _line(looking, alert, *reason)


def _line(looking: Look, alert: Alert, what: What, detail: str, starts_at: float | None = None) -> None:
    begun = alert.starts_at if starts_at is None else starts_at
    receiver = looking.group.route.receiver
    looking.happened.append(Happened(alert.fingerprint, begun, looking.at, what, receiver, detail))
