"""Reads of one cluster for people: sums, nodes, and why a demand fits as often as it does."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from controlplane.fleet.addresses import Addresses
from controlplane.fleet.cluster import Cluster
from controlplane.fleet.columns import Columns
from controlplane.fleet.demand import EVERYWHERE, HOSTNAME, NODE_NAME_FIELD, Demand, untolerated
from controlplane.fleet.features import Selection
from controlplane.fleet.rows import NOT_KNOWN, Ints, NodeRows, UsageRows
from controlplane.fleet.views import Alignment, NodeCounts, NodeRow, Totals


def totals(cluster: Cluster) -> Totals:
    """Sums over the shards that are here, also of a cluster that is not complete yet."""
    allocatable: Counter[str] = Counter()
    foreign: Counter[str] = Counter()
    bound: Counter[str] = Counter()
    used: Counter[str] = Counter()
    nodes = ready = 0
    for _, slot in cluster.reported.shards():
        if slot.nodes is None:
            continue
        nodes += len(slot.nodes)
        ready += int(np.array([each.ready for each in slot.nodes.classes], np.bool_)[slot.nodes.codes].sum())
        _add(allocatable, slot.nodes.allocatable)
        if slot.usage is not None:
            for counter, columns in (
                (foreign, slot.usage.foreign),
                (bound, slot.usage.bound),
                (used, slot.usage.used),
            ):
                _add(counter, columns)
    promised: Counter[str] = Counter()
    for workload, outstanding in cluster.outstanding.items():
        for part, due in zip(cluster.promises[workload].parts, outstanding, strict=True):
            if due:
                for resource, amount in part.demand.requests:
                    promised[resource] += amount * due
    return Totals(
        nodes, ready, *(dict(sorted(each.items())) for each in (allocatable, foreign, bound, promised, used))
    )


def _add(counter: "Counter[str]", columns: Mapping[str, Ints]) -> None:
    for resource, values in columns.items():
        # What is not known of a node (NOT_KNOWN) adds nothing.
        counter[resource] += int(np.maximum(values, 0).sum())


def nodes(
    cluster: Cluster, *, labels: Mapping[str, str], name_contains: str, ready: bool | None
) -> Iterator[NodeRow]:
    for _, slot in cluster.reported.shards():
        if slot.nodes is None:
            continue
        wanted = [
            (ready is None or each.ready == ready)
            and all(each.label_set.labels.get(key) == value for key, value in labels.items())
            for each in slot.nodes.classes
        ]
        for row, (name, code) in enumerate(zip(slot.nodes.names, slot.nodes.codes.tolist(), strict=True)):
            if wanted[code] and name_contains in name:
                alignment = None if slot.zones is None else slot.zones.alignment(row)
                yield _row(slot.nodes, slot.usage, row, code, alignment)


def pods_of(cluster: Cluster, workload: str) -> dict[str, int]:
    """By node, where there are any."""
    found: dict[str, int] = {}
    for _, slot in cluster.reported.shards():
        if slot.nodes is not None and slot.usage is not None:
            counts = slot.usage.pods_of(workload)
            found.update((slot.nodes.names[row], int(counts[row])) for row in np.flatnonzero(counts).tolist())
    return found


def _row(
    nodes: NodeRows, usage: UsageRows | None, row: int, code: int, alignment: Alignment | None
) -> NodeRow:
    of = nodes.classes[code]
    allocatable = _amounts(nodes.allocatable, row)
    foreign = _amounts(usage.foreign, row) if usage else {}
    bound = _amounts(usage.bound, row) if usage else {}
    return NodeRow(
        name=nodes.names[row],
        ready=of.ready,
        conditions=of.conditions,
        taints=of.taints,
        profile=of.label_set.hash,
        labels=of.label_set.labels,
        features=of.label_set.features,
        handlers=tuple(sorted(of.label_set.handlers)),
        alignment=alignment,
        allocatable=allocatable,
        foreign=foreign,
        bound=bound,
        used={what: amount for what, amount in _amounts(usage.used, row).items() if amount != NOT_KNOWN}
        if usage
        else {},
        free={
            resource: max(0, amount - foreign.get(resource, 0) - bound.get(resource, 0))
            for resource, amount in allocatable.items()
        },
    )


def _amounts(columns: Mapping[str, Ints], row: int) -> dict[str, int]:
    return {resource: int(values[row]) for resource, values in columns.items()}


def explain(columns: Columns, demand: Demand, selection: Selection, addresses: Addresses) -> NodeCounts:
    """Every node counts once: unselected, tainted, not ready, without, full, unaligned, or fits."""
    unselected: Counter[str] = Counter()
    tainted: Counter[str] = Counter()
    not_ready = 0
    there = columns.there
    open_rows = np.zeros(there, np.bool_)
    for position, each in enumerate(columns.classes):
        rows = np.flatnonzero(columns.class_of[:there] == position)
        for name, members in columns.split_by_name(demand, rows):
            labels = each.label_set.labels
            if demand.asks_for_name:
                labels = {**labels, HOSTNAME: name, NODE_NAME_FIELD: name}
            lacks = demand.unmet(labels, each.label_set.features, each.label_set.handlers)
            taint = untolerated(each.taints, demand.tolerations)
            if lacks is not None:
                unselected[lacks] += len(members)
            elif taint is not None:
                value = f"={taint.value}" if taint.value else ""
                tainted[f"{taint.key}{value}:{taint.effect}"] += len(members)
            elif not each.ready:
                not_ready += len(members)
            else:
                open_rows[members] = True
    every = columns.fits(demand, selection)
    fits, to_come = every[:there], int(every[there:].sum())
    full = open_rows & (fits < 1)
    unaligned = full & columns.has_room(demand)[:there] if demand.numa is not None else full & False
    full &= ~unaligned
    absent: Counter[str] = Counter()
    for resource, _ in demand.requests:
        if resource not in EVERYWHERE:
            lacking = full & columns.without(resource)[:there]
            absent[resource] += int(lacking.sum())
            full &= ~lacking
    short = {
        resource: int((full & (columns.free(resource)[:there] < amount)).sum())
        for resource, amount in demand.requests
    }
    replicas, room = int(fits.sum()), addresses.room(demand)
    return NodeCounts(
        nodes=there,
        unselected=tuple(unselected.most_common()),
        tainted=tuple(tainted.most_common()),
        not_ready=not_ready,
        full=int(full.sum()),
        short=tuple((resource, count) for resource, count in Counter(short).most_common() if count),
        fits=int((fits >= 1).sum()),
        unaligned=int(unaligned.sum()),
        absent=tuple((resource, count) for resource, count in absent.most_common() if count),
        replicas=replicas if room is None else min(replicas, room),
        to_come=columns.rows - there,
        headroom=to_come if room is None else max(0, min(to_come, room - replicas)),
        addresses=tuple(
            (pool, addresses.free(pool))
            for pool, count in sorted(addresses.asked(demand).items())
            if addresses.free(pool) // count < replicas
        ),
    )
