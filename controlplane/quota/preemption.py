"""Who gives way. Everyone it takes something from can be told why, in the state in which it all ends.

Of another tenant, a workload may be taken that uses what is missing, while its tenant and every cohort on
the way to the common one are above their quota of that, and
- the preemptor, or its side below the common cohort, stays within its own quota of all that is missing
  (reclaim), or
- the preemptor's policy lets it borrow at the cost of lower priorities (borrow), or
- with the workload back, its side's share would be above that of the preemptor's side (fair sharing; Kueue's
  LessThanOrEqualToFinalShare is tried before LessThanInitialShare, both imply this), unless it could take
  that back by its own borrow policy.
Each of these excludes that the workload may take it back from the preemptor. What Kueue checks once, while
it chooses, is checked again for the final set: there giving back the tenant's own could make the preemptor's
share too high for what was taken of others (kubernetes-sigs/kueue#14543), and both preempted each other.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from controlplane.quota.quota import (
    Admitted,
    Candidate,
    FlavorResource,
    Preemption,
    Reclaim,
    TenantQuota,
    Within,
)
from controlplane.quota.shares import Share
from controlplane.quota.tree import Kind, Node
from controlplane.quota.usage import Usage

_Order = tuple[int, float, str]
_Standing = tuple[tuple[tuple[bool, int], ...], _Order]
ATTEMPTS = 8
"""How often it is chosen anew without those that could not be justified in the end."""


def give_way(
    usage: Usage,
    candidate: Candidate,
    missing: tuple[FlavorResource, ...],
    admitted: Callable[[str], Iterable[Admitted]],
) -> tuple[str, ...]:
    """uids of those without whom it fits; () where it does not. usage is afterwards as it was.

    missing: what it lacks, of its needs. admitted: see `admission.judge`.
    """
    node = usage.tree.tenant(candidate.tenant)
    if node is None:
        return ()
    choosing = _Choosing.of(usage, node, candidate, missing, admitted)
    excluded: set[str] = set()
    for _ in range(ATTEMPTS):
        chosen, unjust = choosing.choose(excluded)
        if not unjust:
            return tuple(each.uid for each in chosen)
        excluded |= unjust
    return ()


@dataclass(frozen=True)
class _Side:
    """Another tenant. path: its node and those above it, below the cohort that it has in common with the
    preemptor. facing: the preemptor's node below that."""

    quota: TenantQuota
    path: tuple[Node, ...]
    facing: Node

    @property
    def branch(self) -> Node:
        return self.path[-1]


