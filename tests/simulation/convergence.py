"""When the faults have stopped: what runs, what is decided, what is reported and what is counted are one."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from agents.plan import is_only_where_there
from controlplane.known.known import Known
from controlplane.known.records import OutboxRecord, WorkloadRecord
from schemas.quantities import quantity_amount
from schemas.reasons import Reason
from schemas.wire.limits import is_limits
from schemas.wire.orders import WORKLOAD_LABEL, Verb
from schemas.wire.reports import WorkState
from tests.simulation.ledger import ref_of
from tests.simulation.memory_tables import Tables
from tests.simulation.quota_watch import charged, forest, ordered, uncharged
from tests.simulation.world import MemberCluster, World

_amount = cache(quantity_amount)
Amounts = dict[str, int]
Pair = tuple[str, str]
"""(cluster, workload)"""


def differences(world: World) -> list[str]:
    """What has not come together yet, for people; empty when all has."""
    centre = next((each.centre for each in world.centres if each.centre and each.centre.leads), None)
    if centre is None:
        return ["nobody leads"]
    known = centre.known
    blocked = _blocked(world, known)
    found = [*_undecided(world), *_unsettled(world, known, blocked)]
    for member in world.members:
        found += _running(world, member, blocked)
        found += _stranded(member)
    found += _charged(world, known)
    found += _unheard(world)
    # The dearest look, and of no use before the others agree.
    return found or [each for member in world.members for each in _counted(member, known, blocked)]


def _unheard(world: World) -> Iterator[str]:
    """Promise 4: whoever is to be told was told, or the reason why not is written down."""
    for episode in world.hearing.unaccounted(world.clock.now()):
        yield f"an episode of an alert has no account: {episode}"
    for key in world.hearing.store.tables.notices:
        yield f"a message is pending: {key}"


def _blocked(world: World, known: Known) -> set[Pair]:
    """After a restore: refused, and said so, for what the database has forgotten has the same name."""
    return {
        (cluster, uid)
        for uid, works in known.work.items()
        for cluster, work in works.items()
        if world.is_restored
        and work.state is WorkState.REFUSED
        and all(refusal.reason is Reason.OWNED_BY_OTHER for refusal in work.refusals)
    }


def _undecided(world: World) -> Iterator[str]:
    tables = world.store.tables
    for uid, record in tables.workloads.items():
        decision = tables.decisions.get(uid)
        if record.deleted:
            if any(workload == uid for _, workload in (*tables.outbox, *tables.placements)):
                yield f"{record.name} ({uid}) is deleted, and something of it is left"
        elif _stands_behind(world, record):
            continue
        elif decision is None or decision.resource_version < record.resource_version:
            yield f"{record.name} is not decided at {record.resource_version}: {decision}"


def _stands_behind(world: World, record: WorkloadRecord) -> bool:
    """Where the first of a tenant's line waits, those behind it are not looked at (StrictFIFO)."""
    quota = world.store.tables.documents.get(("Tenant", record.tenant))
    return quota is not None and quota.spec.get("quota", {}).get("queueing") == "StrictFIFO"


def _unsettled(world: World, known: Known, blocked: set[Pair]) -> Iterator[str]:
    """Every order is published, recorded, carried out and reported."""
    tables = world.store.tables
    for (cluster, workload), order in tables.outbox.items():
        if (cluster, workload) in blocked:
            continue
        what = f"{order.verb} {order.version} of {workload} in {cluster}"
        if order.published_sequence is None:
            yield f"{what} is not published"
        if order.acknowledged != order.version:
            yield f"{what} is not acknowledged: {order.acknowledged}"
        work = known.work.get(workload, {}).get(cluster)
        if order.verb is Verb.WITHDRAW:
            yield f"{what} is not removed: {work and work.state}"
        elif work is None or work.version != order.version or work.state is not WorkState.APPLIED:
            yield f"{what} is not reported applied: {work and (work.version, work.state, work.refusals)}"
    for cluster, workload in known.unpublished:
        yield f"{workload} in {cluster} waits to be published"
    for uid, works in known.work.items():
        for cluster, work in works.items():
            if (cluster, uid) not in tables.outbox and not world.is_restored:
                yield f"a report of {uid} in {cluster} is left: {work.state} {work.version}"


