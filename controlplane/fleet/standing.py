"""What pods of workloads ask for where they stand: by workload, then by what their nodes have in common."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from controlplane.fleet.label_sets import LabelSet
from controlplane.fleet.reported import Slot
from controlplane.fleet.rows import MOST, NodeRows, UsageRows

_Asked = dict[LabelSet, dict[str, int]]


@dataclass(frozen=True, eq=False)
class OnNodes:
    """`amounts` of pods, `pods` among them, on nodes that say `label_set`."""

    label_set: LabelSet
    amounts: Mapping[str, int]


Stands = tuple[OnNodes, ...]


class Standing:
    """Of one cluster, by the usage in effect. Shards that say the same as before are not counted again."""

    def __init__(self) -> None:
        self._shards: dict[int, tuple[NodeRows, UsageRows, dict[str, _Asked]]] = {}
        self._found: dict[str, Stands] = {}
        self._changed: set[str] = set()

    def take_changed(self) -> set[str]:
        """Workloads of which something changed since this was last asked."""
        changed, self._changed = self._changed, set()
        return changed

    def of(self, slots: Iterable[tuple[int, Slot]]) -> Mapping[str, Stands]:
        """By workload; the same object for a workload as long as nothing of it changed. Do not change it."""
        touched: set[str] = set()
        present: set[int] = set()
        for index, slot in slots:
            nodes, usage = slot.nodes, slot.usage
            if nodes is None or usage is None or usage.nodes != len(nodes):
                continue
            present.add(index)
            held = self._shards.get(index)
            if held is not None and held[0] is nodes and held[1] is usage:
                continue
            counted = _counted(nodes, usage)
            before = held[2] if held is not None else {}
            touched |= {
                each for each in before.keys() | counted.keys() if before.get(each) != counted.get(each)
            }
            self._shards[index] = nodes, usage, counted
        for index in self._shards.keys() - present:
            touched |= self._shards.pop(index)[2].keys()
        for workload in touched:
            self._merge(workload)
        self._changed |= touched
        return self._found

    def _merge(self, workload: str) -> None:
        merged: _Asked = {}
        for _, _, counted in self._shards.values():
            for label_set, amounts in counted.get(workload, {}).items():
                sums = merged.setdefault(label_set, {})
                for resource, amount in amounts.items():
                    sums[resource] = min(sums.get(resource, 0) + amount, MOST)
        if merged:
            self._found[workload] = tuple(OnNodes(*each) for each in merged.items())
        else:
            self._found.pop(workload, None)


def _counted(nodes: NodeRows, usage: UsageRows) -> dict[str, _Asked]:
    if not usage.pods_replicas.size:
        return {}
    classes, requests = len(nodes.classes), len(usage.requests)
    of_pod = nodes.codes.astype(np.int64)[usage.pods_node]
    mixed = (usage.pods_key.astype(np.int64) * classes + of_pod) * requests + usage.pods_requests
    distinct, at = np.unique(mixed, return_inverse=True)
    sums_of: list[float] = np.bincount(at, weights=usage.pods_replicas).tolist()
    codes: list[int] = distinct.tolist()
    found: dict[str, _Asked] = {}
    for code, pods in zip(codes, map(int, sums_of), strict=True):
        if not pods:
            continue
        rest, number = divmod(code, requests)
        key, kind = divmod(rest, classes)
        of_workload = found.setdefault(usage.keys[key][0], {})
        sums = of_workload.setdefault(nodes.classes[kind].label_set, {})
        for resource, amount in usage.requests[number].items():
            sums[resource] = min(sums.get(resource, 0) + amount * pods, MOST)
    return found
