"""Lost clusters: which workloads are to be placed again now. Place decides them as it decides all others.

1. Look which clusters are lost; the look is what decisions, `explain` and readers go by.
2. Take the workloads that are ordered in one, a few milliseconds at a time, and work out what becomes of
   each: once for each version of it.
3. Give those whose time there is over. That it happens once needs no memory: with the decision the lost
   cluster holds a withdrawal, and no placement any more.
"""

import asyncio
from collections.abc import Collection

import structlog

from controlplane.known.compiling import Compiler
from controlplane.known.known import Known
from controlplane.known.losing import outlook_of, rule_of
from controlplane.loops.ports import Clock
from controlplane.loops.running import LoopMetrics
from schemas.wire.orders import Verb

log = structlog.get_logger()

LOOK_SECONDS = 0.5
SLICE_SECONDS = 0.005


class Failover:
    """For one epoch, in which the centre first has to hear its clusters."""

    def __init__(self, known: Known, compiler: Compiler, clock: Clock, metrics: LoopMetrics) -> None:
        self._known = known
        self._metrics = metrics
        self._compiler = compiler
        self._clock = clock
        known.begin_watch(clock.now())

    def look(self) -> None:
        """Before decisions, and not before each: a cluster that is heard in between keeps what it has."""
        before, now = self._known.losses, self._clock.now()
        if now - before.at < LOOK_SECONDS:
            return
        self._known.watch(now)
        losses = self._known.losses
        self._metrics.unreachable.set(len(losses.unreachable))
        self._metrics.suspected.set(losses.suspected)
        for cluster in sorted(losses.unreachable.keys() - before.unreachable.keys()):
            log.warning("cluster_lost", cluster=self._known.clusters[cluster].name)
        if losses.suspected != before.suspected:
            what = "network_suspected" if losses.suspected else "network_trusted_again"
            log.warning(what, silent=losses.silent, clusters=losses.joined)

    async def due(self) -> list[str]:
        """uids; nothing while the network is suspected."""
        self.look()
        loop = asyncio.get_running_loop()
        due: dict[str, None] = {}
        until = loop.time() + SLICE_SECONDS
        for cluster in list(self._known.losses.unreachable):
            for uid, order in list(self._known.orders_in.get(cluster, {}).items()):
                if order.verb is Verb.APPLY and self._is_due(uid, cluster):
                    due[uid] = None
                if loop.time() > until:
                    await asyncio.sleep(0)
                    until = loop.time() + SLICE_SECONDS
        return list(due)

    def _is_due(self, uid: str, cluster: str) -> bool:
        record = self._known.workloads.get(uid)
        if record is None or record.deleted:
            return False
        try:
            rule_of(self._known, self._compiler, record)
        except ValueError:
            # Place says what is wrong with it; what nobody understands stays where it is.
            return False
        outlook = outlook_of(self._known, record, cluster)
        return outlook is not None and outlook.is_due(self._known.losses.at)


def listed(known: Known, clusters: Collection[str]) -> str:
    """Their names."""
    return ", ".join(sorted(known.clusters[cluster].name for cluster in clusters))
