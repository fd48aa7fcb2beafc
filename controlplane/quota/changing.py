"""Whether what is declared may become something else, given what is charged: the store asks, under lock."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from controlplane.known.records import DocumentRecord, QuotaRequestRecord
from controlplane.quota.declared import cohort_quota, granted, tenant_quota
from controlplane.quota.overused import overused, usage_of
from controlplane.quota.problems import Declared, QuotaProblem, problems
from controlplane.quota.quota import Amounts, Limits, TenantQuota
from controlplane.quota.tree import CohortCycle, Tree
from schemas.manifests.cohort import CohortSpec, FlavorSpec
from schemas.manifests.tenant import TenantSpec

BOUNDING = ("Tenant", "Cohort", "Flavor")
NAMED_AT_MOST = 5
_Spec = TypeVar("_Spec", bound=BaseModel)


class SpecCache:
    """Specs as models, each version read once. Bounded by what is there: others are forgotten.

    What another release has stored, and this one does not understand, is left out.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[Mapping[str, Any], BaseModel]] = {}

    def read(self, kind: str, model: type[_Spec], records: Iterable[DocumentRecord]) -> dict[str, _Spec]:
        found: dict[str, _Spec] = {}
        fresh: dict[tuple[str, str], tuple[Mapping[str, Any], BaseModel]] = {}
        for record in records:
            held = self._held.get((kind, record.name))
            spec = held[1] if held is not None and held[0] == record.spec else None
            if not isinstance(spec, model):
                try:
                    spec = model.model_validate(record.spec)
                except ValidationError:
                    continue
            fresh[kind, record.name] = record.spec, spec
            found[record.name] = spec
        self._held = {key: each for key, each in self._held.items() if key[0] != kind} | fresh
        return found


def declared_of(documents: Mapping[str, Iterable[DocumentRecord]], specs: SpecCache) -> Declared:
    """documents: by kind, of those in `BOUNDING`."""
    tenants = specs.read("Tenant", TenantSpec, documents.get("Tenant", ()))
    return Declared(
        tenants={name: spec.quota for name, spec in tenants.items() if spec.quota is not None},
        cohorts=specs.read("Cohort", CohortSpec, documents.get("Cohort", ())),
        flavors=specs.read("Flavor", FlavorSpec, documents.get("Flavor", ())),
    )


def problems_of_change(
    before: Declared,
    after: Declared,
    used: Mapping[str, Amounts] | None,
    grants: Sequence[QuotaRequestRecord],
    at: float,
) -> list[QuotaProblem]:
    """What is wrong only after it, or gets worse by it.

    used: what is charged, by tenant; None where the change takes nothing from anybody (`takes_nothing`).
    """
    gone = list(_in_use(before, after, used or {}))
    if gone:
        return gone
    found = problems(after, grants, at)
    if found:
        known = set(problems(before, grants, at))
        found = [each for each in found if each not in known]
    return found or ([] if used is None else list(overdrawn(before, after, used, grants, at)))


def _in_use(before: Declared, after: Declared, used: Mapping[str, Amounts]) -> Iterator[QuotaProblem]:
    """Cohorts and flavors that go while something names them."""
    for name in before.flavors.keys() - after.flavors.keys():
        named = [
            f"{kind} {other}"
            for kind, those in (("Cohort", after.cohorts), ("Tenant", after.tenants))
            for other, spec in those.items()
            if any(each.name == name for each in spec.flavors)
        ]
        charged = [
            f"what is charged to tenant {tenant}"
            for tenant, amounts in used.items()
            if tenant in after.tenants and any(key[0] == name and amount for key, amount in amounts.items())
        ]
        if named or charged:
            yield _still_used("Flavor", name, named or charged)
    for name in before.cohorts.keys() - after.cohorts.keys():
        named = [f"Cohort {other}" for other, spec in after.cohorts.items() if spec.parent == name]
        named += [f"Tenant {other}" for other, spec in after.tenants.items() if spec.cohort == name]
        if named:
            yield _still_used("Cohort", name, named)


