"""A guard for silences that would swallow too much: `team=~".*"` is a slip, seldom a wish."""

from collections.abc import Iterable, Sequence

from controlplane.alerts.alert import Labels
from controlplane.alerts.configuration import SilenceGuard
from controlplane.alerts.matchers import Matcher


def swallowed(matchers: Sequence[Matcher], firing: Iterable[Labels]) -> tuple[int, int]:
    """(how many of those that fire these matchers mean, how many fire)."""
    meant = total = 0
    for labels in firing:
        total += 1
        meant += all(matcher.matches(labels) for matcher in matchers)
    return meant, total


def objection(guard: SilenceGuard, meant: int, total: int) -> str | None:
    """Why this silence is not taken unless it is forced; None: it is taken."""
    if total < guard.from_alerts or meant <= guard.max_share * total:
        return None
    return (
        f"this silence would swallow {meant} of {total} alerts that fire, more than the share of"
        f" {guard.max_share:g} that muster.silence_guard allows: narrow its matchers, or force it"
    )
