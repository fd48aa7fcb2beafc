"""The single steps that could let a workload into a cluster: what keeps it out, turned round."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from controlplane.fleet import Demand, Requirement
from controlplane.fleet.demand import REPELLING, Operator, Toleration, untolerated
from controlplane.fleet.traits import FEATURE, HANDLER
from controlplane.placement.asking import Ask, Asking, Written
from controlplane.placement.filters import field_holds, refusals, selected
from controlplane.placement.rights import AgentRights, granting
from controlplane.placement.rules import ClusterView, PlacementRequest
from schemas.quantities import quantity_text
from schemas.reasons import Reason
from schemas.wire.reports import Taint


class StepKind(StrEnum):
    """What is to be changed: of the workload, of its tenant's quota, or, the last four, of a cluster."""

    TOLERATE_CLUSTER_TAINT = "TolerateClusterTaint"
    TOLERATE_NODE_TAINT = "TolerateNodeTaint"
    SELECT_CLUSTER = "SelectCluster"
    DROP_REQUIREMENT = "DropRequirement"
    REQUEST_LESS = "RequestLess"
    FEWER_REPLICAS = "FewerReplicas"
    FEWER_GROUPS = "FewerGroups"
    REQUEST_QUOTA = "RequestQuota"
    LABEL_CLUSTER = "LabelCluster"
    INSTALL_API = "InstallApi"
    FREE_ADDRESSES = "FreeAddresses"
    GRANT_AGENT = "GrantAgent"


Apply = Callable[[Ask], Ask]


@dataclass(frozen=True)
class Step:
    """field: where it is written in the workload, "" for a cluster. cluster: whose, "" for the workload."""

    kind: StepKind
    field: str
    text: str
    cluster: str = ""
    apply: Apply = dataclasses.field(compare=False, repr=False, kw_only=True)


_MIB = 2**20
_NEEDS = {
    Reason.RUNTIME_CLASS_MISSING: ("isolation", "spec.isolation"),
    Reason.NETWORK_MISSING: ("networks", "spec.networks"),
    Reason.DEVICE_CLASS_MISSING: ("device_class", "spec.gpus.deviceClass"),
}
_NOT_OURS = frozenset({Reason.TENANT_MAY_NOT, Reason.NAMESPACE_CLAIMED, Reason.CAPABILITY_MISSING})
"""What neither the workload nor one change of the cluster could put right."""


def cluster_steps(ask: Ask, view: ClusterView) -> list[list[Step]] | None:
    """What keeps the workload out of this cluster as a whole: for each thing, the steps of which one will do.

    None where there is no way in: the cluster cannot be reached, or the tenant may not. view: with what it
    lacks.
    """
    request = ask.request
    reasons = {each.reason for each in refusals(request, view)}
    if reasons & _NOT_OURS or (view.standing is not None and view.standing in reasons):
        return None
    found = [*_selecting(ask, view), *_tolerating(request, view)]
    if view.served is not None and not view.served.issuperset(request.kinds):
        found.append([_install(view, [kind for kind in request.kinds if kind not in view.served])])
    if Reason.AGENT_MAY_NOT in reasons and view.rights is not None:
        found.append([_grant(view, view.rights, request)])
    for lacking in view.lacks:
        if lacking.reason not in _NEEDS:
            return None
        need, path = _NEEDS[lacking.reason]
        found.append([_without_need(need, path)])
    return found


def _selecting(ask: Ask, view: ClusterView) -> Iterator[list[Step]]:
    request, path = ask.request, ask.affinity_path
    if any(selected(each, view) for each in (request.affinity, *request.overflow)):
        return
    affinity = request.affinity
    if view.name in affinity.exclude:
        without = affinity.exclude - {view.name}
        yield [_affinity(f"{path}.exclude", f"do not exclude {view.name}", exclude=without)]
    for each in affinity.labels:
        if not each.holds(view.labels):
            left = tuple(other for other in affinity.labels if other != each)
            label = [] if (step := _label(view, each)) is None else [step]
            text = f"do not ask for {each} of clusters"
            yield [_affinity(f"{path}.labelSelector", text, labels=left), *label]
    for each in affinity.fields:
        if not field_holds(each, view):
            left = tuple(other for other in affinity.fields if other != each)
            text = f"do not ask for {each} of clusters"
            yield [_affinity(f"{path}.fieldSelector", text, fields=left)]
    if affinity.names and view.name not in affinity.names:
        names = affinity.names | {view.name}
        yield [_affinity(f"{path}.clusterNames", f"name {view.name} among clusterNames", names=names)]


