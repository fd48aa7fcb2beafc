"""Deciding over a fleet: what is to be decided, and whatever somebody wants to try beside it."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controlplane.fleet import Demand
from controlplane.fleet.demand import EVERYWHERE
from controlplane.interpreters import Interpretation
from controlplane.interpreters.interpretation import Component
from controlplane.interpreters.pods import mapping, sequence
from controlplane.placement.asking import Ask, Room, Written
from controlplane.placement.hardware import resolve
from controlplane.placement.measures import Measured, Sources, measured
from controlplane.placement.needs import Needs
from controlplane.placement.overriding import Variants
from controlplane.placement.place import place
from controlplane.placement.rooms import Asked, Rooms, ShapeIn, asked_in, rooms
from controlplane.placement.rules import ClusterView, Decision, Division, Refused
from controlplane.placement.score import needed
from schemas.reasons import Reason
from schemas.wire.reports import Taint

MOST_TAINTS = 10


@dataclass(frozen=True)
class Trials:
    """Of one workload. It is what `asking.Asking` describes.

    plain: by cluster id, how many replicas fit, where no nodes are told of. silent: clusters that cannot be
    reached, and are given nothing more. variants: what it is where overrides apply.
    """

    sources: Sources
    interpretation: Interpretation
    needs: tuple[Needs, ...]
    variants: Variants | None = None
    plain: Mapping[str, int] = field(default_factory=dict[str, int])
    silent: Collection[str] = ()

    def decide(self, ask: Ask) -> Decision:
        """Parts of the score that have no weight cost nothing."""
        if not self.interpretation.components:
            return place(ask.request, self._views(ask), [0] * len(ask.views))
        found = self._rooms(ask, ask.views)
        parts = needed(ask.request)
        request = ask.request
        if parts:
            request = replace(request, measures=self._measured(ask, found, parts).values)
        decision = place(request, found.views, found.available, found.matching)
        return self._as_overridden(ask, self._with_absent(ask, decision))

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

    def asked(self, ask: Ask, view: ClusterView) -> Asked | Refused:
        """What it comes to in one cluster, before anything is varied."""
        shape_in = self._shape_in(ask)
        shape = self._shape(ask) if shape_in is None else shape_in(view)
        return shape if isinstance(shape, Refused) else asked_in(*shape, view)

    def demands(self, ask: Ask, view: ClusterView) -> Sequence[Demand]:
        asked = self.asked(ask, view)
        return () if isinstance(asked, Refused) else [ask.varied(each.demand) for each in asked]

    def written(self, ask: Ask, view: ClusterView) -> Sequence[Written]:
        shape_in = self._shape_in(ask)
        shape = self._shape(ask) if shape_in is None else shape_in(view)
        if isinstance(shape, Refused):
            return ()
        found: list[Written] = []
        needs, interpretation = shape
        several = len(interpretation.components) > 1
        for need, component in zip(needs, interpretation.components, strict=True):
            added = resolve(need, Demand.of({}), view)
            if isinstance(added, Refused):
                return ()
            name = component.name if several else ""
            requests = dict(component.demand.requests)
            found.append(Written(name, _containers(component), requests, added.demand))
        return found

    def node_taints(self, view: ClusterView) -> Sequence[Taint]:
        return self.sources.fleet.repelling_taints(view.id, MOST_TAINTS)

    def largest(self, view: ClusterView, demand: Demand, resource: str) -> int:
        return self.sources.fleet.largest_free(view.id, demand, resource)

    def _rooms(self, ask: Ask, views: Sequence[ClusterView]) -> Rooms:
        needs, interpretation = self._shape(ask)
        shape_in = self._shape_in(ask)
        found = rooms(self.sources.fleet, needs, interpretation, views, ask.varied, shape_in)
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

    def _shape_in(self, ask: Ask) -> ShapeIn | None:
        """None where it is the same in every cluster."""
        variants = self.variants
        if variants is None or variants.everywhere_alike:
            return None

        def shape_in(view: ClusterView) -> tuple[Sequence[Needs], Interpretation] | Refused:
            variant = variants.or_refused(view)
            if isinstance(variant, Refused):
                return variant
            interpretation = variant.interpretation
            if ask.at_most:
                interpretation = lowered.setdefault(id(interpretation), _lowered(ask, interpretation))
            return self._dropped(ask, variant.needs), interpretation

        lowered: dict[int, Interpretation] = {}
        return shape_in

    def _views(self, ask: Ask) -> Sequence[ClusterView]:
        """With what they lack, for objects without pods."""
        shape_in = self._shape_in(ask)
        if shape_in is None:
            return ask.views
        shapes = [shape_in(view) for view in ask.views]
        return [
            replace(view, lacks=(shape,)) if isinstance(shape, Refused) else view
            for view, shape in zip(ask.views, shapes, strict=True)
        ]

    def _as_overridden(self, ask: Ask, decision: Decision) -> Decision:
        """How many replicas a duplicated workload has may be overridden by cluster."""
        shape_in = self._shape_in(ask)
        divided = ask.request.division is not Division.DUPLICATED
        if shape_in is None or divided or self.interpretation.is_set or ask.request.bounds:
            return decision
        assigned = dict(decision.assignments)
        for view in ask.views:
            shape = shape_in(view) if view.id in assigned else None
            if shape is not None and not isinstance(shape, Refused):
                assigned[view.id] = shape[1].replicas
        return replace(decision, assignments=assigned)

    def _with_absent(self, ask: Ask, decision: Decision) -> Decision:
        """Where no node has any of a resource that is asked for, "no room" says so."""
        common = self._needs(ask) if self._shape_in(ask) is None else None
        asked = None
        if common is not None and all(each.everywhere_alike for each in common):
            asked = _special(self.demands(ask, ask.views[0])) if ask.views else []
            if not asked:
                return decision
        refusals = dict(decision.refusals)
        lacking: dict[str, frozenset[str]] = {}
        for view in ask.views:
            refused = refusals.get(view.id, ())
            if len(refused) != 1 or refused[0].reason is not Reason.INSUFFICIENT_CAPACITY:
                continue
            if decision.available.get(view.id):
                continue
            names = asked if asked is not None else _special(self.demands(ask, view))
            absent = self.sources.fleet.absent(view.id, names)
            lacking[view.id] = frozenset(absent)
            if absent:
                refusals[view.id] = (_absent(refused[0], "none of its nodes has", absent),)
        error = decision.error
        if error is not None and error.reason is Reason.INSUFFICIENT_CAPACITY and decision.scores:
            nothing: frozenset[str] = frozenset()
            everywhere = [lacking.get(cluster, nothing) for cluster in decision.scores]
            nowhere = sorted(nothing.union(*everywhere).intersection(*everywhere))
            if nowhere:
                error = _absent(error, "no node there has", nowhere)
        return replace(decision, refusals=refusals, error=error)

    def _shape(self, ask: Ask) -> tuple[tuple[Needs, ...], Interpretation]:
        """Where it is the same in every cluster."""
        return self._needs(ask), _lowered(ask, self.interpretation)

    def _needs(self, ask: Ask) -> tuple[Needs, ...]:
        return self._dropped(ask, self.needs)

    @staticmethod
    def _dropped(ask: Ask, needs: tuple[Needs, ...]) -> tuple[Needs, ...]:
        if not ask.without:
            return needs
        dropped: dict[str, object] = {}
        if "isolation" in ask.without:
            dropped |= {"isolation": ""}
        if "networks" in ask.without:
            dropped |= {"networks": ()}
        if "device_class" in ask.without:
            dropped |= {"device_class": "", "devices": 0}
        return tuple(replace(each, **dropped) for each in needs)  # pyright: ignore[reportArgumentType]


def _lowered(ask: Ask, interpretation: Interpretation) -> Interpretation:
    if not ask.at_most:
        return interpretation
    most = dict(ask.at_most)
    components = tuple(
        replace(
            each,
            demand=replace(
                each.demand,
                requests=tuple(
                    (name, min(amount, most.get(name, amount))) for name, amount in each.demand.requests
                ),
            ),
        )
        for each in interpretation.components
    )
    return replace(interpretation, components=components)


def _containers(component: Component) -> int:
    spec = mapping(component.pod.get("spec"), component.path)
    return sum(len(sequence(spec.get(part), part)) for part in ("containers", "initContainers"))


def _special(demands: Sequence[Demand]) -> list[str]:
    """Resources that not every node has."""
    return sorted({name for each in demands for name, _ in each.requests} - EVERYWHERE)


def _absent(refused: Refused, where: str, resources: Sequence[str]) -> Refused:
    return replace(refused, message=f"{refused.message}: {where} {', '.join(resources)}")
