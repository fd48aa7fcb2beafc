"""All that the agent itself makes alerts of, looked at together, a few times a minute."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

import structlog

from agents.alerts.events import BUILT_IN, EventCounts, EventRule
from agents.alerts.gpus import ALERTNAMES as GPU_ALERTNAMES
from agents.alerts.gpus import gpu_troubles
from agents.alerts.nodes import node_troubles
from agents.alerts.offline import Offline
from agents.alerts.troubles import ClusterAlerts, Trouble
from agents.alerts.workloads import Standing, workload_troubles
from agents.alerts.writing import SpoolWriter
from agents.observe.cache import Cache
from agents.observe.events import Events
from agents.observe.gpus import Gpus, Scrape
from agents.observe.observer import Observer
from agents.ports import Clock, Kube
from agents.publishing import Publisher
from agents.records import Records
from agents.spool import BatchTooLarge, SpoolFull
from agents.standing import Standings
from schemas.wire.orders import Verb
from schemas.wire.reports import Work

_log = structlog.get_logger()


@dataclass(frozen=True)
class AlertRules:
    """What people say of it. scrape: None where no exporter can be asked."""

    events: tuple[EventRule, ...] = BUILT_IN
    degraded_seconds: float = 60.0
    gpu_seconds: float = 60.0
    scrape: Scrape | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Seen:
    """Where a term's pictures of the cluster lie."""

    cache: Cache
    observer: Observer
    records: Records
    standings: Standings
    publisher: Publisher


class AlertWatch:
    """For one term."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        random: Random,
        seen: Seen,
        rules: AlertRules,
        writer: SpoolWriter,
        offline: Offline,
        *,
        look_seconds: float,
        resync_seconds: float,
    ) -> None:
        self._look_seconds = look_seconds
        self._clock = clock
        self._seen = seen
        self._rules = rules
        self._writer = writer
        self._offline = offline
        self._alerts = ClusterAlerts(writer, clock)
        self._counts = EventCounts(rules.events)
        self._events = Events(kube, clock, random, self._counts.saw, resync_seconds=resync_seconds)
        self._gpus: Gpus | None = None
        if rules.scrape is not None:
            self._gpus = Gpus(kube, clock, seen.cache, rules.scrape, period_seconds=rules.gpu_seconds)
        self._unjudged = False
        self._heard = False
        self._of_nodes: tuple[int, dict[bytes, Trouble]] = (-1, {})

    async def run_events(self) -> None:
        """Until cancelled."""
        if self._rules.events:
            await self._events.run()

    async def run_gpus(self) -> None:
        """Until cancelled."""
        await self._seen.observer.synced.wait()
        if self._gpus is not None:
            await self._gpus.run()

    async def run(self) -> None:
        """Until cancelled."""
        await self._seen.observer.synced.wait()
        while True:
            await self._tell_offline()
            now = self._clock.now()
            standings = list(self._standings())
            troubles = {
                **self._node_troubles(),
                **workload_troubles(standings, degraded_seconds=self._rules.degraded_seconds),
                **self._counts.troubles(now, self._alerts.firing),
                **self._gpu_troubles(),
            }
            await self._alerts.look(troubles, self._unknown, self._seen.cache.pods.rows)
            await self._clock.sleep(self._look_seconds)

    def heard(self) -> None:
        """A beat is answered."""
        self._heard = True

    async def _tell_offline(self) -> None:
        if not self._heard:
            return
        self._heard = False
        now = self._clock.now()
        self._writer.spool.note_heard(now)
        alert = self._offline.heard(now)
        if alert is None:
            return
        try:
            await self._writer.write([alert])
        except (SpoolFull, BatchTooLarge) as error:
            _log.error("alerts_not_spooled", alerts=1, detail=str(error))

    def _standings(self) -> Iterator[Standing]:
        """Of what has come here as an order; `_unjudged`: whether there is more on record."""
        works = self._seen.publisher.known("work")
        self._unjudged = False
        for workload, entry in self._seen.records.entries.items():
            if entry.verb is not Verb.APPLY:
                continue
            prepared, work = self._seen.standings.of(workload).prepared, works.get(workload)
            if prepared is None or not isinstance(work, Work):
                self._unjudged = True
                continue
            yield Standing(prepared.name or workload, work, self._seen.cache.pods_of.get(workload, {}))

    def _node_troubles(self) -> dict[bytes, Trouble]:
        """Looked for where something of some node changed: there are thousands of them."""
        cache = self._seen.cache
        if self._of_nodes[0] != cache.nodes_changed:
            self._of_nodes = cache.nodes_changed, node_troubles(cache.nodes.rows)
        return self._of_nodes[1]

    def _gpu_troubles(self) -> dict[bytes, Trouble]:
        if self._gpus is None:
            return {}
        return gpu_troubles(each for readings in self._gpus.readings.values() for each in readings)

    def _unknown(self, labels: Mapping[str, str]) -> bool:
        name = labels.get("alertname", "")
        if "workload" in labels:
            return self._unjudged
        if name in self._counts.alertnames:
            return not self._events.listed.is_set()
        if name in GPU_ALERTNAMES:
            node = labels.get("node", "")
            is_read = self._gpus is None or node in self._gpus.readings
            return not is_read and node in self._seen.cache.nodes.rows
        return False
