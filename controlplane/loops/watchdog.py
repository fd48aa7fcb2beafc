"""What nobody reports: silence, excess, leftovers.

1. A cluster whose standing changed (silent, back, incomplete, ahead, holding) is written as a change.
2. A cluster over its bounds, or removed by an operator, is cut off, its messages purged, the reason stored.
3. Shards of layouts that are over are purged; profiles too, once unreferenced for two full resyncs. Replicas
   that do not lead are told.
"""

from dataclasses import replace

import structlog

from controlplane.known.known import Known
from controlplane.known.records import Change, Lease, Standing
from controlplane.loops.footprint import Footprint
from controlplane.loops.ports import Bus, Clock, Store
from schemas.wire.subjects import Subjects

log = structlog.get_logger()

PASS_SECONDS = 2.0
RESYNC_SECONDS = 600.0


class Watchdog:
    """Watches for one epoch."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        known: Known,
        subjects: Subjects,
        clock: Clock,
        lease: Lease,
        over_bound: dict[str, str],
        footprint: Footprint,
    ) -> None:
        self._store = store
        self._bus = bus
        self._known = known
        self._subjects = subjects
        self._clock = clock
        self._lease = lease
        self._over_bound = over_bound
        self._footprint = footprint
        self._said: dict[str, str] = {}
        self._cut: set[str] = set()
        self._unreferenced_since: dict[tuple[str, str], float] = {}

    @property
    def depth(self) -> int:
        """Clusters to cut off."""
        return len(self._over_bound)

    async def run_pass(self) -> None:
        """One look at every cluster."""
        await self._cut_off()
        await self._tell()
        for cluster in self._known.fleet.clusters:
            await self._purge(cluster)

    async def _cut_off(self) -> None:
        for cluster, reason in list(self._over_bound.items()):
            record = self._known.clusters.get(cluster)
            if record is not None and record.standing is Standing.JOINED:
                log.error("cluster_cut_off", cluster=record.name, detail=reason)
                await self._store.record_standing(self._lease, cluster, Standing.CUT_OFF, reason)
                record = self._known.clusters[cluster]
                if record.standing is Standing.JOINED:
                    self._known.clusters[cluster] = replace(
                        record, standing=Standing.CUT_OFF, standing_reason=reason
                    )
            del self._over_bound[cluster]
        for record in list(self._known.clusters.values()):
            if record.standing is not Standing.JOINED and record.id not in self._cut:
                await self._bus.cut_off(record.id)
                # What it filled the streams with is room that the others need.
                await self._bus.purge_cluster(record.id)
                self._footprint.forget(record.id)
                self._cut.add(record.id)
            elif record.standing is Standing.JOINED:
                self._cut.discard(record.id)

    async def _tell(self) -> None:
        changes: list[Change] = []
        said: dict[str, str] = {}
        now = self._clock.now()
        for record in self._known.clusters.values():
            if record.standing is Standing.REMOVED:
                continue
            obstacle = self._known.obstacle(record.id, now)
            standing = obstacle[0].value if obstacle else "Ready"
            if self._said.get(record.id) == standing:
                continue
            said[record.id] = standing
            changes.append(
                Change(
                    id=0,
                    at=0.0,
                    kind="Cluster",
                    name=record.name,
                    uid=record.id,
                    what=standing,
                    by="muster",
                    detail={"message": obstacle[1] if obstacle else ""},
                )
            )
        if changes:
            await self._store.record_changes(self._lease, changes)
            self._said |= said

    async def _purge(self, cluster: str) -> None:
        now = self._clock.now()
        purged: list[str] = []
        for shard in self._known.fleet.stale_shards(cluster):
            subjects = [self._subjects.inventory(cluster, shard), self._subjects.usage(cluster, shard)]
            # Few clusters have zones, and each purge is a request.
            if f"topology.{shard}" in self._known.stamps.get(cluster, {}):
                subjects.append(self._subjects.topology(cluster, shard))
            for subject in subjects:
                await self._bus.purge_report(subject)
                self._footprint.gone(cluster, subject)
            purged += subjects
            self._known.fleet.purged(cluster, f"inventory.{shard}")
            self._forget(cluster, f"inventory.{shard}", f"usage.{shard}", f"topology.{shard}")
        unreferenced = set(self._known.fleet.unreferenced_profiles(cluster))
        for key in [key for key in self._unreferenced_since if key[0] == cluster]:
            if key[1] not in unreferenced:
                del self._unreferenced_since[key]
        for profile in unreferenced:
            since = self._unreferenced_since.setdefault((cluster, profile), now)
            if now - since > 2 * RESYNC_SECONDS:
                subject = self._subjects.profile(cluster, profile)
                await self._bus.purge_report(subject)
                self._footprint.gone(cluster, subject)
                purged.append(subject)
                self._known.fleet.purged(cluster, f"profile.{profile}")
                self._forget(cluster, f"profile.{profile}")
                del self._unreferenced_since[cluster, profile]
        if purged:
            await self._store.record_purged(self._lease, purged)

    def _forget(self, cluster: str, *tails: str) -> None:
        for tail in tails:
            self._known.stamps.get(cluster, {}).pop(tail, None)
