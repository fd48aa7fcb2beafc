"""The fleet: every cluster in columns, and how often a demand fits each of them. No I/O."""

from collections.abc import Callable, Collection, Mapping, Sequence
from math import isnan, nan
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet import summary
from controlplane.fleet.capacities import Capacities
from controlplane.fleet.classes import ClassSum, class_sums
from controlplane.fleet.cluster import Cluster
from controlplane.fleet.columns import Columns
from controlplane.fleet.demand import Demand, Requirement
from controlplane.fleet.features import Features, Selection
from controlplane.fleet.headroom import Make, nodes_with
from controlplane.fleet.label_sets import LabelSet, LabelSets
from controlplane.fleet.nearly import absent, largest_free, repelling_taints
from controlplane.fleet.preferences import Preferences, Preferred
from controlplane.fleet.released import room_released
from controlplane.fleet.sets import whole_sets
from controlplane.fleet.slack import UsedShare, used_share
from controlplane.fleet.spelling import spelled
from controlplane.fleet.standing import Stands
from controlplane.fleet.sums import Sum, Sums
from controlplane.fleet.views import NodeCounts, NodeRow, Outcome, Promise, Totals
from schemas.wire.hardware import Hardware, Topology
from schemas.wire.reports import Facts, Inventory, Profile, Stamp, Taint, Usage
from schemas.wire.subjects import parse_shard

MOST_SAID = 4_000
"""Labels, features and handlers of one profile: some hundred labels, and up to 512 features of an agent."""


