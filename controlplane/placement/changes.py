"""The smallest changes that would let a workload run: in one cluster, and as a whole. Each one is tried.

Nothing is proposed that was not decided on anew and found to work.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import islice, product

from controlplane.placement.asking import Ask, Asking
from controlplane.placement.filters import refusals
from controlplane.placement.rules import ClusterView, Decision, Division, Spread
from controlplane.placement.steps import (
    Step,
    StepKind,
    cluster_steps,
    node_steps,
    rounded,
    write_less,
)
from controlplane.placement.wording import counted
from schemas.reasons import Reason

MOST_SHOWN = 3
MOST_CLUSTERS = 200
"""So many clusters that are left out are looked at; of more, nobody reads the answer."""
_MOST_TRIED_IN_CLUSTER = 24
_MOST_TRIED = 24
_MOST_JUDGED = 100
_NOT_TRIED = "it was not tried whether the workload can be placed then"
_LOWERED = {"cpu": 1, "memory": 2**20}
"""Resources of which less might be asked, and in what units that is looked for."""


@dataclass(frozen=True)
class Change:
    """All of `steps` together. replicas: that fit the cluster then, or that are placed then; 0 where
    the kind has none.

    but: why the workload cannot be placed even then; "" where it can.
    """

    steps: tuple[Step, ...]
    replicas: int
    but: str = ""

    def __str__(self) -> str:
        return ", and ".join(each.text for each in self.steps)


@dataclass
class Search:
    """What is found for a decision; `run` works it out, a cluster or a trial at a time.

    by_cluster: by cluster id. workload: only where the workload cannot be placed.
    """

    asking: Asking
    ask: Ask
    decision: Decision
    by_cluster: dict[str, tuple[Change, ...]] = field(default_factory=dict[str, tuple[Change, ...]])
    workload: tuple[Change, ...] = ()

    def run(self) -> Iterator[None]:
        """Gives way between trials, so that others are not kept waiting."""
        ask = _in_one_group(self.ask, self.decision)
        left_out = [
            view
            for view in ask.views
            if view.id not in self.decision.assignments and _is_out(self.decision, view)
        ]
        for view in left_out[:MOST_CLUSTERS]:
            found = cluster_changes(self.asking, ask, view)
            if found:
                self.by_cluster[view.id] = found
            yield
        if self.decision.error is not None:
            yield from self._judged(ask)
            yield from self._workload(ask)

    def _judged(self, ask: Ask) -> Iterator[None]:
        """What lets a cluster in need not be enough for the workload: then it says what still stands."""
        tried: dict[tuple[Step, ...], str] = {}
        for cluster, changes in self.by_cluster.items():
            for change in changes:
                if change.steps not in tried and len(tried) < _MOST_JUDGED:
                    error = self.asking.decide(_applied(ask, change.steps)).error
                    tried[change.steps] = error.message if error is not None else ""
                    yield
            self.by_cluster[cluster] = tuple(
                replace(each, but=tried.get(each.steps, _NOT_TRIED)) for each in changes
            )

    def _workload(self, ask: Ask) -> Iterator[None]:
        found: dict[tuple[Step, ...], Change] = {}
        for steps in self._candidates():
            changed = _applied(ask, steps)
            decision = self.asking.decide(changed)
            if decision.error is None:
                found[steps] = Change(steps, sum(decision.assignments.values()))
            yield
        for look in (self._fewer_replicas, self._fewer_groups, self._requests):
            for change in look(ask):
                if change is not None:
                    found[change.steps] = change
                yield
        self.workload = ranked(found.values())

    def _candidates(self) -> list[tuple[Step, ...]]:
        """What would help a cluster, the most helpful first; smaller requests are looked for apart."""
        gains: Counter[tuple[Step, ...]] = Counter()
        for changes in self.by_cluster.values():
            for change in changes:
                if not any(step.kind is StepKind.REQUEST_LESS for step in change.steps):
                    gains[change.steps] += change.replicas
        order = sorted(gains, key=lambda steps: (len(steps), -gains[steps], _texts(steps)))
        return order[:_MOST_TRIED]

    def _fewer_replicas(self, ask: Ask) -> Iterator[Change | None]:
        wanted = ask.request.replicas
        if ask.request.division is Division.DUPLICATED or wanted < 2:
            return

        def with_replicas(count: int) -> tuple[Step, ...]:
            text = f"{counted(count, 'replica')} instead of {wanted:,}"
            return (
                Step(
                    StepKind.FEWER_REPLICAS,
                    "replicas",
                    text,
                    apply=lambda ask: replace(ask, request=replace(ask.request, replicas=count)),
                ),
            )

        yield from self._largest(ask, wanted - 1, with_replicas)

    def _fewer_groups(self, ask: Ask) -> Iterator[Change | None]:
        for at, spread in enumerate(ask.request.spread):
            if spread.min_groups > 1:
                yield from self._largest(
                    ask, spread.min_groups - 1, lambda least, at=at, spread=spread: _spread(at, spread, least)
                )

    def _requests(self, ask: Ask) -> Iterator[Change | None]:
        """Of each resource the most that every replica can be placed with."""
        parts = next(filter(None, (self.asking.written(ask, view) for view in ask.views)), ())
        for resource, unit in _LOWERED.items():
            amount = max((each.requests.get(resource, 0) for each in parts), default=0)

            def less(count: int, resource: str = resource) -> tuple[Step, ...]:
                return (write_less(resource, rounded(resource, count), parts),)

            yield from self._largest(ask, amount - 1, less, unit)

    def _largest(
        self, ask: Ask, most: int, steps_of: Callable[[int], tuple[Step, ...]], unit: int = 1
    ) -> Iterator[Change | None]:
        """The largest number up to `most` with which all is placed: of fewer, or of less, no less fits."""
        best: Change | None = None
        low, high = 1, most // unit
        trial = low
        while low <= high:
            steps = steps_of(trial * unit)
            changed = _applied(ask, steps)
            decision = self.asking.decide(changed)
            yield None
            if decision.error is None:
                best, low = Change(steps, sum(decision.assignments.values())), trial + 1
            elif best is None:
                return
            else:
                high = trial - 1
            trial = (low + high + 1) // 2
        yield best


def cluster_changes(asking: Asking, ask: Ask, view: ClusterView) -> tuple[Change, ...]:
    """What would let this cluster take it; empty where nothing of what is tried does."""
    outer = cluster_steps(ask, asking.room(ask, view).view)
    if outer is None:
        return ()
    already = 0 if outer else _replicas(asking, ask, view.id)
    found: list[Change] = []
    tried = 0
    for together in islice(product(*outer), _MOST_TRIED_IN_CLUSTER):
        opened = _applied(ask, together)
        if together and (replicas := _replicas(asking, opened, view.id)):
            found.append(Change(together, replicas))
            continue
        for step in node_steps(asking, opened, opened.view(view.id)):
            tried += 1
            if tried > _MOST_TRIED_IN_CLUSTER:
                break
            replicas = _replicas(asking, step.apply(opened), view.id)
            if replicas > already:
                found.append(Change((*together, step), replicas))
    # Of a DaemonSet, or of objects without pods, no replicas are counted.
    return tuple(each if ask.request.replicas else replace(each, replicas=0) for each in ranked(found))


def ranked(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The fewest steps first, then what gains most replicas."""
    order = sorted(changes, key=lambda each: (len(each.steps), -each.replicas, _texts(each.steps)))
    return tuple(order[:MOST_SHOWN])


