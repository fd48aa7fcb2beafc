"""A silence: who is not told, from when until when, who says so and why."""

from dataclasses import dataclass
from enum import StrEnum

from controlplane.alerts.matchers import Matcher


class State(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Silence:
    """Times are Unix seconds. maintenance: of a cluster as a whole; only the recorded reason differs.

    cron, duration_seconds, timezone: one that returns: active for `duration_seconds` from each time that the
    cron expression names, within starts_at and ends_at. An ordinary one has no cron.
    """

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: float
    ends_at: float
    created_by: str
    comment: str
    updated_at: float
    maintenance: bool = False
    cron: str = ""
    duration_seconds: float = 0.0
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody has taken it on: escalation of that episode ends."""

    fingerprint: str
    starts_at: float
    at: float
    by: str
    comment: str = ""