class Fleet:
    """Vectors are in the order of `clusters`. A cluster appears with its first report or promise.

    Reports apply in the order of their stamps, never in that of their arrival. One that names a profile or
    an epoch that is not here waits, the newest only; until it can apply, the last whole state stays.
    """

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}
        self._members: list[Cluster] = []
        self._features = Features()
        self._capacities = Capacities(self._features, self._living)
        self._preferred = Preferred(self._features)
        self._sums = Sums()
        self._label_sets = LabelSets()

    @property
    def clusters(self) -> tuple[str, ...]:
        return tuple(self._positions)

    def apply_facts(self, cluster: str, facts: Facts) -> Outcome:
        outcome = self._cluster(cluster).take_facts(facts)
        if outcome is Outcome.APPLIED:
            self._touch(cluster)
        return outcome

    def apply_hardware(self, cluster: str, hardware: Hardware) -> Outcome:
        outcome = self._cluster(cluster).take_hardware(hardware)
        if outcome is Outcome.APPLIED:
            self._touch(cluster)
        return outcome

    def apply_topology(self, cluster: str, shard: str, topology: Topology) -> Outcome:
        """ValueError names what points nowhere, or a number of nodes that is not the inventory's."""
        member = self._cluster(cluster)
        slot = member.reported.slot(shard, topology.stamp)
        if slot is None:
            return Outcome.OLDER
        outcome = member.take_topology(*parse_shard(shard), slot, topology)
        if outcome is Outcome.APPLIED:
            self._touch(cluster)
        return outcome

    def put_headroom(self, cluster: str, headroom: tuple[Make, ...]) -> None:
        """Nodes that may come to be, in place of what was declared before."""
        held = self._known(cluster)
        if (held.headroom if held is not None else ()) != headroom:
            self._cluster(cluster).take_headroom(headroom)
            self._touch(cluster)

    def headroom(self, cluster: str) -> list[tuple[Make, int]]:
        """What was declared, and how many of each may still come."""
        member = self._known(cluster)
        makes = member.headroom if member is not None else ()
        return [(make, make.left(self.nodes_with(cluster, make.labels))) for make in makes]

    def nodes_with(self, cluster: str, labels: Mapping[str, str]) -> int:
        """How many of its nodes have all of these labels."""
        member = self._known(cluster)
        return 0 if member is None else nodes_with(member.reported, labels)

    def apply_profile(self, cluster: str, profile_hash: str, profile: Profile) -> Outcome:
        """ValueError where the labels do not have this hash, or say more than any node does."""
        said = len(profile.labels) + len(profile.features) + len(profile.handlers)
        if said > MOST_SAID:
            raise ValueError(f"profile {profile_hash}: {said:,} entries: up to {MOST_SAID:,} are taken")
        member = self._cluster(cluster)
        known = member.reported.profiles.get(profile_hash)
        if known is not None and profile.stamp <= known[1]:
            return Outcome.OLDER
        if profile.hash != profile_hash:
            raise ValueError(f"profile {profile_hash}: its labels have the hash {profile.hash}")
        if member.take_profile(self._label_sets.of(profile_hash, profile), profile):
            self._touch(cluster)
        return Outcome.APPLIED

    def apply_inventory(self, cluster: str, shard: str, inventory: Inventory) -> Outcome:
        """ValueError names a column that points nowhere, or a shard that is none."""
        member = self._cluster(cluster)
        slot = member.reported.slot(shard, inventory.stamp)
        if slot is None:
            return Outcome.OLDER
        outcome = member.take_inventory(parse_shard(shard)[0], slot, inventory)
        if outcome is Outcome.APPLIED:
            self._touch(cluster)
        return outcome

    def apply_usage(self, cluster: str, shard: str, usage: Usage) -> Outcome:
        """ValueError names what is negative, or a number of nodes that is not the inventory's."""
        member = self._cluster(cluster)
        slot = member.reported.slot(shard, usage.stamp)
        if slot is None:
            return Outcome.OLDER
        outcome = member.take_usage(*parse_shard(shard), slot, usage)
        if outcome is Outcome.APPLIED:
            self._touch(cluster)
        return outcome

    def forget(self, cluster: str) -> None:
        """The cluster is removed: all of it goes, promises too."""
        position = self._positions.pop(cluster, None)
        if position is not None:
            del self._members[position]
            self._positions = {name: at for at, name in enumerate(self._positions)}
            self._capacities.remove_cluster(position)
            self._preferred.forget()
            self._sums.forget()

    def purged(self, cluster: str, tail: str) -> None:
        """The subject of an unreferenced profile or a stale shard was purged: it is no longer listed."""
        if cluster in self._positions:
            self._cluster(cluster).reported.forget(tail)

    def facts(self, cluster: str) -> Facts | None:
        member = self._known(cluster)
        return member.reported.facts if member else None

    def hardware(self, cluster: str) -> Hardware | None:
        """What the cluster has beside its nodes; None where nothing has been reported of it."""
        member = self._known(cluster)
        return member.reported.hardware if member else None

    def applied(self, cluster: str, tail: str) -> Stamp | None:
        """The stamp in effect for a subject tail (`facts`, `profile.<hash>`, `inventory.<shard>`, ...)."""
        member = self._known(cluster)
        return member.reported.applied(tail) if member else None

    def missing(self, cluster: str) -> list[str]:
        """Subject tails to ask for again, sorted."""
        member = self._known(cluster)
        return member.reported.missing() if member else ["facts"]

    def completeness(self, cluster: str) -> str | None:
        """None when the cluster can be placed on; else what is not here, for people."""
        member = self._known(cluster)
        return member.reported.completeness() if member else "nothing has been heard of it yet"

    def stale_shards(self, cluster: str) -> list[str]:
        """Shards of layouts that are over, until `purged` is told: their subjects may be purged."""
        member = self._known(cluster)
        return sorted(member.reported.stale) if member else []

    def unreferenced_profiles(self, cluster: str) -> list[str]:
        """Hashes that no inventory, waiting ones included, refers to."""
        member = self._known(cluster)
        return member.reported.unreferenced_profiles() if member else []

    def promise(self, cluster: str, workload: str, promise: Promise) -> None:
        """Replaces an earlier promise of the same workload there; the same again changes nothing.

        Promises are packed in the order in which they are made: load them in that of their versions.
        """
        member = self._cluster(cluster)
        if member.promises.get(workload) == promise:
            return
        packed = member.promise(workload, promise)
        if packed is None or (not packed and any(part.demand.pools for part in promise.parts)):
            # Addresses are promised also where no node has room.
            self._touch(cluster)
        elif packed:
            self._capacities.packed(self._positions[cluster], promise.parts[0].demand, packed)

    def unpromise(self, cluster: str, workload: str) -> None:
        member = self._known(cluster)
        if member is not None and member.unpromise(workload):
            self._touch(cluster)

    def promises(self, cluster: str) -> Mapping[str, Promise]:
        """By workload uid."""
        member = self._known(cluster)
        return MappingProxyType(member.promises) if member else {}

    def bound(self, workload: str, cluster: str) -> int:
        """Pods of the workload on nodes of the cluster, of whatever template."""
        member = self._known(cluster)
        return sum(member.bound.get(workload, {}).values()) if member else 0

    def outstanding(self, workload: str, cluster: str) -> int:
        """Promised and not yet bound."""
        member = self._known(cluster)
        return sum(member.outstanding.get(workload, ())) if member else 0

    def capacity(self, demand: Demand) -> NDArray[np.int64]:
        """How many more replicas fit each of `clusters`; 0 where it is incomplete. Do not change it."""
        return self._capacities.entry(demand, self._count).capacity

    def available(self, demand: Demand, clusters: Sequence[str]) -> list[int]:
        """`capacity` in the order of `clusters`; 0 for one never heard of."""
        return self._ordered(self._capacities.entry(demand, self._count).capacity, clusters)

    def room(self, demand: Demand, clusters: Sequence[str]) -> tuple[list[int], list[int]]:
        """`available` and `matching`, looked up once."""
        entry = self._capacities.entry(demand, self._count)
        return self._ordered(entry.capacity, clusters), self._ordered(entry.matching, clusters)

    def available_sets(
        self, components: Sequence[tuple[Demand, int]], clusters: Sequence[str], most: int
    ) -> list[int]:
        """How many whole sets fit each of `clusters`, up to `most`; 0 for one never heard of.

        A set is so many replicas of each component. They are packed in their order; a number that is given
        has been found to fit, and where nodes are scarce a larger one may fit too.
        """
        needed = [(demand, replicas) for demand, replicas in components if replicas > 0]
        bounds = [most] * len(clusters)
        for demand, replicas in needed:
            room = self.available(demand, clusters)
            bounds = [min(bound, each // replicas) for bound, each in zip(bounds, room, strict=True)]
        if len(needed) < 2:
            return bounds
        return [
            whole_sets(self._members[self._positions[cluster]], needed, bound) if bound else 0
            for cluster, bound in zip(clusters, bounds, strict=True)
        ]

    def room_released(self, cluster: str, workloads: Collection[str], demand: Demand) -> int:
        """How many replicas of `demand` fit once all that these workloads hold there is gone."""
        member = self._known(cluster)
        return 0 if member is None else room_released(member, workloads, demand)

    def has(self, requirement: Requirement) -> bool:
        """Whether any node of any cluster meets it, full or not; nodes that went lately may still count."""
        for member in self._members:
            # Profiles are numbered with the columns of their cluster.
            member.columns()
        return bool(self._features.selects(Demand.of({}, traits=(requirement,))).any())

    def spelled(self, cluster: str, requirement: Requirement) -> list[Requirement] | None:
        """Requirements of labels, of which one holds exactly on the nodes that meet `requirement`.

        So that the cluster's own scheduler can be told. None where labels cannot say it.
        """
        columns = self._columns(cluster)
        if columns is None:
            return None
        return spelled(requirement, [each.label_set for each in columns.classes])

    def matching_names(self, cluster: str, demand: Demand, limit: int) -> list[str]:
        """Up to `limit` names of nodes that selector and traits match, the first in their order."""
        columns = self._columns(cluster)
        return columns.matching_names(demand)[:limit] if columns is not None else []

    def matching(self, demand: Demand, clusters: Sequence[str]) -> list[int]:
        """How many nodes the selector and affinity match, full or not, tainted or not."""
        return self._ordered(self._capacities.entry(demand, self._count).matching, clusters)

    def preferred(
        self, demand: Demand, preferences: Preferences, clusters: Sequence[str]
    ) -> list[float | None]:
        """Of the nodes with room, the share that is preferred, 0 to 1; None for a cluster without any."""
        shares: list[float] = self._preferred.shares(
            demand, preferences, self._capacities.generations, lambda at: self._members[at].columns()
        ).tolist()
        found = [shares[at] if (at := self._positions.get(name)) is not None else nan for name in clusters]
        return [None if isnan(share) else share for share in found]

    def sums(self, clusters: Sequence[str]) -> list[Sum]:
        """cpu and memory of whole clusters, what is promised taken away; zeros where one is incomplete."""
        known = [name for name in clusters if name in self._positions]
        found = self._sums.at(
            [self._positions[name] for name in known], self._capacities.generations, self._members.__getitem__
        )
        by_name = dict(zip(known, found, strict=True))
        return [by_name.get(name) or Sum({}, {}) for name in clusters]

    def used_share(self, cluster: str) -> UsedShare | None:
        """What is really used of a cluster at this moment; None where no metrics are here."""
        member = self._known(cluster)
        return used_share(member.reported) if member else None

    def explain(self, cluster: str, demand: Demand) -> NodeCounts:
        """Counted over nothing while the cluster is incomplete."""
        member = self._known(cluster)
        columns = self._columns(cluster)
        if member is None or columns is None:
            return NodeCounts.nothing()
        return summary.explain(columns, demand, self._features.selection(demand), member.addresses)

    def absent(self, cluster: str, resources: Sequence[str]) -> list[str]:
        """Which of them no node of the cluster has, nor one that may be added; [] while it is silent."""
        columns = self._columns(cluster)
        return [] if columns is None else absent(columns, resources)

    def repelling_taints(self, cluster: str, most: int) -> list[Taint]:
        """Those that keep pods off its nodes, the `most` frequent first."""
        columns = self._columns(cluster)
        return [] if columns is None else repelling_taints(columns, most)

    def largest_free(self, cluster: str, demand: Demand, resource: str) -> int:
        """The most of it that is free on a node which takes the demand but for this; 0 for none."""
        columns = self._columns(cluster)
        return 0 if columns is None else largest_free(columns, demand, resource, self._features)

    def totals(self, cluster: str) -> Totals:
        """Of what is here, also while the cluster is incomplete."""
        return summary.totals(self._known(cluster) or Cluster(self._features))

    def nodes(
        self,
        cluster: str,
        *,
        labels: Mapping[str, str] | None = None,
        name_contains: str = "",
        ready: bool | None = None,
    ) -> list[NodeRow]:
        """Nodes in the order of shards; filters are all applied."""
        member = self._known(cluster)
        if member is None:
            return []
        return list(summary.nodes(member, labels=labels or {}, name_contains=name_contains, ready=ready))

    def pods_of(self, cluster: str, workload: str) -> dict[str, int]:
        """How many of its pods stand on each node, by the node's name; nodes without any are left out."""
        member = self._known(cluster)
        return {} if member is None else summary.pods_of(member, workload)

    def standing(self, cluster: str) -> Mapping[str, Stands]:
        """What pods of workloads take where they stand, by the last usage. Do not change it."""
        member = self._known(cluster)
        return {} if member is None else member.standing.of(member.reported.shards())

    def standing_changed(self, cluster: str) -> set[str]:
        """Workloads of which `standing` changed since this was last asked: for one who asks."""
        member = self._known(cluster)
        return set() if member is None else member.standing.take_changed()

    def label_set(self, cluster: str, profile_hash: str) -> LabelSet | None:
        """What nodes of this profile have in common; None where it is not known."""
        member = self._known(cluster)
        known = member.reported.profiles.get(profile_hash) if member is not None else None
        return None if known is None else known[0]

    def addresses_free(self, cluster: str, pool: str) -> int:
        """Of a pool in its hardware: free by the last report, less what is promised and not held yet."""
        member = self._known(cluster)
        return member.addresses.free(pool) if member else 0

    def classes(self, cluster: str, counted: Callable[[str], bool]) -> list[ClassSum]:
        """Its nodes, added up where they say the same. counted: the resources that are added up."""
        member = self._known(cluster)
        return [] if member is None else class_sums(member, counted)

    def _living(self) -> int:
        return sum(member.classes for member in self._members)

    def _known(self, cluster: str) -> Cluster | None:
        position = self._positions.get(cluster)
        return None if position is None else self._members[position]

    def _cluster(self, cluster: str) -> Cluster:
        position = self._positions.get(cluster)
        if position is None:
            position = self._positions[cluster] = len(self._members)
            self._members.append(Cluster(self._features))
            self._capacities.add_cluster()
        return self._members[position]

    def _touch(self, cluster: str) -> None:
        self._capacities.touch(self._positions[cluster])

    def _columns(self, cluster: str) -> Columns | None:
        member = self._known(cluster)
        return member.columns() if member else None

    def _count(self, position: int, demand: Demand, selection: Selection) -> tuple[int, int]:
        return self._members[position].capacity(demand, selection)

    def _ordered(self, vector: NDArray[np.int64], clusters: Sequence[str]) -> list[int]:
        values: list[int] = vector.tolist()
        position = self._positions.get
        return [0 if (at := position(name)) is None else values[at] for name in clusters]