def _running(world: World, member: MemberCluster, blocked: set[Pair]) -> Iterator[str]:
    """The objects of each placement stand in the cluster, and nothing else of ours does."""
    ours = member.ours()
    expected: set[Any] = set()
    known_pods, rolling = _pods_by_workload(member)
    namespaces = {each["metadata"]["name"] for each in member.cluster.objects("Namespace")}
    for (cluster, workload), order in world.store.tables.outbox.items():
        if cluster != member.id or order.verb is not Verb.APPLY or (cluster, workload) in blocked:
            continue
        placement = world.store.tables.placements.get((cluster, workload))
        if not is_limits(workload) and (placement is None or placement.version != order.version):
            yield f"{workload} in {member.name}: placement {placement} for order {order.version}"
            continue
        for manifest in _objects(order):
            ref = ref_of(manifest)
            if is_only_where_there(manifest) and ref.namespace not in namespaces:
                continue
            expected.add(ref)
            if ref not in ours:
                yield f"{ref} of {workload} does not stand in {member.name}"
            elif not _contains(ours[ref], manifest):
                yield f"{ref} of {workload} stands otherwise in {member.name}"
        pods = known_pods.get(workload, 0)
        if placement is not None and pods != placement.replicas and workload not in rolling:
            yield f"{workload} has {pods} pods, not {placement.replicas}, in {member.name}"
    if world.is_restored:
        # What the restored database does not know runs on, until somebody says otherwise.
        return
    for ref in sorted(set(ours) - expected):
        yield f"{ref} stands in {member.name}, and nobody wants it"
    wanted = {workload for cluster, workload in world.store.tables.placements if cluster == member.id}
    for workload in known_pods.keys() - wanted:
        yield f"pods of {workload} are left in {member.name}"


def _charged(world: World, known: Known) -> Iterator[str]:
    """Who runs is charged for exactly that, who waits for nothing; and who waits could not be let in."""
    tables = world.store.tables
    told = {member.id: ordered(member) for member in world.members}
    rolling = {(uid, member.id) for member in world.members for uid in _pods_by_workload(member)[1]}
    if world.is_restored:
        for member in world.members:
            yield from uncharged(tables, member, restored=True)
    else:
        for uid, cluster in sorted({key[:2] for key in tables.balances} | set(_places(tables))):
            record, held = tables.workloads.get(uid), charged(tables, uid, cluster, drift=False)
            placed = (cluster, uid) in tables.placements
            replicas, cpu = told[cluster].get(uid, (0, 0)) if placed else (0, 0)
            if (uid, cluster) in rolling and held > replicas * cpu:
                # Pods of before stay there until there is a node for the new ones.
                continue
            if record is not None and record.tenant and held != replicas * cpu:
                yield f"{record.name} comes to {replicas * cpu} in {cluster}, and is charged {held}"
    for uid, decision in tables.decisions.items():
        record = tables.workloads[uid]
        if not record.deleted and decision.reason == Reason.QUOTA_AWAITED:
            yield f"{record.name} waits for what is on its way out, and nothing is: {decision.message}"
    yield from _hopeful(world)


def _places(tables: Tables) -> Iterator[Pair]:
    return ((uid, cluster) for cluster, uid in tables.placements)


def _hopeful(world: World) -> Iterator[str]:
    """What waits for quota that is there. It is plain what it asks for only where it is divided, and has no
    place that it might leave.
    """
    tables = world.store.tables
    holding = {uid for uid, *_ in tables.balances}
    trees = forest(tables, world.clock.now())
    for uid, decision in tables.decisions.items():
        record = tables.workloads[uid]
        quota = trees.tenants.get(record.tenant)
        if record.deleted or decision.reason != Reason.QUOTA_EXCEEDED or quota is None or quota.strict:
            continue
        if uid in holding:
            continue
        scheduling = record.spec["placement"]["replicaScheduling"]
        (deployment,) = (each for each in record.spec["manifests"] if each["kind"] == "Deployment")
        requests = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
        replicas = deployment["spec"]["replicas"]
        if scheduling["replicaSchedulingType"] != "Divided" or "overrides" in record.spec:
            continue
        asked = {what: replicas * _amount(what, text) for what, text in requests.items()}
        for flavor in sorted({flavor for flavor, _ in quota.limits}):
            needs = {what: asked[what] for what in asked if what in quota.covered}
            if all(trees.available(record.tenant, (flavor, what)) >= some for what, some in needs.items()):
                yield f"{record.name} waits, and {record.tenant} has {needs} of {flavor}: {decision.message}"


def _objects(order: OutboxRecord) -> list[dict[str, Any]]:
    body = json.loads(order.body)
    return body["objects"]


