"""Whether a change of what is declared can leave anybody with less. Most cannot, and need no look at what is
charged: a new tenant, more of something, another weight."""

from collections.abc import Collection, Mapping

from controlplane.known.records import QuotaRequestRecord
from controlplane.quota.declared import cohort_quota, tenant_quota
from controlplane.quota.problems import Declared
from controlplane.quota.quota import FlavorResource, Limits

NONE = Limits()


def takes_nothing(
    before: Declared, after: Declared, at: float, grants: Collection[QuotaRequestRecord] = ()
) -> frozenset[str] | None:
    """Tenants: where these are charged nothing, nobody has less than before. None: somebody may.

    On the safe side: what goes, moves, or lends otherwise is looked at in full.
    """
    if any(
        was.keys() - becomes.keys()
        for was, becomes in (
            (before.flavors, after.flavors),
            (before.cohorts, after.cohorts),
            (before.tenants, after.tenants),
        )
    ):
        return None
    if not _cohorts_take_nothing(before, after, at):
        return None
    adopting = set[str]()
    given = {each.tenant for each in grants if each.taken_from is not None}
    for name, spec in after.tenants.items():
        was = before.tenants.get(name)
        if was is None:
            if name in given:
                # What was granted to it is taken from another again.
                return None
            adopting.add(name)
        elif was is not spec and was != spec:
            old, new = tenant_quota(name, was, at), tenant_quota(name, spec, at)
            if old.cohort != new.cohort or not _at_least(old.limits, new.limits):
                return None
            if old.groups != new.groups:
                adopting.add(name)
    return frozenset(adopting)


def _cohorts_take_nothing(before: Declared, after: Declared, at: float) -> bool:
    for name, spec in after.cohorts.items():
        was = before.cohorts.get(name)
        if was is None:
            if _is_named(after, name):
                return False
        elif was is not spec and was != spec:
            old, new = cohort_quota(name, was, at), cohort_quota(name, spec, at)
            if old.parent != new.parent or not _at_least(old.limits, new.limits):
                return False
    return True


def _is_named(declared: Declared, cohort: str) -> bool:
    return any(each.parent == cohort for each in declared.cohorts.values()) or any(
        each.cohort == cohort for each in declared.tenants.values()
    )


def _at_least(old: Mapping[FlavorResource, Limits], new: Mapping[FlavorResource, Limits]) -> bool:
    """As much to have, to borrow and to lend, and no more of it kept back."""
    return all(_covers(old.get(key, NONE), new.get(key, NONE)) for key in {*old, *new})


def _covers(old: Limits, new: Limits) -> bool:
    may_borrow = new.borrowing is None or (old.borrowing is not None and new.borrowing >= old.borrowing)
    return new.nominal >= old.nominal and may_borrow and new.lending == old.lending
