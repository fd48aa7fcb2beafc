"""The fleet as it is, written down as a Fleet file: what `muster plan` takes."""

from collections import Counter
from collections.abc import Mapping, Sequence

from controlplane.fleet import Fleet, NodeRow
from controlplane.fleet.slack import Slacks
from controlplane.placement.headroom import written
from controlplane.placement.paper import written_hardware, written_topology
from controlplane.placement.rules import ClusterView
from controlplane.placement.score import FULL
from schemas import manifests
from schemas.manifests.fleet import FleetRight, FleetScores
from schemas.quantities import quantity_text
from schemas.wire.reports import Taint


def fleet_manifest(
    fleet: Fleet,
    views: Sequence[ClusterView],
    placed: Mapping[str, int] | None = None,
    uid: str = "",
    slacks: Slacks | None = None,
    running: manifests.Workload | None = None,
    affinity: str = "",
) -> manifests.Fleet:
    """The fleet as a file that `plan` takes: nodes grouped by what they have in common, with counts.

    placed: replicas by cluster id of the workload with that uid. Nodes that are promised to others and not
    yet bound count as free, since a file has no promises. slacks: what was really used, over hours.
    running, affinity: of that workload, as in the file.
    """
    placed, slacks = placed or {}, slacks or Slacks()
    pods = {view.id: fleet.pods_of(view.id, uid) for view in views if view.id in placed}
    return manifests.Fleet(
        spec=manifests.FleetSpec(
            clusters=[
                _cluster_manifest(fleet, slacks, view, pods.get(view.id))
                for view in sorted(views, key=lambda view: view.name)
            ],
            placed={view.name: placed[view.id] for view in views if view.id in placed},
            running=running,
            uid=uid,
            affinity=affinity,
        )
    )


def _cluster_manifest(
    fleet: Fleet, slacks: Slacks, view: ClusterView, pods: Mapping[str, int] | None
) -> manifests.FleetCluster:
    """Not validated: what one cluster says of itself must not keep all others from being written down.

    pods: of the workload that runs there, by node; None where it does not.
    """
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
            None if pods is None else pods.get(row.name, 0),
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
        rights=None
        if view.rights is None
        else [
            FleetRight(namespaces=each.namespaces, kinds=each.kinds, verbs=each.verbs)
            for each in view.rights.told
        ],
        scores=None if idle is None else FleetScores(slack=round(idle * FULL, 1)),
        nodes=[_nodes_manifest(examples[key], count, pods) for key, count in groups.items()],
        headroom=[written(make, left) for make, left in fleet.headroom(view.id) if left],
    )


def _nodes_manifest(row: NodeRow, count: int, pods: Mapping[str, int] | None) -> manifests.FleetNodes:
    return manifests.FleetNodes.model_construct(
        count=count,
        labels=dict(row.labels),
        allocatable={name: quantity_text(name, amount) for name, amount in row.allocatable.items()},
        requested={name: quantity_text(name, amount) for name, amount in row.requested.items() if amount},
        placed=None if pods is None else pods.get(row.name, 0),
        taints=[_taint_manifest(each) for each in row.taints],
        features=dict(row.features),
        runtime_handlers=list(row.handlers),
        topology=written_topology(row.alignment),
        ready=row.ready,
    )


def _taint_manifest(taint: Taint) -> manifests.FleetTaint:
    return manifests.FleetTaint.model_construct(key=taint.key, value=taint.value, effect=taint.effect)
