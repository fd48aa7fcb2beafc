"""What can be asked of the history of alerts and of the attempts to deliver, and what is answered."""

from dataclasses import dataclass

from controlplane.alerts.alert import Labels
from controlplane.alerts.notice import Attempt, Happened


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which lines of the history, the newest first. Empty fields ask for all. before: ids below, 0 for all.

    matching: label name and value, all must be there. fresh: fingerprints of alerts that match, too, though
    their labels may not be saved yet. since, until: Unix seconds, until not included.
    """

    fingerprint: str = ""
    receiver: str = ""
    what: str = ""
    matching: tuple[tuple[str, str], ...] = ()
    fresh: tuple[str, ...] = ()
    since: float = 0.0
    until: float = 0.0
    before: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """id: for the next page. labels: of the alert; empty until it was saved for the first time (a minute)."""

    id: int
    happened: Happened
    labels: Labels


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One attempt to deliver, with what it was about. why: of the notice."""

    id: int
    attempt: Attempt
    group_key: str
    receiver: str
    integration: str
    why: str
