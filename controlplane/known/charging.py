"""What a placement is charged: what its pods ask for, counted as Kubernetes counts it, cluster by cluster."""

from collections.abc import Iterator

from controlplane.fleet import Demand, Fleet
from controlplane.interpreters.interpretation import Interpretation
from controlplane.known.flavors import Assignment
from controlplane.known.records import Cause, LedgerLine
from controlplane.placement import ClusterView
from controlplane.placement.rooms import Asked
from controlplane.quota.quota import (
    ADDRESSES,
    OBJECTS,
    PODS,
    Amounts,
    FlavorResource,
    TenantQuota,
)
from schemas.wire.orders import Version


def requests_of(quota: TenantQuota | None, demand: Demand, view: ClusterView | None) -> dict[str, int]:
    """Of one pod; what Muster counts itself only where a quota of its tenant names it."""
    found = dict(demand.requests)
    pods = found.pop(PODS, 0)
    covered = frozenset[str]() if quota is None else quota.covered
    if PODS in covered:
        found[PODS] = pods
    for attachment, count in demand.pools:
        name = ADDRESSES + _pool(attachment, view)
        if name in covered:
            found[name] = found.get(name, 0) + count
    return found


def charge_in(
    quota: TenantQuota | None,
    assignment: Assignment,
    interpretation: Interpretation,
    asked: Asked,
    replicas: int,
    view: ClusterView,
    fleet: Fleet,
) -> dict[FlavorResource, int]:
    """Of `replicas` in one cluster; of sets where it is placed in sets, of nodes where it runs on each."""
    found: dict[FlavorResource, int] = {}
    for component, resolved in zip(interpretation.components, asked, strict=True):
        pods = replicas * (component.replicas if interpretation.is_set else 1)
        if not interpretation.is_set and not interpretation.replicas and interpretation.indivisible:
            pods = fleet.matching(resolved.demand, [view.id])[0]
        for resource, amount in requests_of(quota, resolved.demand, view).items():
            _more(found, (assignment.flavor(component.name, resource), resource), amount * pods)
    if quota is not None and OBJECTS in quota.covered:
        name = interpretation.components[0].name if interpretation.components else ""
        _more(found, (assignment.flavor(name, OBJECTS), OBJECTS), len(interpretation.objects))
    return found


def least(interpretation: Interpretation, assignment: Assignment, quota: TenantQuota) -> Amounts:
    """What it is charged at least, wherever it runs: in one cluster, without what clusters add to it."""
    found: dict[FlavorResource, int] = {}
    for component in interpretation.components:
        pods = interpretation.replicas * (component.replicas if interpretation.is_set else 1)
        for resource, amount in requests_of(quota, component.demand, None).items():
            _more(found, (assignment.flavor(component.name, resource), resource), amount * pods)
    return found


def beyond(asked: Amounts, charged: Amounts) -> dict[FlavorResource, int]:
    """What is asked for and not charged yet."""
    return {key: amount - had for key, amount in asked.items() if amount > (had := charged.get(key, 0))}


def lines_of(
    tenant: str, uid: str, cluster: str, amounts: Amounts, cause: Cause, version: Version | None = None
) -> Iterator[LedgerLine]:
    for (flavor, resource), amount in sorted(amounts.items()):
        yield LedgerLine(tenant, uid, cluster, flavor, resource, amount, cause, version)


def _pool(attachment: str, view: ClusterView | None) -> str:
    """By the name of the pool where the cluster tells it."""
    known = view.hardware.attachments.get(attachment) if view is not None and view.hardware else None
    return known.pool if known is not None and known.pool else attachment


def _more(found: dict[FlavorResource, int], key: FlavorResource, amount: int) -> None:
    if amount:
        found[key] = found.get(key, 0) + amount
