"""Whether a removal goes ahead or waits for a signed release. Pure.

Absence never deletes, and an order that deletes much at once is more often a mistake than meant.
"""

from collections.abc import Iterable

from agents.fence import Entry
from schemas.wire.limits import is_limits
from schemas.wire.orders import Verb, Version

WINDOW_SECONDS = 3600.0
ALWAYS_ALLOWED = 5
NO_VERSION = Version(0, 0)


def may_remove(
    version: Version, entries: Iterable[Entry], *, released: Version | None, workload: str, now: float
) -> bool:
    """Whether `workload` may go by an order of this version, as things are recorded.

    More than max(5, a fifth of what runs) within an hour holds, and while anything is held all else that
    removes holds too. What was ordered before the release goes; what went by then no longer counts.
    """
    border = released or NO_VERSION
    if version < border:
        return True
    others = [each for each in entries if each.workload != workload and not is_limits(each.workload)]
    if any(entry.held and entry.version > border for entry in others):
        return False
    recent = [
        entry
        for entry in others
        if entry.removes and not entry.held and entry.version > border
        if now - entry.decided_at < WINDOW_SECONDS
    ]
    # What ran when the window began: what runs now, this one, and what was withdrawn since.
    ran = 1 + sum(entry.verb is Verb.APPLY for entry in others)
    ran += sum(entry.verb is Verb.WITHDRAW for entry in recent)
    return len(recent) + 1 <= max(ALWAYS_ALLOWED, ran // 5)
