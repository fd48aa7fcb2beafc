"""Alerts on their way from a cluster to the centre: a gap-free log per cluster."""

import msgspec

from schemas.wire.reports import Report, Stamp


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert as Alertmanager's API v2 has it; times in Unix seconds, 0 = not set."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: float = 0.0
    ends_at: float = 0.0
    generator_url: str = ""


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One outbreak of an alert: its labels as in `Alert`, and since when it fires."""

    labels: dict[str, str]
    starts_at: float


class SentLocally(msgspec.Struct, frozen=True, kw_only=True):
    """One message that the agent sent by itself, since the centre had not confirmed in time.

    at: when it was delivered, or given up. receiver: its name in the agent's file. key: the idempotency key
    that the message bore. firing, resolved: what it told of. delivered: false where every attempt failed.
    detail: what the receiver answered last.
    """

    at: float
    receiver: str
    key: str
    firing: list[Episode] = []
    resolved: list[Episode] = []
    delivered: bool = True
    attempts: int = 1
    detail: str = ""


class AlertBatch(Report, frozen=True, kw_only=True):
    """`alert.<cluster>`: what was accepted at once.

    held_seconds: how long it lay in the spool before it was sent; what it waits in the stream is not in it.
    alerts: in the order of their arrival, the same labels perhaps several times. sent_locally: of earlier
    batches, and seldom in one with alerts.
    """

    received_at: float
    held_seconds: float = 0.0
    alerts: list[Alert]
    sent_locally: list[SentLocally] = []


def follows(watermark: Stamp, stamp: Stamp) -> bool:
    """Whether `stamp` comes next: the next number of its incarnation, or the first of a newer one."""
    if stamp[0] == watermark[0]:
        return stamp[1] == watermark[1] + 1
    return stamp[0] > watermark[0] and stamp[1] == 1
