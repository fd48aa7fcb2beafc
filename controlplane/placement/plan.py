"""`muster plan`: a placement on paper, from a Workload and a Fleet file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane.fleet import Fleet, NodeRow
from controlplane.interpreters import Interpretation, NotUnderstood, interpret
from controlplane.placement.compiled import placement_request, tenant_rule
from controlplane.placement.hardware import Needs, needs_of
from controlplane.placement.paper import hardware_of, paper_fleet, written_hardware
from controlplane.placement.place import place
from controlplane.placement.rooms import asked_in, rooms
from controlplane.placement.rules import ENVIRONMENT_LABEL, ClusterHardware, ClusterView, Refused
from schemas import manifests
from schemas.quantities import quantity_text
from schemas.wire.reports import Taint


@dataclass(frozen=True)
class PlanResult:
    """By cluster name. explanations: what of the nodes fits, for clusters that state nodes."""

    assignments: Mapping[str, int]
    refusals: Mapping[str, tuple[Refused, ...]]
    scores: Mapping[str, float]
    available: Mapping[str, int]
    explanations: Mapping[str, str]
    error: Refused | None
    score_parts: Mapping[str, Mapping[str, float]]
    affinity_name: str


def plan(
    workload: manifests.Workload, fleet: manifests.Fleet, tenant: manifests.Tenant | None = None
) -> PlanResult:
    """NotUnderstood when the workload's objects or the fleet's amounts cannot be taken."""
    interpretation = interpret(workload.spec.manifests)
    needs = needs_of(workload.spec, interpretation.components)
    rule = tenant_rule(tenant.metadata.name, tenant.spec) if tenant is not None else None
    views = [_view(each, index) for index, each in enumerate(fleet.spec.clusters)]
    unknown = sorted(fleet.spec.placed.keys() - {view.name for view in views})
    if unknown:
        raise NotUnderstood(f"spec.placed.{unknown[0]}: no such cluster in spec.clusters")
    request = placement_request(
        fleet.spec.uid, workload.spec, interpretation, tenant=rule, current=fleet.spec.placed
    )
    request = replace(request, fresh=fleet.spec.reschedule == "fresh")
    paper = paper_fleet(fleet.spec)
    room = rooms(paper, needs, interpretation, views)
    for index, each in enumerate(fleet.spec.clusters):
        if each.available is not None:
            room.available[index] = each.available
        if not each.nodes:
            room.matching[index] = 1
    decision = place(request, room.views, room.available, room.matching)
    return PlanResult(
        assignments=decision.assignments,
        refusals=decision.refusals,
        scores=decision.scores,
        available=decision.available,
        explanations=_explanations(paper, needs, interpretation, views),
        error=decision.error,
        score_parts=decision.score_parts,
        affinity_name=decision.affinity_name,
    )


def _explanations(
    paper: Fleet, needs: Sequence[Needs], interpretation: Interpretation, views: Sequence[ClusterView]
) -> dict[str, str]:
    """What of the nodes fits, by component where there are several."""
    told: dict[str, str] = {}
    for view in views:
        asked = asked_in(needs, interpretation, view)
        if isinstance(asked, Refused) or paper.completeness(view.id) is not None or not asked:
            continue
        told[view.name] = "; ".join(
            (f"{component.name}: " if component.name else "") + str(paper.explain(view.id, each.demand))
            for component, each in zip(interpretation.components, asked, strict=True)
        )
    return told


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
    )


def fleet_manifest(
    fleet: Fleet, views: Sequence[ClusterView], placed: Mapping[str, int] | None = None, uid: str = ""
) -> manifests.Fleet:
    """The fleet as a file that `plan` takes: nodes grouped by what they have in common, with counts.

    placed: replicas by cluster id of the workload with that uid. Nodes that are promised to others and not
    yet bound count as free, since a file has no promises.
    """
    placed = placed or {}
    return manifests.Fleet(
        spec=manifests.FleetSpec(
            clusters=[_cluster_manifest(fleet, view) for view in sorted(views, key=lambda view: view.name)],
            placed={view.name: placed[view.id] for view in views if view.id in placed},
            uid=uid,
        )
    )


def _cluster_manifest(fleet: Fleet, view: ClusterView) -> manifests.FleetCluster:
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
        )
        groups[key] += 1
        examples.setdefault(key, row)
    return manifests.FleetCluster.model_construct(
        name=view.name,
        labels=dict(view.labels),
        provider=view.provider,
        region=view.region,
        zones=list(view.zones),
        taints=[_taint_manifest(each) for each in view.taints],
        served=None if view.served is None else sorted(view.served),
        hardware=written_hardware(fleet.hardware(view.id)),
        nodes=[_nodes_manifest(examples[key], count) for key, count in groups.items()],
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
        ready=row.ready,
    )


def _taint_manifest(taint: Taint) -> manifests.FleetTaint:
    return manifests.FleetTaint.model_construct(key=taint.key, value=taint.value, effect=taint.effect)
