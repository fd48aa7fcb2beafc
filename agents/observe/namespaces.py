"""Pods by namespace: what is no workload of Muster's, and what a ResourceQuota would refuse. Pure.

Counted as pods come and go, so that a report costs by namespaces and not by pods.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest, nsmallest

from agents.observe.rows import PodKey, PodRow
from schemas.wire.reports import MOST_NAMESPACES, MOST_RESOURCES, Foreign, Namespace, Namespaces, Unset

MOST_NAMED = 5
MOST_NAMES_BYTES = 200_000
"""Of all names of pods in one report: beyond, they are counted only."""
MOST_ROWS = 8_000
MOST_CELLS = 200_000
_POD = "pods"
_NOWHERE = ""
"""The profile of nodes that are not known, and of pods that stand on none."""


@dataclass
class _Sum:
    pods: int = 0
    amounts: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, asks: Mapping[str, int], sign: int) -> None:
        self.pods += sign
        for resource, amount in asks.items():
            left = self.amounts.get(resource, 0) + sign * amount
            if left:
                self.amounts[resource] = left
            else:
                self.amounts.pop(resource, None)


Pods = Mapping[PodKey, PodRow]


class NamespaceSums:
    """`changed`: whether there may be something to report since `report` was called last."""

    def __init__(self) -> None:
        self.changed = True
        self._foreign: dict[str, dict[str, _Sum]] = {}
        self._unset: dict[str, dict[tuple[str, ...], dict[str, None]]] = {}
        self._told: dict[str, list[Unset]] = {}
        self._profiles: dict[str, str] = {}
        self._ours: set[str] = set()

    def pod_changed(self, key: PodKey, before: PodRow | None, after: PodRow | None) -> None:
        if before is not None:
            self._count(key, before, -1)
            self._name(key, before, here=False)
        if after is not None:
            self._count(key, after, 1)
            self._name(key, after, here=True)

    def node_changed(self, name: str, profile: str | None, pods: Pods) -> None:
        """profile: None once the node is gone. pods: those that stand on it."""
        if self._profiles.get(name) == profile:
            return
        for key, row in pods.items():
            self._count(key, row, -1)
        if profile is None:
            self._profiles.pop(name, None)
        else:
            self._profiles[name] = profile
        for key, row in pods.items():
            self._count(key, row, 1)

    def ordered(self, workloads: Iterable[str], pods_of: Mapping[str, Pods]) -> None:
        """These have been ordered here: pods of others are nobody's, whatever label they bear."""
        for workload in self._ours.symmetric_difference(workloads):
            pods = pods_of.get(workload, {})
            for key, row in pods.items():
                self._count(key, row, -1)
            self._ours ^= {workload}
            for key, row in pods.items():
                self._count(key, row, 1)

    def report(self) -> Namespaces:
        """Unstamped. Namespaces with the most such pods are told first where there are too many."""
        self.changed = False
        names = self._foreign.keys() | self._unset.keys()
        for gone in self._told.keys() - names:
            del self._told[gone]
        chosen = nlargest(MOST_NAMESPACES, sorted(names), key=self._size) if names else []
        rows = {name: self._foreign.get(name, {}) for name in sorted(chosen)}
        most = max(1, MOST_ROWS // max(1, len(rows)))
        if sum(map(len, rows.values())) > MOST_ROWS:
            rows = {name: _joined(sums, most) for name, sums in rows.items()}
        resources = _resources(rows.values())
        profiles = sorted({profile for sums in rows.values() for profile in sums})
        at = {profile: index for index, profile in enumerate(profiles)}
        budget = _Budget(MOST_NAMES_BYTES)
        return Namespaces(
            incarnation=0,
            sequence=0,
            profiles=profiles,
            resources=resources,
            namespaces=[
                Namespace(
                    name,
                    [
                        Foreign(at[profile], each.pods, [each.amounts.get(one, 0) for one in resources])
                        for profile, each in sorted(sums.items())
                    ],
                    [budget.taken(each) for each in self._unset_in(name)],
                )
                for name, sums in rows.items()
            ],
            left_out=len(names) - len(rows),
        )

    def _size(self, namespace: str) -> int:
        return sum(each.pods for each in self._foreign.get(namespace, {}).values())

    def _unset_in(self, namespace: str) -> list[Unset]:
        """Kept until a pod there comes or goes: the first few of very many names are not sought each time."""
        found = self._told.get(namespace)
        if found is None:
            held = self._unset.get(namespace, {})
            found = self._told[namespace] = []
            for resource in sorted({each for lacking in held for each in lacking}):
                pods = [names for lacking, names in held.items() if resource in lacking]
                first = nsmallest(MOST_NAMED, (name for names in pods for name in names))
                found.append(Unset(resource, sum(map(len, pods)), first))
        return found

    def _count(self, key: PodKey, row: PodRow, sign: int) -> None:
        if row.finished or row.workload in self._ours:
            return
        self.changed = True
        namespace, profile = key[0], self._profiles.get(row.node, _NOWHERE)
        sums = self._foreign.setdefault(namespace, {})
        each = sums.setdefault(profile, _Sum())
        each.add(row.asks, sign)
        if not each.pods:
            del sums[profile]
            if not sums:
                del self._foreign[namespace]

    def _name(self, key: PodKey, row: PodRow, *, here: bool) -> None:
        if row.finished or not row.unset:
            return
        self.changed = True
        namespace, name = key
        self._told.pop(namespace, None)
        held = self._unset.setdefault(namespace, {})
        names = held.setdefault(row.unset, {})
        if here:
            names[name] = None
            return
        names.pop(name, None)
        if not names:
            del held[row.unset]
            if not held:
                del self._unset[namespace]


@dataclass
class _Budget:
    left: int

    def taken(self, unset: Unset) -> Unset:
        self.left -= sum(map(len, unset.names))
        return unset if self.left >= 0 else Unset(unset.resource, unset.pods, [])


def _joined(sums: Mapping[str, _Sum], most: int) -> dict[str, _Sum]:
    """The largest apart; what more there is, as if its nodes were not known."""
    if len(sums) <= most:
        return dict(sums)
    kept = nlargest(most - 1, sorted(sums), key=lambda profile: sums[profile].pods)
    found = {profile: sums[profile] for profile in kept if profile != _NOWHERE}
    rest = found[_NOWHERE] = _Sum()
    for profile, each in sums.items():
        if profile not in found or profile == _NOWHERE:
            rest.pods += each.pods
            for resource, amount in each.amounts.items():
                rest.amounts[resource] = rest.amounts.get(resource, 0) + amount
    return found


def _resources(rows: Collection[Mapping[str, _Sum]]) -> list[str]:
    """Without pods, which are counted anyway. Those that most ask for are kept where there are too many."""
    named: dict[str, int] = {}
    count = 0
    for sums in rows:
        for each in sums.values():
            count += 1
            for resource in each.amounts:
                named[resource] = named.get(resource, 0) + 1
    named.pop(_POD, None)
    most = min(MOST_RESOURCES, max(16, MOST_CELLS // max(1, count)))
    return sorted(nsmallest(most, named, key=lambda resource: (-named[resource], resource)))
