"""Whether an integration is to hear of it: the five rules of Alertmanager's dedup stage, first hit wins."""

from collections.abc import Set as AbstractSet

from controlplane.alerts.notice import Sent, Why


def why_send(
    sent: Sent | None,
    firing: AbstractSet[str],
    resolved: AbstractSet[str],
    *,
    send_resolved: bool,
    repeat_interval_seconds: float,
    now: float,
) -> Why | None:
    """None: nothing new for it. sent: what it was told last, None where there is no log entry.

    Alertmanager has all-resolved update the log even where send_resolved is off; then nothing is sent.
    Beyond it: an end that is still owed (see Sent.owed) is news although nothing fires.
    """
    if sent is None:
        return Why.FIRST if firing else None
    if not firing <= sent.firing:
        return Why.NEW_FIRING
    if not firing:
        return Why.ALL_RESOLVED if sent.firing or not resolved.isdisjoint(sent.owed) else None
    if send_resolved and not resolved <= sent.resolved:
        return Why.RESOLVED
    return Why.REPEAT if sent.at < now - repeat_interval_seconds else None
