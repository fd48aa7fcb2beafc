"""The memory of one process: records, reports and beats. Loops write it, queries and decisions read it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

from controlplane.fleet import Fleet
from controlplane.fleet.slack import Slacks
from controlplane.interpreters import Kinds
from controlplane.known.charged import remembered_charges
from controlplane.known.documents import Shelf
from controlplane.known.interpreters import Interpreters
from controlplane.known.meanings import Meanings
from controlplane.known.quotas import Quotas
from controlplane.known.records import (
    ClusterRecord,
    DecisionRecord,
    DocumentRecord,
    EpochRecord,
    Loaded,
    OutboxRecord,
    PlacementRecord,
    Position,
    Standing,
    WorkloadRecord,
)
from controlplane.known.spending import Spending
from controlplane.known.traced import Traced
from controlplane.known.withholding import Withholding
from controlplane.rollout import FailoverRule, Losses, LossRules, begin, look
from schemas.manifests import DOCUMENTS
from schemas.reasons import Reason
from schemas.wire.beats import Beat
from schemas.wire.orders import Version
from schemas.wire.reports import Namespaces, Stamp, Work


@dataclass(frozen=True)
class Heard:
    """The last beat of a cluster, when it came, and in which epoch of the leader it was answered."""

    at: float
    epoch: int
    beat: Beat


@dataclass
class Traffic:
    """What went to and fro between this process and one cluster since the process started.

    orders_carried_out: orders of which the agent said that it has carried them out whole.
    """

    reports_received: int = 0
    orders_sent: int = 0
    orders_carried_out: int = 0


@dataclass
class Known:
    """One process's knowledge. Keys are cluster ids and workload uids.

    caught_up: the streams have been replayed; until then a decision would be made on half a fleet.
    orders: per workload and cluster the newest order; orders_in: the same per cluster and workload.
    stamps: per cluster and subject tail, the last report that was applied. alert_gaps: clusters whose
    alerts miss a link. newer_stored: clusters for which ORDERS holds what this database never issued.
    set_aside: per cluster and subject tail, the last report that was not understood, and why.
    unordered: per cluster, workloads that are reported there though no order is known, not even to withdraw.
    losses: which clusters are lost, as this process saw it last. heard_since: the time from which on it has
    heard all beats, whoever answered them. journal: how far what was decided is read.
    namespaces: per cluster, what is there by namespace that is no workload's.
    documents: by kind. one of which something is made has a Shelf of its own class.
    """

    fleet: Fleet = field(default_factory=Fleet)
    slacks: Slacks = field(default_factory=Slacks)
    clusters: dict[str, ClusterRecord] = field(default_factory=dict[str, ClusterRecord])
    workloads: dict[str, WorkloadRecord] = field(default_factory=dict[str, WorkloadRecord])
    placements: dict[str, dict[str, PlacementRecord]] = field(
        default_factory=dict[str, dict[str, PlacementRecord]]
    )
    decisions: dict[str, DecisionRecord] = field(default_factory=dict[str, DecisionRecord])
    orders: dict[str, dict[str, OutboxRecord]] = field(default_factory=dict[str, dict[str, OutboxRecord]])
    orders_in: dict[str, dict[str, OutboxRecord]] = field(default_factory=dict[str, dict[str, OutboxRecord]])
    work: dict[str, dict[str, Work]] = field(default_factory=dict[str, dict[str, Work]])
    namespaces: dict[str, Namespaces] = field(default_factory=dict[str, Namespaces])
    heard: dict[str, Heard] = field(default_factory=dict[str, Heard])
    alert_watermarks: dict[str, Stamp] = field(default_factory=dict[str, Stamp])
    alert_gaps: set[str] = field(default_factory=set[str])
    stamps: dict[str, dict[str, Stamp]] = field(default_factory=dict[str, dict[str, Stamp]])
    set_aside: dict[str, dict[str, tuple[Stamp, str]]] = field(
        default_factory=dict[str, dict[str, tuple[Stamp, str]]]
    )
    unpublished: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    newer_stored: set[str] = field(default_factory=set[str])
    unordered: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    traffic: defaultdict[str, Traffic] = field(default_factory=lambda: defaultdict[str, Traffic](Traffic))
    interpreters: Interpreters = field(default_factory=Interpreters)
    documents: Mapping[str, Shelf] = field(init=False)
    meanings: Meanings = field(default_factory=Meanings)
    quotas: Quotas = field(default_factory=Quotas)
    spending: Spending = field(default_factory=Spending)
    traced: Traced = field(default_factory=Traced)
    withholding: Withholding = field(init=False)
    epochs: tuple[EpochRecord, ...] = ()
    last_generation: int = 0
    change_cursor: int = 0
    journal: Position = field(default_factory=Position)
    heard_since: float = inf
    loaded: bool = False
    caught_up: bool = False
    loss_rules: LossRules = field(default_factory=LossRules)
    losses: Losses = field(default_factory=lambda: begin(0.0))
    failover_rules: dict[str, tuple[WorkloadRecord, Kinds, FailoverRule]] = field(
        default_factory=dict[str, tuple[WorkloadRecord, Kinds, FailoverRule]]
    )
    preemptible: dict[str, tuple[WorkloadRecord, bool]] = field(
        default_factory=dict[str, tuple[WorkloadRecord, bool]]
    )
    _names: dict[str, str] = field(default_factory=dict[str, str])
    _written: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self.withholding = Withholding(self.fleet)
        self.documents = {kind: Shelf() for kind in DOCUMENTS} | {"Interpreter": self.interpreters}

    def replace_records(self, loaded: Loaded) -> None:
        """Take what Postgres says over what was remembered; reports and beats stay."""
        self.clusters = {record.id: record for record in loaded.clusters}
        for record in loaded.clusters:
            if record.standing is not Standing.REMOVED:
                self.fleet.put_headroom(record.id, record.headroom)
        for kind, shelf in self.documents.items():
            shelf.replace(loaded.documents.get(kind, ()))
        self._written.update(self.workloads)
        self.workloads, self._names = {}, {}
        for record in loaded.workloads:
            self.put_workload(record)
        self.placements = {}
        for placement in loaded.placements:
            self.placements.setdefault(placement.workload, {})[placement.cluster] = placement
        self.decisions = {record.workload: record for record in loaded.decisions}
        self._replace_quotas(loaded)
        self.orders, self.orders_in, self.unpublished = {}, {}, set()
        for record in loaded.outbox:
            self.put_order(record)
        self.alert_watermarks = dict(loaded.alert_watermarks)
        self.epochs = tuple(sorted(loaded.epochs, key=lambda record: record.epoch))
        self.last_generation = loaded.last_generation
        self.change_cursor = loaded.change_cursor
        self.journal = loaded.journal
        self.loaded = True

    def _replace_quotas(self, loaded: Loaded) -> None:
        self.quotas.take(loaded.quota_version, loaded.grants)
        self.quotas.replace_balances(loaded.balances)
        self.spending.take(loaded.spent)
        charges = self.quotas.charges
        for uid, decision in self.decisions.items():
            record, placements = self.workloads.get(uid), self.placements_of(uid)
            if record is not None and record.tenant:
                for cluster, amounts in remembered_charges(decision.explanation).items():
                    if cluster in placements:
                        held = charges.tenants_of(uid, cluster)
                        # Given to another tenant, and not decided on since: whose it was is charged.
                        tenant = record.tenant if record.tenant in held or not held else min(held)
                        charges.ask(uid, cluster, tenant, amounts)

    @property
    def tenants(self) -> Mapping[str, DocumentRecord]:
        return self.documents["Tenant"].records

    @property
    def kinds(self) -> Kinds:
        """What is understood of objects: what Muster knows itself, and what people declared."""
        return self.interpreters.kinds

    def take_written(self) -> set[str]:
        """Uids of workloads that were put or forgotten since the last call."""
        written, self._written = self._written, set()
        return written

    def put_workload(self, record: WorkloadRecord) -> None:
        self.workloads[record.uid] = record
        self._written.add(record.uid)
        if not record.deleted:
            self._names[record.name] = record.uid
        elif self._names.get(record.name) == record.uid:
            del self._names[record.name]

    def forget_workload(self, uid: str) -> None:
        """A deleted workload of which nothing is left in any cluster."""
        record = self.workloads.pop(uid, None)
        self._written.add(uid)
        if record is not None and self._names.get(record.name) == uid:
            del self._names[record.name]
        for memory in (
            self.placements,
            self.decisions,
            self.work,
            self.orders,
            self.failover_rules,
            self.preemptible,
        ):
            memory.pop(uid, None)

    def put_cluster(self, record: ClusterRecord) -> list[str]:
        """Returns the uids of workloads that must be decided on again.

        A removed cluster is declared lost: what was promised there is free, and has to go elsewhere.
        """
        before = self.clusters.get(record.id)
        self.clusters[record.id] = record
        if record.standing is Standing.REMOVED:
            return self._lose(record.id)
        self.fleet.put_headroom(record.id, record.headroom)
        if before is not None and before.floor != record.floor:
            return list(self.orders_in.get(record.id, {}))
        return []

    def _lose(self, cluster: str) -> list[str]:
        uids = list(self.orders_in.get(cluster, {}))
        for uid in uids:
            self.forget_order(cluster, uid)
            lost = self.placements_of(uid).pop(cluster, None)
            if lost is not None and uid in self.decisions:
                self.decisions[uid] = replace(self.decisions[uid], resource_version=0)
        for memory in (self.heard, self.stamps, self.traffic, self.namespaces):
            memory.pop(cluster, None)
        for works in self.work.values():
            works.pop(cluster, None)
        self.fleet.forget(cluster)
        return uids

    def workload(self, name: str) -> WorkloadRecord | None:
        """The living workload of that name."""
        uid = self._names.get(name)
        return self.workloads[uid] if uid is not None else None

    def cluster_named(self, name: str) -> ClusterRecord | None:
        return next((record for record in self.clusters.values() if record.name == name), None)

    def placements_of(self, uid: str) -> dict[str, PlacementRecord]:
        return self.placements.get(uid, {})

    def below_floor(self, record: OutboxRecord) -> bool:
        """Whether the order is no newer than what its agent held when it was recovered."""
        cluster = self.clusters.get(record.cluster)
        return cluster is not None and cluster.floor is not None and record.version <= cluster.floor

    def order(self, cluster: str, workload: str) -> OutboxRecord | None:
        """The newest order for this workload in this cluster."""
        return self.orders.get(workload, {}).get(cluster)

    def put_order(self, record: OutboxRecord) -> None:
        key = record.cluster, record.workload
        self.orders.setdefault(record.workload, {})[record.cluster] = record
        self.orders_in.setdefault(record.cluster, {})[record.workload] = record
        if record.published_sequence is None:
            self.unpublished.add(key)
        else:
            self.unpublished.discard(key)
            self.withholding.forget(*key)

    def forget_order(self, cluster: str, workload: str) -> None:
        self.orders.get(workload, {}).pop(cluster, None)
        self.orders_in.get(cluster, {}).pop(workload, None)
        self.unpublished.discard((cluster, workload))
        self.withholding.forget(cluster, workload)

    def put_published(self, cluster: str, workload: str, version: Version, sequence: int) -> None:
        record = self.order(cluster, workload)
        if record is not None and record.version == version:
            self.put_order(replace(record, published_sequence=sequence))

    def publish_again(self, cluster: str, workload: str) -> None:
        """The agent or the stream lost it: the same order, with the same version, goes out once more."""
        record = self.order(cluster, workload)
        if record is not None:
            self.put_order(replace(record, published_sequence=None))

    def behind(self, cluster: str) -> list[str]:
        """Subject tails that stand at an older report than the last beat says was published."""
        heard, applied = self.heard.get(cluster), self.stamps.get(cluster, {})
        # The very report that is here and is not understood does not get better by being sent again.
        aside = self.set_aside.get(cluster, {})
        digests = heard.beat.digests if heard is not None else {}
        ordered = self.orders_in.get(cluster, {})
        # The report of a removal that was entered is purged; its agent goes on telling of it.
        return sorted(
            tail
            for tail, (stamp, _) in digests.items()
            if applied.get(tail, (-1, -1)) < stamp
            and (tail not in aside or aside[tail][0] != stamp)
            and (not tail.startswith("work.") or tail.removeprefix("work.") in ordered)
        )

    def put_acknowledged(self, cluster: str, workload: str, version: Version) -> None:
        record = self.order(cluster, workload)
        if record is not None:
            self.put_order(replace(record, acknowledged=version))

    def put_incarnation(self, cluster: str, incarnation: int) -> ClusterRecord:
        self.clusters[cluster] = replace(self.clusters[cluster], incarnation=incarnation)
        return self.clusters[cluster]

    def ahead(self, cluster: str) -> bool:
        """Whether the agent holds a version that this database never issued: it was restored.

        An epoch is never issued twice (it follows the clock), so one that is not listed is of a history
        that was lost; within a listed one, generations end where the next epoch begins.
        """
        heard = self.heard.get(cluster)
        if heard is None or heard.beat.highest is None:
            return False
        return not self.issued(heard.beat.highest)

    def issued(self, version: Version) -> bool:
        """Whether this database issued that version."""
        for position, record in enumerate(self.epochs):
            if record.epoch != version.epoch:
                continue
            is_last = position + 1 == len(self.epochs)
            last = self.last_generation if is_last else self.epochs[position + 1].first_generation
            return version.generation <= last
        return False

    def begin_watch(self, now: float) -> None:
        """Only now do clusters begin to be missed."""
        self.losses = begin(now)

    def watch(self, now: float) -> None:
        """Look for clusters that are lost. One that was cut off by us is silent for a reason."""
        heard = {
            record.id: max(held.at if (held := self.heard.get(record.id)) else 0.0, record.joined_at)
            for record in self.clusters.values()
            if record.standing is Standing.JOINED
        }
        self.losses = look(self.losses, heard, now, self.loss_rules)

    def awaits_beats(self, now: float) -> bool:
        """Whether a joined cluster may yet be heard that this process has not heard: it began just now."""
        began = min(self.losses.began, self.heard_since)
        if now - began > self.loss_rules.lost_seconds:
            return False
        return any(
            (held := self.heard.get(record.id)) is None or held.at < began
            for record in self.clusters.values()
            if record.standing is Standing.JOINED
        )

    def obstacle(self, cluster: str, now: float) -> tuple[Reason, str] | None:
        """Why nothing new may be placed in a cluster at this moment; None when it may."""
        record = self.clusters[cluster]
        heard = self.heard.get(cluster)
        if record.standing is not Standing.JOINED:
            return Reason.OVER_BOUND, record.standing_reason or record.standing.value
        if heard is None:
            return Reason.CLUSTER_UNKNOWN, "never heard from since this process started"
        if now - heard.at > self.loss_rules.lost_seconds:
            return Reason.CLUSTER_UNKNOWN, f"last heard from {now - heard.at:.0f} s ago"
        if self.ahead(cluster) or cluster in self.newer_stored:
            return (
                Reason.AGENT_AHEAD,
                "its agent holds orders that this database never issued: muster recover",
            )
        if heard.beat.holding:
            return (
                Reason.AGENT_HOLDING,
                "its agent was told to remove an unusual share of what it runs: if that is meant, muster"
                f" clusters release {record.name}",
            )
        incomplete = self.fleet.completeness(cluster)
        if incomplete is not None:
            return Reason.STATE_INCOMPLETE, incomplete
        return None
