"""A Fleet file as a fleet: the reports that its clusters would send, so that plans count as all else."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from controlplane.fleet import Alignment, Fleet
from controlplane.interpreters import NotUnderstood
from controlplane.placement.headroom import makes_of
from controlplane.placement.running import WORKLOAD, Held
from schemas import manifests
from schemas.manifests.fleet import (
    FleetAttachment,
    FleetHardware,
    FleetPool,
    FleetRuntimeClass,
    FleetTopology,
)
from schemas.quantities import quantity_amount, quantity_text
from schemas.wire.codec import pack_column
from schemas.wire.hardware import Attachment, Hardware, Pool, RuntimeClass, Topology, TopologyPolicy
from schemas.wire.reports import Bound, Facts, Inventory, Profile, Taint, Usage
from schemas.wire.subjects import shard_name

DEFAULT_PODS = 110
"""The kubelet's own, for nodes that leave `pods` out."""
NOT_LISTED = -1


def paper_fleet(spec: manifests.FleetSpec, held: Mapping[str, Held] | None = None) -> Fleet:
    """Clusters under their names. NotUnderstood names an amount that is none.

    held: what of what is requested in a cluster is the workload's own.
    """
    fleet, own = Fleet(), held or {}
    for index, cluster in enumerate(spec.clusters):
        path = f"spec.clusters[{index}]"
        if cluster.hardware is not None:
            fleet.apply_hardware(cluster.name, hardware_of(cluster.hardware, f"{path}.hardware"))
        if cluster.nodes is not None:
            _apply_nodes(fleet, cluster.name, cluster.nodes, f"{path}.nodes", own.get(cluster.name))
            _put_headroom(fleet, cluster, f"{path}.headroom")
    return fleet


def _put_headroom(fleet: Fleet, cluster: manifests.FleetCluster, path: str) -> None:
    try:
        makes = makes_of(cluster.headroom, path, lambda labels: fleet.nodes_with(cluster.name, labels))
    except ValueError as error:
        raise NotUnderstood(str(error)) from error
    fleet.put_headroom(cluster.name, makes)


def hardware_of(hardware: FleetHardware, path: str) -> Hardware:
    return Hardware(
        incarnation=1,
        sequence=1,
        runtime_classes=[
            RuntimeClass(
                name=each.name,
                handler=each.handler,
                overhead=_amounts(each.overhead, f"{path}.runtimeClasses[{index}].overhead"),
                node_selector=each.node_selector,
            )
            for index, each in enumerate(hardware.runtime_classes)
        ],
        attachments=[
            Attachment(
                namespace=each.name.partition("/")[0],
                name=each.name.partition("/")[2],
                type=each.type,
                resource=each.resource,
                pool=each.pool,
            )
            for each in hardware.attachments
        ],
        pools=[Pool(name=each.name, total=each.free, free=each.free) for each in hardware.pools],
        device_classes=list(hardware.device_classes),
    )


def written_hardware(report: Hardware | None) -> FleetHardware | None:
    """The other way, not validated: what a cluster says of itself must not keep it from being written."""
    if report is None:
        return None
    return FleetHardware.model_construct(
        runtime_classes=[
            FleetRuntimeClass.model_construct(
                name=each.name,
                handler=each.handler,
                overhead={name: quantity_text(name, amount) for name, amount in each.overhead.items()},
                node_selector=dict(each.node_selector),
            )
            for each in report.runtime_classes
        ],
        attachments=[
            FleetAttachment.model_construct(
                name=each.key, type=each.type, resource=each.resource, pool=each.pool
            )
            for each in report.attachments
        ],
        pools=[FleetPool.model_construct(name=each.name, free=each.free) for each in report.pools],
        device_classes=list(report.device_classes),
    )


def written_topology(alignment: Alignment | None) -> FleetTopology | None:
    if alignment is None:
        return None
    # A kubelet that aligns, and whose zones list nothing, has one that lists nothing.
    listed = alignment.zones if alignment.zones or alignment.stale else ((),)
    zones = [{name: quantity_text(name, amount) for name, amount in zone} for zone in listed]
    return FleetTopology.model_construct(scope=alignment.scope, zones=zones, stale=alignment.stale)


