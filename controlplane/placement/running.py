"""What of a workload runs now, as a Fleet file tells it: how it was asked for, and which nodes it is on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.fleet import Demand
from controlplane.fleet.demand import untolerated
from controlplane.interpreters import Kinds, NotUnderstood, interpret
from controlplane.placement.needs import needs_of
from controlplane.placement.overriding import Variants
from controlplane.placement.rooms import asked_in
from controlplane.placement.rules import ClusterView, Refused
from schemas import manifests
from schemas.wire.reports import Taint

WORKLOAD = "running"
"""Its name in the fleet on paper, whatever the file's uid."""


@dataclass(frozen=True)
class Running:
    """The revision that runs. whole: it is placed as sets, of which a file does not tell the nodes."""

    variants: Variants
    whole: bool

    @classmethod
    def of(cls, running: manifests.Workload, planned: manifests.Workload, kinds: Kinds) -> "Running":
        """NotUnderstood names the field of the Fleet file."""
        name = planned.metadata.name
        if running.metadata.name != name:
            found = running.metadata.name
            raise NotUnderstood(f"spec.running.metadata.name: {found!r}, and {name!r} is planned")
        try:
            interpretation = interpret(running.spec.manifests, kinds)
            needs = needs_of(running.spec, interpretation.components)
            variants = Variants.of(running.spec, interpretation, needs, kinds)
        except NotUnderstood as error:
            raise NotUnderstood(f"spec.running.{error}") from error
        return cls(variants, interpretation.is_set)

    def demands_in(self, view: ClusterView) -> tuple[Demand, ...] | Refused:
        """Of its components in that cluster, or what is not there any more."""
        variant = self.variants.or_refused(view)
        if isinstance(variant, Refused):
            return variant
        asked = asked_in(variant.needs, variant.interpretation, view)
        return asked if isinstance(asked, Refused) else tuple(each.demand for each in asked)


@dataclass(frozen=True)
class Held:
    """`replicas` pods in one cluster, each asking for this."""

    replicas: int
    demand: Demand

    def on(
        self, nodes: Sequence[manifests.FleetNodes], requested: Sequence[Mapping[str, int]]
    ) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """How many stand on each node, in the order of the file; requested: by make.

        As the file says; where it does not, spread evenly over the nodes that take them, as far as what is
        requested there can be theirs.
        """
        counts = [each.count for each in nodes]
        if any(each.placed is not None for each in nodes):
            return np.repeat(np.array([each.placed or 0 for each in nodes], np.int64), counts)
        most = [self._most(each, asked) for each, asked in zip(nodes, requested, strict=True)]
        return _spread(self.replicas, np.repeat(np.array(most, np.int64), counts))

    def _most(self, node: manifests.FleetNodes, requested: Mapping[str, int]) -> int:
        demand = self.demand
        taints = [Taint(each.key, each.effect, each.value) for each in node.taints]
        if untolerated(taints, demand.tolerations) is not None:
            return 0
        if demand.unmet(node.labels, node.features, node.runtime_handlers) is not None:
            return 0
        stated = [
            requested[name] // amount for name, amount in demand.requests if amount and name in requested
        ]
        return min([self.replicas, *stated]) if requested else 0


def _spread(
    count: int, most: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """One each, in rounds, until all are given or no node takes more."""
    if count >= int(most.sum()):
        return most
    low, high = 0, int(most.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(most, middle).sum()) <= count:
            low = middle
        else:
            high = middle - 1
    given = np.minimum(most, low)
    left = count - int(given.sum())
    given[np.flatnonzero(most > low)[:left]] += 1
    return given
