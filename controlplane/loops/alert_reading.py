"""What an agent brought, as entries of the log: its times put right, its cluster named, the bad set apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from controlplane.alerts.alert import NOTHING, Alert
from controlplane.alerts.entry import Arrived, Entry, SentLocally
from controlplane.alerts.fingerprint import fingerprint
from schemas.wire import alerts as wire

CLUSTER = "cluster"
MOST_PAIRS = 256
MOST_TEXT = 32 * 1024
LAST_SECONDS = 1e11
"""Beyond it a time is none: it is the year 5138."""
REMEMBERED = 16_384
CLOCKS_DIFFER_SECONDS = 30.0
"""Sent so long ago by the clock of its agent, what was held counted: that clock is behind, or the way was
long, and it arrived now all the same."""


@dataclass(frozen=True)
class Read:
    """refused: (position in the batch, what is wrong with it)."""

    entries: tuple[Entry, ...] = ()
    refused: tuple[tuple[int, str], ...] = ()


class AlertReader:
    """Remembers identities: agents say the same alerts again and again."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, str], ...], tuple[Mapping[str, str], str]] = {}

    def read(
        self,
        batch: wire.AlertBatch,
        source: str,
        cluster: str,
        resolve_timeout_seconds: float,
        now: float = inf,
    ) -> Read:
        """source: id of the cluster; cluster: the name that it is registered under, whatever the labels say.

        An endsAt that lay in the future when it was received lies as far ahead of us now: it moves by the
        time that the batch was held, and by what the clocks differ. now: ours. Nothing was received later
        than that, nor, once what it was held is counted, much earlier, whatever the clock of the agent says:
        the time of an entry is one for the alerts of all clusters.
        """
        at = min(batch.received_at + batch.held_seconds, now)
        if CLOCKS_DIFFER_SECONDS < now - at < inf:
            at = now
        if not 0 <= at <= LAST_SECONDS:
            return Read((), tuple((n, f"received_at {at:g} is no time") for n, _ in enumerate(batch.alerts)))
        taken: list[Alert] = []
        refused: list[tuple[int, str]] = []
        for position, alert in enumerate(batch.alerts):
            try:
                identity, known_as = self._identity(alert.labels, cluster)
                starts_at, ends_at = _times(alert, batch, at, resolve_timeout_seconds)
                taken.append(
                    Alert(
                        known_as,
                        identity,
                        _annotated(alert.annotations),
                        starts_at,
                        ends_at,
                        at,
                        not alert.ends_at,
                        alert.generator_url[:MOST_TEXT],
                        source,
                    )
                )
            except ValueError as error:
                refused.append((position, str(error)))
        told = [self._told(each, cluster, now) for each in batch.sent_locally]
        arrived = (Arrived(at, taken),) if taken else ()
        return Read((*arrived, *told), tuple(refused))

    def _identity(self, labels: Mapping[str, str], cluster: str) -> tuple[Mapping[str, str], str]:
        pairs = tuple(sorted({**labels, CLUSTER: cluster}.items()))
        known = self._known.get(pairs)
        if known is not None:
            return known
        if len(pairs) > MOST_PAIRS:
            raise ValueError(f"{len(pairs)} labels; up to {MOST_PAIRS}")
        for name, value in pairs:
            _check("label", name, value)
        identity = {name: value for name, value in pairs if value}
        if len(identity) < 2:
            raise ValueError("it has no label but its cluster; at least one with a value is needed")
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        known = identity, fingerprint(identity)
        self._known[pairs] = known
        return known

    def _told(self, told: wire.SentLocally, cluster: str, now: float) -> SentLocally:
        episodes = [
            (fingerprint(_cleaned(episode.labels, cluster)), episode.starts_at)
            for episode in (*told.firing, *told.resolved)
            if 0 <= episode.starts_at <= LAST_SECONDS
        ]
        outcome = "" if told.delivered else f"not delivered after {told.attempts} attempts"
        detail = "; ".join(part for part in (outcome, told.detail[:1000]) if part)
        return SentLocally(min(max(told.at, 0.0), LAST_SECONDS, now), told.receiver, episodes, detail)


def _times(
    alert: wire.Alert, batch: wire.AlertBatch, at: float, resolve_timeout_seconds: float
) -> tuple[float, float]:
    starts_at, ends_at = alert.starts_at, alert.ends_at
    if not (0 <= starts_at <= LAST_SECONDS and 0 <= ends_at <= LAST_SECONDS):
        raise ValueError("starts_at, ends_at: Unix seconds up to the year 5138, or 0")
    # A clock that is ahead says that it begins later than it was received.
    starts_at = min(starts_at or ends_at or at, at)
    if not ends_at:
        ends_at = at + resolve_timeout_seconds
    elif ends_at > batch.received_at:
        ends_at = at + (ends_at - batch.received_at)
    if ends_at < starts_at:
        raise ValueError(f"it ends at {ends_at:.3f}, before it starts at {starts_at:.3f}")
    return starts_at, ends_at


def _annotated(annotations: Mapping[str, str]) -> Mapping[str, str]:
    if len(annotations) > MOST_PAIRS:
        raise ValueError(f"{len(annotations)} annotations; up to {MOST_PAIRS}")
    for name, value in annotations.items():
        _check("annotation", name, value)
    return annotations or NOTHING


def _cleaned(labels: Mapping[str, str], cluster: str) -> dict[str, str]:
    return {name: value for name, value in {**labels, CLUSTER: cluster}.items() if value}


def _check(what: str, name: str, value: str) -> None:
    if not name:
        raise ValueError(f"a {what} has no name")
    if len(name) + len(value) > MOST_TEXT:
        raise ValueError(f"{what} {name[:100]!r} is longer than {MOST_TEXT:,} characters")
    if "\0" in name or "\0" in value:
        raise ValueError(f"{what} {name[:100]!r} has a NUL character")
