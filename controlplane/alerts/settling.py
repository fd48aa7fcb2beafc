"""What the last attempt to deliver a notice means for the log of notifications and for the history."""

from collections.abc import Collection

from controlplane.alerts.notice import Happened, Notice, Sent, What, Why


def sent_of(notice: Notice, before: Sent | None, members: Collection[str], at: float) -> Sent:
    """The entry of the log after `notice` was delivered at `at`. members: who is in the group still."""
    owed = frozenset[str]()
    if before is not None:
        owed = (before.firing | before.owed) - notice.firing - notice.resolved
        owed = frozenset(each for each in owed if each in members)
    return Sent(
        notice.group_key, notice.receiver, notice.integration, notice.firing, notice.resolved, at, owed
    )


def happened_of(notice: Notice, delivered: bool, at: float, detail: str) -> tuple[Happened, ...]:
    """For each alert in it: told of, or not. detail: what the receiver said to the last attempt."""
    what = What.NOTIFIED if delivered else What.DELIVERY_FAILED
    said = f": {detail}" if detail else ""
    how = "escalated" if notice.why is Why.ESCALATION else "firing"
    fires, ends = f"{notice.integration} {how}{said}", f"{notice.integration} resolved{said}"
    return tuple(
        Happened(
            alert.fingerprint,
            alert.starts_at,
            at,
            what,
            notice.receiver,
            fires if alert.fingerprint in notice.firing else ends,
        )
        for alert in notice.alerts
    )
