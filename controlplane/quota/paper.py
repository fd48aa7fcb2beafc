"""A plan of quota, read: its tree, what is used of it, and what is admitted."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from controlplane.quota.declared import thousandths
from controlplane.quota.quota import (
    Admitted,
    CohortQuota,
    FlavorResource,
    Group,
    Limits,
    Preemption,
    Reclaim,
    TenantQuota,
    Within,
)
from controlplane.quota.tree import CohortCycle, Node, Tree
from controlplane.quota.usage import Usage
from schemas.manifests.base import Quantity
from schemas.manifests.quota import PreemptionPolicy
from schemas.manifests.quota_plan import (
    MOST_AMOUNT,
    PlanAmount,
    PlanRequest,
    PlanTenant,
    PlanWorkload,
    QuotaPlanSpec,
)
from schemas.quantities import quantity_amount, quantity_text

Fault = tuple[str, str]
"""(path, message): of the field that is wrong, as `tenants[0].flavors.default.cpu.usage`."""


class NotPlanned(ValueError):
    """faults: all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{path}: {message}" for path, message in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Paper:
    """workloads: by tenant, those admitted. asked_at: when the request was made. notes: worth knowing."""

    spec: QuotaPlanSpec
    tree: Tree
    usage: Usage
    workloads: Mapping[str, tuple[Admitted, ...]]
    asked_at: float
    notes: tuple[str, ...]

    @property
    def request(self) -> PlanRequest | None:
        return self.spec.request


def on_paper(spec: QuotaPlanSpec) -> Paper:
    """Raises NotPlanned."""
    if found := faults(spec):
        raise NotPlanned(found)
    tree = Tree.of(*_declared(spec))
    usage, workloads, place = Usage(tree), dict[str, tuple[Admitted, ...]](), 0
    for each in spec.tenants:
        workloads[each.name] = tuple(
            _admitted(each.name, one, place + at) for at, one in enumerate(each.workloads)
        )
        place += len(each.workloads)
        usage.add(each.name, {**_summed(each), **_stated(each)})
    notes = tuple(_notes(spec, tree, usage))
    return Paper(spec, tree, usage, workloads, _asked_at(spec.request, workloads), notes)


def faults(spec: QuotaPlanSpec, unsure: Collection[str] = ()) -> list[Fault]:
    """All that does not go together. unsure: tenants of which the plan may not say all."""
    found = [*_below_sums(spec), *_unasked(spec, unsure)]
    try:
        tree = Tree.of(*_declared(spec))
    except CohortCycle as error:
        index = next(i for i, each in enumerate(spec.cohorts) if each.name == error.names[0])
        return [(f"cohorts[{index}].parent", str(error)), *found]
    return [*_overflows(spec, tree), *found]


def _declared(spec: QuotaPlanSpec) -> tuple[list[TenantQuota], list[CohortQuota]]:
    cohorts = [
        CohortQuota(each.name, each.parent or "", thousandths(each.weight), _limits(each.flavors))
        for each in spec.cohorts
    ]
    return [_tenant(each) for each in spec.tenants], cohorts


def _overflows(spec: QuotaPlanSpec, tree: Tree) -> Iterator[Fault]:
    """What can come together at a root is counted, too."""
    totals: Counter[tuple[Node, FlavorResource]] = Counter()
    for node in tree.nodes:
        for key, limits in node.limits.items():
            totals[node.root, key] += limits.nominal
    for (root, key), amount in totals.items():
        if amount > MOST_AMOUNT:
            index = next((i for i, each in enumerate(spec.cohorts) if each.name == root.name), None)
            said = f"nominal {_told(key)} comes to {quantity_text(key[1], amount)} under {root}"
            path = "tenants" if index is None else f"cohorts[{index}]"
            yield path, f"{said}: that overflows, less than 2^63 - 1 is counted"


def _unasked(spec: QuotaPlanSpec, unsure: Collection[str]) -> Iterator[Fault]:
    """What a request asks for of whatever flavors its tenant has, and no flavor has."""
    request = spec.request
    asks = next((each for each in spec.tenants if request and each.name == request.tenant), None)
    if request is None or asks is None or asks.name in unsure:
        return
    covered = {resource for resources in asks.flavors.values() for resource in resources}
    for resource in sorted(request.resources.keys() - covered):
        yield f"request.resources.{resource}", f"no flavor of tenant {request.tenant} has {resource}"


