"""What people declare, as it is decided on at one moment: windows that are open, grants that are in force."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from controlplane.fleet.demand import Toleration
from controlplane.known.records import QuotaRequestRecord, RequestState
from controlplane.placement.compiled import compiled_affinity
from controlplane.placement.needs import requirements_of
from controlplane.quota import windows
from controlplane.quota.quota import (
    CohortQuota,
    Flavor,
    FlavorResource,
    Group,
    Limits,
    Preemption,
    Reclaim,
    TenantQuota,
    Within,
)
from schemas.manifests.base import Quantity
from schemas.manifests.cohort import CohortSpec, FlavorSpec
from schemas.manifests.quota import Amount, FlavorQuota, PreemptionPolicy, QuotaSpec
from schemas.quantities import quantity_amount

MILLIONTHS = 10**6
_Bounded = TypeVar("_Bounded", TenantQuota, CohortQuota)


def flavor_of(name: str, spec: FlavorSpec) -> Flavor:
    """NotUnderstood names the field of a feature that is none."""
    features = tuple(
        requirement
        for index, match in enumerate(spec.features)
        for _, requirement in requirements_of(match, index)
    )
    prices = spec.prices
    return Flavor(
        name,
        node_labels=spec.node_labels,
        requirements=features,
        tolerations=tuple(
            Toleration(each.key, each.operator, each.value, each.effect) for each in spec.tolerations
        ),
        clusters=compiled_affinity(spec.clusters),
        currency=prices.currency if prices else "",
        prices={name: millionths(each) for name, each in prices.per_hour.items()} if prices else {},
    )


def cohort_quota(name: str, spec: CohortSpec, at: float) -> CohortQuota:
    """at: Unix seconds; of windows, the amounts of those that are open then."""
    return CohortQuota(name, spec.parent or "", thousandths(spec.weight), _limits(spec.flavors, at))


def tenant_quota(name: str, spec: QuotaSpec, at: float) -> TenantQuota:
    """at: Unix seconds; of windows, the amounts of those that are open then."""
    return TenantQuota(
        name,
        cohort=spec.cohort or "",
        weight=thousandths(spec.weight),
        limits=_limits(spec.flavors, at),
        groups=_groups(spec.flavors),
        preemption=_preemption(spec.preemption),
        refuses_uncovered=spec.uncovered == "Refuse",
        strict=spec.queueing == "StrictFIFO",
    )


def next_change(specs: Iterable[QuotaSpec | CohortSpec], at: float) -> float | None:
    """When the next window after `at` opens or closes, Unix seconds; None where none does any more."""
    moments = [
        windows.next_change(window, at)
        for spec in specs
        for flavor in spec.flavors
        for resource in flavor.resources
        for window in resource.windows
    ]
    return min((each for each in moments if each is not None), default=None)


def granted(
    tenants: Mapping[str, TenantQuota],
    cohorts: Mapping[str, CohortQuota],
    grants: Iterable[QuotaRequestRecord],
    at: float,
) -> tuple[dict[str, TenantQuota], dict[str, CohortQuota]]:
    """Nominal quota with what is granted on top, taken from where the grant says.

    A grant to a tenant without a quota changes nothing: it is not bounded. What is taken is never more than
    there is: a donor's nominal quota ends at 0.
    """
    tenants, cohorts = dict(tenants), dict(cohorts)
    for grant in grants:
        if not in_force(grant, at) or grant.tenant not in tenants:
            continue
        amounts = grant_amounts(grant)
        tenants[grant.tenant] = _covering(_shifted(tenants[grant.tenant], amounts), amounts)
        kind, name = grant.taken_from or ("", "")
        taken = {key: -amount for key, amount in amounts.items()}
        if kind == "Tenant" and name in tenants:
            tenants[name] = _shifted(tenants[name], taken)
        elif kind == "Cohort" and name in cohorts:
            cohorts[name] = _shifted(cohorts[name], taken)
    return tenants, cohorts


def in_force(grant: QuotaRequestRecord, at: float) -> bool:
    return grant.state is RequestState.GRANTED and (not grant.until or at < grant.until)


def grant_amounts(grant: QuotaRequestRecord) -> dict[FlavorResource, int]:
    return {
        (flavor, resource): quantity_amount(resource, amount)
        for flavor, amounts in grant.amounts.items()
        for resource, amount in amounts.items()
    }


def _shifted(quota: _Bounded, amounts: Mapping[FlavorResource, int]) -> _Bounded:
    limits = dict(quota.limits)
    for key, amount in amounts.items():
        before = limits.get(key, Limits())
        nominal = max(0, before.nominal + amount)
        lending = None if before.lending is None else min(before.lending, nominal)
        limits[key] = replace(before, nominal=nominal, lending=lending)
    return replace(quota, limits=limits)


def _covering(quota: TenantQuota, amounts: Mapping[FlavorResource, int]) -> TenantQuota:
    """What is granted of a flavor that the tenant did not have can be used: it is tried last."""
    fresh: dict[str, set[str]] = {}
    for flavor, resource in amounts:
        fresh.setdefault(flavor, set()).add(resource)
    groups = list(quota.groups)
    for flavor, resources in fresh.items():
        missing = frozenset(resources) - {
            name for each in groups if flavor in each.flavors for name in each.resources
        }
        for index, each in enumerate(groups):
            if missing & each.resources:
                groups[index] = replace(each, flavors=(*each.flavors, flavor))
                missing -= each.resources
        if missing:
            groups.append(Group(missing, (flavor,)))
    return replace(quota, groups=tuple(groups))


def limits_of(amount: Amount, resource: str) -> Limits:
    """ValueError for what is no amount."""

    def some(value: Quantity | None) -> int | None:
        return None if value is None else quantity_amount(resource, value)

    return Limits(
        quantity_amount(resource, amount.nominal_quota),
        some(amount.borrowing_limit),
        some(amount.lending_limit),
    )


def _limits(flavors: Iterable[FlavorQuota], at: float) -> dict[FlavorResource, Limits]:
    return {
        (flavor.name, each.name): limits_of(windows.opened(each.windows, at) or each, each.name)
        for flavor in flavors
        for each in flavor.resources
    }


def _groups(flavors: Iterable[FlavorQuota]) -> tuple[Group, ...]:
    """Flavors of the same resources stand for each other, in the order in which they were written."""
    named: dict[frozenset[str], list[str]] = {}
    for flavor in flavors:
        named.setdefault(frozenset(each.name for each in flavor.resources), []).append(flavor.name)
    return tuple(Group(resources, tuple(names)) for resources, names in named.items())


def _preemption(policy: PreemptionPolicy) -> Preemption:
    return Preemption(
        Reclaim(policy.reclaim_within_cohort),
        Reclaim(policy.borrow_within_cohort.policy),
        policy.borrow_within_cohort.max_priority_threshold,
        Within(policy.within_tenant),
    )


def thousandths(weight: Quantity) -> int:
    return quantity_amount("cpu", weight)


def millionths(money: Quantity) -> int:
    """Of what `money` of the manifests takes: exact."""
    return int(Decimal(str(money)) * MILLIONTHS)