def _affinity(path: str, text: str, **changed: object) -> Step:
    def apply(ask: Ask) -> Ask:
        affinity = replace(ask.request.affinity, **changed)  # pyright: ignore[reportArgumentType]
        return replace(ask, request=replace(ask.request, affinity=affinity))

    return Step(StepKind.SELECT_CLUSTER, path, text, apply=apply)


def _label(view: ClusterView, requirement: Requirement) -> Step | None:
    """A label that would meet it; what asks for its absence is left to people."""
    if requirement.operator not in (Operator.IN, Operator.EXISTS):
        return None
    value = requirement.values[0] if requirement.values else "true"
    labels = {**view.labels, requirement.key: value}
    text = f"label the cluster {requirement.key}={value}"
    return Step(
        StepKind.LABEL_CLUSTER,
        "",
        text,
        view.name,
        apply=lambda ask: ask.with_view(replace(ask.view(view.id), labels=labels)),
    )


def _tolerating(request: PlacementRequest, view: ClusterView) -> Iterator[list[Step]]:
    if view.id in request.current:
        return
    for taint in view.taints:
        if untolerated([taint], request.tolerations) is not None:
            yield [_tolerate_cluster(taint)]


def _tolerate_cluster(taint: Taint) -> Step:
    toleration = Toleration(taint.key, "Equal", taint.value, taint.effect)

    def apply(ask: Ask) -> Ask:
        tolerations = (*ask.request.tolerations, toleration)
        return replace(ask, request=replace(ask.request, tolerations=tolerations))

    text = f"tolerate the clusters' taint {taint_text(taint)}"
    return Step(StepKind.TOLERATE_CLUSTER_TAINT, "spec.placement.clusterTolerations", text, apply=apply)


def _install(view: ClusterView, kinds: list[str]) -> Step:
    served = (view.served or frozenset()).union(kinds)
    text = f"install what serves {', '.join(kinds)}"
    return Step(
        StepKind.INSTALL_API,
        "",
        text,
        view.name,
        apply=lambda ask: ask.with_view(replace(ask.view(view.id), served=served)),
    )


def _grant(view: ClusterView, rights: AgentRights, request: PlacementRequest) -> Step:
    lacking = rights.lacking(request.written)
    granted = rights.with_all(each.written for each in lacking)
    return Step(
        StepKind.GRANT_AGENT,
        "",
        granting(lacking),
        view.name,
        apply=lambda ask: ask.with_view(replace(ask.view(view.id), rights=granted)),
    )


def _without_need(need: str, path: str) -> Step:
    return Step(
        StepKind.DROP_REQUIREMENT,
        path,
        f"without {path.removeprefix('spec.')}",
        apply=lambda ask: replace(ask, without=ask.without | {need}),
    )


def node_steps(asking: Asking, ask: Ask, view: ClusterView) -> list[Step]:
    """What keeps its pods off the nodes of this cluster; each for itself may do."""
    found: dict[Step, None] = {}
    parts = asking.written(ask, view)
    for demand, written in zip(asking.demands(ask, view), parts, strict=True):
        for taint in asking.node_taints(view):
            if taint.effect in REPELLING and untolerated([taint], demand.tolerations) is not None:
                found[_tolerate_node(taint)] = None
        found |= dict.fromkeys(_requirements(demand, written.added))
        for resource, amount in demand.requests:
            largest = rounded(resource, asking.largest(view, demand, resource)) if resource != "pods" else 0
            stated = written.requests.get(resource)
            if stated is None and 0 < largest < amount:
                found[_request_less(resource, amount, largest)] = None
            elif stated is not None:
                left = rounded(resource, largest - (amount - stated))
                if 0 < left < stated:
                    found[write_less(resource, left, parts)] = None
    return list(found)


