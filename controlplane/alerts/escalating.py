"""Escalation: whoever else hears of what fires, and nobody has acknowledged, a while after the first message.

Each step is done once an outbreak, which lasts until nothing of the group fires. Only what fires, has fired
for that long, is not acknowledged, and is not held back goes there; the end of it does, as to everybody.
"""

from collections.abc import Container
from math import inf

from controlplane.alerts.flushing import Facts, Look, addressed, judge, make_notice
from controlplane.alerts.groups import Group, Record
from controlplane.alerts.notice import Flush, Happened, Notice, What, Why

Episode = tuple[str, float]


def escalates_at(group: Group, now: float) -> float:
    """When the next step may be due, `now` at the earliest; inf: none is left, or nobody was told so far."""
    steps = group.route.escalations
    if not group.first_told_at or group.escalated >= len(steps):
        return inf
    return max(now, group.first_told_at + steps[group.escalated].after_seconds)


def escalate(group: Group, at: float, facts: Facts, acknowledged: Container[Episode]) -> Flush | float:
    """The step that is due, or when to ask again; inf: not before the group is looked at."""
    step = group.route.escalations[group.escalated]
    looking = Look(group, at, facts, facts.timing.silent(group.route, at), facts.sent.get(group.key, {}))
    judge(looking)
    waiting = [
        each
        for each in looking.firing
        if each.alert.episode not in acknowledged and each.alert.fingerprint not in looking.held
    ]
    ripe = [each for each in waiting if each.began_at + step.after_seconds <= at]
    if not ripe:
        return min((each.began_at + step.after_seconds for each in waiting), default=inf)
    notices: list[Notice] = []
    reached = set[str]()
    for receiver, only in addressed(facts, group, step.receiver, ripe, {}):
        theirs = [each for each in ripe if only is None or each.alert.fingerprint in only]
        for integration in receiver.integrations:
            way = receiver.name, integration.name
            if way in facts.under_way.get(group.key, {}):
                return inf
            reached |= {each.alert.fingerprint for each in theirs}
            notices.append(_notice(looking, way, theirs))
    missed = [each for each in ripe if each.alert.fingerprint not in reached]
    return Flush(
        group_key=group.key,
        at=at,
        next_at=group.next_at,
        notices=tuple(notices),
        happened=tuple(_nobody(each, at, step.receiver) for each in missed),
        entry=facts.applied,
        escalated=group.escalated + 1,
    )


def _notice(looking: Look, way: tuple[str, str], records: list[Record]) -> Notice:
    fires = frozenset(each.alert.fingerprint for each in records)
    key = looking.group.key, *way
    return make_notice(looking, key, Why.ESCALATION, records, fires, frozenset(), looking.sent.get(way))


def _nobody(record: Record, at: float, receiver: str) -> Happened:
    alert, detail = record.alert, "escalated to nobody: the receiver has no integration"
    return Happened(alert.fingerprint, alert.starts_at, at, What.NO_RECEIVER, receiver, detail)
