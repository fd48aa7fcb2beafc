"""The log that every replica reads: all that changes a board, in the one order in which it was committed.

A board is a function of its entries (and of the leader's flushes): whoever replays the log holds the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.alerts.alert import Alert, Labels
from controlplane.alerts.notice import Happened, Notice, Sent
from controlplane.alerts.silence import Acknowledgement, Silence


@dataclass(frozen=True, slots=True)
class Arrived:
    """Alerts that were accepted at once. at: when, Unix seconds. trace: a traceparent, "" for none."""

    at: float
    alerts: Sequence[Alert]
    trace: str = ""


@dataclass(frozen=True, slots=True)
class SentLocally:
    """What an agent sent by itself while the centre was silent, as it says on catching up."""

    at: float
    receiver: str
    episodes: Sequence[tuple[str, float]]
    detail: str = ""


Entry = Arrived | SentLocally | Silence | Acknowledgement


@dataclass(frozen=True, slots=True)
class SavedAlert:
    """transitions: when it began or ended lately, for flap damping; the oldest first.

    applied: the last entry that brought it, so that a log that is replayed over it changes nothing twice;
    began: the one that began this episode, at began_at; changed: the last at which it began or ended.
    joined_at: since when it is in its groups: group_wait counts from it. earlier: episodes (starts_at, entry
    that ended them) that gave way to this one before anybody looked.
    flapping_since: when it had changed too often; 0 where it had not at its last transition.
    """

    alert: Alert
    transitions: tuple[float, ...] = ()
    applied: int = 0
    began: int = 0
    began_at: float = 0.0
    changed: int = 0
    joined_at: float = 0.0
    earlier: tuple[tuple[float, int], ...] = ()
    flapping_since: float = 0.0


@dataclass(frozen=True, slots=True)
class SavedGroup:
    """A group's timers. first_told_at: 0 when nobody was told of what fires now; escalated: steps done.

    flushed: False once it is empty; it begins anew, with group_wait, when an alert comes before next_at.
    looked_at, looked_entry: the last flush, and the last entry it knew. closed_at, closed_entry: those of
    the last flush that was told in full: what was resolved by then and did not change since has left.
    failed: something of the last flush could not be told, so that it closes nothing.
    """

    group_key: str
    next_at: float
    labels: Labels
    flushed: bool = False
    first_told_at: float = 0.0
    escalated: int = 0
    looked_at: float = 0.0
    looked_entry: int = 0
    closed_at: float = 0.0
    closed_entry: int = 0
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """What follows from a last attempt, recorded with it in one transaction.

    sent: replaces the log of its (group, receiver, integration). group: how the group stands now, None where
    there is none. happened: that these were told of, or that delivery failed.
    """

    sent: Sent | None = None
    group: SavedGroup | None = None
    happened: tuple[Happened, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedBoard:
    """What Postgres holds: the board as of the entry `applied`, and the leader's state as of its last commit.

    pending: notices that were committed and of which no last attempt is recorded.
    """

    applied: int = 0
    alerts: Sequence[SavedAlert] = ()
    silences: Sequence[Silence] = ()
    acknowledgements: Sequence[Acknowledgement] = ()
    groups: Mapping[str, SavedGroup] = field(default_factory=dict[str, SavedGroup])
    sent: Sequence[Sent] = ()
    pending: Sequence[Notice] = ()
