"""What of others' reports goes into the spool: all that says something new, and enough to keep it fresh.

Every Prometheus of a pair reports each firing alert again every minute, and each resolved one for a quarter
of an hour. A firing alert is written when it is new, when anything of it changed, when it ends sooner than
was said, and when half of the time has passed that it was said to last: so the centre never takes for ended
what fires. While its last report has not been handed to the bus yet, another one would add nothing: it is
told how long that one lay in the spool, and its end moves by that. An end is written unless the very same
end is written.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from agents.alerts.intake import RESOLVE_TIMEOUT_SECONDS
from agents.alerts.writing import SpoolWriter
from agents.failpoints import reached
from agents.ports import Clock
from schemas.wire.alerts import Alert

MOST_REMEMBERED = 50_000
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class _Told:
    """The last report that is on the disk. until: Unix seconds."""

    content: bytes
    at: float
    until: float
    resolved: bool


class Accepting:
    """Remembers, in memory, the last report of the newest MOST_REMEMBERED alerts: what it has forgotten, or
    never knew since the agent was started anew, is written once more."""

    def __init__(self, writer: SpoolWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._told: OrderedDict[bytes, _Told] = OrderedDict()

    async def accept(self, alerts: Sequence[Alert]) -> int:
        """How many were written; all of them are accepted when this returns. Raises SpoolFull."""
        now = self._clock.now()
        fresh: list[tuple[Alert, bytes, bytes]] = []
        for alert in alerts:
            key, content = _digests(alert)
            if self._is_fresh(alert, key, content, now):
                fresh.append((alert, key, content))
        if not fresh:
            return 0
        written_at = await self._writer.write([alert for alert, _, _ in fresh])
        reached("agent.after_alert_sync")
        for alert, key, content in fresh:
            until = alert.ends_at or written_at + RESOLVE_TIMEOUT_SECONDS
            resolved = 0 < alert.ends_at <= written_at
            self._told[key] = _Told(content, written_at, until, resolved)
            self._told.move_to_end(key)
        while len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)
        return len(fresh)

    def _is_fresh(self, alert: Alert, key: bytes, content: bytes, now: float) -> bool:
        told = self._told.get(key)
        if told is None or told.content != content:
            return True
        resolved = 0 < alert.ends_at <= now
        if resolved or told.resolved:
            return not (resolved and told.resolved and told.until == alert.ends_at)
        if alert.ends_at and alert.ends_at < told.until:
            return True
        if told.at > self._writer.spool.sent_until and told.at <= now:
            return False
        return not 0 <= now - told.at < (told.until - told.at) / 2


def _digests(alert: Alert) -> tuple[bytes, bytes]:
    """Of its labels, and of all else but its end."""
    rest = (sorted(alert.annotations.items()), alert.starts_at, alert.generator_url)
    labels = _encoder.encode(sorted(alert.labels.items()))
    return (
        hashlib.blake2b(labels, digest_size=16).digest(),
        hashlib.blake2b(_encoder.encode(rest), digest_size=16).digest(),
    )
