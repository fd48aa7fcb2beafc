"""Which clusters may take a workload at all, and every reason why one may not."""

from collections.abc import Iterator, Mapping, Sequence

from controlplane.fleet.demand import Operator, Requirement, untolerated
from controlplane.placement.rights import may_not
from controlplane.placement.rules import Affinity, ClusterView, PlacementRequest, Refused, TenantRule
from schemas.reasons import Reason
from schemas.wire.orders import OVERWRITE, PRESERVE


def refusals(request: PlacementRequest, cluster: ClusterView) -> tuple[Refused, ...]:
    """Empty for a cluster that passes.

    One that runs the workload already passes its taints and its standing: whether it may go on is decided
    by eviction, and a cluster that is not heard of right now does not lose what it runs.
    """
    found: list[Refused] = []
    running = cluster.id in request.current
    if cluster.standing is not None and not running:
        found.append(Refused(cluster.standing, cluster.standing_message))
    if request.tenant is not None:
        found += _tenant(request.tenant, cluster)
    if not running:
        found += _claims(request, cluster)
    found += [
        Refused(Reason.CLUSTER_NOT_SELECTED, f"{whose} is not there")
        for whose, affinity in request.within
        if not selected(affinity, cluster)
    ]
    if not any(selected(tier, cluster) for tier in request.overflow):
        found += _affinity(request.affinity, cluster)
    if cluster.taints and not running:
        found += _taints(request, cluster)
    if cluster.served is not None and not cluster.served.issuperset(request.kinds):
        lacking = [kind for kind in request.kinds if kind not in cluster.served]
        found.append(Refused(Reason.API_NOT_SERVED, f"does not serve {', '.join(lacking)}"))
    incapable = _incapable(request, cluster, running=running)
    if incapable:
        found.append(Refused(Reason.CAPABILITY_MISSING, f"its agent cannot do: {', '.join(incapable)}"))
    if not running and (beyond := beyond_rights(request, cluster)) is not None:
        # Where it runs, withdrawing it would need rights as well: it stays as it is.
        found.append(beyond)
    return (*found, *cluster.lacks)


def beyond_rights(request: PlacementRequest, cluster: ClusterView) -> Refused | None:
    """Why no order for it is sent there, be it to begin or to change what runs; None where one may be."""
    lacking = cluster.rights.lacking(request.written) if cluster.rights is not None else []
    return Refused(Reason.AGENT_MAY_NOT, may_not(lacking)) if lacking else None


def _incapable(request: PlacementRequest, cluster: ClusterView, *, running: bool) -> list[str]:
    """What runs there was begun without these two, and shall not be removed for want of them."""
    if cluster.capabilities is None:
        return []
    spared = (OVERWRITE, PRESERVE) if running else ()
    return [each for each in request.capabilities if each not in cluster.capabilities and each not in spared]


def surely_pass(request: PlacementRequest, clusters: Sequence[ClusterView]) -> list[bool]:
    """Which clusters pass beyond doubt, for thousands of them; `refusals` answers for the others."""
    bounded = request.tenant is not None and not request.tenant.is_everywhere
    if bounded or request.claimants or request.within or request.overflow or request.affinity.fields:
        return [False] * len(clusters)
    kinds, needs = frozenset(request.kinds), frozenset(request.capabilities)
    sure = [
        each.standing is None
        and not (each.taints or each.lacks)
        and (each.served is None or kinds <= each.served)
        and (each.rights is None or beyond_rights(request, each) is None)
        and (not needs or each.capabilities is None or needs <= each.capabilities)
        for each in clusters
    ]
    affinity = request.affinity
    for wanted in affinity.labels:
        key, values = wanted.key, wanted.values
        if wanted.operator is Operator.IN:
            sure = [
                so_far and each.labels.get(key) in values for so_far, each in zip(sure, clusters, strict=True)
            ]
        else:
            sure = [so_far and wanted.holds(each.labels) for so_far, each in zip(sure, clusters, strict=True)]
    if affinity.names or affinity.exclude:
        sure = [
            so_far
            and each.name not in affinity.exclude
            and (not affinity.names or each.name in affinity.names)
            for so_far, each in zip(sure, clusters, strict=True)
        ]
    return sure


def selected(affinity: Affinity, cluster: ClusterView) -> bool:
    return next(_affinity(affinity, cluster), None) is None


def tenant_may(tenant: TenantRule, cluster: ClusterView) -> bool:
    return next(_tenant(tenant, cluster), None) is None


def _affinity(affinity: Affinity, cluster: ClusterView) -> Iterator[Refused]:
    if cluster.name in affinity.exclude:
        yield Refused(Reason.CLUSTER_EXCLUDED, "excluded by name")
        return
    lacks = [each for each in affinity.labels if not each.holds(cluster.labels)]
    lacks += [each for each in affinity.fields if not field_holds(each, cluster)]
    if lacks:
        yield Refused(Reason.CLUSTER_NOT_SELECTED, f"not selected: {', '.join(map(str, lacks))}")
    if affinity.names and cluster.name not in affinity.names:
        yield Refused(Reason.CLUSTER_NOT_SELECTED, "not among clusterNames")


def field_holds(requirement: Requirement, cluster: ClusterView) -> bool:
    """Karmada's: a zone matches In by any overlap, NotIn by none; without zones In fails and NotIn holds."""
    if requirement.key == "zone":
        overlap = not set(cluster.zones).isdisjoint(requirement.values)
        match requirement.operator:
            case Operator.IN:
                return overlap
            case Operator.NOT_IN:
                return not overlap
            case Operator.EXISTS:
                return bool(cluster.zones)
            case Operator.DOES_NOT_EXIST:
                return not cluster.zones
            case _:
                return False
    fields: Mapping[str, str] = {
        key: value for key, value in (("provider", cluster.provider), ("region", cluster.region)) if value
    }
    return requirement.holds(fields)


def _tenant(tenant: TenantRule, cluster: ClusterView) -> Iterator[Refused]:
    if tenant.environments and cluster.environment not in tenant.environments:
        may = ", ".join(sorted(tenant.environments))
        its = cluster.environment or "none"
        yield Refused(Reason.TENANT_MAY_NOT, f"tenant {tenant.name} may use environments {may}; it is {its}")
    for refused in _affinity(tenant.clusters, cluster):
        yield Refused(Reason.TENANT_MAY_NOT, f"tenant {tenant.name} may not use it: {refused.message}")


def _claims(request: PlacementRequest, cluster: ClusterView) -> Iterator[Refused]:
    """Checked again here: when two tenants were written, this cluster may not have been there, or not so."""
    for claimant in request.claimants:
        if tenant_may(claimant, cluster):
            yield Refused(Reason.NAMESPACE_CLAIMED, f"tenant {claimant.name} claims a namespace of it here")


def _taints(request: PlacementRequest, cluster: ClusterView) -> Iterator[Refused]:
    taint = untolerated(cluster.taints, request.tolerations)
    if taint is not None:
        value = f"={taint.value}" if taint.value else ""
        yield Refused(Reason.CLUSTER_TAINTED, f"taint {taint.key}{value}:{taint.effect} is not tolerated")
