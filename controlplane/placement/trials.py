"""Deciding over a fleet: what is to be decided, and whatever somebody wants to try beside it."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controlplane.fleet import Demand
from controlplane.interpreters import Interpretation
from controlplane.placement.asking import Ask, Room
from controlplane.placement.hardware import Needs
from controlplane.placement.measures import Measured, Sources, measured
from controlplane.placement.place import place
from controlplane.placement.rooms import Rooms, asked_in, rooms
from controlplane.placement.rules import ClusterView, Decision, Refused
from controlplane.placement.score import needed
from schemas.wire.reports import Taint

MOST_TAINTS = 10


@dataclass(frozen=True)
class Trials:
    """Of one workload. It is what `asking.Asking` describes.

    plain: by cluster id, how many replicas fit, where no nodes are told of. silent: clusters that cannot be
    reached, and are given nothing more.
    """

    sources: Sources
    interpretation: Interpretation
    needs: tuple[Needs, ...]
    plain: Mapping[str, int] = field(default_factory=dict[str, int])
    silent: Collection[str] = ()

    def decide(self, ask: Ask) -> Decision:
        """Parts of the score that have no weight cost nothing."""
        if not self.interpretation.components:
            return place(ask.request, ask.views, [0] * len(ask.views))
        found = self._rooms(ask, ask.views)
        parts = needed(ask.request)
        request = ask.request
        if parts:
            request = replace(request, measures=self._measured(ask, found, parts).values)
        return place(request, found.views, found.available, found.matching)

    def measured(self, ask: Ask, parts: Sequence[str]) -> Measured:
        if not self.interpretation.components:
            found = Rooms(list(ask.views), [0] * len(ask.views), [1] * len(ask.views))
        else:
            found = self._rooms(ask, ask.views)
        return self._measured(ask, found, parts)

    def room(self, ask: Ask, view: ClusterView) -> Room:
        if not self.interpretation.components:
            return Room(view, 0, 1)
        found = self._rooms(ask, [view])
        return Room(found.views[0], found.available[0], found.matching[0])

    def demands(self, ask: Ask, view: ClusterView) -> Sequence[Demand]:
        asked = asked_in(self._needs(ask), self.interpretation, view)
        return () if isinstance(asked, Refused) else [ask.varied(each.demand) for each in asked]

    def node_taints(self, view: ClusterView) -> Sequence[Taint]:
        return self.sources.fleet.repelling_taints(view.id, MOST_TAINTS)

    def largest(self, view: ClusterView, demand: Demand, resource: str) -> int:
        return self.sources.fleet.largest_free(view.id, demand, resource)

    def _rooms(self, ask: Ask, views: Sequence[ClusterView]) -> Rooms:
        needs = self._needs(ask)
        found = rooms(self.sources.fleet, needs, self.interpretation, views, ask.varied)
        if self.plain or self.silent:
            for index, view in enumerate(found.views):
                if view.id in self.silent:
                    found.available[index] = 0
                elif view.id in self.plain and not view.lacks:
                    found.available[index], found.matching[index] = self.plain[view.id], 1
        return found

    def _measured(self, ask: Ask, found: Rooms, parts: Sequence[str]) -> Measured:
        asked: Counter[str] = Counter()
        of_a_set = self.interpretation.is_set
        for component in self.interpretation.components:
            times = component.replicas if of_a_set else 1
            asked.update({name: amount * times for name, amount in component.demand.requests})
        first = next(iter(self.interpretation.components), None)
        demand = None if first is None or of_a_set else first.demand
        return measured(self.sources, ask.request, demand, asked, found.views, found.available, parts)

    def _needs(self, ask: Ask) -> tuple[Needs, ...]:
        if not ask.without:
            return self.needs
        dropped: dict[str, object] = {}
        if "isolation" in ask.without:
            dropped |= {"isolation": ""}
        if "networks" in ask.without:
            dropped |= {"networks": ()}
        if "device_class" in ask.without:
            dropped |= {"device_class": "", "devices": 0}
        return tuple(replace(each, **dropped) for each in self.needs)  # pyright: ignore[reportArgumentType]