def _still_used(kind: str, name: str, by: Sequence[str]) -> QuotaProblem:
    shown = ", ".join(sorted(by)[:NAMED_AT_MOST])
    more = f" and {len(by) - NAMED_AT_MOST} more" if len(by) > NAMED_AT_MOST else ""
    said = f"still in use by {shown}{more}: change those first"
    return QuotaProblem(kind, name, "", said, is_of_use=True)


def overdrawn(
    before: Declared,
    after: Declared,
    used: Mapping[str, Amounts],
    grants: Sequence[QuotaRequestRecord],
    at: float,
) -> Iterator[QuotaProblem]:
    """Who would be left with less than is charged, and was not before: those that borrow it."""
    roots = _touched(before, after) | _touched(after, before) | _giving(before, after, grants)
    used = {
        name: each
        for name, each in used.items()
        if _root(before, name) in roots or _root(after, name) in roots
    }
    if not used:
        return
    new = _tree(after, roots, grants, at)
    if new is None:
        return
    used = {name: adopted(new.tenants.get(name), each) for name, each in used.items()}
    usage = usage_of(new, used)
    if all(usage.available(name, key) >= 0 for name, each in used.items() for key in each):
        return
    old = _tree(before, roots, grants, at)
    for each in overused(old, new, used) if old is not None else ():
        limits = new.tenants[each.tenant].limits.get((each.flavor, each.resource), Limits())
        if each.used > limits.nominal:
            yield QuotaProblem("Tenant", each.tenant, "spec.quota", str(each), is_of_use=True)


def adopted(quota: TenantQuota | None, used: Amounts) -> Amounts:
    """As it counts: also what was charged before its tenant had a quota."""
    return used if quota is None else quota.counted(used)


def _touched(declared: Declared, other: Declared) -> set[str]:
    """Roots under which something is otherwise than in the other."""
    tenants = [name for name, spec in declared.tenants.items() if other.tenants.get(name) is not spec]
    cohorts = [name for name, spec in declared.cohorts.items() if other.cohorts.get(name) is not spec]
    return {_root(declared, name) for name in tenants} | {_top(declared, name) for name in cohorts}


def _giving(before: Declared, after: Declared, grants: Iterable[QuotaRequestRecord]) -> set[str]:
    """Roots of who granted something to a tenant that comes to have a quota, or has none any more: meanwhile
    it is the donor's.
    """
    turned = before.tenants.keys() ^ after.tenants.keys()
    donors = [each.taken_from for each in grants if each.taken_from is not None and each.tenant in turned]
    return {
        _root(declared, name) if kind == "Tenant" else _top(declared, name)
        for declared in (before, after)
        for kind, name in donors
    }


def _root(declared: Declared, tenant: str) -> str:
    """The topmost cohort above a tenant; the tenant itself where it shares with nobody."""
    spec = declared.tenants.get(tenant)
    return _top(declared, spec.cohort) if spec is not None and spec.cohort else f"tenant/{tenant}"


def _top(declared: Declared, cohort: str) -> str:
    seen: set[str] = set()
    while cohort not in seen:
        seen.add(cohort)
        spec = declared.cohorts.get(cohort)
        if spec is None or not spec.parent:
            break
        cohort = spec.parent
    return cohort


def _tree(
    declared: Declared, roots: Collection[str], grants: Iterable[QuotaRequestRecord], at: float
) -> Tree | None:
    """What is under these roots, who gave to them, and whom they gave to, or it would count as theirs still.

    None while what is declared makes no tree.
    """
    dealt = {each.tenant for each in grants if each.taken_from is not None}
    dealt |= {each.taken_from[1] for each in grants if each.taken_from is not None}
    tenants, cohorts = granted(
        {
            name: tenant_quota(name, spec, at)
            for name, spec in declared.tenants.items()
            if name in dealt or _root(declared, name) in roots
        },
        {name: cohort_quota(name, spec, at) for name, spec in declared.cohorts.items()},
        grants,
        at,
    )
    try:
        return Tree.of(tenants.values(), cohorts.values())
    except CohortCycle:
        return None
