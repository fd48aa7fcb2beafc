"""How much is used, at every node of the tree, kept up as amounts come and go.

What is above a node's local quota counts at its parent too, so that an amount costs one step a level.
Flavor "" and tenants outside the tree are counted, and never bounded.
"""

from collections.abc import Iterable, Mapping

from controlplane.quota.quota import NOTHING, UNFLAVORED, Amounts, FlavorResource
from controlplane.quota.shares import NO_SHARE, Share, share_of
from controlplane.quota.tree import NO_QUOTA, Node, Tree, root_name

UNBOUNDED = 2**62
"""What is available where nothing bounds it."""


class Usage:
    """tree: what it is counted against. moves: how often it changed."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._used: list[dict[FlavorResource, int]] = [{} for _ in tree.nodes]
        self._loose: dict[str, dict[FlavorResource, int]] = {}
        self._shares: list[Share | None] = [None] * len(tree.nodes)
        self._above: dict[tuple[Node, FlavorResource], dict[Node, None]] = {}
        self._freed: dict[str, int] = {}
        self._all_freed = 0
        self._moved: dict[str, int] = {}
        self.moves = 0

    def retree(self, tree: Tree) -> None:
        """The same amounts in another tree. Whatever waits may have become admissible."""
        kept = {name: self.of(name) for name in self._tenants()}
        self.tree = tree
        self._used = [{} for _ in tree.nodes]
        self._shares = [None] * len(tree.nodes)
        self._loose, self._above, self._moved = {}, {}, {}
        self._all_freed += 1 + max(self._freed.values(), default=0)
        self._freed = {}
        for name, amounts in kept.items():
            self.add(name, amounts)

    def add(self, tenant: str, amounts: Amounts) -> None:
        """ValueError for a negative amount, before anything is counted."""
        for key, amount in amounts.items():
            if amount < 0:
                raise ValueError(f"{_told(tenant, key)}: {amount} cannot be added")
        self._shift(tenant, amounts, 1)

    def take(self, tenant: str, amounts: Amounts) -> None:
        """ValueError for more than is there, before anything is taken."""
        node = self.tree.tenant(tenant)
        for key, amount in amounts.items():
            if not 0 <= amount <= self._own(tenant, node, key).get(key, 0):
                raise ValueError(f"{_told(tenant, key)}: {amount} is not there to be taken")
        self._shift(tenant, amounts, -1)
        root = root_name(node) if node is not None else self.tree.root(tenant)
        self._freed[root] = self._freed.get(root, 0) + 1

    def of(self, tenant: str) -> Amounts:
        """All that it uses, the unbounded too. Nothing that is 0."""
        node = self.tree.tenant(tenant)
        bounded = self._used[node.index] if node is not None else {}
        return {**bounded, **self._loose.get(tenant, {})}

    def of_cohort(self, name: str) -> Amounts:
        """What its children use beyond what stays local with each of them. KeyError for no such cohort."""
        node = self.tree.cohort(name)
        if node is None:
            raise KeyError(name)
        return dict(self._used[node.index])

    def at(self, node: Node) -> Amounts:
        """What counts at a node of the tree. Not to be kept: it changes."""
        return self._used[node.index]

    def available(self, tenant: str, key: FlavorResource) -> int:
        """Below 0 where more is admitted than there is; UNBOUNDED where nothing bounds it."""
        node = self.tree.tenant(tenant)
        return UNBOUNDED if node is None or key[0] == UNFLAVORED else self.available_at(node, key)

    def available_at(self, node: Node, key: FlavorResource) -> int:
        """Of a tenant or cohort: what is left local, and of the parent's, within the borrowing limits.

        The least of what every node on the way up allows, which is the formula without its recursion.
        """
        kept = 0
        least: int | None = None
        while True:
            used = self._used[node.index].get(key, 0)
            subtree, local, borrowing = node.bounds.get(key, NO_QUOTA)
            parent = node.parent
            if parent is None:
                left = kept + subtree - used
                return left if least is None or left < least else least
            beyond = used - local
            if beyond < 0:
                kept, beyond = kept - beyond, 0
            if borrowing is not None:
                allowed = kept + subtree - local - beyond + borrowing
                if least is None or allowed < least:
                    least = allowed
            node = parent

    def potential(self, tenant: str, key: FlavorResource) -> int:
        node = self.tree.tenant(tenant)
        return UNBOUNDED if node is None or key[0] == UNFLAVORED else node.potential(key)

    def lacking(self, tenant: str, needs: Amounts) -> dict[FlavorResource, int]:
        """How much would have to become available, by what of it. Empty: it fits."""
        node = self.tree.tenant(tenant)
        lacks: dict[FlavorResource, int] = {}
        if node is None:
            return lacks
        for key, amount in needs.items():
            if amount > 0 and key[0] != UNFLAVORED:
                missing = amount - self.available_at(node, key)
                if missing > 0:
                    lacks[key] = missing
        return lacks

    def borrows(self, tenant: str, needs: Amounts = NOTHING) -> bool:
        """Above nominal in what it needs, once that is given; without needs, in anything it uses."""
        node = self.tree.tenant(tenant)
        return node is not None and self.borrows_at(node, needs)

    def borrows_at(self, node: Node, needs: Amounts = NOTHING) -> bool:
        """A root borrows from nobody."""
        if node.parent is None:
            return False
        used, subtree = self._used[node.index], node.subtree
        if not needs:
            return any(amount > subtree.get(key, 0) for key, amount in used.items())
        return any(
            amount > 0 and key[0] != UNFLAVORED and used.get(key, 0) + amount > subtree.get(key, 0)
            for key, amount in needs.items()
        )

    def share(self, tenant: str, added: Amounts = NOTHING) -> Share:
        node = self.tree.tenant(tenant)
        return NO_SHARE if node is None else self.share_at(node, _bounded(added))

    def share_at(self, node: Node, added: Amounts = NOTHING) -> Share:
        """added: what comes to this node of it, after what stays below (`beyond`)."""
        if added:
            return share_of(node, self._used[node.index], added)
        share = self._shares[node.index]
        if share is None:
            share = self._shares[node.index] = share_of(node, self._used[node.index])
        return share

    def beyond(self, node: Node, added: Amounts) -> dict[FlavorResource, int]:
        """What of so much more at this node would count at its parent."""
        used, local = self._used[node.index], node.local
        above: dict[FlavorResource, int] = {}
        for key, amount in added.items():
            kept = local.get(key, 0) - used.get(key, 0)
            if kept > 0:
                amount -= kept
            if amount > 0:
                above[key] = amount
        return above

    def above(self, parent: Node, key: FlavorResource) -> Iterable[Node]:
        """Its children that use more than their own quota of it, in no order. Not to be kept: it changes."""
        return self._above.get((parent, key), ())

    def freed(self, root: str) -> int:
        """Grows whenever something under this root (`Tree.root`) may have become admissible."""
        return self._all_freed + self._freed.get(root, 0)

    def free(self, root: str) -> None:
        """Says so for a reason that is not counted here: a claim given up, a victim that may now be had."""
        self._freed[root] = self._freed.get(root, 0) + 1

    def moved_since(self, moves: int) -> tuple[int, tuple[str, ...]]:
        """The count of moves now, and the tenants whose usage changed after there were so many."""
        names: list[str] = []
        for name in reversed(self._moved):
            if self._moved[name] <= moves:
                break
            names.append(name)
        return self.moves, tuple(names)

    def trial(self) -> "Trial":
        return Trial(self)

    def _tenants(self) -> list[str]:
        names = {name for name in self.tree.tenants if self.of(name)}
        return sorted(names | {name for name, amounts in self._loose.items() if amounts})

    def _own(self, tenant: str, node: Node | None, key: FlavorResource) -> Mapping[FlavorResource, int]:
        if node is None or key[0] == UNFLAVORED:
            return self._loose.get(tenant, {})
        return self._used[node.index]

    def _shift(self, tenant: str, amounts: Amounts, sign: int) -> None:
        node = self.tree.tenant(tenant)
        for key, amount in amounts.items():
            if not amount:
                continue
            if node is None or key[0] == UNFLAVORED:
                loose = self._loose.setdefault(tenant, {})
                loose[key] = loose.get(key, 0) + sign * amount
                if not loose[key]:
                    del loose[key]
            else:
                self.bubble(node, key, sign * amount)
        self.moves += 1
        self._moved.pop(tenant, None)
        self._moved[tenant] = self.moves

    def bubble(self, node: Node, key: FlavorResource, delta: int) -> None:
        """At this node, and of it at each one above what is not kept below. Tells nobody: see `Trial`."""
        while True:
            used = self._used[node.index]
            before = used.get(key, 0)
            after = before + delta
            if after:
                used[key] = after
            else:
                used.pop(key, None)
            self._shares[node.index] = None
            parent = node.parent
            if parent is None:
                return
            subtree, local, _ = node.bounds.get(key, NO_QUOTA)
            if after > subtree >= before:
                self._above.setdefault((parent, key), {})[node] = None
            elif before > subtree >= after:
                del self._above[parent, key][node]
            if local:
                delta = max(0, after - local) - max(0, before - local)
                if not delta:
                    return
            node = parent


class Trial:
    """What if: amounts are moved for a while, and put back by `undo`. Nobody is told of it."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._done: list[tuple[Node, FlavorResource, int]] = []

    def add(self, tenant: str, amounts: Amounts) -> None:
        self._move(tenant, amounts, 1)

    def take(self, tenant: str, amounts: Amounts) -> None:
        """No more than is there."""
        self._move(tenant, amounts, -1)

    def undo(self) -> None:
        while self._done:
            node, key, delta = self._done.pop()
            self._usage.bubble(node, key, -delta)

    def _move(self, tenant: str, amounts: Amounts, sign: int) -> None:
        node = self._usage.tree.tenant(tenant)
        if node is None:
            return
        for key, amount in amounts.items():
            if amount <= 0 or key[0] == UNFLAVORED:
                continue
            if sign < 0:
                amount = min(amount, self._usage.at(node).get(key, 0))
            if amount:
                self._usage.bubble(node, key, sign * amount)
                self._done.append((node, key, sign * amount))


def _bounded(amounts: Amounts) -> Amounts:
    if any(key[0] == UNFLAVORED for key in amounts):
        return {key: amount for key, amount in amounts.items() if key[0] != UNFLAVORED}
    return amounts


def _told(tenant: str, key: FlavorResource) -> str:
    return f"tenant {tenant}, {key[1]} in flavor {key[0] or '(none)'}"
