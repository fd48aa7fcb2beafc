"""Who gives way. Everyone it takes something from can be told why, in the state in which it all ends.

Of another tenant, a workload may be taken that uses what is missing, while its tenant and every cohort on
the way to the common one are above their quota of that, and
- the preemptor, or its side below the common cohort, stays within its own quota of all that is missing
  (reclaim), or
- the preemptor's policy lets it borrow at the cost of lower priorities (borrow), or
- with the workload back, its side's share would be above that of the preemptor's side (fair sharing; Kueue's
  LessThanOrEqualToFinalShare is tried before LessThanInitialShare), unless it could take that back by its
  own borrow policy.
Each of these excludes that the workload may take it back from the preemptor. What Kueue checks once, while
it chooses, is checked again for the final set: there, giving back the tenant's own could make the preemptor's
share too high for what was taken of others, and they preempted each other (kubernetes-sigs/kueue#14543).

Three or more could still go round, each by another rule or for another resource. So what gave way before
takes of others only what was admitted before it was created, unless all its needs are within its own quota:
once all that goes round was admitted later than all of it was created, nothing else is taken any more.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge

from controlplane.quota.quota import Admitted, Candidate, FlavorResource, Preemption, Reclaim
from controlplane.quota.shares import Share
from controlplane.quota.sides import (
    Front,
    Of,
    Order,
    Side,
    borrows_at_cost,
    fronts,
    is_above,
    order,
    others,
    own,
    sides,
)
from controlplane.quota.tree import Node
from controlplane.quota.usage import Usage

ATTEMPTS = 8
"""How often it is chosen anew without those that could not be justified in the end."""
_Standing = tuple[tuple[tuple[bool, int], ...], Order]


def give_way(
    usage: Usage, candidate: Candidate, missing: tuple[FlavorResource, ...], of: Of
) -> tuple[str, ...]:
    """uids of those without whom it fits; () where it does not. usage is afterwards as it was.

    missing: what it lacks, of its needs.
    """
    node = usage.tree.tenant(candidate.tenant)
    if node is None:
        return ()
    policy = usage.tree.tenants[candidate.tenant].preemption
    facing = tuple(fronts(usage, node, missing)) if policy.reclaim is not Reclaim.NEVER else ()
    if not facing and not own(policy, candidate, missing, of):
        return ()
    choosing = _Choosing(usage, node, candidate, policy, missing, of, facing)
    excluded: set[str] = set()
    for _ in range(ATTEMPTS):
        chosen, unjust = choosing.choose(excluded)
        if not unjust:
            return tuple(each.uid for each in chosen)
        excluded |= unjust
    return ()


@dataclass
class _Choosing:
    """sides, listed: of what was looked at, by branch and by tenant; what might be taken is in order.

    unfit: what would have left its side a lower share when it was looked at; that is not looked at twice.
    """

    usage: Usage
    node: Node
    candidate: Candidate
    policy: Preemption
    missing: tuple[FlavorResource, ...]
    of: Of
    fronts: tuple[Front, ...]
    sides: dict[Node, dict[str, Side]] = field(default_factory=dict[Node, dict[str, Side]])
    listed: dict[str, list[Admitted]] = field(default_factory=dict[str, list[Admitted]])
    unfit: set[str] = field(default_factory=set[str])

    def choose(self, excluded: set[str]) -> tuple[list[Admitted], set[str]]:
        """Whom to take, in order; and the uids of those that could not be justified in the end."""
        trial = self.usage.trial()
        try:
            trial.add(self.candidate.tenant, self.candidate.needs)
            self.unfit.clear()
            taken: list[Admitted] = []
            for victim in self._victims(excluded):
                trial.take(victim.tenant, victim.amounts)
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
            return chosen, {each.uid for each in chosen if not self._is_just(each)}
        finally:
            trial.undo()

    def _victims(self, excluded: set[str]) -> Iterator[Admitted]:
        """Each is to be taken before the next is asked for: others by right, by fair share, then the own."""
        gone = set(excluded)
        mine: Iterator[Admitted] | None = None
        yield from self._by_right(gone)
        while True:
            victim = self._by_share(gone)
            if victim is not None:
                gone.add(victim.uid)
                yield victim
                continue
            if mine is None:
                mine = iter(own(self.policy, self.candidate, self.missing, self.of))
            victim = next(mine, None)
            if victim is None:
                return
            yield victim
            yield from self._by_right(gone)

    def _by_right(self, gone: set[str]) -> Iterator[Admitted]:
        """Taking of others does not change what is its right: only taking of its own does."""
        borrows = self.policy.borrow is not Reclaim.NEVER
        looked_at = {
            name: side
            for front in self.fronts
            if borrows or self._within(front.facing, self.missing)
            for branch in front.branches
            for name, side in self._sides(front, branch).items()
        }
        for each in merge(*(self._of(name) for name in looked_at), key=order):
            side = looked_at[each.tenant]
            if each.uid not in gone and self._is_right(side, each) and self._is_above(side, each):
                gone.add(each.uid)
                yield each

    def _by_share(self, gone: set[str]) -> Admitted | None:
        """Of who has the greatest share, from the root down; what leaves it one no lower, if there is any."""
        ranked: list[tuple[_Standing, Side, list[Admitted]]] = []
        for front in self.fronts:
            share = self.usage.share_at(front.facing)
            for branch in front.branches:
                if share < self.usage.share_at(branch):
                    for name, side in self._sides(front, branch).items():
                        listed = self._of(name)
                        first = next((each for each in listed if self._is_fair(side, each, gone)), None)
                        if first is not None:
                            ranked.append((self._standing(side, first), side, listed))
        ranked.sort(key=lambda each: each[0])
        for _, side, listed in ranked:
            for each in listed:
                if each.uid not in self.unfit and self._is_fair(side, each, gone):
                    if self.usage.share_at(side.facing) <= self._without(side, each):
                        return each
                    self.unfit.add(each.uid)
        for _, side, listed in ranked[:1]:
            return next(each for each in listed if self._is_fair(side, each, gone))
        return None

    def _standing(self, side: Side, first: Admitted) -> _Standing:
        """Sorts the greatest share first: at the topmost level where two differ."""
        standing: list[tuple[bool, int]] = []
        node = side.path[0]
        while node.parent is not None:
            share = self.usage.share_at(node)
            standing.append((not share.infinite, -share.approximate))
            node = node.parent
        return tuple(reversed(standing)), order(first)

    def _is_fair(self, side: Side, each: Admitted, gone: set[str]) -> bool:
        return (
            each.uid not in gone
            and self._is_older(each)
            and not borrows_at_cost(side.quota.preemption, each.priority, self.candidate.priority)
            and self._is_above(side, each)
        )

    def _is_just(self, victim: Admitted) -> bool:
        """In the state in which it all ends, but for this one, which is back."""
        if victim.tenant == self.candidate.tenant:
            return True
        side = next(found[victim.tenant] for found in self.sides.values() if victim.tenant in found)
        trial = self.usage.trial()
        trial.add(victim.tenant, victim.amounts)
        try:
            if not self._is_above(side, victim):
                return False
            if self._is_right(side, victim):
                return True
            is_lost = borrows_at_cost(side.quota.preemption, victim.priority, self.candidate.priority)
            if is_lost or not self._is_older(victim):
                return False
            return self.usage.share_at(side.facing) < self.usage.share_at(side.branch)
        finally:
            trial.undo()

    def _is_right(self, side: Side, victim: Admitted) -> bool:
        """To reclaim it, or to borrow at its cost."""
        if self._is_older(victim):
            borrows = borrows_at_cost(self.policy, self.candidate.priority, victim.priority)
            return borrows or self._within(side.facing, self.missing)
        return self._within(side.facing, self.candidate.needs)

    def _within(self, facing: Node, keys: Iterable[FlavorResource]) -> bool:
        """Its tenant is within its own quota of these, or its side is."""
        return any(not any(is_above(self.usage, node, key) for key in keys) for node in (self.node, facing))

    def _is_older(self, victim: Admitted) -> bool:
        return not self.candidate.gave_way or victim.admitted_at < self.candidate.created_at

    def _is_above(self, side: Side, victim: Admitted) -> bool:
        """It uses something missing that its tenant, and every cohort of its side, borrow."""
        return any(
            victim.amounts.get(key, 0) > 0 and all(is_above(self.usage, node, key) for node in side.path)
            for key in self.missing
        )

    def _fits(self) -> bool:
        """With its needs already counted."""
        return all(self.usage.available_at(self.node, key) >= 0 for key in self.missing)

    def _of(self, tenant: str) -> list[Admitted]:
        found = self.listed.get(tenant)
        if found is None:
            found = others(tenant, self.policy, self.candidate, self.missing, self.of)
            self.listed[tenant] = found
        return found

    def _sides(self, front: Front, branch: Node) -> dict[str, Side]:
        found = self.sides.get(branch)
        if found is None:
            found = self.sides[branch] = dict(sides(self.usage, front.facing, branch, self.missing))
        return found

    def _without(self, side: Side, victim: Admitted) -> Share:
        trial = self.usage.trial()
        trial.take(victim.tenant, victim.amounts)
        share = self.usage.share_at(side.branch)
        trial.undo()
        return share
