"""Lanes: what waits for one integration of one receiver, within its limit; and how long a failure waits."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.alerts.limiting import digest_of
from controlplane.alerts.notice import Answer, Attempt, Happened, Notice, What

SENDING_AT_ONCE = 4
UNRECORDED_AT_ONCE = 32
"""Sent, or being sent, and not yet recorded: what a process that dies makes the next one send again."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_ASKED_SECONDS = 300.0


@dataclass
class Trial:
    """Notices that go as one message: one, or those of a digest. number: attempts so far.

    committed: a digest is in the database: whoever comes after sends it again with the same key. tried: maybe
    by a leader before this one.
    """

    notices: Sequence[Notice]
    message: Notice
    number: int = 0
    committed: bool = False
    tried: bool = False

    @property
    def fresh(self) -> bool:
        """Nobody was ever told of it: it may still become part of a digest."""
        return not self.number and not self.tried and not self.message.folded


@dataclass
class Lane:
    """waiting: may be tried now. under_way: being sent or recorded. paced: its limit is used up for now."""

    receiver: str
    integration: str
    waiting: deque[Trial] = field(default_factory=deque[Trial])
    sending: int = 0
    under_way: int = 0
    paced: bool = False

    @property
    def has_room(self) -> bool:
        return self.sending < SENDING_AT_ONCE and self.under_way < UNRECORDED_AT_ONCE


def pause_seconds(number: int, answer: Answer, draw: float) -> float:
    """After attempt `number`, from 1. draw: 0 to 1; half of the pause is left to it, so that many do not
    come back at once. What a receiver asks for is kept, within LONGEST_ASKED_SECONDS."""
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (min(number, 30) - 1))
    pause *= 0.5 + draw / 2
    if answer.retry_after_seconds is None:
        return pause
    return max(pause, min(answer.retry_after_seconds, LONGEST_ASKED_SECONDS))


def folded(trial: Trial, waiting: deque[Trial], now: float) -> Trial:
    """The last message that may go for now stands for all that wait and were not tried yet."""
    fresh = [other for other in waiting if other.fresh]
    if not fresh:
        return trial
    notices = [notice for each in (trial, *fresh) for notice in each.notices]
    kept = [other for other in waiting if not other.fresh]
    waiting.clear()
    waiting.extend(kept)
    return Trial(notices, digest_of(notices, now))


def digested(notice: Notice, attempt: Attempt, detail: str) -> tuple[Happened, ...]:
    return tuple(
        Happened(alert.fingerprint, alert.starts_at, attempt.at, What.DIGESTED, notice.receiver, detail)
        for alert in notice.alerts
    )
