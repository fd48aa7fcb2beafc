"""Nodes as inventory shards and profiles. Pure."""

import hashlib
from collections.abc import Hashable, Iterable
from typing import TypeVar

from agents.observe.rows import NodeRow
from schemas.wire.codec import pack_column
from schemas.wire.reports import Inventory, Profile, Taint

T = TypeVar("T", bound=Hashable)
NODES_A_SHARD = 100
GROW_ABOVE = 150
SHRINK_BELOW = 40
MOST_SHARDS = 4096


def next_layout(layout: int, nodes: int) -> int:
    """How many shards there are: a power of two, about 100 nodes each, steady while nodes come and go.

    `layout` is the present one, 0 for none yet.
    """
    if layout == 0:
        layout = 1
        while layout * NODES_A_SHARD < nodes and layout < MOST_SHARDS:
            layout *= 2
        return layout
    while nodes > layout * GROW_ABOVE and layout < MOST_SHARDS:
        layout *= 2
    while layout > 1 and nodes < layout * SHRINK_BELOW:
        layout //= 2
    return layout


def shard_of(name: str, layout: int) -> int:
    """The shard of a node: the same on every agent and after every restart."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % layout


def epoch_of(names: Iterable[str]) -> int:
    """Equal names, equal epoch, on any agent after any restart: a counter would start anew and mislead."""
    digest = hashlib.sha256("\n".join(names).encode()).digest()
    return int.from_bytes(digest[:6], "big")


def inventory(nodes: list[NodeRow]) -> Inventory:
    """One shard, unstamped. `nodes` sorted by name."""
    names = [node.name for node in nodes]
    resources = sorted({resource for node in nodes for resource in node.allocatable})
    hashes = sorted({node.profile for node in nodes})
    taints = sorted({node.taints for node in nodes}, key=_taint_order)
    conditions = sorted({node.conditions for node in nodes})
    return Inventory(
        incarnation=0,
        sequence=0,
        epoch=epoch_of(names),
        names=names,
        profile_hashes=hashes,
        profiles=_indexes([node.profile for node in nodes], hashes),
        resources=resources,
        allocatable=[pack_column([node.allocatable.get(one, 0) for node in nodes]) for one in resources],
        taint_sets=[list(each) for each in taints],
        taints=_indexes([node.taints for node in nodes], taints),
        condition_sets=[list(each) for each in conditions],
        conditions=_indexes([node.conditions for node in nodes], conditions),
    )


def profiles(nodes: Iterable[NodeRow]) -> dict[str, Profile]:
    """By hash, unstamped."""
    rows = {node.profile: node for node in nodes}
    return {
        name: Profile(
            incarnation=0,
            sequence=0,
            labels=row.labels,
            features=row.features,
            handlers=list(row.handlers),
        )
        for name, row in rows.items()
    }


def _indexes(values: list[T], distinct: list[T]) -> bytes:
    where = {value: index for index, value in enumerate(distinct)}
    return pack_column([where[value] for value in values])


def _taint_order(taints: tuple[Taint, ...]) -> list[tuple[str, str, str]]:
    return [(taint.key, taint.effect, taint.value) for taint in taints]
