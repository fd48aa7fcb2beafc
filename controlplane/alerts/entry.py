"""The log that every replica reads: all that changes a board, in the one order in which it was committed.

A board is a function of its entries (and of the leader's flushes): whoever replays the log holds the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.alerts.alert import Alert, Labels
from controlplane.alerts.notice import Notice, Sent
from controlplane.alerts.silence import Acknowledgement, Silence


@dataclass(frozen=True, slots=True)
class Arrived:
    """Alerts that were accepted at once. at: when, Unix seconds."""

    at: float
    alerts: Sequence[Alert]


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
    """transitions: when it began or ended lately, for flap damping; the oldest first."""

    alert: Alert
    transitions: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedGroup:
    """A group's timers. first_told_at: 0 when nobody was told of what fires now; escalated: steps done."""

    group_key: str
    next_at: float
    labels: Labels
    flushed: bool = False
    first_told_at: float = 0.0
    escalated: int = 0


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
