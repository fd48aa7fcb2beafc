"""What one process of the centre stands on. What alerting stands on is in alert_ports.py."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from controlplane.alerts.alert import Alert
from controlplane.loops.drifting import WORKLOAD_SECONDS as SURGE_SECONDS
from controlplane.loops.footprint import ClusterBounds
from controlplane.loops.limits import LOWER_SECONDS as LIMITS_LOWER_SECONDS
from controlplane.loops.orders import Signer
from controlplane.loops.ports import Bus, Clock, Store
from controlplane.loops.running import LoopMetrics
from controlplane.rollout import LossRules
from schemas.wire.subjects import Subjects

LEASE_SECONDS = 3.0


async def opened_already() -> None:
    """Of a bus that was opened before the centre was composed."""


@dataclass(frozen=True)
class Ports:
    """What a centre stands on. holder: of leases, one a process start. decides: whether it ever may lead.

    bus_opened: returns once NATS can be used; what needs none does not wait for it. bus_reached: returns when
    NATS has answered. resolve_timeout_seconds: of alerts that agents bring without an end. alerts_clock: by
    which alerts are looked at, where it is another. held_alerts: by fingerprint, and their size.
    surge_seconds: after which what a workload has beyond its charge is drift. limits_lower_seconds: limits in
    the clusters are lowered so often at most.
    """

    store: Store
    bus: Bus
    clock: Clock
    signer: Signer
    subjects: Subjects
    metrics: LoopMetrics
    holder: str
    lease_seconds: float = LEASE_SECONDS
    decides: bool = True
    bus_opened: Callable[[], Awaitable[object]] = opened_already
    bus_reached: Callable[[], Awaitable[object]] | None = None
    resolve_timeout_seconds: Callable[[], float] = lambda: 300.0
    alerts_clock: Clock | None = None
    held_alerts: Callable[[], tuple[Mapping[str, Alert], int]] = lambda: ({}, 0)
    bounds: ClusterBounds = field(default_factory=ClusterBounds)
    loss_rules: LossRules = field(default_factory=LossRules)
    surge_seconds: float = SURGE_SECONDS
    limits_lower_seconds: float = LIMITS_LOWER_SECONDS
