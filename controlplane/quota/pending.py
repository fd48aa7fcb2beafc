"""Who is next of all that waits for quota: a tournament up the tree of cohorts, as in Kueue's fair sharing.

At each cohort wins the child that, with its nominee admitted, does not borrow in what that needs, has the
lowest dominant share, then the nominee of higher priority, then the older. Only what changed plays again.
"""

from heapq import heapify, heappop, heappush

from controlplane.quota.quota import NOTHING, UNFLAVORED, Amounts, Candidate
from controlplane.quota.shares import NO_SHARE, Share
from controlplane.quota.tree import Node, Tree
from controlplane.quota.usage import Usage

Order = tuple[int, float, str]
Rank = tuple[bool, bool, int, Share, int, float, str]
REMEMBERED = 100_000
"""Of so many that were picked it is known what had been freed by then."""


class _Entry:
    """parked: for nobody to pick. queued, held: whether the queue's heaps have it, valid or not."""

    __slots__ = ("candidate", "gone", "held", "order", "parked", "queued")

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.order = _order(candidate)
        self.gone = False
        self.parked = False
        self.queued = False
        self.held = False

    def __lt__(self, _: "_Entry") -> bool:
        """Of two in the same order, one is gone: it was put again."""
        return False


class _Queue:
    """Of one tenant."""

    __slots__ = ("_held", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[Order, _Entry]] = []
        self._held: list[tuple[Order, _Entry]] = []

    def put(self, entry: _Entry) -> None:
        if entry.parked:
            if not entry.held:
                heappush(self._held, (entry.order, entry))
                entry.held = True
        elif not entry.queued:
            heappush(self._waiting, (entry.order, entry))
            entry.queued = True

    def first(self) -> Order:
        """Of the best, parked or not. One has to be there."""
        self._tidy()
        return min(each[0][0] for each in (self._waiting, self._held) if each)

    def head(self, strict: bool) -> _Entry | None:
        """strict: nobody where a better one is parked."""
        self._tidy()
        waiting, held = self._waiting, self._held
        if not waiting or (strict and held and held[0][0] < waiting[0][0]):
            return None
        return waiting[0][1]

    def __bool__(self) -> bool:
        return bool(self._waiting or self._held)

    def _tidy(self) -> None:
        waiting, held = self._waiting, self._held
        while waiting and (waiting[0][1].gone or waiting[0][1].parked):
            heappop(waiting)[1].queued = False
        while held and (held[0][1].gone or not held[0][1].parked):
            heappop(held)[1].held = False


class _Seat:
    """Of a node of the tree; of none, the hall in which the roots meet, or a tenant outside the tree.

    entry: whom it nominates. needs: of that, what would count at its parent. heap: of its children.
    """

    __slots__ = ("entry", "heap", "needs", "node", "parent", "seats", "stamp")

    def __init__(self, node: Node | None, parent: "_Seat | None") -> None:
        self.node = node
        self.parent = parent
        self.heap: list[tuple[Rank, int, _Seat]] = []
        self.seats = 0
        self.stamp = 0
        self.entry: _Entry | None = None
        self.needs: Amounts = NOTHING
        if parent is not None:
            parent.seats += 1

    def best(self) -> "_Seat | None":
        heap = self.heap
        while heap and heap[0][1] != heap[0][2].stamp:
            heappop(heap)
        if len(heap) > 2 * self.seats + 64:
            heap[:] = [each for each in heap if each[1] == each[2].stamp]
            heapify(heap)
        return heap[0][2] if heap else None


class _Tournament:
    """Of one tree."""

    def __init__(self, tree: Tree) -> None:
        self.hall = _Seat(None, None)
        self._tree = tree
        self._seats: list[_Seat] = []
        for node in tree.nodes:
            self._seats.append(_Seat(node, self._seats[node.parent.index] if node.parent else self.hall))
        self._outside: dict[str, _Seat] = {}
        self._stamps = 0

    def seat(self, tenant: str) -> _Seat:
        node = self._tree.tenant(tenant)
        if node is not None:
            return self._seats[node.index]
        if tenant not in self._outside:
            self._outside[tenant] = _Seat(None, self.hall)
        return self._outside[tenant]

    def nominate(self, usage: Usage, seat: _Seat, entry: _Entry | None) -> None:
        """By a tenant, and then on the way up by every cohort whose nominee or share that may change."""
        needs = NOTHING if entry is None else _bounded(entry.candidate.needs)
        while seat.parent is not None:
            self._stamps += 1
            seat.stamp, seat.entry = self._stamps, entry
            if entry is not None:
                rank = _rank(usage, seat.node, entry.order, needs)
                heappush(seat.parent.heap, (rank, seat.stamp, seat))
                seat.needs = usage.beyond(seat.node, needs) if seat.node is not None else NOTHING
            seat = seat.parent
            best = seat.best()
            entry, needs = (best.entry, best.needs) if best is not None else (None, NOTHING)


