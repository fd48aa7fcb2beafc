"""How many alerts are held at once. Beyond that new ones are refused, and what is held goes on being told.

Every look, commit and load below is bounded by it: with more, a leader would outlast its lease for ever.
"""

from collections.abc import Mapping, Sequence

from controlplane.alerts.alert import Alert

MOST_HELD = 100_000
"""Of all sources. Silenced ones and those that ended lately are held too."""
MOST_OF_ONE_CLUSTER = 50_000
"""So that the flood of one leaves room for the others."""
MOST_CHARACTERS = 512 * 1024 * 1024
"""Of all that is held."""


def beyond(
    alerts: Sequence[Alert], held: Mapping[str, Alert], coming: int = 0, characters: int = 0
) -> set[str]:
    """Fingerprints of those that there is no room for: new ones only. They are of one source.

    coming: how many others were let in and are not held yet. characters: of all that is held; where that is
    too much, what is held may not grow either.
    """
    if characters > MOST_CHARACTERS:
        return {each.fingerprint for each in alerts if _grows(each, held.get(each.fingerprint))}
    if len(held) + coming + len(alerts) <= MOST_OF_ONE_CLUSTER:
        return set()
    new = list(dict.fromkeys(alert.fingerprint for alert in alerts if alert.fingerprint not in held))
    if not new:
        return set()
    room = MOST_HELD - len(held) - coming
    if source := alerts[0].source:
        room = min(room, MOST_OF_ONE_CLUSTER - sum(each.source == source for each in held.values()))
    return set(new[max(room, 0) :])


def _grows(alert: Alert, known: Alert | None) -> bool:
    return known is None or alert.characters > known.characters
