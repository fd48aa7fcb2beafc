"""The nodes of one shard as columns: what its inventory and its usage say. Replaced whole, never changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet.label_sets import LabelSet
from schemas.wire.reports import Bound, Inventory, Stamp, Taint, Usage

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST = 2**53 - 1
"""No amount is taken as larger, so that a float64 holds it exactly (8 PiB of memory on one node)."""
MOST_RESOURCES = 2_000
MOST_CELLS = 4_000_000
"""Of what pods of a shard ask for: nodes times resources. A few KB can name more than fit in memory."""
NOT_KNOWN = -1
"""In a column of `used`: metrics are served, but not yet of this node."""


@dataclass(frozen=True, eq=False)
class NodeClass:
    """What decides whether a node takes a pod at all, before any amount is looked at."""

    label_set: LabelSet
    taints: tuple[Taint, ...]
    conditions: tuple[str, ...]

    @property
    def ready(self) -> bool:
        return "Ready" in self.conditions


def column(field: str, packed: bytes, *, least: int = 0) -> Ints:
    """A packed column without a copy; amounts above MOST count as MOST. ValueError for one below `least`."""
    values: Ints = np.frombuffer(packed, dtype="<i8")
    # As unsigned numbers negative ones are the largest of all: one look finds both.
    if values.size and values.view(np.uint64).max() > MOST:
        if values.min() < least:
            raise ValueError(f"{field}: {int(values.min())} is negative")
        values = np.minimum(values, MOST)
    return values


def check_resources(field: str, count: int) -> None:
    """ValueError above MOST_RESOURCES: each is a column, and work of its own at every look."""
    if count > MOST_RESOURCES:
        raise ValueError(f"{field}: {count:,} resources: up to {MOST_RESOURCES:,} are taken")


def _index(field: str, packed: bytes, size: int) -> Ints:
    values = column(field, packed)
    if values.size and values.max() >= size:
        raise ValueError(f"{field}: index {int(values.max())} into {size}")
    return values


@dataclass(frozen=True, eq=False)
class NodeRows:
    """An inventory in effect. codes: per node an index into `classes`."""

    stamp: Stamp
    epoch: int
    names: list[str]
    classes: tuple[NodeClass, ...]
    codes: NDArray[np.int32]
    allocatable: dict[str, Ints]

    def __len__(self) -> int:
        return len(self.names)

    @staticmethod
    def check(inventory: Inventory) -> None:
        """ValueError names what points nowhere or is not an amount."""
        _index("profiles", inventory.profiles, len(inventory.profile_hashes))
        _index("taints", inventory.taints, len(inventory.taint_sets))
        _index("conditions", inventory.conditions, len(inventory.condition_sets))
        check_resources("allocatable", len(inventory.resources))
        for resource, packed in zip(inventory.resources, inventory.allocatable, strict=True):
            column(f"allocatable {resource}", packed)
        if len(set(inventory.names)) != len(inventory.names):
            raise ValueError("names: a node stands there twice")

    @staticmethod
    def of(inventory: Inventory, label_sets: Sequence[LabelSet]) -> "NodeRows":
        """label_sets: of `inventory.profile_hashes`, in that order. The inventory has been checked."""
        profiles, taints, conditions = (
            column("index", packed) for packed in (inventory.profiles, inventory.taints, inventory.conditions)
        )
        taint_sets, condition_sets = len(inventory.taint_sets), len(inventory.condition_sets)
        mixed = (profiles * taint_sets + taints) * condition_sets + conditions
        distinct, codes = np.unique(mixed, return_inverse=True)
        kinds: list[int] = distinct.tolist()
        taint_tuples = [tuple(taints) for taints in inventory.taint_sets]
        condition_tuples = [tuple(conditions) for conditions in inventory.condition_sets]
        return NodeRows(
            stamp=inventory.stamp,
            epoch=inventory.epoch,
            names=inventory.names,
            classes=tuple(
                NodeClass(
                    label_sets[code // condition_sets // taint_sets],
                    taint_tuples[code // condition_sets % taint_sets],
                    condition_tuples[code % condition_sets],
                )
                for code in kinds
            ),
            codes=codes.astype(np.int32),
            allocatable=dict(
                zip(inventory.resources, map(_amounts, inventory.allocatable), strict=True),
            ),
        )


def _amounts(packed: bytes) -> Ints:
    return column("amounts", packed)


@dataclass(frozen=True, eq=False)
class UsageRows:
    """A usage in effect, for the rows of one inventory.

    known: None, or which rows it speaks of: after a change of membership it is carried over by name, and
    nothing is placed on a node of which no usage has come yet.
    bound_of: replicas by (workload, template). pods_key, pods_node, pods_replicas: the same by node.
    """

    stamp: Stamp
    epoch: int
    nodes: int
    foreign: dict[str, Ints]
    used: dict[str, Ints]
    bound: dict[str, Ints]
    bound_of: dict[tuple[str, str], int]
    keys: tuple[tuple[str, str], ...]
    pods_key: NDArray[np.int32]
    pods_node: NDArray[np.int32]
    pods_replicas: Ints
    pods_requests: NDArray[np.int32]
    requests: tuple[Mapping[str, int], ...]
    known: NDArray[np.bool_] | None = None

    @staticmethod
    def of(usage: Usage) -> "UsageRows":
        """ValueError names a negative amount, or what there is too much of."""
        check_resources("foreign", len(usage.resources))
        check_resources("used", len(usage.used_resources))
        foreign = {
            resource: column(f"foreign {resource}", packed)
            for resource, packed in zip(usage.resources, usage.foreign, strict=True)
        }
        used = {
            resource: column(f"used {resource}", packed, least=NOT_KNOWN)
            for resource, packed in zip(usage.used_resources, usage.used, strict=True)
        }
        keys, key_of = _keys(usage.bound)
        count = len(usage.bound)
        requests = tuple(_with_pods(each) for each in usage.requests)
        pods_node = np.fromiter([each.node for each in usage.bound], np.int32, count)
        pods_replicas = np.fromiter([each.replicas for each in usage.bound], np.int64, count)
        pods_requests = np.fromiter([each.requests for each in usage.bound], np.int32, count)
        if count and pods_replicas.min() < 0:
            raise ValueError("bound: negative replicas")
        return UsageRows(
            stamp=usage.stamp,
            epoch=usage.epoch,
            nodes=usage.nodes,
            foreign=foreign,
            used=used,
            bound=_bound_amounts(usage.nodes, requests, pods_node, pods_replicas, pods_requests),
            bound_of=_counted(keys, key_of, pods_replicas),
            keys=keys,
            pods_key=key_of,
            pods_node=pods_node,
            pods_replicas=pods_replicas,
            pods_requests=pods_requests,
            requests=requests,
        )

    def bound_by(self, workload: str) -> dict[str, Ints]:
        """What the pods of one workload ask for, by node."""
        keys = [number for number, (name, _) in enumerate(self.keys) if name == workload]
        if not keys:
            return {}
        its = np.isin(self.pods_key, keys)
        return _bound_amounts(
            self.nodes, self.requests, self.pods_node[its], self.pods_replicas[its], self.pods_requests[its]
        )

    def pods_of(self, workload: str) -> Ints:
        """How many of one workload stand on each node."""
        keys = [number for number, (name, _) in enumerate(self.keys) if name == workload]
        its = np.isin(self.pods_key, keys)
        counts = np.bincount(self.pods_node[its], self.pods_replicas[its], self.nodes)
        return counts.astype(np.int64)

    def carried_over(self, before: Sequence[str], after: Sequence[str]) -> "UsageRows":
        """The same of the nodes that are still there, at their new rows."""
        row_before = {name: row for row, name in enumerate(before)}
        source = np.fromiter((row_before.get(name, -1) for name in after), np.int64, len(after))
        known = source >= 0
        if self.known is not None:
            known &= self.known[source]
        row_after = np.full(len(before), -1, np.int64)
        row_after[source[known]] = np.flatnonzero(known)
        stays = row_after[self.pods_node] >= 0 if len(before) else np.zeros(0, np.bool_)
        pods_node = row_after[self.pods_node[stays]].astype(np.int32)
        pods_key, pods_replicas = self.pods_key[stays], self.pods_replicas[stays]
        pods_requests = self.pods_requests[stays]
        return UsageRows(
            stamp=self.stamp,
            epoch=self.epoch,
            nodes=len(after),
            foreign=_moved(self.foreign, source, known),
            used=_moved(self.used, source, known, missing=NOT_KNOWN),
            bound=_bound_amounts(len(after), self.requests, pods_node, pods_replicas, pods_requests),
            bound_of=_counted(self.keys, pods_key, pods_replicas),
            keys=self.keys,
            pods_key=pods_key,
            pods_node=pods_node,
            pods_replicas=pods_replicas,
            pods_requests=pods_requests,
            requests=self.requests,
            known=known,
        )


def free_of(nodes: NodeRows, usage: UsageRows, resource: str) -> Ints | float:
    """allocatable - foreign - bound, at least 0; a plain 0.0 where no node has the resource."""
    allocatable = nodes.allocatable.get(resource)
    if allocatable is None:
        return 0.0
    free = allocatable
    foreign, bound = usage.foreign.get(resource), usage.bound.get(resource)
    if foreign is not None:
        free = free - foreign
    if bound is not None:
        free = free - bound
    free = np.maximum(free, 0)
    return free if usage.known is None else free * usage.known


def _with_pods(requests: Mapping[str, int]) -> Mapping[str, int]:
    if any(amount < 0 for amount in requests.values()):
        raise ValueError("requests: a negative amount")
    return {**requests, "pods": 1}


def _keys(bound: Iterable[Bound]) -> tuple[tuple[tuple[str, str], ...], NDArray[np.int32]]:
    positions: dict[tuple[str, str], int] = {}
    put = positions.setdefault
    key_of = [put((each.workload, each.template), len(positions)) for each in bound]
    return tuple(map(_shared, positions)), np.array(key_of, np.int32)


@lru_cache(maxsize=100_000)
def _shared(key: tuple[str, str]) -> tuple[str, str]:
    """One object for equal keys: a workload's pods stand on the nodes of many shards."""
    return key