def _asked_at(request: PlanRequest | None, workloads: Mapping[str, Sequence[Admitted]]) -> float:
    if request is not None and request.created_at is not None:
        return _moment(request.created_at)
    return max((each.admitted_at for held in workloads.values() for each in held), default=0.0) + 1.0


def _tenant(plan: PlanTenant) -> TenantQuota:
    groups: dict[frozenset[str], list[str]] = {}
    for flavor, resources in plan.flavors.items():
        groups.setdefault(frozenset(resources), []).append(flavor)
    return TenantQuota(
        plan.name,
        cohort=plan.cohort or "",
        weight=thousandths(plan.weight),
        limits=_limits(plan.flavors),
        groups=tuple(Group(resources, tuple(names)) for resources, names in groups.items()),
        preemption=_preemption(plan.preemption),
    )


def _limits(flavors: Mapping[str, Mapping[str, PlanAmount]]) -> dict[FlavorResource, Limits]:
    def some(resource: str, value: Quantity | None) -> int | None:
        return None if value is None else quantity_amount(resource, value)

    return {
        (flavor, resource): Limits(
            quantity_amount(resource, each.nominal),
            some(resource, each.borrowing_limit),
            some(resource, each.lending_limit),
        )
        for flavor, resources in flavors.items()
        for resource, each in resources.items()
    }


def _preemption(policy: PreemptionPolicy) -> Preemption:
    return Preemption(
        Reclaim(policy.reclaim_within_cohort),
        Reclaim(policy.borrow_within_cohort.policy),
        policy.borrow_within_cohort.max_priority_threshold,
        Within(policy.within_tenant),
    )


def amounts_of(asked: Mapping[str, Mapping[str, Quantity]]) -> dict[FlavorResource, int]:
    return {
        (flavor, resource): quantity_amount(resource, value)
        for flavor, resources in asked.items()
        for resource, value in resources.items()
    }


def _admitted(tenant: str, plan: PlanWorkload, place: int) -> Admitted:
    at = float(place) if plan.admitted_at is None else _moment(plan.admitted_at)
    return Admitted(plan.name, tenant, plan.priority, at, amounts_of(plan.flavors), plan.preemptible)


def _summed(plan: PlanTenant) -> dict[FlavorResource, int]:
    """Of all its workloads."""
    used: dict[FlavorResource, int] = {}
    for each in plan.workloads:
        for key, amount in amounts_of(each.flavors).items():
            used[key] = used.get(key, 0) + amount
    return used


def _stated(plan: PlanTenant) -> dict[FlavorResource, int]:
    return {
        (flavor, resource): quantity_amount(resource, each.usage)
        for flavor, resources in plan.flavors.items()
        for resource, each in resources.items()
        if each.usage is not None
    }


def _below_sums(spec: QuotaPlanSpec) -> Iterator[Fault]:
    for index, plan in enumerate(spec.tenants):
        summed = _summed(plan)
        for (flavor, resource), stated in _stated(plan).items():
            sum_ = summed.get((flavor, resource), 0)
            if stated < sum_:
                written, more = quantity_text(resource, stated), quantity_text(resource, sum_)
                said = f"{written} is below what its workloads use, {more}"
                yield f"tenants[{index}].flavors.{flavor}.{resource}.usage", said


def _moment(value: str | float) -> float:
    if not isinstance(value, str):
        return float(value)
    at = datetime.fromisoformat(value)
    return at.timestamp() if at.tzinfo is not None else at.replace(tzinfo=UTC).timestamp()


def _notes(spec: QuotaPlanSpec, tree: Tree, usage: Usage) -> Iterator[str]:
    declared = {each.name for each in spec.cohorts}
    for name in sorted(tree.cohorts.keys() - declared):
        yield f"cohort {name} is only named: a root without quota"
    for node in tree.nodes:
        for key, limits in sorted(node.limits.items()):
            if node.parent is None and (limits.borrowing is not None or limits.lending is not None):
                yield f"{node}: {_told(key)}: without a cohort above it, nothing is borrowed or lent"
        if not node.children:
            for key in sorted(usage.at(node)):
                over = -usage.available_at(node, key)
                if over > 0:
                    yield f"{node}: {_told(key)}: {quantity_text(key[1], over)} more is used than there is"


def _told(key: FlavorResource) -> str:
    return f"{key[1]} of flavor {key[0]}"
