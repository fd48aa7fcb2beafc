"""NUMA zones of nodes as columns: how often what a kubelet aligns finds room, and what is packed tentatively.

Only nodes whose kubelet has the policy single-numa-node refuse: it admits a container, or by its scope a
whole pod, where one zone has all that it asks for, and takes the lowest such zone. Source: the kubelet's
topology manager, and NodeResourceTopologyMatch of the scheduler-plugins, which has the same rules.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet.demand import Amounts, Numa
from controlplane.fleet.rows import Floats
from controlplane.fleet.zone_rows import BY_CONTAINER, BY_POD, NOT_LISTED, OPEN, STALE, ZoneRows

Bools = NDArray[np.bool_]


def is_ignorable(resource: str) -> bool:
    """Whether a node that has it need not have it in any zone: ephemeral storage, or of a device plugin."""
    return resource == "ephemeral-storage" or ("/" in resource and "kubernetes.io/" not in resource)


class Zones:
    """Of one cluster. Columns by resource: [rank of the zone, node], NOT_LISTED where there is nothing."""

    def __init__(self, shards: Sequence[ZoneRows | None], starts: Sequence[int]) -> None:
        self._shards = list(shards)
        self._starts = starts
        self._nodes = starts[-1]
        self._depth = max(1, *(each.depth for each in shards if each is not None))
        self.kinds: NDArray[np.int8] = np.full(self._nodes, OPEN, np.int8)
        for start, rows in zip(starts, shards, strict=False):
            if rows is not None:
                self.kinds[start : start + len(rows.kinds)] = rows.kinds
        self._columns: dict[str, Floats] = {}
        self._unlisted: dict[str, Bools | None] = {}
        self._packed: dict[str, Floats] = {}
        self._count_kinds()

    def _count_kinds(self) -> None:
        self._aligned = (self.kinds == BY_CONTAINER) | (self.kinds == BY_POD)
        present = np.bincount(self.kinds, minlength=4) > 0
        self._by_container, self._by_pod, self._any_stale = present[1:].tolist()
        self._unbounded = np.where(self._aligned, 0.0, np.inf)

    @property
    def aligned(self) -> Bools:
        """Per node, whether its kubelet puts all of a container, or of a pod, into one zone."""
        return self._aligned

    def replace(self, position: int, rows: ZoneRows) -> bool:
        """The topology of one shard is another now. False: it has more zones than there is place for."""
        if rows.depth > self._depth:
            return False
        self._shards[position] = rows
        start, end = self._starts[position], self._starts[position + 1]
        self.kinds[start:end] = rows.kinds
        for resource, dense in self._columns.items():
            dense[:, start:end] = NOT_LISTED
            self._fill(dense, start, rows, resource)
        self._unlisted.clear()
        self._packed = {}
        self._count_kinds()
        return True

    def unpack(self) -> None:
        self._packed = {}

    def begin_trial(self) -> dict[str, Floats]:
        """What is packed so far, to be given to `end_trial`."""
        packed = self._packed
        self._packed = {resource: dense.copy() for resource, dense in packed.items()}
        return packed

    def end_trial(self, packed: dict[str, Floats]) -> None:
        self._packed = packed

    def bound(self, numa: Numa, fits: Floats) -> None:
        """Lower `fits`, replicas by node, to what the zones admit."""
        if numa.wanted:
            np.multiply(fits, self._aligned, out=fits)
        elif self._any_stale:
            np.multiply(fits, self.kinds != STALE, out=fits)
        starting, running = (tuple(filter(None, each)) for each in (numa.starting, numa.running))
        alike = not starting and running == (numa.pod,)
        if self._by_pod and numa.pod and not (self._by_container and alike):
            admitted = self._admitted(numa.pod)
            if self._by_container:
                admitted[self.kinds == BY_CONTAINER] = np.inf
            np.minimum(fits, admitted, out=fits)
        if not self._by_container:
            return
        if not starting and len(running) == 1:
            admitted = self._admitted(running[0])
            if self._by_pod and not alike:
                admitted[self.kinds == BY_POD] = np.inf
            np.minimum(fits, admitted, out=fits)
        elif starting or running:
            limit = np.where(self.kinds == BY_CONTAINER, fits, 0.0)
            admitted = self._in_turn(starting, running, limit, keep=False)
            np.copyto(fits, admitted, where=self.kinds == BY_CONTAINER)

    def pack(self, numa: Numa, takes: Floats) -> None:
        """`takes` replicas by node, of the first nodes, are put into their zones; they were found to fit."""
        limit = np.zeros(self._nodes)
        limit[: len(takes)] = takes
        for kind, here, starting, running in (
            (BY_CONTAINER, self._by_container, numa.starting, numa.running),
            (BY_POD, self._by_pod, (), (numa.pod,)),
        ):
            starting, running = tuple(filter(None, starting)), tuple(filter(None, running))
            if here and running:
                self._in_turn(starting, running, np.where(self.kinds == kind, limit, 0.0), keep=True)

    def _admitted(self, amounts: Amounts) -> Floats:
        """Per node, how often one zone gives all of it; infinite on nodes that do not align."""
        each = np.empty((self._depth, self._nodes))
        other = np.empty_like(each)
        for position, (resource, amount) in enumerate(amounts):
            target = other if position else each
            np.divide(self._free(resource), amount, out=target)
            unlisted = self._not_listed(resource)
            if unlisted is not None:
                target[:, unlisted] = np.inf
            if position:
                np.minimum(each, other, out=each)
        np.floor(each, out=each)
        np.maximum(each, 0.0, out=each)
        return each.sum(axis=0) + self._unbounded

    def _free(self, resource: str) -> Floats:
        packed = self._packed.get(resource)
        return packed if packed is not None else self._base(resource)

    def _base(self, resource: str) -> Floats:
        dense = self._columns.get(resource)
        if dense is None:
            dense = self._columns[resource] = np.full((self._depth, self._nodes), float(NOT_LISTED))
            for start, rows in zip(self._starts, self._shards, strict=False):
                if rows is not None:
                    self._fill(dense, start, rows, resource)
        return dense

    @staticmethod
    def _fill(dense: Floats, start: int, rows: ZoneRows, resource: str) -> None:
        values = rows.available.get(resource)
        if values is not None:
            dense[rows.rank, rows.node + start] = values

    def _not_listed(self, resource: str) -> Bools | None:
        """Nodes that align and list it in no zone, where that does no harm; None for none."""
        if resource not in self._unlisted:
            unlisted = None
            if is_ignorable(resource):
                unlisted = self._aligned & (self._base(resource) < 0).all(axis=0)
            self._unlisted[resource] = unlisted if unlisted is not None and unlisted.any() else None
        return self._unlisted[resource]

    def _in_turn(
        self, starting: Sequence[Amounts], running: Sequence[Amounts], limit: Floats, *, keep: bool
    ) -> Floats:
        """Per node, how many replicas up to `limit` find zones one after the other; kept when asked."""
        rows = np.flatnonzero(limit >= 1)
        names = sorted({name for each in (*starting, *running) for name, _ in each})
        free = {name: self._free(name)[:, rows] for name in names}
        for name in names:
            unlisted = self._not_listed(name)
            if unlisted is not None:
                free[name][:, unlisted[rows]] = np.inf
        placed = np.zeros(self._nodes)
        placed[rows] = _Turn(free, limit[rows]).run(starting, running)
        if keep:
            for name in {name for each in running for name, _ in each}:
                if name not in self._packed:
                    self._packed[name] = self._base(name).copy()
                self._packed[name][:, rows] = free[name]
        return placed


class _Turn:
    """Replicas put into zones, on many nodes at once. free: [zone, node] by resource; it is lowered.

    As long as each container goes where it went before, the zones below it stay too full for it: so many
    replicas as its zones still hold follow at once, and each such stretch ends with a zone that is full.
    """

    def __init__(self, free: dict[str, Floats], most: Floats) -> None:
        self._free = free
        self._most = most
        self._depth = max((len(each) for each in free.values()), default=0)
        self._endless = {name for name, each in free.items() if np.isinf(each).any()}

    def run(self, starting: Sequence[Amounts], running: Sequence[Amounts]) -> Floats:
        """Replicas placed by node. Ends: each time some node places one, and none more than was asked for."""
        left = self._most.copy()
        while True:
            goes, used = self._stretch(starting, running, left >= 1)
            if not goes.any():
                return self._most - left
            follow = np.where(goes, left, 0.0)
            for name, zones in used.items():
                for zone, amounts in enumerate(zones):
                    np.minimum(follow, _times(self._free[name][zone], amounts), out=follow)
            for each in starting:
                np.minimum(follow, self._starts(each, used), out=follow)
            for name, amounts in used.items():
                self._free[name] -= amounts * follow
            left -= follow

    def _stretch(
        self, starting: Sequence[Amounts], running: Sequence[Amounts], goes: Bools
    ) -> tuple[Bools, dict[str, Floats]]:
        """(nodes that take one more replica, what it takes there of every zone)."""
        for amounts in starting:
            goes = goes & ~self._put(amounts, goes, self._free)
        after = {name: self._free[name].copy() for each in running for name, _ in each}
        for amounts in running:
            goes = goes & ~self._put(amounts, goes, after, after)
        used: dict[str, Floats] = {}
        for name, each in after.items():
            if name in self._endless:
                # Infinite is what no zone lists: nothing is taken of it.
                listed = np.isfinite(each)
                used[name] = np.subtract(self._free[name], each, out=np.zeros_like(each), where=listed)
            else:
                used[name] = self._free[name] - each
        return goes, used

    def _put(
        self,
        amounts: Amounts,
        where: Bools,
        free: dict[str, Floats],
        lowered: dict[str, Floats] | None = None,
    ) -> Bools:
        """The lowest zone that has all of it, on the nodes of `where`; returns where there is none."""
        homeless = where
        for zone in range(self._depth):
            suits = homeless
            for name, amount in amounts:
                suits = suits & (free[name][zone] >= amount)
            if lowered is not None:
                for name, amount in amounts:
                    lowered[name][zone] -= suits * float(amount)
            homeless = homeless & ~suits
        return homeless

    def _starts(self, amounts: Amounts, used: dict[str, Floats]) -> Floats:
        """How many replicas in a row find a zone for an init container, which gives back what it takes."""
        best = np.zeros(len(self._most))
        for zone in range(self._depth):
            follow = np.full(len(self._most), np.inf)
            for name, amount in amounts:
                spare = self._free[name][zone] - amount
                times = _times(spare, used[name][zone]) + 1 if name in used else np.inf
                np.minimum(follow, np.where(spare >= 0, times, 0.0), out=follow)
            np.maximum(best, follow, out=best)
        return best


def _times(free: Floats, taken: Floats) -> Floats:
    """How often a zone gives what is taken of it; infinite where nothing is."""
    times = np.full(free.shape, np.inf)
    np.divide(free, taken, out=times, where=taken > 0)
    return np.floor(times, out=times)
