"""Everything one process of the centre runs, over ports: what each replica runs, what only a leader does.

Every replica: ingest, sampling of what is used, budgets, and leadership. The leader, in its epoch:
1. load Postgres, and wait until STATE and USAGE are drained;
2. answer beats, and run place, dispatch, settle, releasing, drifting, auditing, alert, requests, watchdog and
   expiring until the lease ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from controlplane.alerts.alert import Alert
from controlplane.fleet.slack import SAMPLE_SECONDS
from controlplane.known.known import Known
from controlplane.known.records import Lease
from controlplane.loops.alert import AlertLog
from controlplane.loops.auditing import PASS_SECONDS as AUDITING_SECONDS
from controlplane.loops.auditing import Auditing
from controlplane.loops.beats import Beats, NotLeading
from controlplane.loops.budgeting import PASS_SECONDS as BUDGETING_SECONDS
from controlplane.loops.budgeting import Budgeting
from controlplane.loops.dispatch import Dispatch
from controlplane.loops.drifting import PASS_SECONDS as DRIFTING_SECONDS
from controlplane.loops.drifting import Drifting
from controlplane.loops.expiring import PASS_SECONDS as EXPIRING_SECONDS
from controlplane.loops.expiring import Expiring
from controlplane.loops.follow import Follow
from controlplane.loops.footprint import ClusterBounds
from controlplane.loops.ingest import Ingest
from controlplane.loops.leadership import Leadership
from controlplane.loops.limits import LimitsLoop
from controlplane.loops.orders import Signer
from controlplane.loops.place import Place
from controlplane.loops.ports import Bus, BusUnavailable, Clock, Store, StoreUnavailable
from controlplane.loops.releasing import PASS_SECONDS as RELEASING_SECONDS
from controlplane.loops.releasing import Releasing
from controlplane.loops.requests import Requests
from controlplane.loops.running import LoopMetrics, Wake, keep_running
from controlplane.loops.sampling import Sampling
from controlplane.loops.settle import Settle
from controlplane.loops.watchdog import PASS_SECONDS, Watchdog
from controlplane.rollout import LossRules
from schemas.wire.limits import is_limits
from schemas.wire.orders import Version
from schemas.wire.subjects import Subjects

log = structlog.get_logger()

GATHER_SECONDS = 0.01


async def opened_already() -> None:
    """Of a bus that was opened before the centre was composed."""


@dataclass(frozen=True)
class Ports:
    """What a centre stands on. holder: of leases, one a process start.

    bus_opened: returns once NATS can be used; what needs none does not wait for it. resolve_timeout_seconds:
    of alerts that agents bring without an end. held_alerts: by fingerprint, and their size.
    """

    store: Store
    bus: Bus
    clock: Clock
    signer: Signer
    subjects: Subjects
    metrics: LoopMetrics
    holder: str
    lease_seconds: float = 5.0
    bus_opened: Callable[[], Awaitable[object]] = opened_already
    resolve_timeout_seconds: Callable[[], float] = lambda: 300.0
    held_alerts: Callable[[], tuple[Mapping[str, Alert], int]] = lambda: ({}, 0)
    bounds: ClusterBounds = field(default_factory=ClusterBounds)
    loss_rules: LossRules = field(default_factory=LossRules)


@dataclass
class _Wakes:
    place: Wake = field(default_factory=Wake)
    dispatch: Wake = field(default_factory=Wake)
    settle: Wake = field(default_factory=Wake)
    releasing: Wake = field(default_factory=Wake)
    watchdog: Wake = field(default_factory=Wake)
    limits: Wake = field(default_factory=Wake)


class Centre:
    """Composed once, run once."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.known = Known(loss_rules=ports.loss_rules)
        self._wakes = _Wakes()
        self._settle: Settle | None = None
        self._releasing: Releasing | None = None
        self._beats: Beats | None = None
        self.ingest = Ingest(
            ports.store,
            ports.bus,
            self.known,
            ports.subjects,
            ports.metrics,
            capacity_changed=self._wakes.place.up,
            work_reported=self._work_reported,
            excess=self._wakes.watchdog.up,
            bounds=ports.bounds,
        )
        self.leadership = Leadership(
            ports.store, self._lead, role="deciding", holder=ports.holder, ttl_seconds=ports.lease_seconds
        )

    @property
    def leads(self) -> bool:
        """Whether this process decides now."""
        return self._beats is not None

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self.leadership.run())
            group.create_task(self._measure_lag())
            sampling = Sampling(self.known, self._ports.clock)
            group.create_task(
                keep_running(
                    "sampling",
                    sampling.run_pass,
                    Wake(),
                    self._ports.metrics,
                    period_seconds=SAMPLE_SECONDS,
                )
            )
            budgeting = Budgeting(
                self._ports.store, self.known, self._ports.clock, quota_freed=self._wakes.place.up
            )
            group.create_task(
                keep_running(
                    "budgeting",
                    budgeting.run_pass,
                    Wake(),
                    self._ports.metrics,
                    period_seconds=BUDGETING_SECONDS,
                )
            )

    async def _listen(self) -> None:
        """What agents say, as soon as there is a bus to hear it by."""
        while True:
            await self._ports.bus_opened()
            try:
                await self._ports.bus.serve_beats(self._answer_beat)
                break
            except BusUnavailable as error:
                log.warning("beats_not_served", detail=str(error))
                await asyncio.sleep(1.0)
        await self._restarting("ingest", self.ingest.run)

    async def _lead(self, lease: Lease) -> None:
        ports, known = self._ports, self.known
        known.replace_records(await ports.store.load())
        known.newer_stored.clear()
        await self.ingest.drained.wait()
        follow = Follow(ports.store, known)
        limits = LimitsLoop(
            ports.store, known, ports.signer, ports.clock, lease, orders_committed=self._wakes.dispatch.up
        )
        dispatch = Dispatch(ports.store, ports.bus, known, ports.clock, lease, ports.metrics, limits.waits)
        ledger = asyncio.Lock()
        releasing = Releasing(
            ports.store, known, ports.clock, lease, ledger, quota_freed=self._wakes.place.up
        )
        drifting = Drifting(ports.store, known, ports.clock, lease, ledger, quota_freed=self._wakes.place.up)
        auditing = Auditing(ports.store, known, ledger, ports.metrics)
        settle = Settle(
            ports.store,
            ports.bus,
            known,
            ports.subjects,
            lease,
            ports.metrics,
            self.ingest.footprint,
            removed=self._held_no_longer,
        )
        alerts = AlertLog(
            ports.store,
            ports.bus,
            known,
            ports.subjects,
            lease,
            ports.metrics,
            ports.clock,
            ports.resolve_timeout_seconds,
            ports.held_alerts,
        )
        place = Place(
            ports.store,
            known,
            follow,
            ports.signer,
            ports.clock,
            lease,
            ports.metrics,
            orders_committed=self._orders_committed,
            ledger=ledger,
        )
        watchdog = Watchdog(
            ports.store,
            ports.bus,
            known,
            ports.subjects,
            ports.clock,
            lease,
            self.ingest.over_bound,
            self.ingest.footprint,
        )
        requests = Requests(ports.store, ports.bus, known, ports.signer, lease)

        def recorded(cluster: str, versions: Mapping[str, Version]) -> None:
            settle.recorded(cluster, versions)
            self._wakes.settle.up()

        beats = Beats(ports.store, ports.bus, known, ports.clock, lease, self._wakes.dispatch, recorded)
        passes: list[tuple[str, Callable[[], Awaitable[None]], Wake, float]] = [
            ("place", place.run_pass, self._wakes.place, 1.0),
            ("dispatch", dispatch.run_pass, self._wakes.dispatch, 1.0),
            ("limits", limits.run_pass, self._wakes.limits, 1.0),
            ("settle", settle.run_pass, self._wakes.settle, 1.0),
            ("releasing", releasing.run_pass, self._wakes.releasing, RELEASING_SECONDS),
            ("drifting", drifting.run_pass, Wake(), DRIFTING_SECONDS),
            ("requests", requests.run_pass, Wake(), PASS_SECONDS),
            ("watchdog", watchdog.run_pass, self._wakes.watchdog, PASS_SECONDS),
            ("auditing", auditing.run_pass, Wake(), AUDITING_SECONDS),
            ("expiring", Expiring(ports.store, lease).run_pass, Wake(), EXPIRING_SECONDS),
        ]
        self._settle, self._releasing, self._beats = settle, releasing, beats
        log.info("leading", epoch=lease.epoch, clusters=len(known.clusters), workloads=len(known.workloads))
        try:
            async with asyncio.TaskGroup() as group:
                for name, run_pass, wake, period_seconds in passes:
                    group.create_task(
                        keep_running(
                            name,
                            run_pass,
                            wake,
                            ports.metrics,
                            period_seconds=period_seconds,
                            gather_seconds=GATHER_SECONDS,
                        )
                    )
                group.create_task(self._wake_on_change())
                group.create_task(self._restarting("alert", alerts.run))
        except* Exception as failures:
            raise failures.exceptions[0] from failures
        finally:
            self._settle = self._releasing = self._beats = None
            known.end_watch()

    async def _answer_beat(self, cluster: str, body: bytes) -> bytes:
        if self._beats is None:
            raise NotLeading
        return await self._beats.answer(cluster, body)

    def _orders_committed(self) -> None:
        self._wakes.limits.up()
        self._wakes.dispatch.up()

    def _work_reported(self, cluster: str, workload: str) -> None:
        if is_limits(workload):
            # What waited for it may go now.
            self._wakes.dispatch.up()
        if self._settle is not None:
            self._settle.offer(cluster, workload)
            self._wakes.settle.up()
        self._held_no_longer(cluster, workload)

    def _held_no_longer(self, cluster: str, workload: str) -> None:
        """Something of it may be: what was reported, or ordered there no more, says."""
        if self._releasing is not None:
            self._releasing.offer(cluster, workload)
            self._wakes.releasing.up()

    async def _wake_on_change(self) -> None:
        while True:
            try:
                await self._ports.store.wait_for_change(timeout_seconds=1.0)
            except StoreUnavailable:
                await asyncio.sleep(1.0)
            self._wakes.place.up()

    async def _restarting(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Following a stream ends only by an error: begin again, the stream holds what was not taken."""
        while True:
            try:
                await run()
            except* (StoreUnavailable, BusUnavailable) as failures:
                log.warning("following_failed", loop=name, detail=str(failures.exceptions[0]))
            self._ports.metrics.errors.labels(name, "restarted").inc()
            await asyncio.sleep(1.0)

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.25
            await asyncio.sleep(0.25)
            self._ports.metrics.lag.set(max(0.0, loop.time() - due))
