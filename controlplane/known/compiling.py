"""Workloads as they are compiled: what their newest revision asks for, against what they hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from controlplane.interpreters import Interpretation, Kinds
from controlplane.known.flavors import Assignment
from controlplane.known.known import Known
from controlplane.known.meanings import Meaning
from controlplane.known.records import DocumentRecord, WorkloadRecord
from controlplane.placement import ClusterView, PlacementRequest, Refused, TenantRule
from controlplane.placement.claims import matches
from controlplane.placement.compiled import placement_request, tenant_rule
from controlplane.placement.flavoring import Flavoring
from controlplane.placement.needs import Needs
from controlplane.placement.overriding import Variant, Variants
from controlplane.placement.rooms import Asked, asked_in, selection
from controlplane.quota.quota import Flavor, TenantQuota
from schemas.manifests import TenantSpec, WorkloadSpec


@dataclass(frozen=True)
class Compiled:
    """One revision of a workload, ready to be decided on. kinds: by which its objects were understood.

    tried: flavors that it may be given, for what they follow from: `admitting` keeps them here.
    """

    record: WorkloadRecord
    spec: WorkloadSpec
    interpretation: Interpretation
    request: PlacementRequest
    needs: tuple[Needs, ...]
    kinds: Kinds
    variants: Variants
    tried: dict[bool, tuple[tuple[TenantQuota, Mapping[str, Flavor]], list[Assignment] | Refused]] = field(
        default_factory=dict[bool, Any], compare=False, repr=False
    )
    _given: "dict[str, Compiled]" = field(default_factory=dict[str, "Compiled"], compare=False, repr=False)

    def given(self, assignment: Assignment) -> "Compiled":
        """On nodes of these flavors. NotUnderstood where its pods cannot be told to go there."""
        flavorings = assignment.flavorings
        if not any(each != Flavoring(each.names) for each in flavorings.values()):
            return self
        key = repr(sorted(flavorings.items()))
        held = self._given.get(key)
        if held is None:
            variants = self.variants.given(flavorings)
            needs = variants.plain.needs
            within = {one: None for each in flavorings.values() for one in each.clusters}
            request = replace(
                self.request, selection=selection(needs, self.interpretation), within=tuple(within)
            )
            held = self._given[key] = replace(self, request=request, needs=needs, variants=variants)
        request = replace(self.request, selection=held.request.selection, within=held.request.within)
        return replace(held, request=request)

    def asked_in(self, view: ClusterView) -> tuple[Variant, Asked] | Refused:
        """What it comes to in one cluster; CannotOverride where an override fails there."""
        variant = self.variants.in_cluster(view)
        asked = asked_in(variant.needs, variant.interpretation, view)
        return asked if isinstance(asked, Refused) else (variant, asked)


class _Now(NamedTuple):
    """Of a request, what follows from what is known at the moment. By their names there."""

    current: Mapping[str, int]
    affinity_name: str
    fresh: bool
    tenant: TenantRule | None
    claimants: tuple[TenantRule, ...]


class Compiler:
    """Compiles each version of a workload and of a tenant once."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._compiled: dict[str, Compiled] = {}
        self._tenants: dict[str, tuple[DocumentRecord, TenantRule]] = {}
        self._tenants_version = 0
        self._claimed: dict[str, frozenset[str]] = {}
        self._rivals: dict[tuple[str, tuple[str, ...]], tuple[TenantRule, ...]] = {}

    def compiled(self, record: WorkloadRecord) -> Compiled:
        """ValueError (NotUnderstood, a pydantic error) where what is stored cannot be understood any more."""
        held, kinds = self._compiled.get(record.uid), self._known.kinds
        if held is None or held.record is not record or held.kinds is not kinds:
            return self._compiled_anew(record, kinds)
        now, before = self._now(record, held.interpretation), held.request
        # Asked for several times before anything of it changes: what waits for quota, above all.
        if (now.current, now.affinity_name, now.fresh, now.claimants) != (
            before.current,
            before.affinity_name,
            before.fresh,
            before.claimants,
        ) or now.tenant is not before.tenant:
            held = self._compiled[record.uid] = replace(held, request=replace(before, **now._asdict()))
        return held

    def _compiled_anew(self, record: WorkloadRecord, kinds: Kinds) -> Compiled:
        meaning = self._known.meanings.take(record.spec, kinds)
        if meaning is None:
            meaning = Meaning.of(WorkloadSpec.model_validate(record.spec), kinds)
        spec, interpretation, needs = meaning.spec, meaning.interpretation, meaning.needs
        request = replace(
            placement_request(record.uid, spec, interpretation),
            selection=selection(needs, interpretation),
            **self._now(record, interpretation)._asdict(),
        )
        held = Compiled(record, spec, interpretation, request, needs, kinds, meaning.variants)
        self._compiled[record.uid] = held
        return held

    def _now(self, record: WorkloadRecord, interpretation: Interpretation) -> _Now:
        placements, decision = self._known.placements_of(record.uid), self._known.decisions.get(record.uid)
        return _Now(
            current={cluster: placement.replicas for cluster, placement in placements.items()},
            affinity_name=decision.affinity_name if decision is not None else "",
            fresh=record.rescheduled > (decision.rescheduled if decision is not None else 0),
            tenant=self.tenant(record.tenant),
            claimants=self._claimants(record.tenant, interpretation.namespaces),
        )

    def _claimants(self, tenant: str, namespaces: tuple[str, ...]) -> tuple[TenantRule, ...]:
        """Other tenants that claim one of these namespaces somewhere; none for the operator's own work."""
        if not tenant:
            return ()
        version = self._known.documents["Tenant"].version
        if self._tenants_version != version:
            self._tenants_version = version
            self._claimed.clear()
            self._rivals.clear()
        rivals = self._rivals.get((tenant, namespaces))
        if rivals is None:
            names = {name for namespace in namespaces for name in self._claiming(namespace)} - {tenant}
            rivals = tuple(rule for name in sorted(names) if (rule := self.tenant(name)) is not None)
            self._rivals[tenant, namespaces] = rivals
        return rivals

    def _claiming(self, namespace: str) -> frozenset[str]:
        if namespace not in self._claimed:
            self._claimed[namespace] = frozenset(
                name
                for name, record in self._known.tenants.items()
                if any(matches(pattern, namespace) for pattern in record.spec["namespaces"])
            )
        return self._claimed[namespace]

    def tenant(self, name: str) -> TenantRule | None:
        """The rule of a tenant, None for none."""
        record = self._known.tenants.get(name)
        if record is None:
            return None
        held = self._tenants.get(name)
        if held is None or held[0] is not record:
            held = record, tenant_rule(name, TenantSpec.model_validate(record.spec))
            self._tenants[name] = held
        return held[1]

    def forget(self, uid: str) -> None:
        self._compiled.pop(uid, None)
