"""The fleet: every cluster in columns, and how often a demand fits each of them. No I/O."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet.demand import Demand
from controlplane.fleet.views import NodeCounts, NodeRow, Outcome, Promise, Totals
from schemas.wire.reports import Facts, Inventory, Profile, Stamp, Usage


class Fleet:
    """Vectors are in the order of `clusters`. Unknown clusters appear with their first report."""

    @property
    def clusters(self) -> tuple[str, ...]:
        raise NotImplementedError

    def apply_facts(self, cluster: str, facts: Facts) -> Outcome:
        raise NotImplementedError

    def apply_profile(self, cluster: str, profile_hash: str, profile: Profile) -> Outcome:
        """ValueError where the labels do not have this hash."""
        raise NotImplementedError

    def apply_inventory(self, cluster: str, shard: str, inventory: Inventory) -> Outcome:
        """ValueError names a column that points nowhere, or a shard that is none."""
        raise NotImplementedError

    def apply_usage(self, cluster: str, shard: str, usage: Usage) -> Outcome:
        raise NotImplementedError

    def forget(self, cluster: str) -> None:
        """The cluster is removed: all of it goes, promises too."""
        raise NotImplementedError

    def facts(self, cluster: str) -> Facts | None:
        raise NotImplementedError

    def applied(self, cluster: str, tail: str) -> Stamp | None:
        """The stamp in effect for a subject tail (`facts`, `profile.<hash>`, `inventory.<shard>`, ...)."""
        raise NotImplementedError

    def missing(self, cluster: str) -> list[str]:
        """Subject tails to ask for again, sorted."""
        raise NotImplementedError

    def completeness(self, cluster: str) -> str | None:
        """None when the cluster can be placed on; else what is not here, for people."""
        raise NotImplementedError

    def stale_shards(self, cluster: str) -> list[str]:
        """Shards of layouts that are over: their subjects may be purged."""
        raise NotImplementedError

    def unreferenced_profiles(self, cluster: str) -> list[str]:
        """Hashes that no inventory, waiting ones included, refers to."""
        raise NotImplementedError

    def promise(self, cluster: str, workload: str, promise: Promise) -> None:
        """Replaces an earlier promise of the same workload there."""
        raise NotImplementedError

    def unpromise(self, cluster: str, workload: str) -> None:
        raise NotImplementedError

    def promises(self, cluster: str) -> Mapping[str, Promise]:
        """By workload uid."""
        raise NotImplementedError

    def bound(self, workload: str, cluster: str) -> int:
        """Pods of the workload on nodes of the cluster, of whatever template."""
        raise NotImplementedError

    def outstanding(self, workload: str, cluster: str) -> int:
        """Promised and not yet bound."""
        raise NotImplementedError

    def capacity(self, demand: Demand) -> NDArray[np.int64]:
        """How many more replicas fit each cluster of `clusters`; 0 where it is incomplete."""
        raise NotImplementedError

    def available(self, demand: Demand, clusters: Sequence[str]) -> list[int]:
        """`capacity` in the order of `clusters`; 0 for one never heard of."""
        raise NotImplementedError

    def matching(self, demand: Demand, clusters: Sequence[str]) -> list[int]:
        """How many nodes the selector and affinity match, full or not, tainted or not."""
        raise NotImplementedError

    def explain(self, cluster: str, demand: Demand) -> NodeCounts:
        raise NotImplementedError

    def totals(self, cluster: str) -> Totals:
        raise NotImplementedError

    def nodes(
        self,
        cluster: str,
        *,
        labels: Mapping[str, str] | None = None,
        name_contains: str = "",
        ready: bool | None = None,
    ) -> list[NodeRow]:
        """Nodes in the order of shards; filters are all applied."""
        raise NotImplementedError
