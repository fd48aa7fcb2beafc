"""Everything that is told of one decision beside itself: scores by part, shares, nodes, what would help."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controlplane.fleet import NodeCounts
from controlplane.placement.accounts import Account, account
from controlplane.placement.asking import Ask
from controlplane.placement.changes import Change, Search
from controlplane.placement.rules import Decision, Refused
from controlplane.placement.score import MEASURED, ScorePart, score_table
from controlplane.placement.trials import Trials


@dataclass
class Telling:
    """By cluster id, once `run` is through; it gives way between clusters and between trials.

    searches: whether a change of the placement could help.
    nodes: by component, "" for the only one; of clusters that tell of nodes and have what is needed.
    """

    trials: Trials
    ask: Ask
    decision: Decision
    searches: bool = True
    scores: dict[str, tuple[ScorePart, ...]] = field(default_factory=dict[str, tuple[ScorePart, ...]])
    nodes: dict[str, dict[str, NodeCounts]] = field(default_factory=dict[str, dict[str, NodeCounts]])
    changes: Mapping[str, tuple[Change, ...]] = field(default_factory=dict[str, tuple[Change, ...]])
    workload_changes: tuple[Change, ...] = ()

    @property
    def account(self) -> Account:
        return account(self.ask.request, self.decision, self.ask.views)

    def run(self) -> Iterator[None]:
        found = self.trials.measured(self.ask, MEASURED)
        for view in self.ask.views:
            lacks = {part: by[view.id] for part, by in found.lacks.items() if view.id in by}
            if view.id in self.decision.scores:
                self.scores[view.id] = score_table(self.ask.request, view, found.values, lacks)
            counts = self._counts(view.id)
            if counts:
                self.nodes[view.id] = counts
            yield
        if not self.searches:
            return
        search = Search(self.trials, self.ask, self.decision)
        yield from search.run()
        self.changes, self.workload_changes = search.by_cluster, search.workload

    def _counts(self, cluster: str) -> dict[str, NodeCounts]:
        trials, fleet = self.trials, self.trials.sources.fleet
        if cluster not in fleet.clusters or fleet.completeness(cluster) is not None:
            return {}
        asked = trials.asked(self.ask, self.ask.view(cluster))
        if isinstance(asked, Refused):
            return {}
        components = trials.interpretation.components
        return {
            component.name if len(components) > 1 else "": fleet.explain(cluster, each.demand)
            for component, each in zip(components, asked, strict=True)
        }


def counts_text(counts: Mapping[str, NodeCounts]) -> str:
    """`head: 8 fit: 12 replicas; ...`, a line for each component; without its name for the only one."""
    return "\n".join(f"{name}: {each}" if name else str(each) for name, each in counts.items())
