"""What is counted for each cohort and tenant beside its figures: what waits, drifts, leaves, was granted."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from controlplane.known.admitting import QUOTA_REASONS
from controlplane.known.known import Known
from controlplane.quota.declared import grant_amounts, in_force
from controlplane.quota.quota import FlavorResource
from controlplane.quota.tree import Kind, Tree
from schemas.reasons import Reason

WAITS_FOR_QUOTA = frozenset(
    each.value for each in (*QUOTA_REASONS, Reason.QUOTA_NOT_GRANTED, Reason.PREEMPTED)
)
_AT_ONCE = 2_000
Who = tuple[Kind, str]
_Sums = dict[Who, Counter[FlavorResource]]


class Tallies:
    """Of the moment, against one tree. A cohort's are those of all tenants below it."""

    def __init__(self, known: Known, now: float) -> None:
        self._known = known
        self._waiting: Counter[Who] = Counter()
        self._drift: _Sums = {}
        self._leaving: _Sums = {}
        self._granted = _of_grants(known, now)

    def steps(self) -> Iterator[None]:
        """Count; others may run between two steps."""
        known, tree = self._known, self._known.quotas.tree
        waiting: Counter[str] = Counter()
        for index, uid in enumerate(list(known.workloads)):
            if index % _AT_ONCE == _AT_ONCE - 1:
                yield
            if waits_for_quota(known, uid):
                waiting[known.workloads[uid].tenant] += 1
        for tenant, count in waiting.items():
            for who in _up(tree, tenant):
                self._waiting[who] += count
        charges = known.quotas.charges
        drifting = (each for held in list(charges.drifting().values()) for each in held.items())
        places = list(charges.leaving().items())
        leaving = ((name, each) for name, held in places for each in list(held.values()))
        yield from _sum(tree, drifting, self._drift)
        yield from _sum(tree, leaving, self._leaving)

    def waiting(self, kind: Kind, name: str) -> int:
        return self._waiting[kind, name]

    def drift(self, kind: Kind, name: str, key: FlavorResource) -> int:
        return _of(self._drift, kind, name, key)

    def leaving(self, kind: Kind, name: str, key: FlavorResource) -> int:
        return _of(self._leaving, kind, name, key)

    def granted(self, kind: Kind, name: str, key: FlavorResource) -> int:
        """Below 0 where more was taken from it than it was given."""
        return _of(self._granted, kind, name, key)


def waits_for_quota(known: Known, uid: str) -> bool:
    decision, record = known.decisions.get(uid), known.workloads.get(uid)
    if decision is None or record is None or record.deleted or decision.placed:
        return False
    return decision.reason in WAITS_FOR_QUOTA


def _of(sums: _Sums, kind: Kind, name: str, key: FlavorResource) -> int:
    held = sums.get((kind, name))
    return held[key] if held is not None else 0


def _sum(
    tree: Tree, amounts: Iterable[tuple[str, Mapping[FlavorResource, int]]], found: _Sums
) -> Iterator[None]:
    own: dict[str, Counter[FlavorResource]] = {}
    for index, (tenant, each) in enumerate(amounts):
        if index % _AT_ONCE == _AT_ONCE - 1:
            yield
        held = own.setdefault(tenant, Counter())
        for key, amount in each.items():
            held[key] += amount
    for index, (tenant, held) in enumerate(own.items()):
        if index % _AT_ONCE == _AT_ONCE - 1:
            yield
        for who in _up(tree, tenant):
            found.setdefault(who, Counter()).update(held)


def _up(tree: Tree, tenant: str) -> Iterator[Who]:
    """The tenant, and every cohort above it."""
    yield Kind.TENANT, tenant
    node = tree.tenant(tenant)
    while node is not None and node.parent is not None:
        node = node.parent
        yield Kind.COHORT, node.name


def _of_grants(known: Known, now: float) -> _Sums:
    """By whom it has it, and from whom it was taken."""
    found: _Sums = {}
    for grant in known.quotas.grants:
        if not in_force(grant, now):
            continue
        amounts = grant_amounts(grant)
        found.setdefault((Kind.TENANT, grant.tenant), Counter()).update(amounts)
        if grant.taken_from is not None:
            donor = Kind(grant.taken_from[0]), grant.taken_from[1]
            found.setdefault(donor, Counter()).subtract(amounts)
    return found
