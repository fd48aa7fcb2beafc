"""The memory of one process: records, reports and beats. The loops write it, queries and decisions read it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from controlplane.fleet import Fleet
from controlplane.known.records import (
    ClusterRecord,
    DecisionRecord,
    EpochRecord,
    Loaded,
    OutboxRecord,
    PlacementRecord,
    Standing,
    TenantRecord,
    WorkloadRecord,
)
from schemas.reasons import Reason
from schemas.wire.beats import Beat
from schemas.wire.orders import Version
from schemas.wire.reports import Stamp, Work

BEAT_LOST_SECONDS = 45.0
"""Without a beat for so long a cluster is Unknown: four and a half beats of ten seconds."""


@dataclass(frozen=True)
class Heard:
    """The last beat of a cluster, when it came, and in which epoch of the leader it was answered."""

    at: float
    epoch: int
    beat: Beat


@dataclass
class Known:
    """One process's knowledge. Keys are cluster ids and workload uids.

    caught_up: the streams have been replayed; until then a decision would be made on half a fleet.
    """

    fleet: Fleet = field(default_factory=Fleet)
    clusters: dict[str, ClusterRecord] = field(default_factory=dict[str, ClusterRecord])
    tenants: dict[str, TenantRecord] = field(default_factory=dict[str, TenantRecord])
    workloads: dict[str, WorkloadRecord] = field(default_factory=dict[str, WorkloadRecord])
    placements: dict[str, dict[str, PlacementRecord]] = field(
        default_factory=dict[str, dict[str, PlacementRecord]]
    )
    decisions: dict[str, DecisionRecord] = field(default_factory=dict[str, DecisionRecord])
    outbox: dict[tuple[str, str], OutboxRecord] = field(default_factory=dict[tuple[str, str], OutboxRecord])
    work: dict[str, dict[str, Work]] = field(default_factory=dict[str, dict[str, Work]])
    heard: dict[str, Heard] = field(default_factory=dict[str, Heard])
    alert_watermarks: dict[str, Stamp] = field(default_factory=dict[str, Stamp])
    epochs: tuple[EpochRecord, ...] = ()
    last_generation: int = 0
    change_cursor: int = 0
    loaded: bool = False
    caught_up: bool = False
    _names: dict[str, str] = field(default_factory=dict[str, str])

    def replace_records(self, loaded: Loaded) -> None:
        """Take what Postgres says over what was remembered; reports and beats stay."""
        self.clusters = {record.id: record for record in loaded.clusters}
        self.tenants = {record.name: record for record in loaded.tenants}
        self.workloads, self._names = {}, {}
        for record in loaded.workloads:
            self.put_workload(record)
        self.placements = {}
        for placement in loaded.placements:
            self.placements.setdefault(placement.workload, {})[placement.cluster] = placement
        self.decisions = {record.workload: record for record in loaded.decisions}
        self.outbox = {(record.cluster, record.workload): record for record in loaded.outbox}
        self.alert_watermarks = dict(loaded.alert_watermarks)
        self.epochs = tuple(sorted(loaded.epochs, key=lambda record: record.epoch))
        self.last_generation = loaded.last_generation
        self.change_cursor = loaded.change_cursor
        self.loaded = True

    def put_workload(self, record: WorkloadRecord) -> None:
        self.workloads[record.uid] = record
        if not record.deleted:
            self._names[record.name] = record.uid
        elif self._names.get(record.name) == record.uid:
            del self._names[record.name]

    def forget_workload(self, uid: str) -> None:
        """A deleted workload of which nothing is left in any cluster."""
        record = self.workloads.pop(uid, None)
        if record is not None and self._names.get(record.name) == uid:
            del self._names[record.name]
        for memory in (self.placements, self.decisions, self.work):
            memory.pop(uid, None)

    def workload(self, name: str) -> WorkloadRecord | None:
        """The living workload of that name."""
        uid = self._names.get(name)
        return self.workloads[uid] if uid is not None else None

    def cluster_named(self, name: str) -> ClusterRecord | None:
        return next((record for record in self.clusters.values() if record.name == name), None)

    def placements_of(self, uid: str) -> Mapping[str, PlacementRecord]:
        return self.placements.get(uid, {})

    def orders_of(self, uid: str) -> Iterator[OutboxRecord]:
        """The newest order of every cluster that has one for this workload."""
        for cluster in self.clusters:
            record = self.outbox.get((cluster, uid))
            if record is not None:
                yield record

    def put_published(self, cluster: str, workload: str, version: Version, sequence: int) -> None:
        record = self.outbox.get((cluster, workload))
        if record is not None and record.version == version:
            self.outbox[cluster, workload] = replace(record, published_sequence=sequence)

    def put_acknowledged(self, cluster: str, workload: str, version: Version) -> None:
        record = self.outbox.get((cluster, workload))
        if record is not None:
            self.outbox[cluster, workload] = replace(record, acknowledged=version)

    def ahead(self, cluster: str) -> bool:
        """Whether the agent holds a version that this database never issued: it was restored.

        An epoch is never issued twice (it follows the clock), so one that is not listed is of a history
        that was lost; within a listed one, generations end where the next epoch begins.
        """
        heard = self.heard.get(cluster)
        if heard is None or heard.beat.highest is None:
            return False
        return not self._issued(heard.beat.highest)

    def _issued(self, version: Version) -> bool:
        for position, record in enumerate(self.epochs):
            if record.epoch != version.epoch:
                continue
            is_last = position + 1 == len(self.epochs)
            last = self.last_generation if is_last else self.epochs[position + 1].first_generation
            return version.generation <= last
        return False

    def obstacle(self, cluster: str, now: float) -> tuple[Reason, str] | None:
        """Why nothing new may be placed in a cluster at this moment; None when it may."""
        record = self.clusters[cluster]
        heard = self.heard.get(cluster)
        if record.standing is not Standing.JOINED:
            return Reason.OVER_BOUND, record.standing_reason or record.standing.value
        if heard is None:
            return Reason.CLUSTER_UNKNOWN, "never heard from since this process started"
        if now - heard.at > BEAT_LOST_SECONDS:
            return Reason.CLUSTER_UNKNOWN, f"last heard from {now - heard.at:.0f} s ago"
        if self.ahead(cluster):
            return (
                Reason.AGENT_AHEAD,
                "its agent holds orders that this database never issued: muster recover",
            )
        if heard.beat.holding:
            return Reason.AGENT_HOLDING, "its agent was told to remove an unusual share of what it runs"
        incomplete = self.fleet.completeness(cluster)
        if incomplete is not None:
            return Reason.STATE_INCOMPLETE, incomplete
        return None