def _contains(live: object, wanted: object) -> bool:
    """Whether every field of `wanted` stands so in `live`."""
    match live, wanted:
        case dict(), dict():
            return all(_contains(live.get(key), value) for key, value in wanted.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportUnknownMemberType]
        case list(), list():
            pairs = zip(live, wanted, strict=False)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            return len(live) == len(wanted) and all(_contains(*pair) for pair in pairs)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case _:
            return live == wanted


def _pods_by_workload(member: MemberCluster) -> tuple[Amounts, set[str]]:
    """Pods by workload, and the workloads that cannot finish a rollout: there is no node for the next pod."""
    counted: Amounts = {}
    rolling: set[str] = set()
    for pod in member.cluster.objects("Pod"):
        labels: dict[str, str] = pod["metadata"].get("labels") or {}
        workload = labels.get(WORKLOAD_LABEL)
        if workload is not None:
            counted[workload] = counted.get(workload, 0) + 1
            if not pod["spec"].get("nodeName"):
                rolling.add(workload)
    return counted, rolling


def _counted(member: MemberCluster, known: Known, blocked: set[Pair]) -> Iterator[str]:
    """The fleet's nodes are the cluster's, with the same allocatable, and as much taken on each."""
    rows = {row.name: row for row in known.fleet.nodes(member.id)}
    nodes = {node["metadata"]["name"]: node for node in member.cluster.objects("Node")}
    if rows.keys() != nodes.keys():
        yield f"{member.name} has nodes {sorted(nodes)}, known are {sorted(rows)}"
        return
    foreign, bound, waiting = _taken(member)
    waiting += sum(cluster == member.id for cluster, _ in blocked)
    for name, row in rows.items():
        node = nodes[name]
        allocatable = {what: _amount(what, text) for what, text in node["status"]["allocatable"].items()}
        ready = any(
            each["type"] == "Ready" and each["status"] == "True" for each in node["status"]["conditions"]
        )
        if row.ready != ready:
            yield f"{name} of {member.name}: ready is {ready}, known is {row.ready}"
        taints = sorted((each["key"], each["effect"]) for each in node["spec"].get("taints") or ())
        if sorted((taint.key, taint.effect) for taint in row.taints) != taints:
            yield f"{name} of {member.name}: taints are {taints}, known are {row.taints}"
        for what, is_, seen in (
            ("allocatable", allocatable, row.allocatable),
            ("foreign", foreign.get(name, {}), row.foreign),
            ("bound", bound.get(name, {}), row.bound),
        ):
            if _without_zeros(is_) != _without_zeros(seen):
                yield f"{name} of {member.name}: {what} is {is_}, known is {dict(seen)}"
        free = {
            what: allocatable[what] - foreign.get(name, {}).get(what, 0) - bound.get(name, {}).get(what, 0)
            for what in allocatable
        }
        if not waiting and _without_zeros(free) != _without_zeros(row.free):
            yield f"{name} of {member.name}: free is {free}, known is {dict(row.free)}"
    totals = known.fleet.totals(member.id)
    if not waiting and any(totals.promised.values()):
        yield f"{member.name}: all pods are bound, and still promised is {dict(totals.promised)}"


def _taken(member: MemberCluster) -> tuple[dict[str, Amounts], dict[str, Amounts], int]:
    """(foreign, bound) per node, and how many pods stand on none."""
    foreign: dict[str, Amounts] = {}
    bound: dict[str, Amounts] = {}
    waiting = 0
    for pod in member.cluster.objects("Pod"):
        node = pod["spec"].get("nodeName")
        if pod["status"]["phase"] in ("Succeeded", "Failed"):
            continue
        if not node:
            waiting += 1
            continue
        ours = WORKLOAD_LABEL in (pod["metadata"].get("labels") or {})
        taken = (bound if ours else foreign).setdefault(node, {})
        taken["pods"] = taken.get("pods", 0) + 1
        for container in pod["spec"]["containers"]:
            for what, text in container.get("resources", {}).get("requests", {}).items():
                taken[what] = taken.get(what, 0) + _amount(what, text)
    return foreign, bound, waiting


def _without_zeros(amounts: Any) -> Amounts:
    return {what: amount for what, amount in amounts.items() if amount}


def _stranded(member: MemberCluster) -> Iterator[str]:
    for agent in member.agents:
        if agent.is_running and agent.spool is not None and agent.spool.depth:
            yield f"{agent.name} still spools {agent.spool.depth} batches"
