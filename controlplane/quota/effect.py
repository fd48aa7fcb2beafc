"""What a grant would do, before anybody decides: who has more and who less, and what waits no longer.

1. Each tenant and cohort under the roots that it touches: what it has before and after.
2. Who would be left with less than is used: by these the grant would be refused.
3. Those who wait, in the order in which they come, judged in the quota as it would be; who also comes in
   as it is now has not the grant to thank for it.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace

from controlplane.quota.admission import Fits, Preempts, judge
from controlplane.quota.lending import borrowed
from controlplane.quota.overused import Overused, overused, usage_of
from controlplane.quota.pending import Pending
from controlplane.quota.quota import Admitted, Amounts, Candidate, FlavorResource
from controlplane.quota.tree import Kind, Node, Tree
from controlplane.quota.usage import UNBOUNDED, Usage

MOST_JUDGED = 200
"""Of those who wait, the first so many."""


@dataclass(frozen=True)
class Question:
    """before, after: without the grant and with it. used: by tenant, all that is charged and seen.

    tenant: who asks. donor: from whom it is taken, if from anybody. keys: what it is about. waiting: who
    waits for quota under the asker's root, with what it needs at least; needs: all that it would be charged,
    or None where no quota would let it run. admitted: by tenant, what runs and is not on its way out.
    leaving: by tenant, what is. claims: of who waits for that, by uid.
    """

    before: Tree
    after: Tree
    used: Mapping[str, Amounts]
    tenant: str
    donor: tuple[Kind, str] | None
    keys: tuple[FlavorResource, ...]
    waiting: tuple[Candidate, ...] = ()
    needs: Callable[[Candidate], Amounts | None] = lambda candidate: candidate.needs
    admitted: Callable[[str], Iterable[Admitted]] = lambda _: ()
    leaving: Mapping[str, Amounts] = field(default_factory=dict[str, Amounts])
    claims: Mapping[str, Candidate] = field(default_factory=dict[str, Candidate])


@dataclass(frozen=True)
class Measure:
    """available: 0 or more. available, potential: None where it is not bounded."""

    nominal: int
    available: int | None
    potential: int | None
    borrowed: int


@dataclass(frozen=True)
class Shift:
    """Of one tenant or cohort, flavor and resource. used: the same before and after."""

    kind: Kind
    name: str
    flavor: str
    resource: str
    used: int
    before: Measure
    after: Measure


@dataclass(frozen=True)
class Entry:
    """It becomes admissible: in the order of these. victims: uids of what gives way for it first."""

    uid: str
    tenant: str
    borrows: bool
    victims: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effect:
    """shifts: the asker's and the donor's, and all that differ. borrowing: of these, who comes to borrow, or
    to borrow more. refused: by whom it would be refused. judged: how many that wait were looked at, of all.
    """

    shifts: tuple[Shift, ...]
    borrowing: tuple[Shift, ...]
    refused: tuple[Overused, ...]
    entries: tuple[Entry, ...]
    judged: int
    waiting: int


def effect(question: Question) -> Generator[None, None, Effect]:
    """A step for each that is judged: it can take a while where many wait, and others want to run."""
    shifts = tuple(_shifts(question))
    yield
    refused = tuple(overused(question.before, question.after, _of_keys(question)))
    yield
    first = _in_order(question)
    yield
    late = yield from _entries(question, question.after, first)
    entries: list[Entry] = []
    if late:
        now = yield from _entries(question, question.before, first)
        at_once = {each.uid for each in now if not each.victims}
        entries = [each for each in late if each.uid not in at_once and each not in now]
    return Effect(
        shifts,
        tuple(each for each in shifts if each.after.borrowed > each.before.borrowed),
        refused,
        tuple(entries),
        len(first),
        len(question.waiting),
    )


def _of_keys(question: Question) -> dict[str, Amounts]:
    return {
        tenant: {key: amounts[key] for key in question.keys if key in amounts}
        for tenant, amounts in question.used.items()
    }


def _shifts(question: Question) -> Iterable[Shift]:
    before, after = usage_of(question.before, question.used), usage_of(question.after, question.used)
    named = {(Kind.TENANT, question.tenant), question.donor}
    touched = [_node(question.after, *each) for each in named if each is not None]
    roots = {node.root for node in touched if node is not None}
    for node in question.after.nodes:
        if node.root not in roots:
            continue
        was = _node(question.before, node.kind, node.name)
        for key in question.keys:
            made = Shift(
                node.kind,
                node.name,
                *key,
                used=after.at(node).get(key, 0),
                before=_measure(before, was, key) if was is not None else Measure(0, 0, 0, 0),
                after=_measure(after, node, key),
            )
            if made.before != made.after or (node.kind, node.name) in named:
                yield made


def _node(tree: Tree, kind: Kind, name: str) -> Node | None:
    return tree.tenant(name) if kind is Kind.TENANT else tree.cohort(name)


def _measure(usage: Usage, node: Node, key: FlavorResource) -> Measure:
    limits = node.limits.get(key)
    left, most = usage.available_at(node, key), node.potential(key)
    return Measure(
        limits.nominal if limits is not None else 0,
        max(0, left) if left < UNBOUNDED else None,
        most if most < UNBOUNDED else None,
        borrowed(usage, node, key),
    )


def _in_order(question: Question) -> list[Candidate]:
    """The first of those who wait, as they stand in the line now."""
    usage, pending = usage_of(question.before, question.used), Pending()
    by_uid = {each.uid: each for each in question.waiting}
    for each in question.waiting:
        pending.put(each)
    found: list[Candidate] = []
    while len(found) < MOST_JUDGED and (uid := pending.pick(usage)) is not None:
        found.append(by_uid[uid])
    return found


def _entries(
    question: Question, tree: Tree, waiting: Collection[Candidate]
) -> Generator[None, None, list[Entry]]:
    """As the loop that admits would: each is counted before the next one is judged."""
    usage, pending, running = usage_of(tree, question.used), Pending(), _Running(question)
    claims, found = dict(question.claims), list[Entry]()
    by_uid = {each.uid: each for each in waiting}
    for each in waiting:
        pending.put(each)
    while (uid := pending.pick(usage)) is not None:
        yield
        needs = question.needs(by_uid[uid])
        if needs is None:
            continue
        candidate = replace(by_uid[uid], needs=needs)
        others = {each: claim for each, claim in claims.items() if each != uid}
        verdict = judge(usage, candidate, running.admitted, running.leaving, others)
        if isinstance(verdict, Fits):
            usage.add(candidate.tenant, candidate.needs)
            claims.pop(uid, None)
            found.append(Entry(uid, candidate.tenant, verdict.borrows))
            continue
        # A strict tenant's others stand behind it.
        pending.park(uid, tree.root(candidate.tenant))
        if isinstance(verdict, Preempts):
            running.give_way(verdict.victims)
            claims[uid] = candidate
            borrows = usage.borrows(candidate.tenant, candidate.needs)
            found.append(Entry(uid, candidate.tenant, borrows, verdict.victims))
    return found


class _Running:
    """What runs and what is on its way out, as more of it gives way."""

    def __init__(self, question: Question) -> None:
        self.leaving = {tenant: dict(amounts) for tenant, amounts in question.leaving.items()}
        self._admitted = question.admitted
        self._by_tenant: dict[str, dict[str, Admitted]] = {}
        self._tenants: dict[str, str] = {}

    def admitted(self, tenant: str) -> Iterable[Admitted]:
        if tenant not in self._by_tenant:
            held = {each.uid: each for each in self._admitted(tenant)}
            self._by_tenant[tenant] = held
            self._tenants.update(dict.fromkeys(held, tenant))
        return tuple(self._by_tenant[tenant].values())

    def give_way(self, victims: Iterable[str]) -> None:
        """Of those that `admitted` told of."""
        for uid in victims:
            tenant = self._tenants.pop(uid)
            held = self.leaving.setdefault(tenant, {})
            for key, amount in self._by_tenant[tenant].pop(uid).amounts.items():
                held[key] = held.get(key, 0) + amount
