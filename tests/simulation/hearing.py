"""Who hears of alerts in a world: the log of alerts beside the other tables, the way to people, promise 4."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random
from typing import TypeVar

from prometheus_client import CollectorRegistry

from controlplane.alert_files import load_text
from controlplane.alert_service import AlertsConfiguration, AlertService, AlertServicePorts
from controlplane.alerts.entry import SavedGroup
from controlplane.alerts.notice import Answer, Flush, Notice
from controlplane.known.known import Known
from controlplane.known.records import Lease
from controlplane.loops.alert_metrics import AlertMetrics
from controlplane.loops.running import LoopMetrics
from tests.simulation.accounts import accounted, received
from tests.simulation.memory_alert_store import AlertTables, MemoryAlertStore
from tests.simulation.memory_store import MemoryStore
from tests.simulation.virtual_time import WorldClock

T = TypeVar("T")
ROUTES = b"""
route: {receiver: ops, group_by: [alertname, cluster], group_wait: 1s, group_interval: 5s}
receivers:
  - {name: ops, webhook_configs: [{url: "http://ops/"}]}
"""
ACCOUNT_SECONDS = 30.0
"""Within which an episode has its account, where nothing fails: group_wait, a flush, one attempt."""
_NO_METRICS = AlertMetrics(CollectorRegistry())


class HeardStore(MemoryAlertStore):
    """Part of the one database: what is lost there is lost here. Also where rules remember since when."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store.hold)
        self._store = store
        self.committed: set[str] = set()

    async def _carry(self, effect: Callable[[], T]) -> T:
        return await self._store.carry(effect)

    async def commit_flushes(
        self, lease: Lease, flushes: Sequence[Flush], groups: Sequence[SavedGroup]
    ) -> None:
        keys = {notice.key for flush in flushes for notice in flush.notices}
        try:
            await super().commit_flushes(lease, flushes, groups)
        finally:
            # Also where the answer was lost.
            self.committed |= keys & self.tables.notices.keys()

    async def read_pending(self) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {}

    async def write_pending(self, lease: Lease, begun: object, ended: object) -> None:
        """There are no rules in a world."""

    def backup(self) -> AlertTables:
        return _copied(self.tables)

    def restore(self, tables: AlertTables) -> None:
        self.tables = _copied(tables)


@dataclass
class Hearing:
    """accuse: (promise, what is wrong). away: whether nobody takes messages. told: how many were taken."""

    store: HeardStore
    clock: WorldClock
    random: Random
    accuse: Callable[[int, str], None]
    away: bool = False
    told: int = 0
    _leader: tuple[str, int] = ("", 0)
    _quiet_since: float = 0.0

    async def send(self, notice: Notice) -> Answer:
        if notice.key not in self.store.committed:
            self.accuse(4, f"told before it was committed: {notice}")
        await asyncio.sleep(self.random.uniform(0.01, 0.4))
        if self.away:
            return Answer(delivered=False, retry=True, code="HTTP 503")
        self.told += 1
        return Answer(delivered=True, code="HTTP 200")

    async def call(self, url: str) -> Answer:
        """The dead man's switch: a world has none."""
        return Answer(delivered=True, code="HTTP 200")

    def service(self, store: MemoryStore, known: Known, metrics: LoopMetrics, holder: str) -> AlertService:
        configuration = AlertsConfiguration(None, _NO_METRICS, self.clock.now)
        configuration.current = load_text(ROUTES, Path())
        return AlertService(
            AlertServicePorts(
                store=store,
                alerts=self.store,
                history=self.store,
                channels=self,
                switch=self,
                clock=self.clock,
                metrics=_NO_METRICS,
                loop_metrics=metrics,
                rules=self.store,
                known=known,
                holder=holder,
                lease_seconds=5.0,
                draw=self.random.random,
            ),
            configuration,
        )

    def look(self, leader: tuple[str, int], *, failing: bool) -> None:
        """leader: holder and epoch of alerting. failing: whether anything may be lost or late now."""
        now = self.clock.now()
        if failing or self.away or leader != self._leader:
            self._leader, self._quiet_since = leader, now
        if now - self._quiet_since < ACCOUNT_SECONDS:
            return
        for episode in self.unaccounted(now - ACCOUNT_SECONDS):
            self.accuse(4, f"no account of an episode after {ACCOUNT_SECONDS:.0f} quiet seconds: {episode}")

    def unaccounted(self, before: float) -> list[tuple[str, float]]:
        """Episodes that came before then and have neither a notification nor a reason."""
        history = self.store.tables.history.values()
        known = accounted(history)
        return sorted(each for each, at in received(history).items() if at <= before and each not in known)


def _copied(tables: AlertTables) -> AlertTables:
    return AlertTables(**{each.name: copy(getattr(tables, each.name)) for each in fields(AlertTables)})
