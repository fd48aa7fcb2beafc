"""Clusters as a placement sees them, and the one decision that is made on them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from controlplane.known.compiling import Compiled
from controlplane.known.holding import still_fitting, vanished
from controlplane.known.known import Known
from controlplane.known.records import ClusterRecord, Standing
from controlplane.placement import ClusterView, Decision
from controlplane.placement.asking import Ask
from controlplane.placement.measures import Sources
from controlplane.placement.rights import AgentRights
from controlplane.placement.rules import ClusterHardware
from controlplane.placement.score import price_of
from controlplane.placement.trials import Trials
from controlplane.placement.wording import counted
from controlplane.rollout import UNREACHABLE
from schemas.reasons import Reason


class Views:
    """Views of all clusters that are not removed; each is made anew only when its record or facts change."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._views: dict[str, tuple[ClusterRecord, object, object, ClusterView]] = {}

    def all(self, now: float) -> list[ClusterView]:
        """In the order of the clusters' names, each with its standing at this moment."""
        views = [
            self.one(record, now)
            for record in self._known.clusters.values()
            if record.standing is not Standing.REMOVED
        ]
        return sorted(views, key=lambda view: view.name)

    def one(self, record: ClusterRecord, now: float) -> ClusterView:
        facts, hardware = self._known.fleet.facts(record.id), self._known.fleet.hardware(record.id)
        held = self._views.get(record.id)
        if held is None or held[0] is not record or held[1] is not facts or held[2] is not hardware:
            view = ClusterView(
                id=record.id,
                name=record.name,
                labels={**(facts.labels if facts else {}), **record.labels},
                provider=facts.provider if facts else "",
                region=facts.region if facts else "",
                zones=tuple(facts.zones) if facts else (),
                taints=record.taints,
                served=frozenset(facts.served) if facts else None,
                capabilities=frozenset(facts.capabilities) if facts else None,
                hardware=ClusterHardware.of(hardware),
                rights=AgentRights.of(facts.rights) if facts else None,
                price=_price(record),
            )
            held = self._views[record.id] = record, facts, hardware, view
        obstacle = self._known.obstacle(record.id, now)
        if obstacle is None:
            return held[3]
        view = replace(held[3], standing=obstacle[0], standing_message=obstacle[1])
        if record.id in self._known.losses.unreachable:
            view = replace(view, taints=(*view.taints, UNREACHABLE))
        return view


def decide(
    known: Known, compiled: Compiled, views: Sequence[ClusterView], leaving: Collection[str] = ()
) -> Decision:
    """The one placement decision that loops, `explain` and a dry run share.

    leaving: lost clusters from which it is placed again, as if it did not run there.
    """
    trials, ask = asked(known, compiled, views, leaving)
    return trials.decide(ask)


def asked(
    known: Known, compiled: Compiled, views: Sequence[ClusterView], leaving: Collection[str] = ()
) -> tuple[Trials, Ask]:
    """What is decided on, and what by. As `decide`.

    A cluster that cannot be reached keeps what it runs: its own standing bars only what would be new there.
    CannotOverride where it runs and an override fails.
    """
    if leaving:
        compiled, views = _without(compiled, views, leaving)
    gone = vanished(known, compiled, views)
    current = still_fitting(known, compiled, views)
    candidates = [
        # What vanished may be back in a moment: what runs there stays, and nothing more is sent there.
        replace(view, hardware=None)
        if view.id in gone
        else replace(view, standing=None)
        if view.standing is not None and view.id in current
        else view
        for view in views
    ]
    silent = frozenset(view.id for view in views if view.standing is not None) | gone
    sources = Sources(known.fleet, known.slacks)
    variants = compiled.variants
    if not variants.everywhere_alike:
        for view in candidates:
            if view.id in current:
                # Raises: what runs there stays, and nothing moves, until the overrides are right.
                variants.in_cluster(view)
    trials = Trials(sources, compiled.interpretation, compiled.needs, variants, silent=silent)
    request = compiled.request
    if current != request.current:
        request = replace(request, current=current)
    return trials, Ask(request, tuple(candidates))


def _price(record: ClusterRecord) -> float | None:
    """By the operator's own label: what a cluster says of itself shall not draw work to it."""
    try:
        return price_of(record.labels)
    except ValueError:
        return None


def _without(
    compiled: Compiled, views: Sequence[ClusterView], leaving: Collection[str]
) -> tuple[Compiled, Sequence[ClusterView]]:
    held = compiled.request.current.items()
    current = {cluster: replicas for cluster, replicas in held if cluster not in leaving}
    # It may have been heard since it was counted as lost.
    lost = {"standing": Reason.CLUSTER_UNKNOWN, "standing_message": "it is lost"}
    barred = [
        replace(view, **lost) if view.id in leaving and view.standing is None else view for view in views
    ]
    return replace(compiled, request=replace(compiled.request, current=current)), barred


def names(known: Known, by_id: Mapping[str, int]) -> dict[str, int]:
    """The same amounts under the clusters' names."""
    return {known.clusters[cluster].name: amount for cluster, amount in by_id.items()}


def summary(assignments: Mapping[str, int]) -> str:
    """`4 replicas in 1 cluster`; without the replicas where the kind has none."""
    replicas = sum(assignments.values())
    where = f"in {counted(len(assignments), 'cluster')}"
    return f"{counted(replicas, 'replica')} {where}" if replicas else where
