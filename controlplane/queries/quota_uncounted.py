"""What runs already of what is counted only where a quota names it, before a quota names it."""

from collections.abc import Iterator

from controlplane.known.charging import charge_in
from controlplane.known.compiling import Compiler
from controlplane.known.finished import finished_in
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
    UNFLAVORED,
    Amounts,
    FlavorResource,
    Group,
    TenantQuota,
)
from schemas.manifests import Tenant


class Naming:
    """Who would be left with less than runs already, by resources that this tenant's quota comes to name.

    Of what it has named before the ledger knows, and the store refuses.
    """

    def __init__(self, known: Known, tenant: Tenant, now: float) -> None:
        self._known, self._tenant, self._now = known, tenant, now
        known.quotas.refresh(known.documents, now)
        self._fresh = _fresh(known, tenant)
        self._running: dict[FlavorResource, int] = {}

    def steps(self) -> Iterator[None]:
        """Add up what runs; others may run between two steps."""
        known, name = self._known, self._tenant.metadata.name
        if not self._fresh:
            return
        compiler, views = Compiler(known), Views(known)
        probe = TenantQuota(name, groups=(Group(self._fresh, (UNFLAVORED,)),))
        for record in [each for each in known.workloads.values() if each.tenant == name]:
            yield
            for (_, resource), amount in _placed(known, compiler, views, record, probe, self._now):
                if resource in self._fresh:
                    key = UNFLAVORED, resource
                    self._running[key] = self._running.get(key, 0) + amount

    def overdrawn(self) -> list[QuotaProblem]:
        """After all steps."""
        if not self._running:
            return []
        known, tenant, quotas = self._known, self._tenant, self._known.quotas
        name = tenant.metadata.name
        used: dict[str, Amounts] = {
            each.name: {
                key: amount for key, amount in quotas.usage.of(each.name).items() if key[1] in self._fresh
            }
            for each in quotas.tree.tenants.values()
        }
        used[name] = self._running
        stored = {kind: list(known.documents[kind].records.values()) for kind in BOUNDING}
        spec = tenant.spec.model_dump(by_alias=True, exclude_unset=True)
        others = [each for each in stored["Tenant"] if each.name != name]
        written = stored | {"Tenant": [*others, DocumentRecord(name, spec, 0)]}
        cache = SpecCache()
        before, after = declared_of(stored, cache), declared_of(written, cache)
        return list(overdrawn(before, after, used, quotas.grants, self._now))


def _fresh(known: Known, tenant: Tenant) -> frozenset[str]:
    held = known.quotas.tenants.get(tenant.metadata.name)
    flavors = tenant.spec.quota.flavors if tenant.spec.quota is not None else []
    named = {one.name for each in flavors for one in each.resources}
    counted = {each for each in named if each in COUNTED_WHERE_NAMED or each.startswith(ADDRESSES)}
    return frozenset(counted) - (held.covered if held is not None else frozenset())


def _placed(
    known: Known, compiler: Compiler, views: Views, record: WorkloadRecord, probe: TenantQuota, now: float
) -> Iterator[tuple[FlavorResource, int]]:
    """What its placements come to; nothing where it has finished, or they cannot be understood any more."""
    placements = known.placements_of(record.uid)
    if not placements:
        return
    finished = finished_in(known, record.uid, record.revision)
    try:
        compiled = compiler.compiled(record)
    except ValueError:
        return
    for cluster, placement in placements.items():
        where = known.clusters.get(cluster) if cluster not in finished else None
        view = views.one(where, now) if where is not None else None
        found = compiled.asked_in(view) if view is not None else None
        if view is None or found is None or isinstance(found, Refused):
            continue
        made, asked = found
        replicas = placement.replicas
        amounts = charge_in(probe, UNBOUNDED, made.interpretation, asked, replicas, view, known.fleet)
        yield from amounts.items()
