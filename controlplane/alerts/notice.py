"""What one look at the board comes to, and what became of it: the vocabulary of promise 4."""

from dataclasses import dataclass
from enum import StrEnum

from controlplane.alerts.alert import Alert, Labels


class Why(StrEnum):
    """Why something is sent. The order is that of Alertmanager's dedup stage, first hit wins."""

    FIRST = "First"
    NEW_FIRING = "NewFiring"
    ALL_RESOLVED = "AllResolved"
    RESOLVED = "Resolved"
    REPEAT = "Repeat"
    ESCALATION = "Escalation"
    DIGEST = "Digest"


class What(StrEnum):
    """What happened to an episode, as its history says. Each of these closes an account of promise 4."""

    RECEIVED = "Received"
    RESOLVED = "Resolved"
    NOTIFIED = "Notified"
    SILENCED = "Silenced"
    MAINTENANCE = "Maintenance"
    INHIBITED = "Inhibited"
    MUTED = "Muted"
    INACTIVE = "Inactive"
    GROUPED = "Grouped"
    FLAPPING = "Flapping"
    RESOLVED_NOT_SENT = "ResolvedNotSent"
    DIGESTED = "Digested"
    DELIVERY_FAILED = "DeliveryFailed"
    NO_RECEIVER = "NoReceiver"
    SENT_LOCALLY = "SentLocally"
    ACKNOWLEDGED = "Acknowledged"


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of the history of an episode. detail: which silence, source, interval, answer."""

    fingerprint: str
    starts_at: float
    at: float
    what: What
    receiver: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one integration of one receiver.

    key: idempotency key; it follows from group, receiver, integration, what is in it, when the last one was
    delivered: whoever decides the same again makes the same key: after a leader that died, and after
    a delivery that failed. firing, resolved: fingerprints in `alerts`.
    deadline: until when it is retried: the flush plus max(group_interval, 10 s).
    folded: keys of the notices that a digest stands for; itself it is of no group.
    """

    key: str
    group_key: str
    receiver: str
    integration: str
    why: Why
    at: float
    deadline: float
    group_labels: Labels
    alerts: tuple[Alert, ...]
    firing: frozenset[str]
    resolved: frozenset[str]
    truncated: int = 0
    folded: tuple[str, ...] = ()

    @property
    def shown_group_key(self) -> str:
        """As webhooks have it. Groups of two routes alike would share Alertmanager's key: ours adds `#2`."""
        return self.group_key[: self.group_key.rfind("}") + 1] or self.group_key


@dataclass(frozen=True, slots=True)
class Sent:
    """The log of notifications, one entry per (group, receiver, integration): the last that was delivered.

    firing, resolved: fingerprints that it told of. at: of the delivery; repeat_interval counts from it.
    owed: told to fire by an earlier one and held back since (silenced, say): the end is still to be told.
    """

    group_key: str
    receiver: str
    integration: str
    firing: frozenset[str]
    resolved: frozenset[str]
    at: float
    owed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Flush:
    """One group looked at. All of it commits in one transaction, before anything is sent.

    next_at: when the group is looked at again; None: it is empty now and forgotten. entry: the last that the
    board had applied. complete: False where an integration was left out because a notice is under way to it.
    held: an interval held it back; when that ends the group is looked at again. quiet: nothing fires.
    emptied: all that is in it was resolved, and nothing of that is still to be told.
    cleared: replaces the log of notifications without a message, as for an integration that does not want to
    hear of what is resolved.
    escalated: 0 for a look at the group; else this is the step of escalation that is done, from 1, alone.
    """

    group_key: str
    at: float
    next_at: float | None
    notices: tuple[Notice, ...] = ()
    happened: tuple[Happened, ...] = ()
    entry: int = 0
    complete: bool = True
    held: bool = False
    quiet: bool = False
    cleared: tuple[Sent, ...] = ()
    emptied: bool = False
    escalated: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said to one attempt.

    code: the vendor's own (`errcode 310000`, `HTTP 429`, `SMTP 550`), "" where nothing answered.
    retry: worth another attempt. retry_after_seconds: the receiver said when.
    """

    delivered: bool
    retry: bool = False
    code: str = ""
    detail: str = ""
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver a notice; every one is recorded. number: from 1. last: no other will follow."""

    key: str
    number: int
    at: float
    took_seconds: float
    answer: Answer
    last: bool
