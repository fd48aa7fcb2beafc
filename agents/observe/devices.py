"""Devices of DRA: how many of each class a node has, and who has been given some. Pure but for what it says.

A pool counts once all slices of its newest generation are here. A class counts under the name that Kubernetes
gives it as a resource. On a node with a device of which its selectors cannot tell, it does not count.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import structlog

from agents.observe.device_shapes import ClaimRow, DeviceKey, DeviceRow, NamedKey, PoolKey, Seen, SliceRow
from agents.observe.keyed import Rows
from agents.observe.rows import PodKey
from agents.observe.selecting import CannotEvaluate, Selector
from schemas.wire.hardware import DEVICE_CLASS_RESOURCE

MOST_SELECTORS = 1_000
_NOBODY: PodKey = ("", "")
_log = structlog.get_logger()
K = TypeVar("K", PodKey, str)
_OnNode = tuple[str, dict[str, int]]


class Devices:
    """Tables of slices, classes and claims; `catch_up` works out what follows from what changed in them.

    changed, classes_changed: called at every change, before it is caught up with.
    """

    def __init__(self, changed: Callable[[], None], classes_changed: Callable[[], None]) -> None:
        self._changed = changed
        self._classes_changed = classes_changed
        self.slices = Rows[str, SliceRow](self._slice_changed)
        self.classes = Rows[str, tuple[str, ...]](self._class_changed)
        self.claims = Rows[NamedKey, ClaimRow](self._claim_changed)
        self.on_node: dict[str, Counter[str]] = {}
        self.held: dict[PodKey, Counter[str]] = {}
        self.unowned: dict[str, Counter[str]] = {}
        self._slices_of: dict[PoolKey, dict[str, SliceRow]] = {}
        self._pools: dict[PoolKey, dict[str, list[tuple[DeviceRow, tuple[str, ...]]]]] = {}
        self._given: dict[NamedKey, list[tuple[PodKey, _OnNode]]] = {}
        self._claims_on: dict[PoolKey, set[NamedKey]] = {}
        self._due_pools: set[PoolKey] = set()
        self._due_claims: set[NamedKey] = set()
        self._selectors: dict[tuple[str, ...], Selector | None] = {}
        self._told: set[tuple[str, ...]] = set()
        self._where: dict[DeviceKey, _OnNode] = {}

    @property
    def names(self) -> list[str]:
        return sorted(self.classes.rows)

    def catch_up(self) -> tuple[set[str], set[str]]:
        """Names of nodes that have other devices now, and of nodes where others are given out."""
        changed: set[str] = set()
        pools, self._due_pools = self._due_pools, set[PoolKey]()
        for pool in pools:
            changed |= self._recount(pool)
            self._due_claims |= self._claims_on.get(pool, set())
        claims, self._due_claims = self._due_claims, set[NamedKey]()
        usage: set[str] = set()
        for claim in claims:
            usage |= self._withdraw(claim) | self._give(claim)
        return changed, usage

    # What changed.

    def _slice_changed(self, name: str, before: SliceRow | None, after: SliceRow | None) -> None:
        if before is not None:
            del self._slices_of[before.pool][name]
            self._due_pools.add(before.pool)
        if after is not None:
            self._slices_of.setdefault(after.pool, {})[name] = after
            self._due_pools.add(after.pool)
        self._changed()

    def _class_changed(
        self, _name: str, _before: tuple[str, ...] | None, _after: tuple[str, ...] | None
    ) -> None:
        self._due_pools |= self._slices_of.keys()
        self._classes_changed()

    def _claim_changed(self, key: NamedKey, before: ClaimRow | None, after: ClaimRow | None) -> None:
        for pool in {device[:2] for device in before.devices} if before else ():
            self._claims_on[pool].discard(key)
        for pool in {device[:2] for device in after.devices} if after else ():
            self._claims_on.setdefault(pool, set()).add(key)
        self._due_claims.add(key)
        self._changed()

    # What follows.

    def _recount(self, pool: PoolKey) -> set[str]:
        """The nodes whose counts changed."""
        before = self._pools.pop(pool, {})
        for node, devices in before.items():
            _add(self.on_node, node, _sum(devices), -1)
            for device, _ in devices:
                self._where.pop((*pool, device.name), None)
        after = self._classified(pool)
        if after:
            self._pools[pool] = after
        for node, devices in after.items():
            _add(self.on_node, node, _sum(devices), 1)
            for device, resources in devices:
                self._where[(*pool, device.name)] = node, dict.fromkeys(resources, 1)
        if not self._slices_of[pool]:
            del self._slices_of[pool]
        return {
            node
            for node in before.keys() | after.keys()
            if _sum(before.get(node, [])) != _sum(after.get(node, []))
        }

    def _classified(self, pool: PoolKey) -> dict[str, list[tuple[DeviceRow, tuple[str, ...]]]]:
        """Its devices by node, with the resources as which they count."""
        slices = self._slices_of[pool].values()
        newest = max((each.generation for each in slices), default=0)
        current = [each for each in slices if each.generation == newest]
        if not current or len(current) != current[0].slices:
            return {}
        found: dict[str, dict[str, DeviceRow]] = {}
        for device in (device for each in current for device in each.devices):
            found.setdefault(device.node, {})[device.name] = device
        return {node: self._classify(devices.values()) for node, devices in found.items()}

    def _classify(self, devices: Iterable[DeviceRow]) -> list[tuple[DeviceRow, tuple[str, ...]]]:
        listed = list(devices)
        answers = {
            name: [self._answer(name, expressions, device.seen) for device in listed]
            for name, expressions in sorted(self.classes.rows.items())
        }
        told = {name: given for name, given in answers.items() if None not in given}
        return [
            (device, tuple(f"{DEVICE_CLASS_RESOURCE}{name}" for name, given in told.items() if given[index]))
            for index, device in enumerate(listed)
        ]

    def _answer(self, name: str, expressions: tuple[str, ...], seen: Seen) -> bool | None:
        if expressions not in seen.answers:
            seen.answers[expressions] = self._ask(name, expressions, seen)
        return seen.answers[expressions]

    def _ask(self, name: str, expressions: tuple[str, ...], seen: Seen) -> bool | None:
        """None where it cannot be told."""
        try:
            if len(self._selectors) > MOST_SELECTORS:
                self._selectors.clear()
                self._told.clear()
            if expressions not in self._selectors:
                # Kept also where it is none, so that it is tried and told of once.
                self._selectors[expressions] = None
                self._selectors[expressions] = Selector(expressions)
            selector = self._selectors[expressions]
            return selector.matches(seen.view) if selector is not None else None
        except CannotEvaluate as error:
            if expressions not in self._told:
                self._told.add(expressions)
                _log.warning("device_class_not_counted", device_class=name, detail=str(error))
            return None

    def _withdraw(self, claim: NamedKey) -> set[str]:
        given = self._given.pop(claim, [])
        for pod, (node, resources) in given:
            self._charge(pod, node, resources, -1)
        return {node for _, (node, _) in given}

    def _give(self, claim: NamedKey) -> set[str]:
        row = self.claims.rows.get(claim)
        found = [self._where[device] for device in row.devices if device in self._where] if row else []
        if row is None or not found:
            return set()
        self._given[claim] = [(row.pod, each) for each in found]
        for node, resources in found:
            self._charge(row.pod, node, resources, 1)
        return {node for node, _ in found}

    def _charge(self, pod: PodKey, node: str, resources: Mapping[str, int], sign: int) -> None:
        if pod == _NOBODY:
            _add(self.unowned, node, resources, sign)
        else:
            _add(self.held, pod, resources, sign)


def _sum(devices: list[tuple[DeviceRow, tuple[str, ...]]]) -> Counter[str]:
    return Counter(resource for _, resources in devices for resource in resources)


def _add(table: dict[K, Counter[str]], key: K, resources: Mapping[str, int], sign: int) -> None:
    counted = table.setdefault(key, Counter())
    for resource, amount in resources.items():
        counted[resource] += sign * amount
        if not counted[resource]:
            del counted[resource]
    if not counted:
        del table[key]
