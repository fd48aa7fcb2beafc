"""`muster plan`: a placement on paper, from a Workload and a Fleet file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane.fleet import Demand, Fleet, NodeCounts, NodeRow
from controlplane.fleet.demand import untolerated
from controlplane.interpreters import NotUnderstood, interpret
from controlplane.placement.compiled import placement_request, tenant_rule
from controlplane.placement.place import place
from controlplane.placement.rules import ENVIRONMENT_LABEL, ClusterView, Refused
from schemas import manifests
from schemas.quantities import quantity_amount, quantity_text
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
    rule = tenant_rule(tenant.metadata.name, tenant.spec) if tenant is not None else None
    views = [_view(each) for each in fleet.spec.clusters]
    unknown = sorted(fleet.spec.placed.keys() - {view.name for view in views})
    if unknown:
        raise NotUnderstood(f"spec.placed.{unknown[0]}: no such cluster in spec.clusters")
    request = placement_request(
        fleet.spec.uid, workload.spec, interpretation, tenant=rule, current=fleet.spec.placed
    )
    request = replace(request, fresh=fleet.spec.reschedule == "fresh")
    counts = [_counted(index, each, interpretation.demand) for index, each in enumerate(fleet.spec.clusters)]
    decision = place(
        request,
        views,
        [
            counted.replicas if counted is not None else each.available or 0
            for counted, each in zip(counts, fleet.spec.clusters, strict=True)
        ],
        [1 if counted is None or not counted.nodes else _selected(counted) for counted in counts],
    )
    return PlanResult(
        assignments=decision.assignments,
        refusals=decision.refusals,
        scores=decision.scores,
        available=decision.available,
        explanations={
            view.name: str(counted)
            for view, counted in zip(views, counts, strict=True)
            if counted is not None
        },
        error=decision.error,
        score_parts=decision.score_parts,
        affinity_name=decision.affinity_name,
    )


def _selected(counted: NodeCounts) -> int:
    return counted.nodes - sum(nodes for _, nodes in counted.unselected)


def _view(cluster: manifests.FleetCluster) -> ClusterView:
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
    )


def _counted(index: int, cluster: manifests.FleetCluster, demand: Demand | None) -> NodeCounts | None:
    """None where the cluster states no nodes, or nothing is asked of them."""
    if cluster.nodes is None or demand is None:
        return None
    unselected: Counter[str] = Counter()
    tainted: Counter[str] = Counter()
    short: Counter[str] = Counter()
    not_ready = full = fits = replicas = 0
    for at, nodes in enumerate(cluster.nodes):
        lacks = demand.unmet(nodes.labels)
        taints = [Taint(each.key, each.effect, each.value) for each in nodes.taints]
        taint = untolerated(taints, demand.tolerations)
        free = _free(nodes, f"spec.clusters[{index}].nodes[{at}]")
        room = min(free.get(resource, 0) // amount for resource, amount in demand.requests)
        if lacks is not None:
            unselected[lacks] += nodes.count
        elif taint is not None:
            tainted[str(taint.key)] += nodes.count
        elif not nodes.ready:
            not_ready += nodes.count
        elif room < 1:
            full += nodes.count
            short.update(
                {name: nodes.count for name, amount in demand.requests if free.get(name, 0) < amount}
            )
        else:
            fits += nodes.count
            replicas += nodes.count * room
    return NodeCounts(
        nodes=sum(each.count for each in cluster.nodes),
        unselected=tuple(unselected.most_common()),
        tainted=tuple(tainted.most_common()),
        not_ready=not_ready,
        full=full,
        short=tuple(short.most_common()),
        fits=fits,
        replicas=replicas,
    )


def _free(nodes: manifests.FleetNodes, path: str) -> dict[str, int]:
    """`pods` left out counts as 110, the kubelet's own default."""
    allocatable = {"pods": 110} | _amounts(nodes.allocatable, f"{path}.allocatable")
    requested = _amounts(nodes.requested, f"{path}.requested")
    return {name: max(0, amount - requested.get(name, 0)) for name, amount in allocatable.items()}


def _amounts(given: Mapping[str, str | int | float], path: str) -> dict[str, int]:
    amounts: dict[str, int] = {}
    for resource, text in given.items():
        try:
            amounts[resource] = quantity_amount(resource, text)
        except ValueError as error:
            raise NotUnderstood(f"{path}.{resource}: {error}") from error
    return amounts


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
        nodes=[_nodes_manifest(examples[key], count) for key, count in groups.items()],
    )


def _nodes_manifest(row: NodeRow, count: int) -> manifests.FleetNodes:
    return manifests.FleetNodes.model_construct(
        count=count,
        labels=dict(row.labels),
        allocatable={name: quantity_text(name, amount) for name, amount in row.allocatable.items()},
        requested={name: quantity_text(name, amount) for name, amount in row.requested.items() if amount},
        taints=[_taint_manifest(each) for each in row.taints],
        ready=row.ready,
    )


def _taint_manifest(taint: Taint) -> manifests.FleetTaint:
    return manifests.FleetTaint.model_construct(key=taint.key, value=taint.value, effect=taint.effect)
