"""A storm meets a receiver's limit: what may go now, and one message instead of many for the rest."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from controlplane.alerts.alert import Alert
from controlplane.alerts.notice import Notice, Why

MINUTE_SECONDS = 60.0
_NOTHING_SECONDS = 1e-6
MOST_IN_DIGEST = 200
"""Alerts of which a digest tells each; of the others it tells how many they are."""


@dataclass
class Pace:
    """At most `per_minute` messages in any 60 seconds, as DingTalk and WeCom count them; 0: no limit. And at
    most `per_second` in any second, as Feishu does.

    sent: when the last ones were, the oldest first; whoever comes after a restart fills in what is recorded.
    """

    per_minute: int
    per_second: int = 0
    sent: deque[float] = field(default_factory=deque[float])

    @property
    def last_of_minute(self) -> bool:
        """Whether the next one is the last that may go for now; to be asked after wait_seconds."""
        return len(self.sent) + 1 >= self.per_minute > 0

    def wait_seconds(self, now: float) -> float:
        """How long until one more may be sent; 0: now."""
        if not self.per_minute:
            return 0.0
        # As the wait below is reckoned, so that one that was waited for to the moment does not count.
        while self.sent and self.sent[0] + MINUTE_SECONDS - now <= _NOTHING_SECONDS:
            self.sent.popleft()
        wait = 0.0
        if len(self.sent) >= self.per_minute:
            wait = self.sent[-self.per_minute] + MINUTE_SECONDS - now
        if self.per_second and len(self.sent) >= self.per_second:
            wait = max(wait, self.sent[-self.per_second] + 1.0 - now)
        return max(0.0, wait)

    def take(self, now: float) -> None:
        """One is sent now."""
        if self.per_minute:
            self.sent.append(now)


def digest_of(notices: Sequence[Notice], now: float) -> Notice:
    """One message that stands for these, all to one integration of one receiver; two at least.

    An alert that is in several is told of once, as the latest of them has it. What fires comes first, as much
    as fits; the rest is counted in `truncated`. The key follows from theirs.
    """
    latest, fires = dict[str, Alert](), dict[str, bool]()
    for notice in sorted(notices, key=lambda notice: notice.at):
        latest.update((alert.fingerprint, alert) for alert in notice.alerts)
        fires.update(dict.fromkeys(notice.resolved, False) | dict.fromkeys(notice.firing, True))
    firing = frozenset(fingerprint for fingerprint, it_fires in fires.items() if it_fires)
    resolved = frozenset(fires) - firing
    ordered = sorted(latest.values(), key=lambda alert: (alert.fingerprint not in firing, alert.fingerprint))
    first = notices[0]
    key = sha256("\n".join(sorted(notice.key for notice in notices)).encode()).hexdigest()
    return Notice(
        key=key,
        group_key=f"digest:{first.receiver}/{first.integration}",
        receiver=first.receiver,
        integration=first.integration,
        why=Why.DIGEST,
        at=now,
        deadline=max(notice.deadline for notice in notices),
        group_labels={},
        alerts=tuple(ordered[:MOST_IN_DIGEST]),
        firing=firing,
        resolved=resolved,
        truncated=max(0, len(ordered) - MOST_IN_DIGEST) + sum(notice.truncated for notice in notices),
        folded=tuple(notice.key for notice in notices),
    )
