"""What can die in a world: one process of the centre, one of an agent. Their state lies elsewhere."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from agents.agent import Agent, Member, Periods
from agents.keys import OrderKeys
from agents.simulated import SimulatedCluster
from agents.spool import Spool
from controlplane.loops.centre import Centre
from controlplane.loops.centre_ports import Ports
from controlplane.loops.running import LoopMetrics
from controlplane.rollout import LossRules
from schemas.wire.alerts import Alert
from schemas.wire.reports import Stamp
from tests.simulation.hearing import Hearing
from tests.simulation.ledger import Ledger
from tests.simulation.memory_bus import MemoryNats
from tests.simulation.memory_store import MemoryStore
from tests.simulation.promises import AlertKey, Promises, alert_key
from tests.simulation.virtual_time import WorldClock
from tests.simulation.watched_kube import WatchedKube

LOSS_RULES = LossRules(lost_seconds=12.0, toleration_seconds=10.0)
PERIODS = Periods(beat=5.0, report=1.0, work=0.5, resync=120.0, metrics=60.0, lease=15.0)


class WatchedSpool(Spool):
    """Tells when it has accepted something."""

    def __init__(self, path: Path, cluster: str, promises: Promises) -> None:
        super().__init__(path)
        self._cluster = cluster
        self._promises = promises

    def append(self, alerts: Sequence[Alert], *, received_at: float, keep_firing: bool = False) -> Stamp:
        stamp = super().append(alerts, received_at=received_at, keep_firing=keep_firing)
        self._promises.took_alerts(self._cluster, list(alerts), received_at)
        return stamp


class Process:
    """A task that dies at whatever await it stands at, and may end by itself as well."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.name = name
        self.say = say
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def launch(self, main: Coroutine[Any, Any, None]) -> None:
        self.say(f"{self.name} starts")
        self._task = asyncio.create_task(main, name=self.name)

    async def kill(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        self.say(f"{self.name} dies")

    def failure(self) -> BaseException | None:
        """What it ended with by itself."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()


class CentreProcess(Process):
    """One replica of the centre."""

    def __init__(
        self,
        name: str,
        nats: MemoryNats,
        store: MemoryStore,
        ledger: Ledger,
        clock: WorldClock,
        hearing: Hearing,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(name, say)
        self._hearing = hearing
        self._nats = nats
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._starts = 0
        self._die: Callable[[], None] = lambda: None
        self._dying: Callable[[bool], None] = lambda _: None
        self.centre: Centre | None = None

    def start(self, dying: Callable[[bool], None]) -> None:
        """dying: called around a death, so that nothing a dead process still tries reaches the store."""
        self._starts += 1
        bus = self._nats.connect_centre()
        self._die, self._dying = bus.close, dying
        metrics, holder = LoopMetrics(CollectorRegistry()), f"{self.name}-{self._starts}"
        self.centre = Centre(
            Ports(
                store=self._store,
                bus=bus,
                clock=self._clock,
                signer=self._ledger,
                subjects=self._nats.subjects,
                metrics=metrics,
                holder=holder,
                loss_rules=LOSS_RULES,
            )
        )
        alerting = self._hearing.service(self._store, self.centre.known, metrics, holder)
        self.launch(_both(self.centre.run(), alerting.run()))

    async def crash(self) -> None:
        self._dying(True)
        self._die()
        await self.kill()
        self._dying(False)
        self.centre = None


async def _both(*running: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as group:
        for each in running:
            group.create_task(each)


class AgentProcess(Process):
    """One replica of an agent, with a disk of its own for the spool."""

    def __init__(
        self,
        name: str,
        cluster_id: str,
        cluster: SimulatedCluster,
        folder: Path,
        nats: MemoryNats,
        promises: Promises,
        clock: WorldClock,
        random: Random,
    ) -> None:
        super().__init__(name, promises.say)
        self._cluster_id = cluster_id
        self._cluster = cluster
        self._path = folder / f"{name}.db"
        self._nats = nats
        self._promises = promises
        self._clock = clock
        self._random = random
        self._starts = 0
        self._kube: WatchedKube | None = None
        self.spool: WatchedSpool | None = None

    def start(self, failing: Callable[[], float]) -> None:
        self._starts += 1
        self._kube = WatchedKube(
            self._cluster_id, self.name, self._cluster, self._random, failing, self._promises
        )
        if self.spool is not None:
            self.spool.close()
        self.spool = WatchedSpool(self._path, self._cluster_id, self._promises)
        agent = Agent(
            Member(self._cluster_id, self._nats.subjects),
            self._kube,
            self._nats.connect_agent(self._cluster_id),
            self._clock,
            Random(self._random.random()),
            OrderKeys(self._cluster_id, self._promises.ledger.verifying_key, bytes(range(32))),
            self.spool,
            f"{self.name}-{self._starts}",
            PERIODS,
        )
        self.launch(agent.run())

    async def crash(self) -> None:
        if self._kube is not None:
            self._kube.is_dead = True
        await self.kill()

    def spooled(self) -> set[AlertKey]:
        """What lies on its disk, whether it runs or not."""
        if self.spool is None:
            return set()
        return {
            alert_key(self._cluster_id, alert, batch.received_at)
            for batch in self.spool.after((0, 0), 1_000_000)
            for alert in batch.alerts
        }

    def close(self) -> None:
        if self.spool is not None:
            self.spool.close()