def _tolerate_node(taint: Taint) -> Step:
    toleration = Toleration(taint.key, "Equal", taint.value, taint.effect)
    return _vary(
        StepKind.TOLERATE_NODE_TAINT,
        "tolerations",
        f"tolerate the nodes' taint {taint_text(taint)}",
        lambda demand: replace(demand, tolerations=(*demand.tolerations, toleration)),
    )


def _requirements(demand: Demand, added: Demand) -> Iterator[Step]:
    kind = StepKind.DROP_REQUIREMENT
    if any(each.key.startswith(HANDLER) for each in demand.traits):
        yield _without_need(*_NEEDS[Reason.RUNTIME_CLASS_MISSING])
    for key, value in demand.node_selector:
        if (key, value) in added.node_selector:
            continue
        yield _vary(
            kind,
            "nodeSelector",
            f"without node label {key}={value}",
            lambda demand, dropped=(key, value): replace(
                demand, node_selector=tuple(each for each in demand.node_selector if each != dropped)
            ),
        )
    for each in dict.fromkeys(one for term in demand.affinity for one in term.requirements):
        yield _vary(
            kind,
            "affinity.nodeAffinity",
            f"without node affinity {each}",
            lambda demand, dropped=each: _without_affinity(demand, dropped),
        )
    for each in demand.traits:
        if each.key.startswith(HANDLER):
            continue
        yield _vary(
            kind,
            "features" if each.key.startswith(FEATURE) else "gpus",
            f"without {each.lacking}",
            lambda demand, dropped=each: replace(
                demand, traits=tuple(one for one in demand.traits if one != dropped)
            ),
        )
    if demand.numa is not None and demand.numa.wanted:
        yield _vary(kind, "topology", "without one NUMA zone", lambda demand: replace(demand, numa=None))
    for pool, _ in demand.pools:
        yield _vary(
            StepKind.FREE_ADDRESSES,
            "networks",
            f"more free addresses at {pool}",
            lambda demand, full=pool: replace(
                demand, pools=tuple(each for each in demand.pools if each[0] != full)
            ),
        )


def _without_affinity(demand: Demand, dropped: Requirement) -> Demand:
    """A term of which nothing is left selects every node, and so does the whole then."""
    terms = [tuple(each for each in term.requirements if each != dropped) for term in demand.affinity]
    if not all(terms):
        return replace(demand, affinity=())
    kept = zip(demand.affinity, terms, strict=True)
    return replace(demand, affinity=tuple(replace(term, requirements=left) for term, left in kept))


def write_less(resource: str, less: int, parts: Sequence[Written]) -> Step:
    """In every pod template that asks for more than `less`: what is added to it is not theirs to change."""
    above = [each for each in parts if each.requests.get(resource, 0) > less]
    instead = [
        f"instead of {quantity_text(resource, each.requests[resource])}{_where(each)}" for each in above
    ]
    return Step(
        StepKind.REQUEST_LESS,
        f"resources.requests.{resource}",
        f"ask for {resource} {quantity_text(resource, less)} {' and '.join(instead)}",
        apply=lambda ask: replace(ask, at_most=(*ask.at_most, (resource, less))),
    )


def _where(written: Written) -> str:
    if written.containers > 1:
        return f" in all containers of {written.name or 'the pod'} together"
    return f" in {written.name}" if written.name else ""


def _request_less(resource: str, amount: int, less: int) -> Step:
    text = f"ask for {resource} {quantity_text(resource, less)} instead of {quantity_text(resource, amount)}"
    return _vary(
        StepKind.REQUEST_LESS,
        f"resources.requests.{resource}",
        text,
        lambda demand: replace(
            demand,
            requests=tuple(
                (name, min(less, asked) if name == resource else asked) for name, asked in demand.requests
            ),
        ),
    )


def rounded(resource: str, amount: int) -> int:
    """Down to what people write: whole Mi of what is counted in bytes."""
    counted_in_bytes = resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-")
    return amount - amount % _MIB if counted_in_bytes and amount > _MIB else amount


def _vary(kind: StepKind, path: str, text: str, vary: Callable[[Demand], Demand]) -> Step:
    return Step(kind, path, text, apply=lambda ask: replace(ask, vary=(*ask.vary, vary)))


def taint_text(taint: Taint) -> str:
    value = f"={taint.value}" if taint.value else ""
    return f"{taint.key}{value}:{taint.effect}"
