"""Nodes that a node autoscaler may add: declared by the operator, counted after the nodes that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from controlplane.fleet.label_sets import LabelSet
from controlplane.fleet.reported import Reported
from controlplane.fleet.rows import MOST, NodeClass, NodeRows, UsageRows
from schemas.wire.reports import Taint

MOST_NODES = 10_000
"""That may be declared of one cluster."""
_NAME = "\1headroom"
"""No node is called so."""


@dataclass(frozen=True)
class Make:
    """`count` more nodes than the `present` that had its labels when it was declared may come to be.

    What has come since is taken off. allocatable: cpu in millicores, everything else in units.
    """

    count: int
    allocatable: Mapping[str, int]
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: tuple[Taint, ...] = ()
    features: Mapping[str, str] = field(default_factory=dict[str, str])
    handlers: tuple[str, ...] = ()
    present: int = 0

    def left(self, now: int) -> int:
        """How many may still come, where `now` nodes have its labels."""
        return max(0, self.count - max(0, now - self.present))


def nodes_with(reported: Reported, labels: Mapping[str, str]) -> int:
    """How many nodes that are reported have all of these labels."""
    wanted = labels.items()
    count = 0
    for _, slot in reported.shards():
        if slot.nodes is not None:
            has = [wanted <= each.label_set.labels.items() for each in slot.nodes.classes]
            count += int(np.array(has, np.bool_)[slot.nodes.codes].sum()) if has else 0
    return count


def shard_of(makes: Sequence[Make], reported: Reported) -> tuple[NodeRows, UsageRows] | None:
    """What is left of them as one more shard, of which nothing is used; None where nothing is left."""
    left = [make.left(nodes_with(reported, make.labels)) for make in makes]
    total = sum(left)
    if not total:
        return None
    codes = np.repeat(np.arange(len(makes), dtype=np.int32), left)
    resources = {name for make in makes for name in make.allocatable}
    nodes = NodeRows(
        stamp=(0, 0),
        epoch=0,
        names=[f"{_NAME}-{number}" for number in range(total)],
        classes=tuple(_class_of(make) for make in makes),
        codes=codes,
        allocatable={
            name: np.array([min(make.allocatable.get(name, 0), MOST) for make in makes], np.int64)[codes]
            for name in resources
        },
    )
    return nodes, _unused(total)


def _class_of(make: Make) -> NodeClass:
    label_set = LabelSet(_NAME, make.labels, make.features, make.handlers)
    return NodeClass(label_set, make.taints, ("Ready",))


def _unused(nodes: int) -> UsageRows:
    nothing = np.zeros(0, np.int32)
    return UsageRows(
        stamp=(0, 0),
        epoch=0,
        nodes=nodes,
        foreign={},
        used={},
        bound={},
        bound_of={},
        keys=(),
        pods_key=nothing,
        pods_node=nothing,
        pods_replicas=np.zeros(0, np.int64),
        pods_requests=nothing,
        requests=(),
    )
