"""The NUMA zones of one shard, as its topology reports them. Replaced whole, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet.rows import Ints, check_resources, column
from controlplane.fleet.views import Alignment
from schemas.wire.hardware import Topology, TopologyPolicy
from schemas.wire.reports import Stamp

SINGLE = "single-numa-node"
HIGHEST_ZONE = 64
MOST_ZONES = 16
"""Of one node; a kubelet aligns to 8 where nothing else is allowed. Of more nothing is said: with 65 zones on
each of 5,000 nodes, one look at a pod of ten containers took 15 seconds."""
NOT_LISTED = -1
OPEN, BY_CONTAINER, BY_POD, STALE = range(4)
"""What a node's kubelet does: refuses nothing, aligns each container, the pod; or its zones are not known."""


@dataclass(frozen=True, eq=False)
class ZoneRows:
    """A topology in effect. kinds: per node. node, rank: per zone its node and which of its zones it is.

    available: a row per zone, NOT_LISTED where it does not list the resource. Only of nodes that align.
    """

    stamp: Stamp
    epoch: int
    kinds: NDArray[np.int8]
    node: NDArray[np.int32]
    rank: NDArray[np.int8]
    available: dict[str, NDArray[np.signedinteger[Any]]]

    @property
    def depth(self) -> int:
        """Zones of the node that has most."""
        return int(self.rank.max()) + 1 if self.rank.size else 0

    @property
    def aligns(self) -> bool:
        """Whether any kubelet here may refuse a pod for its zones."""
        return bool((self.kinds != OPEN).any())

    def alignment(self, node: int) -> Alignment | None:
        """None where no zone keeps a pod out."""
        kind = int(self.kinds[node])
        if kind == OPEN:
            return None
        first, after = np.searchsorted(self.node, (node, node + 1)).tolist()
        columns = [(name, values[first:after].tolist()) for name, values in sorted(self.available.items())]
        zones = tuple(
            tuple((name, amounts[zone]) for name, amounts in columns if amounts[zone] != NOT_LISTED)
            for zone in range(after - first)
        )
        return Alignment("pod" if kind == BY_POD else "container", zones, kind == STALE)

    @staticmethod
    def of(topology: Topology) -> "ZoneRows":
        """ValueError names what points nowhere, is out of order, or is no amount."""
        check_resources("available", len(topology.resources))
        kinds = _kinds(topology)
        node = column("zone_node", topology.zone_node)
        if node.size and (node.max() >= topology.nodes or (np.diff(node) < 0).any()):
            raise ValueError(f"zone_node: not ascending below {topology.nodes}")
        number = column("zone_number", topology.zone_number)
        if number.size and number.max() > HIGHEST_ZONE:
            raise ValueError(f"zone_number: {int(number.max())}: 0 to {HIGHEST_ZONE} are taken")
        first = np.flatnonzero(np.diff(node, prepend=-1))
        if (np.diff(number)[np.diff(node) == 0] <= 0).any():
            raise ValueError("zone_number: not ascending within a node")
        counts = np.diff(np.append(first, node.size))
        rank = np.arange(node.size) - np.repeat(first, counts)
        crowded = node[first[counts > MOST_ZONES]]
        kinds[crowded[kinds[crowded] != OPEN]] = STALE
        aligned = (kinds[node] == BY_CONTAINER) | (kinds[node] == BY_POD)
        return ZoneRows(
            stamp=topology.stamp,
            epoch=topology.epoch,
            kinds=kinds,
            node=node[aligned].astype(np.int32),
            rank=rank[aligned].astype(np.int8),
            available={
                resource: _narrow(column(f"available {resource}", packed, least=NOT_LISTED)[aligned])
                for resource, packed in zip(topology.resources, topology.available, strict=True)
            },
        )

    def carried_over(self, before: Sequence[str], after: Sequence[str]) -> "ZoneRows":
        """The same of the nodes that are still there; of new ones nothing is known yet."""
        row_before = {name: row for row, name in enumerate(before)}
        source = np.fromiter((row_before.get(name, -1) for name in after), np.int64, len(after))
        row_after = np.full(len(before), -1, np.int64)
        row_after[source[source >= 0]] = np.flatnonzero(source >= 0)
        moved = row_after[self.node] if len(before) else np.zeros(0, np.int64)
        kept = np.flatnonzero(moved >= 0)
        kept = kept[np.argsort(moved[kept], kind="stable")]
        kinds = np.full(len(after), STALE if self.aligns else OPEN, np.int8)
        kinds[source >= 0] = self.kinds[source[source >= 0]]
        return ZoneRows(
            stamp=self.stamp,
            epoch=self.epoch,
            kinds=kinds,
            node=moved[kept].astype(np.int32),
            rank=self.rank[kept],
            available={resource: values[kept] for resource, values in self.available.items()},
        )


def _narrow(values: Ints) -> NDArray[np.signedinteger[Any]]:
    """Of a million zones most amounts are small."""
    top = int(values.max(initial=0))
    for kind in (np.int8, np.int16, np.int32):
        if top <= np.iinfo(kind).max:
            return values.astype(kind)
    return values


def _kinds(topology: Topology) -> NDArray[np.int8]:
    if not topology.policies:
        return np.full(topology.nodes, OPEN, np.int8)
    policy_of = column("policy_of", topology.policy_of, least=-1)
    if policy_of.size and policy_of.max() >= len(topology.policies):
        raise ValueError(f"policy_of: index {int(policy_of.max())} into {len(topology.policies)}")
    # The last one is for nodes without zones: index -1.
    kinds = np.array([*map(_kind, topology.policies), OPEN], np.int8)
    return kinds[policy_of]


def _kind(policy: TopologyPolicy) -> int:
    if policy.policy != SINGLE:
        return OPEN
    if policy.stale:
        return STALE
    return BY_POD if policy.scope == "pod" else BY_CONTAINER