def _replicas(asking: Asking, ask: Ask, cluster: str) -> int:
    """How many would fit where the cluster passes, at least 1 where the division does not ask; else 0."""
    room = asking.room(ask, ask.view(cluster))
    request = ask.request
    if refusals(request, room.view) or (request.has_pods and not room.matching):
        return 0
    return room.available if request.has_pods else 1


def _in_one_group(ask: Ask, decision: Decision) -> Ask:
    """Of several affinity groups the one that took it, else the last, which was tried last."""
    groups = ask.request.groups
    if not groups:
        return ask
    names = [each.name for each in groups]
    at = names.index(decision.affinity_name) if decision.affinity_name in names else len(groups) - 1
    group = groups[at]
    overflow = group.overflow if ask.request.has_pods else ()
    request = replace(ask.request, affinity=group.affinity, overflow=overflow, groups=())
    return replace(ask, request=request, affinity_path=f"spec.placement.clusterAffinities[{at}]")


def _is_out(decision: Decision, view: ClusterView) -> bool:
    refused = decision.refusals.get(view.id, ())
    return any(each.reason is not Reason.NOT_CHOSEN for each in refused)


def _applied(ask: Ask, steps: Sequence[Step]) -> Ask:
    return reduce(lambda changed, step: step.apply(changed), steps, ask)


def _spread(at: int, spread: Spread, least: int) -> tuple[Step, ...]:
    def apply(ask: Ask) -> Ask:
        spreads = list(ask.request.spread)
        spreads[at] = replace(spread, min_groups=least)
        return replace(ask, request=replace(ask.request, spread=tuple(spreads)))

    text = f"minGroups {least:,} instead of {spread.min_groups:,} by {spread}"
    path = f"spec.placement.spreadConstraints[{at}].minGroups"
    return (Step(StepKind.FEWER_GROUPS, path, text, apply=apply),)


def _texts(steps: Sequence[Step]) -> tuple[str, ...]:
    return tuple(each.text for each in steps)
