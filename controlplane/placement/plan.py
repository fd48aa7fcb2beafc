"""`muster plan`: a placement on paper, from a Workload and a Fleet file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane.interpreters import KINDS, NotUnderstood, compiled_kind, interpret
from controlplane.placement.accounts import Account
from controlplane.placement.asking import Ask
from controlplane.placement.bounds import check_bounds
from controlplane.placement.changes import Change
from controlplane.placement.compiled import placement_request, tenant_rule
from controlplane.placement.filters import beyond_rights
from controlplane.placement.holding import could_stay
from controlplane.placement.measures import Sources
from controlplane.placement.needs import needs_of
from controlplane.placement.overriding import Variants, check_overrides
from controlplane.placement.paper import hardware_of, paper_fleet
from controlplane.placement.rights import AgentRights
from controlplane.placement.rooms import selection
from controlplane.placement.rules import (
    ENVIRONMENT_LABEL,
    PRICE_LABEL,
    ClusterHardware,
    ClusterView,
    Refused,
)
from controlplane.placement.running import WORKLOAD, Held, Running
from controlplane.placement.score import ScorePart, price_of
from controlplane.placement.telling import Telling, counts_text
from controlplane.placement.trials import Trials
from controlplane.placement.warnings import warnings
from schemas import manifests
from schemas.wire.reports import Right, Taint


@dataclass(frozen=True)
class PlanResult:
    """By cluster name. explanations: what of the nodes fits, for clusters that state nodes.

    score_tables: every part of the score of those that pass. changes: what would let a cluster in;
    workload_changes: what would let the workload run, where it cannot. warnings: sentences.
    kept: why what runs in a cluster stays there as it is, whatever is planned.
    """

    assignments: Mapping[str, int]
    refusals: Mapping[str, tuple[Refused, ...]]
    scores: Mapping[str, float]
    available: Mapping[str, int]
    explanations: Mapping[str, str]
    error: Refused | None
    score_parts: Mapping[str, Mapping[str, float]]
    affinity_name: str
    account: Account
    score_tables: Mapping[str, tuple[ScorePart, ...]]
    changes: Mapping[str, tuple[Change, ...]]
    workload_changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    kept: Mapping[str, Refused]


def plan(
    workload: manifests.Workload,
    fleet: manifests.Fleet,
    tenant: manifests.Tenant | None = None,
    interpreters: Sequence[manifests.Interpreter] = (),
) -> PlanResult:
    """NotUnderstood when the workload's objects or the fleet's amounts cannot be taken."""
    kinds = {**KINDS, **dict(compiled_kind(each.spec) for each in interpreters)}
    interpretation = interpret(workload.spec.manifests, kinds)
    needs = needs_of(workload.spec, interpretation.components)
    rule = tenant_rule(tenant.metadata.name, tenant.spec) if tenant is not None else None
    spec = fleet.spec
    views = tuple(_view(each, index) for index, each in enumerate(spec.clusters))
    unknown = sorted(spec.placed.keys() - {view.name for view in views})
    if unknown:
        raise NotUnderstood(f"spec.placed.{unknown[0]}: no such cluster in spec.clusters")
    request = placement_request(spec.uid, workload.spec, interpretation, tenant=rule, current=spec.placed)
    runs = None if spec.running is None else Running.of(spec.running, workload, kinds)
    check_bounds(request)
    request = replace(
        request,
        fresh=spec.reschedule == "fresh",
        affinity_name=spec.affinity,
        selection=selection(needs, interpretation),
    )
    variants = Variants.of(workload.spec, interpretation, needs, kinds)
    stated = {each.name: each.scores.stated for each in spec.clusters if each.scores is not None}
    trials = Trials(
        Sources(paper_fleet(spec, _held(runs, spec, views)), stated=stated),
        interpretation,
        needs,
        variants,
        plain={
            each.name: each.available or 0 for each in spec.clusters if not each.nodes and not each.headroom
        },
    )
    check_overrides(variants, views)
    ask = Ask(request, views)
    if runs is not None:
        trials, ask = _as_it_runs(trials, ask, runs)
    decision = trials.decide(ask)
    telling = Telling(trials, ask, decision)
    for _ in telling.run():
        pass
    return PlanResult(
        assignments=decision.assignments,
        refusals=decision.refusals,
        scores=decision.scores,
        available=decision.available,
        explanations={name: counts_text(counts) for name, counts in telling.nodes.items()},
        error=decision.error,
        score_parts=decision.score_parts,
        affinity_name=decision.affinity_name,
        account=telling.account,
        score_tables=telling.scores,
        changes=telling.changes,
        workload_changes=telling.workload_changes,
        warnings=warnings(
            workload.spec, interpretation, kinds, lambda: {each.name for each in spec.clusters}
        ),
        kept={
            view.name: beyond
            for view in views
            if view.name in spec.placed and (beyond := beyond_rights(request, view)) is not None
        },
    )


def _held(
    runs: Running | None, spec: manifests.FleetSpec, views: Sequence[ClusterView]
) -> Mapping[str, Held]:
    """By cluster."""
    if runs is None or runs.whole:
        return {}
    demands = {view.name: runs.demands_in(view) for view in views if view.name in spec.placed}
    return {
        name: Held(spec.placed[name], found[0])
        for name, found in demands.items()
        if found and not isinstance(found, Refused)
    }


def _as_it_runs(trials: Trials, ask: Ask, runs: Running) -> tuple[Trials, Ask]:
    """As `known.holding` and `known.views` have it of what is live: without the replicas that could not stay.

    What vanished from a cluster that runs it moves nothing, and nothing more is sent there.
    """
    request, current = ask.request, dict(ask.request.current)
    gone: set[str] = set()
    for view in ask.views:
        if view.id not in current or view.id in trials.plain:
            continue
        before, now = runs.demands_in(view), trials.asked(ask, view)
        if isinstance(now, Refused):
            gone |= {view.id} if isinstance(before, Refused) else set()
            continue
        demands = tuple(each.demand for each in now)
        if demands and not isinstance(before, Refused) and demands != before:
            current[view.id] = could_stay(trials.sources.fleet, request, view.id, WORKLOAD, demands)
            if not current[view.id]:
                del current[view.id]
    views = tuple(replace(view, hardware=None) if view.id in gone else view for view in ask.views)
    return replace(trials, silent=gone), replace(ask, request=replace(request, current=current), views=views)


def _view(cluster: manifests.FleetCluster, index: int) -> ClusterView:
    environment = {ENVIRONMENT_LABEL: cluster.environment} if cluster.environment else {}
    return ClusterView(
        id=cluster.name,
        name=cluster.name,
        labels=cluster.labels | environment,
        provider=cluster.provider,
        region=cluster.region,
        zones=tuple(cluster.zones),
        taints=tuple(Taint(each.key, each.effect, each.value) for each in cluster.taints),
        served=None if cluster.served is None else frozenset(cluster.served),
        hardware=None
        if cluster.hardware is None
        else ClusterHardware.of(hardware_of(cluster.hardware, f"spec.clusters[{index}].hardware")),
        rights=None
        if cluster.rights is None
        else AgentRights.of(Right(each.namespaces, each.kinds, each.verbs) for each in cluster.rights),
        price=_price(cluster, index),
    )


def _price(cluster: manifests.FleetCluster, index: int) -> float | None:
    if cluster.price is not None:
        return cluster.price
    try:
        return price_of(cluster.labels)
    except ValueError as error:
        raise NotUnderstood(f"spec.clusters[{index}].labels.{PRICE_LABEL}: {error}") from error