def _counted(
    keys: Sequence[tuple[str, str]], key_of: NDArray[np.int32], replicas: Ints
) -> dict[tuple[str, str], int]:
    if not keys:
        return {}
    counts = np.bincount(key_of, weights=replicas, minlength=len(keys)).astype(np.int64)
    return {key: count for key, count in zip(keys, counts.tolist(), strict=True) if count}


def _bound_amounts(
    nodes: int,
    requests: Sequence[Mapping[str, int]],
    pods_node: NDArray[np.int32],
    pods_replicas: Ints,
    pods_requests: NDArray[np.int32],
) -> dict[str, Ints]:
    if not pods_node.size:
        return {}
    by_resource: dict[str, list[tuple[int, int]]] = {}
    for index, each in enumerate(requests):
        for name, amount in each.items():
            by_resource.setdefault(name, []).append((index, min(amount, MOST)))
    check_resources("requests", len(by_resource))
    if len(by_resource) * nodes > MOST_CELLS:
        raise ValueError(f"requests: {len(by_resource):,} resources on {nodes:,} nodes are too many")
    amounts: dict[str, Ints] = {}
    for resource, stated in by_resource.items():
        # Floats are exact up to MOST, and what is beyond counts as MOST without ever wrapping around.
        asked = np.zeros(len(requests))
        for index, amount in stated:
            asked[index] = amount
        total = np.bincount(pods_node, weights=asked[pods_requests] * pods_replicas, minlength=nodes)
        amounts[resource] = np.minimum(total, MOST).astype(np.int64)
    return amounts


def _moved(
    columns: Mapping[str, Ints], source: Ints, known: NDArray[np.bool_], *, missing: int = 0
) -> dict[str, Ints]:
    return {
        name: np.where(known, values[source] if len(values) else missing, missing)
        for name, values in columns.items()
    }
