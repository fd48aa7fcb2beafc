"""`muster plan`: a placement on paper, from a Workload and a Fleet file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane.fleet import Fleet, NodeRow
from controlplane.fleet.slack import Slacks
from controlplane.interpreters import KINDS, NotUnderstood, compiled_kind, interpret
from controlplane.placement.accounts import Account
from controlplane.placement.asking import Ask
from controlplane.placement.bounds import check_bounds
from controlplane.placement.changes import Change
from controlplane.placement.compiled import placement_request, tenant_rule
from controlplane.placement.headroom import written
from controlplane.placement.measures import Sources
from controlplane.placement.needs import needs_of
from controlplane.placement.overriding import Variants, check_overrides
from controlplane.placement.paper import hardware_of, paper_fleet, written_hardware, written_topology
from controlplane.placement.rooms import selection
from controlplane.placement.rules import (
    ENVIRONMENT_LABEL,
    PRICE_LABEL,
    ClusterHardware,
    ClusterView,
    Refused,
)
from controlplane.placement.score import FULL, ScorePart, price_of
from controlplane.placement.telling import Telling, counts_text
from controlplane.placement.trials import Trials
from controlplane.placement.warnings import warnings
from schemas import manifests
from schemas.manifests.fleet import FleetScores
from schemas.quantities import quantity_text
from schemas.wire.reports import Taint


@dataclass(frozen=True)
class PlanResult:
    """By cluster name. explanations: what of the nodes fits, for clusters that state nodes.

    score_tables: every part of the score of those that pass. changes: what would let a cluster in;
    workload_changes: what would let the workload run, where it cannot. warnings: sentences.
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
        Sources(paper_fleet(spec), stated=stated),
        interpretation,
        needs,
        variants,
        plain={
            each.name: each.available or 0 for each in spec.clusters if not each.nodes and not each.headroom
        },
    )
    check_overrides(variants, views)
    ask = Ask(request, views)
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
        warnings=warnings(workload.spec, interpretation),
    )


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
        price=_price(cluster, index),
    )


def _price(cluster: manifests.FleetCluster, index: int) -> float | None:
    if cluster.price is not None:
        return cluster.price
    try:
        return price_of(cluster.labels)
    except ValueError as error:
        raise NotUnderstood(f"spec.clusters[{index}].labels.{PRICE_LABEL}: {error}") from error


def fleet_manifest(
    fleet: Fleet,
    views: Sequence[ClusterView],
    placed: Mapping[str, int] | None = None,
    uid: str = "",
    slacks: Slacks | None = None,
) -> manifests.Fleet:
    """The fleet as a file that `plan` takes: nodes grouped by what they have in common, with counts.

    placed: replicas by cluster id of the workload with that uid. Nodes that are promised to others and not
    yet bound count as free, since a file has no promises. slacks: what was really used, over hours.
    """
    placed, slacks = placed or {}, slacks or Slacks()
    return manifests.Fleet(
        spec=manifests.FleetSpec(
            clusters=[
                _cluster_manifest(fleet, slacks, view) for view in sorted(views, key=lambda view: view.name)
            ],
            placed={view.name: placed[view.id] for view in views if view.id in placed},
            uid=uid,
        )
    )


def _cluster_manifest(fleet: Fleet, slacks: Slacks, view: ClusterView) -> manifests.FleetCluster:
    """Not validated: what one cluster says of itself must not keep all others from being written down."""
    groups: Counter[tuple[object, ...]] = Counter()
    examples: dict[tuple[object, ...], NodeRow] = {}
    for row in fleet.nodes(view.id):
        key = (
            row.profile,
            row.taints,
            row.ready,
            tuple(row.allocatable.items()),
            tuple(sorted(row.requested.items())),
            row.alignment,
        )
        groups[key] += 1
        examples.setdefault(key, row)
    idle = slacks.slack(view.id).idle
    return manifests.FleetCluster.model_construct(
        name=view.name,
        labels=dict(view.labels),
        provider=view.provider,
        region=view.region,
        zones=list(view.zones),
        taints=[_taint_manifest(each) for each in view.taints],
        served=None if view.served is None else sorted(view.served),
        hardware=written_hardware(fleet.hardware(view.id)),
        price=view.price,
        scores=None if idle is None else FleetScores(slack=round(idle * FULL, 1)),
        nodes=[_nodes_manifest(examples[key], count) for key, count in groups.items()],
        headroom=[written(make, left) for make, left in fleet.headroom(view.id) if left],
    )


def _nodes_manifest(row: NodeRow, count: int) -> manifests.FleetNodes:
    return manifests.FleetNodes.model_construct(
        count=count,
        labels=dict(row.labels),
        allocatable={name: quantity_text(name, amount) for name, amount in row.allocatable.items()},
        requested={name: quantity_text(name, amount) for name, amount in row.requested.items() if amount},
        taints=[_taint_manifest(each) for each in row.taints],
        features=dict(row.features),
        runtime_handlers=list(row.handlers),
        topology=written_topology(row.alignment),
        ready=row.ready,
    )


def _taint_manifest(taint: Taint) -> manifests.FleetTaint:
    return manifests.FleetTaint.model_construct(key=taint.key, value=taint.value, effect=taint.effect)
