"""Whose workloads a tenant might take: other tenants of its tree that borrow, and what its policy allows."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from controlplane.quota.quota import (
    Admitted,
    Candidate,
    FlavorResource,
    Preemption,
    Reclaim,
    TenantQuota,
    Within,
)
from controlplane.quota.tree import Kind, Node
from controlplane.quota.usage import Usage

Of = Callable[[str], Iterable[Admitted]]
"""By tenant, what runs and is not on its way out."""
Order = tuple[int, float, str]


@dataclass(frozen=True)
class Side:
    """Another tenant. path: its node and those above it, below the cohort that it has in common with the
    preemptor. facing: the preemptor's node below that."""

    quota: TenantQuota
    path: tuple[Node, ...]
    facing: Node

    @property
    def branch(self) -> Node:
        return self.path[-1]


@dataclass(frozen=True)
class Front:
    """facing: a node on the preemptor's way up. branches: its siblings that borrow something missing."""

    facing: Node
    branches: tuple[Node, ...]


def fronts(usage: Usage, node: Node, missing: tuple[FlavorResource, ...]) -> Iterator[Front]:
    """One for every cohort above it, where there is anybody."""
    while node.parent is not None:
        branches = {branch: None for key in missing for branch in usage.above(node.parent, key)}
        branches.pop(node, None)
        if branches:
            yield Front(node, tuple(branches))
        node = node.parent


def sides(
    usage: Usage, facing: Node, branch: Node, missing: tuple[FlavorResource, ...]
) -> Iterator[tuple[str, Side]]:
    """By tenant, of one branch: who borrows something missing that each cohort above it there borrows."""
    found: set[str] = set()
    for key in missing:
        paths = [(branch,)] if is_above(usage, branch, key) else []
        while paths:
            path = paths.pop()
            name = path[0].name
            if path[0].kind is Kind.COHORT:
                paths += [(child, *path) for child in usage.above(path[0], key)]
            elif name not in found:
                found.add(name)
                yield name, Side(usage.tree.tenants[name], path, facing)


def is_above(usage: Usage, node: Node, key: FlavorResource) -> bool:
    """It uses more than its own quota of it."""
    return usage.at(node).get(key, 0) > node.subtree.get(key, 0)


def others(
    tenant: str, policy: Preemption, candidate: Candidate, missing: tuple[FlavorResource, ...], of: Of
) -> list[Admitted]:
    """Of that tenant, by `order`, what reclaimWithinCohort does not exclude."""
    if policy.reclaim is Reclaim.NEVER:
        return []
    is_any = policy.reclaim is Reclaim.ANY
    allowed = (each for each in of(tenant) if is_any or each.priority < candidate.priority)
    return sorted((each for each in allowed if _is_of_use(each, missing)), key=order)


def own(
    policy: Preemption, candidate: Candidate, missing: tuple[FlavorResource, ...], of: Of
) -> list[Admitted]:
    """Of its own, by `order`, what withinClusterQueue allows."""
    if policy.within is Within.NEVER:
        return []
    return sorted(
        (
            each
            for each in of(candidate.tenant)
            if each.uid != candidate.uid and _is_of_use(each, missing) and _within(policy, candidate, each)
        ),
        key=order,
    )


def borrows_at_cost(policy: Preemption, priority: int, of: int) -> bool:
    """Whether one of this priority may borrow at the cost of one of another: only ever of a lower."""
    if policy.reclaim is Reclaim.NEVER or policy.borrow is Reclaim.NEVER or of >= priority:
        return False
    return policy.borrow_below is None or of <= policy.borrow_below


def order(each: Admitted) -> Order:
    """Lower priority first, then the latest admitted."""
    return each.priority, -each.admitted_at, each.uid


def _is_of_use(each: Admitted, missing: tuple[FlavorResource, ...]) -> bool:
    return each.preemptible and any(each.amounts.get(key, 0) > 0 for key in missing)


def _within(policy: Preemption, candidate: Candidate, each: Admitted) -> bool:
    if each.priority == candidate.priority:
        return policy.within is Within.LOWER_OR_NEWER_EQUAL and candidate.created_at < each.created_at
    return each.priority < candidate.priority
