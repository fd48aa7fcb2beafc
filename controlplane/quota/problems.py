"""What is wrong with declared quota, by document and field: within one document, and between documents."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.interpreters import NotUnderstood
from controlplane.known.records import QuotaRequestRecord
from controlplane.quota import windows
from controlplane.quota.declared import flavor_of, grant_amounts, in_force, limits_of
from controlplane.quota.quota import FlavorResource
from controlplane.quota.resources import unknown_resource
from schemas.manifests.base import Quantity
from schemas.manifests.cohort import Cohort, CohortSpec, Flavor, FlavorSpec
from schemas.manifests.quota import Amount, FlavorQuota, QuotaSpec, ResourceQuota
from schemas.manifests.tenant import Tenant
from schemas.quantities import limit_amount, quantity_amount, quantity_text

MOST = 2**63 - 1
"""Amounts stay below it."""


@dataclass(frozen=True)
class QuotaProblem:
    """path: as `spec.quota.flavors[0].name`; "" for the whole document. message: and what would be right.

    is_of_use: nothing is wrong with what is declared, but something is there that stands on what was.
    """

    kind: str
    name: str
    path: str
    message: str
    is_of_use: bool = False

    def __str__(self) -> str:
        where = f"{self.kind} {self.name}"
        return f"{where} {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


@dataclass(frozen=True)
class Declared:
    """All documents that bound quota, by name. tenants: those with a quota."""

    tenants: Mapping[str, QuotaSpec] = field(default_factory=dict[str, QuotaSpec])
    cohorts: Mapping[str, CohortSpec] = field(default_factory=dict[str, CohortSpec])
    flavors: Mapping[str, FlavorSpec] = field(default_factory=dict[str, FlavorSpec])


# Within one document


def tenant_problems(name: str, spec: QuotaSpec) -> list[QuotaProblem]:
    has_parent = spec.cohort is not None
    found = _of_flavors(spec.flavors, "spec.quota", has_parent)
    return [QuotaProblem("Tenant", name, path, message) for path, message in found]


def cohort_problems(name: str, spec: CohortSpec) -> list[QuotaProblem]:
    has_parent = spec.parent is not None
    found = _of_flavors(spec.flavors, "spec", has_parent)
    return [QuotaProblem("Cohort", name, path, message) for path, message in found]


def flavor_problems(name: str, spec: FlavorSpec) -> list[QuotaProblem]:
    try:
        flavor_of(name, spec)
    except NotUnderstood as error:
        path, _, message = str(error).partition(": ")
        return [QuotaProblem("Flavor", name, path, message)]
    return []


def document_problems(manifest: object) -> list[QuotaProblem]:
    """Of a manifest of any kind: nothing, where it bounds no quota."""
    match manifest:
        case Tenant() if manifest.spec.quota is not None:
            return tenant_problems(manifest.metadata.name, manifest.spec.quota)
        case Cohort():
            return cohort_problems(manifest.metadata.name, manifest.spec)
        case Flavor():
            return flavor_problems(manifest.metadata.name, manifest.spec)
        case _:
            return []


def _of_flavors(flavors: Sequence[FlavorQuota], at: str, has_parent: bool) -> Iterator[tuple[str, str]]:
    for place, flavor in enumerate(flavors):
        seen: set[str] = set()
        for index, each in enumerate(flavor.resources):
            path = f"{at}.flavors[{place}].resources[{index}]"
            if each.name in seen:
                yield f"{path}.name", f"{each.name} of flavor {flavor.name} stands there more than once"
            seen.add(each.name)
            yield from _of_resource(each, path, has_parent)


def _of_resource(quota: ResourceQuota, path: str, has_parent: bool) -> Iterator[tuple[str, str]]:
    if right := unknown_resource(quota.name):
        yield f"{path}.name", f"{quota.name!r}: {right}"
    yield from _of_amount(quota, quota.name, path, has_parent)
    for index, each in enumerate(quota.windows):
        yield from _of_amount(each, quota.name, f"{path}.windows[{index}]", has_parent)
    for index, name, message in windows.faults(quota.windows):
        yield f"{path}.windows[{index}]" + (f".{name}" if name else ""), message


def _too_much(resource: str) -> str:
    return "below 2^63 - 1 in all" + (", in thousandths of a core" if resource == "cpu" else "")


def _of_amount(amount: Amount, resource: str, path: str, has_parent: bool) -> Iterator[tuple[str, str]]:
    written: tuple[tuple[str, Quantity | None], ...] = (
        ("nominalQuota", amount.nominal_quota),
        ("borrowingLimit", amount.borrowing_limit),
        ("lendingLimit", amount.lending_limit),
    )
    wrong = False
    for name, value in written:
        try:
            if value is not None and limit_amount(resource, value) >= MOST:
                yield f"{path}.{name}", f"{value!r} is too much: {_too_much(resource)}"
        except ValueError as error:
            wrong = True
            yield f"{path}.{name}", str(error)
        if value is not None and name != "nominalQuota" and not has_parent:
            yield (
                f"{path}.{name}",
                "there is no cohort to borrow from or to lend to: name it, or leave this out",
            )
    if wrong:
        return
    limits = limits_of(amount, resource)
    if limits.lending is not None and limits.lending > limits.nominal:
        more = f"{amount.lending_limit} is more than the nominalQuota, {amount.nominal_quota}"
        yield f"{path}.lendingLimit", f"{more}: no more can be lent than is there"


# Between documents


def problems(
    declared: Declared, grants: Iterable[QuotaRequestRecord] = (), at: float = 0.0
) -> list[QuotaProblem]:
    """Of documents of which each by itself is right."""
    return [
        *_cycles(declared.cohorts),
        *_undeclared(declared),
        *_unpriced(declared),
        *_sums(declared),
        *_granted_on(declared, grants, at),
    ]


def cycle(parents: Mapping[str, str], start: str) -> tuple[str, ...]:
    """The chain of cohorts from `start` back to it; () where it ends."""
    chain = [start]
    while (parent := parents.get(chain[-1], "")) and parent not in chain:
        chain.append(parent)
    return (*chain, start) if parent == start else ()


def _cycles(cohorts: Mapping[str, CohortSpec]) -> Iterator[QuotaProblem]:
    parents = {name: spec.parent for name, spec in cohorts.items() if spec.parent}
    for name in parents:
        chain = cycle(parents, name)
        if chain:
            said = f"{' > '.join(chain)}: a cohort that is its own ancestor; name another parent"
            yield QuotaProblem("Cohort", name, "spec.parent", said)


def _undeclared(declared: Declared) -> Iterator[QuotaProblem]:
    for kind, name, at, flavors in _with_flavors(declared):
        for index, each in enumerate(flavors):
            if each.name not in declared.flavors:
                said = f"there is no flavor {each.name!r}: apply a Flavor of that name first, or with it"
                yield QuotaProblem(kind, name, f"{at}.flavors[{index}].name", said)


def _with_flavors(declared: Declared) -> Iterator[tuple[str, str, str, Sequence[FlavorQuota]]]:
    """(kind, name, where its flavors stand, flavors)"""
    for name, cohort in declared.cohorts.items():
        yield "Cohort", name, "spec", cohort.flavors
    for name, quota in declared.tenants.items():
        yield "Tenant", name, "spec.quota", quota.flavors


def _unpriced(declared: Declared) -> Iterator[QuotaProblem]:
    path = "spec.quota.budget.currency"
    for name, quota in declared.tenants.items():
        if quota.budget is None:
            continue
        wanted, priced = quota.budget.currency, dict[str, str]()
        for each in quota.flavors:
            flavor = declared.flavors.get(each.name)
            if flavor is not None and flavor.prices is not None:
                priced[each.name] = flavor.prices.currency
        other = next((each for each, currency in priced.items() if currency != wanted), "")
        if other:
            said = f"flavor {other} has prices in {priced[other]}, and not in {wanted}: one currency for both"
            yield QuotaProblem("Tenant", name, path, said)
        elif not priced:
            right = "give one of them spec.prices, or leave the budget out"
            said = f"no flavor of this tenant has prices in {wanted}: {right}"
            yield QuotaProblem("Tenant", name, path, said)


def _sums(declared: Declared) -> Iterator[QuotaProblem]:
    """All that can come together at the root of a tree."""
    parents = {name: spec.parent for name, spec in declared.cohorts.items() if spec.parent}
    sums: dict[str, Counter[FlavorResource]] = {}
    for kind, name, _, flavors in _with_flavors(declared):
        above = (declared.tenants[name].cohort or "") if kind == "Tenant" else name
        if not above:
            continue
        total = sums.setdefault(_root(parents, above), Counter())
        for flavor in flavors:
            for each in flavor.resources:
                amounts = (each.nominal_quota, *(one.nominal_quota for one in each.windows))
                total[flavor.name, each.name] += max(quantity_amount(each.name, one) for one in amounts)
    for root, total in sums.items():
        for (flavor, resource), amount in total.items():
            if amount >= MOST:
                comes_to = f"comes to {quantity_text(resource, amount)} under this cohort"
                said = f"the nominal quota of {resource} in flavor {flavor} {comes_to}"
                yield QuotaProblem("Cohort", root, "", f"{said}: {_too_much(resource)}")


def _root(parents: Mapping[str, str], name: str) -> str:
    seen: set[str] = set()
    while name in parents and name not in seen:
        seen.add(name)
        name = parents[name]
    return name


def _granted_on(
    declared: Declared, grants: Iterable[QuotaRequestRecord], at: float
) -> Iterator[QuotaProblem]:
    """What was granted out of a nominal quota has to be in it."""
    taken: dict[tuple[str, str], Counter[FlavorResource]] = {}
    for grant in grants:
        if grant.taken_from is not None and in_force(grant, at):
            taken.setdefault(grant.taken_from, Counter()).update(grant_amounts(grant))
    for kind, name, path, flavors in _with_flavors(declared):
        amounts = taken.get((kind, name), Counter())
        nominal = {
            (flavor.name, each.name): quantity_amount(each.name, each.nominal_quota)
            for flavor in flavors
            for each in flavor.resources
        }
        for (flavor, resource), amount in amounts.items():
            if amount > nominal.get((flavor, resource), 0):
                shown = quantity_text(resource, amount)
                said = (
                    f"{shown} {resource} of flavor {flavor} is granted out of it to others: no less than that"
                )
                yield QuotaProblem(kind, name, f"{path}.flavors", said)
