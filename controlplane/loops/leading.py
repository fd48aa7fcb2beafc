"""What only the leader runs, in its epoch: composed when the lease is taken, gone when it ends.

It answers beats, and runs place, dispatch, limits, settle, releasing, drifting, requests, watchdog, auditing,
expiring and alert. The process knows by then what Postgres says, and STATE and USAGE are drained (centre.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from controlplane.known.known import Known
from controlplane.known.records import Lease
from controlplane.loops.alert import AlertLog
from controlplane.loops.auditing import PASS_SECONDS as AUDITING_SECONDS
from controlplane.loops.auditing import Auditing
from controlplane.loops.beats import Beats
from controlplane.loops.centre_ports import Ports
from controlplane.loops.dispatch import Dispatch
from controlplane.loops.drifting import PASS_SECONDS as DRIFTING_SECONDS
from controlplane.loops.drifting import Drifting
from controlplane.loops.expiring import PASS_SECONDS as EXPIRING_SECONDS
from controlplane.loops.expiring import Expiring
from controlplane.loops.follow import Follow
from controlplane.loops.ingest import Ingest
from controlplane.loops.limits import LimitsLoop
from controlplane.loops.place import Place
from controlplane.loops.ports import BusUnavailable, StoreUnavailable
from controlplane.loops.releasing import PASS_SECONDS as RELEASING_SECONDS
from controlplane.loops.releasing import Releasing
from controlplane.loops.requests import Requests
from controlplane.loops.running import Wake, keep_running
from controlplane.loops.settle import Settle
from controlplane.loops.turns import Turns
from controlplane.loops.wakes import Wakes
from controlplane.loops.watchdog import PASS_SECONDS, Watchdog
from schemas.wire.orders import Version

log = structlog.get_logger()

GATHER_SECONDS = 0.01
Depth = Callable[[], float]
Pass = tuple[str, Callable[[], Awaitable[None]], Wake, float, Depth | None]
"""name, what is run, what wakes it, its period in seconds, how much waits for it"""


class Leading:
    """For one epoch. holds: whether the lease is still ours, as far as this process can tell."""

    def __init__(
        self,
        ports: Ports,
        known: Known,
        ingest: Ingest,
        wakes: Wakes,
        lease: Lease,
        holds: Callable[[], bool],
    ) -> None:
        self._ports = ports
        self._known = known
        self._ingest = ingest
        self._wakes = wakes
        self._lease = lease
        self._ledger = Turns()
        store, bus, clock, metrics = ports.store, ports.bus, ports.clock, ports.metrics
        freed, committed = wakes.place.up, wakes.dispatch.up
        self._releasing = Releasing(store, known, clock, lease, self._ledger, quota_freed=freed)
        self._drifting = Drifting(
            *(store, known, clock, lease, self._ledger),
            quota_freed=freed,
            workload_seconds=ports.surge_seconds,
        )
        self._limits = LimitsLoop(
            *(store, known, ports.signer, clock, lease),
            orders_committed=committed,
            lower_seconds=ports.limits_lower_seconds,
        )
        self._dispatch = Dispatch(store, bus, known, clock, lease, metrics, self._limits.waits, holds=holds)
        self._settle = Settle(
            store,
            bus,
            known,
            ports.subjects,
            lease,
            metrics,
            ingest.footprint,
            removed=self._held_no_longer,
        )
        self.beats = Beats(store, bus, known, clock, lease, wakes.dispatch, self._recorded)

    async def run(self) -> None:
        """Until cancelled. Raises LeaseLost, and what else ended one of the loops."""
        known, metrics = self._known, self._ports.metrics
        alerts = self._alert_log()
        clusters, workloads = len(known.clusters), len(known.workloads)
        log.info("leading", epoch=self._lease.epoch, clusters=clusters, workloads=workloads)
        try:
            async with asyncio.TaskGroup() as group:
                for name, run_pass, wake, period_seconds, depth in self._passes():
                    group.create_task(
                        keep_running(
                            name,
                            run_pass,
                            wake,
                            metrics,
                            period_seconds=period_seconds,
                            gather_seconds=GATHER_SECONDS,
                            depth=depth,
                        )
                    )
                group.create_task(self._wake_on_change())
                group.create_task(self._take_alerts(alerts))
        except* Exception as failures:
            raise failures.exceptions[0] from failures

    def reported(self, cluster: str, workload: str) -> None:
        """An agent said something of this workload."""
        self._settle.offer(cluster, workload)
        self._wakes.settle.up()
        self._held_no_longer(cluster, workload)

    def _passes(self) -> list[Pass]:
        ports, known, lease, wakes = self._ports, self._known, self._lease, self._wakes
        store, bus, clock = ports.store, ports.bus, ports.clock
        place = Place(
            store,
            known,
            Follow(store, known),
            ports.signer,
            clock,
            lease,
            ports.metrics,
            orders_committed=self._orders_committed,
            ledger=self._ledger,
            promised=True,
        )
        watchdog = Watchdog(
            store,
            bus,
            known,
            ports.subjects,
            clock,
            lease,
            self._ingest.over_bound,
            self._ingest.footprint,
        )
        requests = Requests(store, bus, known, ports.signer, lease)
        auditing = Auditing(store, known, self._ledger, ports.metrics)
        return [
            ("place", place.run_pass, wakes.place, 1.0, lambda: place.depth),
            ("dispatch", self._dispatch.run_pass, wakes.dispatch, 1.0, lambda: len(known.unpublished)),
            ("limits", self._limits.run_pass, wakes.limits, 1.0, lambda: self._limits.depth),
            ("settle", self._settle.run_pass, wakes.settle, 1.0, lambda: self._settle.depth),
            (
                *("releasing", self._releasing.run_pass, wakes.releasing, RELEASING_SECONDS),
                lambda: self._releasing.depth,
            ),
            ("drifting", self._drifting.run_pass, Wake(), DRIFTING_SECONDS, None),
            ("requests", requests.run_pass, Wake(), PASS_SECONDS, lambda: requests.depth),
            ("watchdog", watchdog.run_pass, wakes.watchdog, PASS_SECONDS, lambda: watchdog.depth),
            ("auditing", auditing.run_pass, Wake(), AUDITING_SECONDS, None),
            ("expiring", Expiring(store, lease).run_pass, Wake(), EXPIRING_SECONDS, None),
        ]

    def _alert_log(self) -> AlertLog:
        ports = self._ports
        return AlertLog(
            ports.store,
            ports.bus,
            self._known,
            ports.subjects,
            self._lease,
            ports.metrics,
            ports.alerts_clock or ports.clock,
            ports.resolve_timeout_seconds,
            ports.held_alerts,
        )

    def _recorded(self, cluster: str, versions: Mapping[str, Version]) -> None:
        self._settle.recorded(cluster, versions)
        self._wakes.settle.up()

    def _orders_committed(self) -> None:
        self._wakes.limits.up()
        self._wakes.dispatch.up()

    def _held_no_longer(self, cluster: str, workload: str) -> None:
        """Something of it may be: what was reported, or ordered there no more, says."""
        self._releasing.offer(cluster, workload)
        self._wakes.releasing.up()

    async def _wake_on_change(self) -> None:
        while True:
            try:
                await self._ports.store.wait_for_change(timeout_seconds=1.0)
            except StoreUnavailable:
                await asyncio.sleep(1.0)
            self._wakes.place.up()

    async def _take_alerts(self, alerts: AlertLog) -> None:
        """Following a stream ends only by an error: begin again, the stream holds what was not taken."""
        while True:
            try:
                await alerts.run()
            except* (StoreUnavailable, BusUnavailable) as failures:
                log.warning("following_failed", loop="alert", detail=str(failures.exceptions[0]))
            self._ports.metrics.errors.labels("alert", "restarted").inc()
            await asyncio.sleep(1.0)