class Pending:
    """Never picks the same candidate twice, unless it was put again or woken."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._queues: dict[str, _Queue] = {}
        self._parked: dict[str, dict[str, int]] = {}
        self._roots: dict[str, str] = {}
        self._dirty: dict[str, None] = {}
        self._picked: dict[str, int] = {}
        self._last: _Entry | None = None
        self._usage: Usage | None = None
        self._tournament = _Tournament(Tree.of((), ()))
        self._followed: tuple[Usage, Tree] | None = None
        self._moves = 0

    def __len__(self) -> int:
        """What waits, the parked too."""
        return len(self._entries)

    def __contains__(self, uid: str) -> bool:
        return uid in self._entries

    def is_behind(self, uid: str) -> bool:
        """Its tenant is strict, and a better one of it waits: so it can claim nothing."""
        return self.ahead_of(uid) is not None

    def ahead_of(self, uid: str) -> str | None:
        """Who is first in line of its tenant, where that is strict and another."""
        entry = self._entries.get(uid)
        if entry is None or self._usage is None:
            return None
        quota = self._usage.tree.tenants.get(entry.candidate.tenant)
        if quota is None or not quota.strict:
            return None
        first = self._queues[entry.candidate.tenant].first()
        return first[2] if first < entry.order else None

    def put(self, candidate: Candidate) -> None:
        """Instead of what was put for it before."""
        self._forget(candidate.uid)
        self._enter(_Entry(candidate))

    def drop(self, uid: str) -> None:
        """Nothing happens for one that is not there."""
        self._forget(uid)
        self._picked.pop(uid, None)

    def pick(self, usage: Usage) -> str | None:
        """Removes it and says who it is; None when nobody waits who is not parked."""
        self._follow(usage)
        best = self._tournament.hall.best()
        entry = best.entry if best is not None else None
        if entry is None:
            return None
        candidate = entry.candidate
        self._forget(candidate.uid)
        self._last = entry
        self._picked[candidate.uid] = usage.freed(usage.tree.root(candidate.tenant))
        if len(self._picked) > REMEMBERED:
            del self._picked[next(iter(self._picked))]
        return candidate.uid

    def park(self, uid: str, root: str) -> None:
        """Nobody picks it until `wake` sees that something was freed under root since it was last picked.

        Of what was put, or was the last to be picked. A strict tenant's others of the same priority or less
        wait behind it.
        """
        entry = self._entries.get(uid)
        if entry is None:
            if self._last is None or self._last.candidate.uid != uid:
                return
            entry = _Entry(self._last.candidate)
        entry.parked = True
        self._enter(entry)
        freed = self._usage.freed(root) if self._usage is not None else -1
        if (was := self._roots.get(uid)) is not None:
            del self._parked[was][uid]
        self._roots[uid] = root
        self._parked.setdefault(root, {})[uid] = self._picked.pop(uid, freed)

    def wake(self, usage: Usage) -> None:
        """What is parked and may have become admissible stands in the line again."""
        other = usage is not self._usage
        self._usage = usage
        for root, held in list(self._parked.items()):
            freed = usage.freed(root)
            for uid in [uid for uid, stamp in held.items() if other or stamp < freed]:
                entry = self._entries[uid]
                del held[uid], self._roots[uid]
                entry.parked = False
                self._enter(entry)
            if not held:
                del self._parked[root]

    def _enter(self, entry: _Entry) -> None:
        tenant = entry.candidate.tenant
        self._entries[entry.candidate.uid] = entry
        self._queues.setdefault(tenant, _Queue()).put(entry)
        self._dirty[tenant] = None

    def _forget(self, uid: str) -> None:
        entry = self._entries.pop(uid, None)
        if entry is None:
            return
        entry.gone = True
        self._dirty[entry.candidate.tenant] = None
        root = self._roots.pop(uid, None)
        if root is not None:
            del self._parked[root][uid]

    def _follow(self, usage: Usage) -> None:
        """Who nominates someone else, and whose share is another than at the last pick, plays again."""
        self._usage = usage
        followed = self._followed
        if followed is None or usage is not followed[0] or usage.tree is not followed[1]:
            self._followed = usage, usage.tree
            self._tournament = _Tournament(usage.tree)
            self._moves, self._dirty = usage.moves, dict.fromkeys(self._queues)
        self._moves, moved = usage.moved_since(self._moves)
        dirty, self._dirty = self._dirty | dict.fromkeys(moved), {}
        for tenant in dirty:
            self._nominate(usage, tenant)

    def _nominate(self, usage: Usage, tenant: str) -> None:
        queue = self._queues.get(tenant)
        quota = usage.tree.tenants.get(tenant)
        entry = None
        if queue is not None:
            entry = queue.head(quota is not None and quota.strict)
            if not queue:
                del self._queues[tenant]
        self._tournament.nominate(usage, self._tournament.seat(tenant), entry)


def is_before(usage: Usage, candidate: Candidate, other: Candidate) -> bool:
    """Whether the candidate would be picked, if only these two waited. Both are under one root."""
    ours, theirs = (_up(usage, each) for each in (candidate, other))
    for node, needs in ours.items():
        for facing, asked in theirs.items():
            if node is facing:
                return _order(candidate) < _order(other)
            if node.parent is facing.parent:
                rank = _rank(usage, node, _order(candidate), needs)
                return rank < _rank(usage, facing, _order(other), asked)
    return False


def _up(usage: Usage, candidate: Candidate) -> dict[Node, Amounts]:
    """From its tenant to its root: what of its needs would count there."""
    node, needs = usage.tree.tenant(candidate.tenant), _bounded(candidate.needs)
    found: dict[Node, Amounts] = {}
    while node is not None:
        found[node] = needs
        node, needs = node.parent, usage.beyond(node, needs)
    return found


def _order(candidate: Candidate) -> Order:
    return -candidate.priority, candidate.created_at, candidate.uid


def _rank(usage: Usage, node: Node | None, order: Order, needs: Amounts) -> Rank:
    if node is None or node.parent is None:
        return False, False, 0, NO_SHARE, *order
    share = usage.share_at(node, needs)
    borrows = bool(needs) and usage.borrows_at(node, needs)
    return borrows, share.infinite, share.approximate, share, *order


def _bounded(needs: Amounts) -> Amounts:
    return {key: amount for key, amount in needs.items() if amount > 0 and key[0] != UNFLAVORED}
