"""Promise 4 by what is stored: each accepted episode of an alert ends in a notification or in a reason."""

from collections.abc import Iterable

from controlplane.alerts.notice import Happened, What

ACCOUNTS = frozenset(What) - {What.RECEIVED, What.RESOLVED, What.ACKNOWLEDGED}
Episode = tuple[str, float]
"""(fingerprint, starts_at)"""


def received(history: Iterable[Happened]) -> dict[Episode, float]:
    """When each came."""
    return {(line.fingerprint, line.starts_at): line.at for line in history if line.what is What.RECEIVED}


def accounted(history: Iterable[Happened]) -> set[Episode]:
    return {(line.fingerprint, line.starts_at) for line in history if line.what in ACCOUNTS}
