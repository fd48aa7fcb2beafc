"""The nodes of one cluster side by side: how often a demand fits, and what is packed tentatively."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet.demand import HOSTNAME, NODE_NAME_FIELD, Demand, Numa, untolerated
from controlplane.fleet.features import Features, Selection
from controlplane.fleet.rows import MOST, Floats, NodeClass, NodeRows, UsageRows, free_of
from controlplane.fleet.zone_rows import ZoneRows
from controlplane.fleet.zones import Zones

_MOST_WEIGHTS = 512
_NO_NAME = "\0"


@dataclass(frozen=True)
class Weights:
    """Per class 1.0 where its nodes take the demand. rows: the same per node, where names are asked for."""

    classes: Floats
    everywhere: bool
    nowhere: bool
    matching: int
    rows: Floats | None = None


class Columns:
    """free[resource]: one float64 a node, exact, since no amount is above 2^53.

    Division of such amounts and then floor is exact too: were the true quotient below a whole number, it
    would be so by at least 1/request, which is more than half a unit in the last place.
    """

    def __init__(
        self,
        shards: Sequence[tuple[NodeRows, UsageRows]],
        features: Features,
        topologies: Sequence[ZoneRows | None] = (),
        *,
        to_come: int = 0,
    ) -> None:
        """topologies: of each shard, None where none has been reported. to_come: rows at the end, of nodes
        that are not there yet.
        """
        self._shards = list(shards)
        self._topologies = [*topologies] or [None] * len(shards)
        self._starts = np.cumsum([0, *(len(nodes) for nodes, _ in shards)]).tolist()
        self.rows: int = self._starts[-1]
        self.there = self.rows - to_come
        self.classes, self.class_of = _classes(shards, self.rows)
        self._features = features
        self._numbering = features.numbering
        self._profiles, self._gates = features.numbers(self.classes)
        self._sizes = np.bincount(self.class_of, minlength=len(self.classes))
        self._zones = self._zones_anew()
        self._base: dict[str, Floats] = {}
        self._free: dict[str, Floats] | None = None
        self._weights: dict[Demand, Weights] = {}
        self._scratch = np.empty(self.rows)

    def replace_usage(self, position: int, usage: UsageRows) -> None:
        """The usage of one shard is another now; whatever was packed has to be packed again."""
        nodes = self._shards[position][0]
        self._shards[position] = nodes, usage
        start, end = self._starts[position], self._starts[position + 1]
        for resource, free in self._base.items():
            free[start:end] = free_of(nodes, usage, resource)
        self._free = None

    def replace_topology(self, position: int, topology: ZoneRows) -> None:
        """The zones of one shard are others now; whatever was packed has to be packed again."""
        self._topologies[position] = topology
        if self._zones is None or not self._zones.replace(position, topology):
            self._zones = self._zones_anew()
        self._free = None

    def _zones_anew(self) -> Zones | None:
        if any(each is not None and each.aligns for each in self._topologies):
            return Zones(self._topologies, self._starts)
        return None

    def free(self, resource: str) -> Floats:
        """Per node, what is packed taken away."""
        if self._free is not None and resource in self._free:
            return self._free[resource]
        base = self._base.get(resource)
        if base is None:
            base = np.empty(self.rows)
            for position, (nodes, usage) in enumerate(self._shards):
                base[self._starts[position] : self._starts[position + 1]] = free_of(nodes, usage, resource)
            self._base[resource] = base
        return base

    def unpack(self) -> None:
        """Nothing is packed any more."""
        self._free = None
        if self._zones is not None:
            self._zones.unpack()

    @contextmanager
    def on_trial(self) -> Generator[None]:
        """What is packed within is unpacked at its end."""
        free = self._free
        self._free = None if free is None else {name: column.copy() for name, column in free.items()}
        zones = None if self._zones is None else self._zones.begin_trial()
        try:
            yield
        finally:
            self._free = free
            if self._zones is not None and zones is not None:
                self._zones.end_trial(zones)

    def release(self, workload: str) -> None:
        """What its pods are bound to is free again; to be done on trial."""
        free = self._free = self._free if self._free is not None else {}
        for position, (_, usage) in enumerate(self._shards):
            start, end = self._starts[position], self._starts[position + 1]
            for resource, amounts in usage.bound_by(workload).items():
                if resource not in free:
                    free[resource] = self.free(resource).copy()
                free[resource][start:end] += amounts

    def weights(self, demand: Demand, selection: Selection) -> Weights:
        known = self._weights.get(demand)
        if known is None:
            if len(self._weights) >= _MOST_WEIGHTS:
                self._weights.clear()
            known = self._weights[demand] = self._weigh(demand, selection)
        return known

    def capacity(self, demand: Demand, selection: Selection) -> tuple[int, int]:
        """(replicas that fit, nodes that the selector matches)."""
        weights = self.weights(demand, selection)
        if weights.nowhere:
            return 0, weights.matching
        # Who boasts of more than there is in the world shall not overflow a column of 64-bit integers.
        return int(min(self._fits(demand, weights).sum(), MOST)), weights.matching

    def fits(self, demand: Demand, selection: Selection) -> Floats:
        """Per node, how many replicas fit; good until the next call."""
        return self._fits(demand, self.weights(demand, selection))

    def has_room(self, demand: Demand) -> NDArray[np.bool_]:
        """Per node, whether one replica finds all amounts there, whatever zones, taints and labels say."""
        room = np.ones(self.rows, np.bool_)
        for resource, amount in demand.requests:
            room &= self.free(resource) >= amount
        return room

    def without(self, resource: str) -> NDArray[np.bool_]:
        """Per node, whether it has none of the resource, however idle it is."""
        lacking = np.ones(self.rows, np.bool_)
        for start, (nodes, _) in zip(self._starts, self._shards, strict=False):
            if resource in nodes.allocatable:
                lacking[start : start + len(nodes)] = nodes.allocatable[resource] == 0
        return lacking

    def pack(self, demand: Demand, replicas: int, selection: Selection) -> int:
        """Put up to `replicas` on the first nodes that take them. Returns how many found room.

        Which nodes the scheduler of the cluster will take is not known; for the same demand it makes no
        difference, and for others the first nodes in the order of shards are as good a guess as any.
        """
        fits = self.fits(demand, selection)
        filled = np.cumsum(fits)
        room = int(filled[-1]) if self.rows else 0
        placed = min(replicas, room)
        if placed == 0:
            return 0
        last = int(np.searchsorted(filled, placed))
        takes = fits[: last + 1].copy()
        takes[last] -= filled[last] - placed
        if self._free is None:
            self._free = {}
        for resource, amount in demand.requests:
            if resource not in self._free:
                self._free[resource] = self.free(resource).copy()
            self._free[resource][: last + 1] -= takes * amount
        if demand.numa is not None and self._zones is not None:
            self._zones.pack(demand.numa, takes)
        return placed

    def _fits(self, demand: Demand, weights: Weights) -> Floats:
        fits, other = self._scratch, np.empty(self.rows)
        first = True
        for resource, amount in demand.requests:
            free = self.free(resource)
            if first:
                np.divide(free, amount, out=fits)
                first = False
            elif amount == 1:
                np.minimum(fits, free, out=fits)
            else:
                np.divide(free, amount, out=other)
                np.minimum(fits, other, out=fits)
        np.floor(fits, out=fits)
        if weights.rows is not None:
            np.multiply(fits, weights.rows, out=fits)
        elif not weights.everywhere:
            np.take(weights.classes, self.class_of, out=other, mode="clip")
            np.multiply(fits, other, out=fits)
        if demand.numa is not None:
            self._align(demand.numa, fits)
        return fits

    def _align(self, numa: Numa, fits: Floats) -> None:
        if self._zones is not None:
            self._zones.bound(numa, fits)
        elif numa.wanted:
            fits.fill(0.0)

    def _weigh(self, demand: Demand, selection: Selection) -> Weights:
        if demand.asks_for_name:
            return self._weigh_by_name(demand)
        if self._numbering != self._features.numbering:
            self._numbering = self._features.numbering
            self._profiles, self._gates = self._features.numbers(self.classes)
        selected, takes = selection.of(self._profiles, self._gates)
        return Weights(
            classes=takes.astype(np.float64),
            everywhere=bool(takes.all()),
            nowhere=not takes.any(),
            matching=int(self._sizes[selected].sum()),
        )

    def _weigh_by_name(self, demand: Demand) -> Weights:
        """No profile carries a node's name: those that are named are looked at alone, the rest as classes."""
        selects = [_selects(demand, each, _NO_NAME) for each in self.classes]
        opens = [self._open(each, demand) for each in self.classes]
        rows = np.array(selects, np.bool_)[self.class_of] if selects else np.zeros(0, np.bool_)
        for name in demand.names:
            row = self.row_of(name)
            if row is not None:
                rows[row] = _selects(demand, self.classes[int(self.class_of[row])], name)
        takes = rows & np.array(opens, np.bool_)[self.class_of] if opens else rows
        return Weights(
            classes=np.zeros(len(self.classes)),
            everywhere=False,
            nowhere=not takes.any(),
            matching=int(rows.sum()),
            rows=takes.astype(np.float64),
        )

    def matching_names(self, demand: Demand) -> list[str]:
        """Of the nodes that selector and traits match, and that align where that is wanted; sorted."""
        if demand.numa is not None and demand.numa.wanted:
            aligned = np.zeros(self.rows, np.bool_) if self._zones is None else self._zones.aligned
        else:
            aligned = np.ones(self.rows, np.bool_)
        selects = [_selects(demand, each, _NO_NAME) for each in self.classes]
        named = set(demand.names)
        found: list[str] = []
        for start, (nodes, _) in zip(self._starts, self._shards, strict=False):
            for row, name in enumerate(nodes.names, start):
                code = int(self.class_of[row])
                if not aligned[row] or row >= self.there:
                    continue
                if _selects(demand, self.classes[code], name) if name in named else selects[code]:
                    found.append(name)
        return sorted(found)

    def row_of(self, name: str) -> int | None:
        for position, (nodes, _) in enumerate(self._shards):
            if name in nodes.names:
                return self._starts[position] + nodes.names.index(name)
        return None

    def split_by_name(self, demand: Demand, rows: NDArray[np.intp]) -> list[tuple[str, NDArray[np.intp]]]:
        """`rows` by name: each that the demand names alone, the rest under a name that none has."""
        named = {row: name for name in demand.names if (row := self.row_of(name)) is not None}
        alone = np.isin(rows, list(named)) if named else np.zeros(len(rows), np.bool_)
        parts = [(named[row], np.array([row])) for row in rows[alone].tolist()]
        return [*parts, (_NO_NAME, rows[~alone])] if not alone.all() else parts

    @staticmethod
    def _open(node_class: NodeClass, demand: Demand) -> bool:
        return node_class.ready and untolerated(node_class.taints, demand.tolerations) is None


def _selects(demand: Demand, node_class: NodeClass, name: str) -> bool:
    of = node_class.label_set
    return demand.selects({**of.labels, HOSTNAME: name, NODE_NAME_FIELD: name}, of.features, of.handlers)


def _classes(
    shards: Sequence[tuple[NodeRows, UsageRows]], rows: int
) -> tuple[tuple[NodeClass, ...], NDArray[np.intp]]:
    positions: dict[tuple[object, ...], int] = {}
    classes: list[NodeClass] = []
    class_of = np.empty(rows, np.intp)
    start = 0
    for nodes, _ in shards:
        here: list[int] = []
        for each in nodes.classes:
            key = (each.label_set, each.taints, each.conditions)
            position = positions.get(key)
            if position is None:
                position = positions[key] = len(classes)
                classes.append(each)
            here.append(position)
        if here:
            class_of[start : start + len(nodes)] = np.array(here, np.intp)[nodes.codes]
        start += len(nodes)
    return tuple(classes), cast(NDArray[np.intp], class_of)
