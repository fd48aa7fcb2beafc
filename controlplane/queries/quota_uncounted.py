"""What runs already of what is counted only where a quota names it, before a quota names it."""

from collections.abc import Iterator

from controlplane.known.charging import charge_in
from controlplane.known.compiling import Compiler
from controlplane.known.flavors import UNBOUNDED
from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord, WorkloadRecord
from controlplane.known.views import Views
from controlplane.placement import Refused
from controlplane.quota.changing import BOUNDING, SpecCache, declared_of, overdrawn
from controlplane.quota.problems import QuotaProblem
from controlplane.quota.quota import (
    ADDRESSES,
    COUNTED_WHERE_NAMED,
    NOTHING,
    UNFLAVORED,
    Amounts,
    FlavorResource,
    Group,
    TenantQuota,
)
from schemas.manifests import Tenant


def overdrawn_by_naming(known: Known, tenant: Tenant, now: float) -> list[QuotaProblem]:
    """Who would be left with less than runs already, by resources that this tenant's quota comes to name.

    Of what it has named before the ledger knows, and the store refuses.
    """
    name, quotas = tenant.metadata.name, known.quotas
    quotas.refresh(known.documents, now)
    fresh = _fresh(known, tenant)
    running = _running(known, name, fresh, now) if fresh else NOTHING
    if not running:
        return []
    used: dict[str, Amounts] = {
        each.name: {key: amount for key, amount in quotas.usage.of(each.name).items() if key[1] in fresh}
        for each in quotas.tree.tenants.values()
    }
    used[name] = running
    stored = {kind: list(known.documents[kind].records.values()) for kind in BOUNDING}
    spec = tenant.spec.model_dump(by_alias=True, exclude_unset=True)
    others = [each for each in stored["Tenant"] if each.name != name]
    written = stored | {"Tenant": [*others, DocumentRecord(name, spec, 0)]}
    cache = SpecCache()
    before, after = declared_of(stored, cache), declared_of(written, cache)
    return list(overdrawn(before, after, used, quotas.grants, now))


def _fresh(known: Known, tenant: Tenant) -> frozenset[str]:
    held = known.quotas.tenants.get(tenant.metadata.name)
    flavors = tenant.spec.quota.flavors if tenant.spec.quota is not None else []
    named = {one.name for each in flavors for one in each.resources}
    counted = {each for each in named if each in COUNTED_WHERE_NAMED or each.startswith(ADDRESSES)}
    return frozenset(counted) - (held.covered if held is not None else frozenset())


def _running(known: Known, tenant: str, resources: frozenset[str], now: float) -> Amounts:
    found: dict[FlavorResource, int] = {}
    compiler, views = Compiler(known), Views(known)
    probe = TenantQuota(tenant, groups=(Group(resources, (UNFLAVORED,)),))
    for record in known.workloads.values():
        if record.tenant != tenant or not known.placements_of(record.uid):
            continue
        for (_, resource), amount in _placed(known, compiler, views, record, probe, now):
            if resource in resources:
                found[UNFLAVORED, resource] = found.get((UNFLAVORED, resource), 0) + amount
    return found


def _placed(
    known: Known, compiler: Compiler, views: Views, record: WorkloadRecord, probe: TenantQuota, now: float
) -> Iterator[tuple[FlavorResource, int]]:
    """What its placements come to; nothing where they cannot be understood any more."""
    try:
        compiled = compiler.compiled(record)
    except ValueError:
        return
    for cluster, placement in known.placements_of(record.uid).items():
        where = known.clusters.get(cluster)
        view = views.one(where, now) if where is not None else None
        found = compiled.asked_in(view) if view is not None else None
        if view is None or found is None or isinstance(found, Refused):
            continue
        made, asked = found
        replicas = placement.replicas
        amounts = charge_in(probe, UNBOUNDED, made.interpretation, asked, replicas, view, known.fleet)
        yield from amounts.items()