@dataclass
class _Choosing:
    usage: Usage
    candidate: Candidate
    node: Node
    policy: Preemption
    missing: tuple[FlavorResource, ...]
    sides: dict[str, _Side]
    others: list[Admitted]
    own: list[Admitted]
    by_tenant: dict[str, list[Admitted]] = field(default_factory=dict[str, list[Admitted]])
    shares: dict[Node, Share] = field(default_factory=dict[Node, Share])

    @classmethod
    def of(
        cls,
        usage: Usage,
        node: Node,
        candidate: Candidate,
        missing: tuple[FlavorResource, ...],
        admitted: Callable[[str], Iterable[Admitted]],
    ) -> "_Choosing":
        """In the order in which they are taken: lower priority, latest admitted."""
        policy = usage.tree.tenants[candidate.tenant].preemption
        sides = dict(_sides(usage, node, missing)) if policy.reclaim is not Reclaim.NEVER else {}
        others = [
            each
            for name in sides
            for each in admitted(name)
            if _is_of_use(each, missing)
            and (policy.reclaim is Reclaim.ANY or each.priority < candidate.priority)
        ]
        own = [
            each
            for each in (admitted(candidate.tenant) if policy.within is not Within.NEVER else ())
            if each.uid != candidate.uid and _is_of_use(each, missing) and _within(policy, candidate, each)
        ]
        others.sort(key=_order)
        own.sort(key=_order)
        by_tenant: dict[str, list[Admitted]] = {}
        for each in others:
            by_tenant.setdefault(each.tenant, []).append(each)
        return cls(usage, candidate, node, policy, missing, sides, others, own, by_tenant)

    def choose(self, excluded: set[str]) -> tuple[list[Admitted], set[str]]:
        """Whom to take, in order; and the uids of those that could not be justified in the end."""
        trial = self.usage.trial()
        try:
            trial.add(self.candidate.tenant, self.candidate.needs)
            self.shares.clear()
            taken: list[Admitted] = []
            for victim in self._victims(excluded):
                trial.take(victim.tenant, victim.amounts)
                self._changed(victim.tenant)
                taken.append(victim)
                if self._fits():
                    break
            else:
                return [], set()
            kept = set[str]()
            for victim in reversed(taken[:-1]):
                trial.add(victim.tenant, victim.amounts)
                if self._fits():
                    kept.add(victim.uid)
                else:
                    trial.take(victim.tenant, victim.amounts)
            chosen = [each for each in taken if each.uid not in kept]
            self.shares.clear()
            return chosen, {each.uid for each in chosen if not self._is_just(each)}
        finally:
            trial.undo()

    def _victims(self, excluded: set[str]) -> Iterator[Admitted]:
        """Each is to be taken before the next is asked for: others by right, by fair share, then the own."""
        gone = set(excluded)
        own = iter([each for each in self.own if each.uid not in gone])
        yield from self._reclaimed(gone)
        while True:
            victim = self._fair(gone)
            if victim is not None:
                gone.add(victim.uid)
                yield victim
                continue
            victim = next(own, None)
            if victim is None:
                return
            yield victim
            yield from self._reclaimed(gone)

    def _reclaimed(self, gone: set[str]) -> Iterator[Admitted]:
        """What its own taking of others does not change: only that of its own does."""
        rights = {name for name, side in self.sides.items() if self._reclaims(side)}
        for each in self.others:
            is_right = each.tenant in rights or self._may_borrow(each)
            if each.uid not in gone and is_right and self._is_above(self.sides[each.tenant], each):
                gone.add(each.uid)
                yield each

    def _fair(self, gone: set[str]) -> Admitted | None:
        """Of who has the greatest share, from the root down; what leaves it one no lower, if there is that."""
        ranked: list[tuple[_Standing, _Side, list[Admitted]]] = []
        for name, side in self.sides.items():
            if self._share(side.facing) < self._share(side.branch):
                left = [each for each in self.by_tenant.get(name, ()) if self._is_fair_game(side, each, gone)]
                if left:
                    ranked.append((self._standing(side, left[0]), side, left))
        ranked.sort(key=lambda each: each[0])
        for _, side, left in ranked:
            for each in left:
                if self._share(side.facing) <= self._share_without(side, each):
                    return each
        return ranked[0][2][0] if ranked else None

    def _standing(self, side: _Side, first: Admitted) -> _Standing:
        """Sorts the greatest share first: at the topmost level where two differ."""
        standing: list[tuple[bool, int]] = []
        node = side.path[0]
        while node.parent is not None:
            share = self._share(node)
            standing.append((not share.infinite, -share.approximate))
            node = node.parent
        return tuple(reversed(standing)), _order(first)

    def _is_fair_game(self, side: _Side, each: Admitted, gone: set[str]) -> bool:
        return (
            each.uid not in gone
            and not _borrows_at_cost(side.quota.preemption, each.priority, self.candidate.priority)
            and self._is_above(side, each)
        )

    def _is_just(self, victim: Admitted) -> bool:
        """In the state in which it all ends, but for this one, which is back."""
        side = self.sides.get(victim.tenant)
        if side is None:
            return True
        trial = self.usage.trial()
        trial.add(victim.tenant, victim.amounts)
        try:
            if not self._is_above(side, victim):
                return False
            if self._reclaims(side) or self._may_borrow(victim):
                return True
            if _borrows_at_cost(side.quota.preemption, victim.priority, self.candidate.priority):
                return False
            return self.usage.share_at(side.facing) < self.usage.share_at(side.branch)
        finally:
            trial.undo()

    def _reclaims(self, side: _Side) -> bool:
        """It is within its own quota of what is missing, or its side is."""
        return self._within_quota(self.node) or self._within_quota(side.facing)

    def _within_quota(self, node: Node) -> bool:
        used = self.usage.at(node)
        return all(used.get(key, 0) <= node.subtree.get(key, 0) for key in self.missing)

    def _may_borrow(self, victim: Admitted) -> bool:
        return _borrows_at_cost(self.policy, self.candidate.priority, victim.priority)

    def _is_above(self, side: _Side, victim: Admitted) -> bool:
        """It uses something missing that its tenant, and every cohort of its side, borrow."""
        return any(
            victim.amounts.get(key, 0) > 0
            and all(self.usage.at(node).get(key, 0) > node.subtree.get(key, 0) for node in side.path)
            for key in self.missing
        )

    def _fits(self) -> bool:
        return all(self.usage.available_at(self.node, key) >= 0 for key in self.missing)

    def _share(self, node: Node) -> Share:
        share = self.shares.get(node)
        if share is None:
            share = self.shares[node] = self.usage.share_at(node)
        return share

    def _share_without(self, side: _Side, victim: Admitted) -> Share:
        trial = self.usage.trial()
        trial.take(victim.tenant, victim.amounts)
        share = self.usage.share_at(side.branch)
        trial.undo()
        return share

    def _changed(self, tenant: str) -> None:
        node = self.usage.tree.tenant(tenant)
        while node is not None:
            self.shares.pop(node, None)
            node = node.parent


def _sides(usage: Usage, node: Node, missing: tuple[FlavorResource, ...]) -> Iterator[tuple[str, _Side]]:
    """Other tenants that borrow something missing, beyond what their cohorts have of it."""
    below: dict[Node, Node] = {}
    child = node
    while child.parent is not None:
        below[child.parent] = child
        child = child.parent
    for key in missing:
        for tenant in usage.borrowers(key):
            if tenant.kind is not Kind.TENANT or tenant is node or tenant.root is not node.root:
                continue
            path = [tenant]
            while (above := path[-1].parent) is not None and above not in below:
                path.append(above)
            if above is not None and all(
                usage.at(each).get(key, 0) > each.subtree.get(key, 0) for each in path
            ):
                yield tenant.name, _Side(usage.tree.tenants[tenant.name], tuple(path), below[above])


def _is_of_use(each: Admitted, missing: tuple[FlavorResource, ...]) -> bool:
    return each.preemptible and any(each.amounts.get(key, 0) > 0 for key in missing)


def _within(policy: Preemption, candidate: Candidate, each: Admitted) -> bool:
    if each.priority == candidate.priority:
        return policy.within is Within.LOWER_OR_NEWER_EQUAL and candidate.created_at < each.created_at
    return each.priority < candidate.priority


def _borrows_at_cost(policy: Preemption, priority: int, of: int) -> bool:
    """Whether one of this priority may borrow at the cost of one of another: only ever of a lower."""
    if policy.reclaim is Reclaim.NEVER or policy.borrow is Reclaim.NEVER or of >= priority:
        return False
    return policy.borrow_below is None or of <= policy.borrow_below


def _order(each: Admitted) -> _Order:
    return each.priority, -each.admitted_at, each.uid
