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


class AlertBatch(Report, frozen=True, kw_only=True):
    """`alert.<cluster>`: what was accepted at once. `held_seconds`: how long it lay in the spool."""

    received_at: float
    held_seconds: float = 0.0
    alerts: list[Alert]


def follows(watermark: Stamp, stamp: Stamp) -> bool:
    """Whether `stamp` comes next: the next number of its incarnation, or the first of a newer one."""
    if stamp[0] == watermark[0]:
        return stamp[1] == watermark[1] + 1
    return stamp[0] > watermark[0] and stamp[1] == 1
