"""Whether a candidate may run: it fits, somebody gives way, it waits for what is leaving, or it lacks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from controlplane.quota.pending import is_before
from controlplane.quota.preemption import give_way
from controlplane.quota.quota import Admitted, Amounts, Candidate, FlavorResource
from controlplane.quota.tree import Kind, Node
from controlplane.quota.usage import Trial, Usage
from schemas.quantities import quantity_text


@dataclass(frozen=True)
class Fits:
    """borrows: above its tenant's nominal in something it needs."""

    borrows: bool = False


@dataclass(frozen=True)
class Preempts:
    """victims: uids, in the order in which they were chosen. Without them it fits."""

    victims: tuple[str, ...]


@dataclass(frozen=True)
class Awaits:
    """It fits once what is on its way out is gone, and those who claim of it have theirs."""


@dataclass(frozen=True)
class Lacks:
    """missing: how much more would have to be available. why: for people.

    never: it is more than could ever be available, whatever is freed.
    """

    missing: Mapping[FlavorResource, int]
    why: str
    never: bool = False


Verdict = Fits | Preempts | Awaits | Lacks


def judge(
    usage: Usage,
    candidate: Candidate,
    admitted: Callable[[str], Iterable[Admitted]],
    leaving: Mapping[str, Amounts],
    claims: Mapping[str, Candidate],
) -> Verdict:
    """usage: of all that is charged, what leaves included, what is claimed not. It is as before afterwards.

    admitted: by tenant, what runs and is not on its way out. leaving: by tenant, charged and on its way out.
    claims: by uid, those who wait for what leaves: theirs is not given to another who would be picked after
    them, or had to give way before, and what fits beside them need not wait. Only what is under the
    candidate's own root is looked at.
    """
    node = usage.tree.tenant(candidate.tenant)
    if node is None:
        return Fits()
    now = usage.lacking(candidate.tenant, candidate.needs)
    if now:
        never = _never(usage, candidate)
        if never is not None:
            return never
    elif not leaving and not claims:
        return _fits(usage, candidate)
    ahead = usage.trial()
    try:
        looked = _look_ahead(usage, ahead, node, candidate, leaving, claims)
        missing = usage.lacking(candidate.tenant, candidate.needs) if looked else now
        if missing:
            victims = give_way(usage, candidate, tuple(missing), admitted)
            return Preempts(victims) if victims else Lacks(missing, _why(usage, candidate, node, missing))
    finally:
        ahead.undo()
    return Awaits() if now else _fits(usage, candidate)


def _fits(usage: Usage, candidate: Candidate) -> Fits:
    return Fits(bool(candidate.needs) and usage.borrows(candidate.tenant, candidate.needs))


def _look_ahead(
    usage: Usage,
    ahead: Trial,
    node: Node,
    candidate: Candidate,
    leaving: Mapping[str, Amounts],
    claims: Mapping[str, Candidate],
) -> bool:
    """To when what leaves is gone and who claims of it, and comes before the candidate, has got it.

    Whether that is another state than now.
    """
    looked = False
    for tenant, amounts in leaving.items():
        other = usage.tree.tenant(tenant)
        if other is not None and other.root is node.root:
            ahead.take(tenant, amounts)
            looked = True
    before: list[Candidate] = []
    for uid, claimant in claims.items():
        if uid == candidate.uid:
            continue
        other = usage.tree.tenant(claimant.tenant)
        if other is not None and other.root is node.root and not _passes(usage, candidate, claimant):
            before.append(claimant)
    for claimant in before:
        ahead.add(claimant.tenant, claimant.needs)
    return looked or bool(before)


def _passes(usage: Usage, candidate: Candidate, claimant: Candidate) -> bool:
    """What had to give way does not pass others: who is after it may still preempt it, and so in turns."""
    may = not candidate.gave_way or candidate.tenant == claimant.tenant
    return may and is_before(usage, candidate, claimant)


def _never(usage: Usage, candidate: Candidate) -> Lacks | None:
    never: dict[FlavorResource, int] = {}
    told: list[str] = []
    for key, need in sorted(candidate.needs.items()):
        most = usage.potential(candidate.tenant, key)
        if need > most:
            never[key] = need - most
            told.append(
                f"{_named(key)}: {_text(key, need)} is more than the {_text(key, most)} that "
                f"tenant {candidate.tenant} could ever have"
            )
    return Lacks(never, "; ".join(told), never=True) if never else None


def _why(usage: Usage, candidate: Candidate, node: Node, missing: Mapping[FlavorResource, int]) -> str:
    return "; ".join(_lack(usage, node, key, candidate.needs[key]) for key in sorted(missing))


def _lack(usage: Usage, node: Node, key: FlavorResource, need: int) -> str:
    """cpu in flavor default: 4 more than the 2 that cohort retail has left; tenant a may borrow up to 10."""
    left = max(0, usage.available_at(node, key))
    bound = _bound(usage, node, key)
    more = f"{_named(key)}: {_text(key, need - left)} more than the {_text(key, left)} that"
    if bound.parent is None:
        limits = node.limits.get(key)
        is_limited = node.parent is not None and limits is not None and limits.borrowing is not None
        return f"{more} {_who(bound)} has left" + (f"; {_borrowing(node, key)}" if is_limited else "")
    return f"{more} {_who(node)} has left: {_borrowing(bound, key)}"


def _bound(usage: Usage, node: Node, key: FlavorResource) -> Node:
    """Whose borrowing limit leaves the least, or the root: see `Usage.available_at`."""
    least = usage.available_at(node, key)
    kept = 0
    while node.parent is not None:
        local, used = node.local.get(key, 0), usage.at(node).get(key, 0)
        kept += max(0, local - used)
        limits = node.limits.get(key)
        if limits is not None and limits.borrowing is not None:
            stored = node.subtree.get(key, 0) - local - max(0, used - local)
            if kept + stored + limits.borrowing == least:
                return node
        node = node.parent
    return node


def _borrowing(node: Node, key: FlavorResource) -> str:
    limits = node.limits.get(key)
    most = limits.borrowing if limits is not None else None
    return f"{_who(node)} may borrow {f'up to {_text(key, most)}' if most else 'none'}"


def _who(node: Node) -> str:
    return f"{'tenant' if node.kind is Kind.TENANT else 'cohort'} {node.name}"


def _named(key: FlavorResource) -> str:
    return f"{key[1]} in flavor {key[0]}"


def _text(key: FlavorResource, amount: int) -> str:
    return quantity_text(key[1], amount)
