"""What one process of the centre runs, over ports. What only a leader runs is in leading.py.

1. Every process takes reports in, samples what is used, settles budgets, and hears beats.
2. Every process knows what Postgres says: it follows (following.py), or it leads.
3. One that may decide tries to lead: once it knows what Postgres says and what the streams hold, and only
   while NATS answers it.
"""

import asyncio

import structlog

from controlplane.fleet.slack import SAMPLE_SECONDS
from controlplane.known.known import Known
from controlplane.known.records import Lease
from controlplane.loops.budgeting import PASS_SECONDS as BUDGETING_SECONDS
from controlplane.loops.budgeting import Budgeting
from controlplane.loops.centre_ports import Ports
from controlplane.loops.following import Following
from controlplane.loops.ingest import Ingest
from controlplane.loops.leadership import Leadership
from controlplane.loops.leading import Leading
from controlplane.loops.ports import BusUnavailable, StoreUnavailable
from controlplane.loops.reaching import Reaching
from controlplane.loops.running import Wake, keep_running
from controlplane.loops.sampling import Sampling
from controlplane.loops.wakes import Wakes
from controlplane.troubles import Trouble
from schemas.wire.limits import is_limits

log = structlog.get_logger()

ROLE = "deciding"
PATIENCE = 0.8
"""With a NATS that is silent, as a share of the time of a lease."""


class Centre:
    """Composed once, run once."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.known = Known(loss_rules=ports.loss_rules)
        self._wakes = Wakes()
        self._leading: Leading | None = None
        ports.metrics.leads.set_function(lambda: float(self.leads))
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
        self.reaching = Reaching(ports.bus_reached, PATIENCE * ports.lease_seconds)
        self.following = Following(
            ports.store,
            self.known,
            ports.clock,
            ports.subjects,
            self.ingest,
            lambda: self.reaching.is_reached,
            ports.metrics,
        )
        self.leadership = Leadership(
            ports.store,
            self._lead,
            role=ROLE,
            holder=ports.holder,
            ttl_seconds=ports.lease_seconds,
            may_lead=self._may_lead,
        )

    @property
    def leads(self) -> bool:
        """Whether this process decides now."""
        return self._leading is not None

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self.following.run())
            group.create_task(self.reaching.run())
            if self._ports.decides:
                group.create_task(self.leadership.run())
            group.create_task(self._settle_budgets())
            group.create_task(self._sample())

    async def _settle_budgets(self) -> None:
        ports = self._ports
        budgeting = Budgeting(ports.store, self.known, ports.clock, quota_freed=self._wakes.place.up)
        await keep_running(
            "budgeting", budgeting.run_pass, Wake(), ports.metrics, period_seconds=BUDGETING_SECONDS
        )

    async def _sample(self) -> None:
        """Once there is something to look at: what is not here yet would count as never read for a minute."""
        await self.ingest.drained.wait()
        run_pass = Sampling(self.known, self._ports.clock).run_pass
        await keep_running("sampling", run_pass, Wake(), self._ports.metrics, period_seconds=SAMPLE_SECONDS)

    def _may_lead(self) -> bool:
        return self.known.loaded and self.ingest.drained.is_set() and self.reaching.is_reached

    async def _lead(self, lease: Lease) -> None:
        async with self.following.leading(lease):
            leading = Leading(
                self._ports, self.known, self.ingest, self._wakes, lease, lambda: self.leadership.holds(lease)
            )
            self._leading = leading
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(leading.run())
                    group.create_task(self.reaching.until_silent())
            except* Exception as failures:
                raise failures.exceptions[0] from failures
            finally:
                self._leading = None

    async def _listen(self) -> None:
        """What agents say, as soon as there is a bus to hear it by."""
        trouble = Trouble("beats_not_served", "beats_served")
        while True:
            await self._ports.bus_opened()
            try:
                await self._ports.bus.serve_beats(self._answer_beat)
                trouble.over()
                break
            except BusUnavailable as error:
                trouble.met(detail=str(error))
                await asyncio.sleep(1.0)
        while True:
            # Following ends only by an error: begin again, the stream holds what was not taken.
            try:
                await self.ingest.run()
            except* (StoreUnavailable, BusUnavailable) as failures:
                log.warning("following_failed", loop="ingest", detail=str(failures.exceptions[0]))
            self._ports.metrics.errors.labels("ingest", "restarted").inc()
            await asyncio.sleep(1.0)

    async def _answer_beat(self, cluster: str, body: bytes) -> bytes | None:
        if self._leading is not None:
            with self._ports.metrics.passing("beats"):
                return await self._leading.beats.answer(cluster, body)
        await self.following.heard(cluster, body)
        return None

    def _work_reported(self, cluster: str, workload: str) -> None:
        if is_limits(workload):
            # What waited for it may go now.
            self._wakes.dispatch.up()
        if self._leading is not None:
            self._leading.reported(cluster, workload)
        else:
            self.following.reported(cluster, workload)