def _apply_nodes(
    fleet: Fleet, cluster: str, nodes: Sequence[manifests.FleetNodes], path: str, held: Held | None
) -> None:
    """All of them in one shard, `count` rows for each make."""
    shard = shard_name(1, 0)
    fleet.apply_facts(cluster, Facts(incarnation=1, sequence=1, layout=1, kubernetes_version=""))
    profiles = [
        Profile(
            incarnation=1,
            sequence=1,
            labels=each.labels,
            features=each.features,
            handlers=each.runtime_handlers,
        )
        for each in nodes
    ]
    for profile in {each.hash: each for each in profiles}.values():
        fleet.apply_profile(cluster, profile.hash, profile)
    allocatable = [
        {"pods": DEFAULT_PODS} | _amounts(each.allocatable, f"{path}[{at}].allocatable")
        for at, each in enumerate(nodes)
    ]
    requested = [_amounts(each.requested, f"{path}[{at}].requested") for at, each in enumerate(nodes)]
    makes = range(len(nodes))

    def column(of_make: Callable[[int], int]) -> bytes:
        return pack_column([value for at in makes for value in [of_make(at)] * nodes[at].count])

    resources = sorted({name for each in allocatable for name in each})
    names = [f"make-{at}-{number}" for at in makes for number in range(nodes[at].count)]
    fleet.apply_inventory(
        cluster,
        shard,
        Inventory(
            incarnation=1,
            sequence=1,
            epoch=1,
            names=names,
            profile_hashes=[each.hash for each in profiles],
            profiles=column(lambda at: at),
            resources=resources,
            allocatable=[column(lambda at, name=name: allocatable[at].get(name, 0)) for name in resources],
            taint_sets=[[Taint(one.key, one.effect, one.value) for one in each.taints] for each in nodes],
            taints=column(lambda at: at),
            condition_sets=[[], ["Ready"]],
            conditions=column(lambda at: int(nodes[at].ready)),
        ),
    )
    fleet.apply_usage(cluster, shard, _usage(nodes, requested, held))
    if any(each.topology is not None for each in nodes):
        fleet.apply_topology(cluster, shard, _topology(nodes, path))


def _usage(
    nodes: Sequence[manifests.FleetNodes], requested: Sequence[Mapping[str, int]], held: Held | None
) -> Usage:
    """What is requested, of which `held` is bound and the rest is others'."""
    make = np.repeat(np.arange(len(nodes)), [each.count for each in nodes])
    own = np.zeros(len(make), np.int64) if held is None else held.on(nodes, requested)
    # What the file does not count as requested is not the workload's there, either.
    asks = [
        {} if held is None else {name: amount for name, amount in held.demand.requests if name in each}
        for each in requested
    ]
    taken = sorted({name for each in requested for name in each})

    def foreign(name: str) -> bytes:
        total = np.array([each.get(name, 0) for each in requested], np.int64)[make]
        its = np.array([each.get(name, 0) for each in asks], np.int64)[make] * own
        return pack_column(np.maximum(total - its, 0).tolist())

    return Usage(
        incarnation=1,
        sequence=1,
        epoch=1,
        nodes=len(make),
        resources=taken,
        foreign=[foreign(name) for name in taken],
        requests=asks,
        bound=[
            Bound(WORKLOAD, "", row, int(own[row]), int(make[row])) for row in np.flatnonzero(own).tolist()
        ],
    )


def _topology(nodes: Sequence[manifests.FleetNodes], path: str) -> Topology:
    policies: list[TopologyPolicy] = []
    policy_of: list[int] = []
    zones: list[tuple[int, int, Mapping[str, int]]] = []
    row = 0
    for at, each in enumerate(nodes):
        if each.topology is None:
            policy_of += [-1] * each.count
        else:
            policy_of += [len(policies)] * each.count
            policies.append(TopologyPolicy(each.topology.policy, each.topology.scope, each.topology.stale))
            available = _zones(each.topology, f"{path}[{at}].topology")
            zones += [
                (row + node, number, amounts)
                for node in range(each.count)
                for number, amounts in enumerate(available)
            ]
        row += each.count
    resources = sorted({name for _, _, amounts in zones for name in amounts})
    return Topology(
        incarnation=1,
        sequence=1,
        epoch=1,
        nodes=row,
        policies=policies,
        policy_of=pack_column(policy_of),
        zone_node=pack_column([node for node, _, _ in zones]),
        zone_number=pack_column([number for _, number, _ in zones]),
        resources=resources,
        available=[
            pack_column([amounts.get(name, NOT_LISTED) for _, _, amounts in zones]) for name in resources
        ],
        zones=len(zones),
    )


def _zones(topology: FleetTopology, path: str) -> list[dict[str, int]]:
    return [_amounts(each, f"{path}.zones[{number}]") for number, each in enumerate(topology.zones)]


def _amounts(given: Mapping[str, str | int | float], path: str) -> dict[str, int]:
    amounts: dict[str, int] = {}
    for resource, text in given.items():
        try:
            amounts[resource] = quantity_amount(resource, text)
        except ValueError as error:
            raise NotUnderstood(f"{path}.{resource}: {error}") from error
    return amounts
