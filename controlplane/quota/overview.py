"""The tree of quota as people look at it: in order, with what is used, available, borrowed and lent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controlplane.quota.lending import borrowed, lent
from controlplane.quota.quota import FlavorResource, Limits
from controlplane.quota.shares import Share, share_of
from controlplane.quota.tree import Kind, Node
from controlplane.quota.usage import Usage


@dataclass(frozen=True)
class Figures:
    """Of one flavor and resource, at a tenant or a cohort. available: clamped at 0.

    total, used: of it and of all below. subtree: nominal, and what its children lend to it. usage: of a
    cohort, what its children use beyond what stays with each of them; of a tenant, used.
    """

    limits: Limits
    total: int
    used: int
    subtree: int
    usage: int
    available: int
    potential: int
    borrowed: int
    lent: int


class Overview:
    """Of one moment: made anew for each look."""

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self._sums: dict[Node, dict[FlavorResource, tuple[int, int]]] = {}
        self._lent: dict[FlavorResource, Mapping[Node, int]] = {}

    def steps(self) -> Iterator[None]:
        """Works out ahead what all figures need, so that others may run between; else, at first need."""
        self._summed()
        yield
        for key in {key for sums in self._summed().values() for key in sums}:
            self._lenders(key)
            yield

    def nodes(self) -> Iterator[Node]:
        """Each before those below it; cohorts before tenants, by name."""
        waiting = [node for node in self.usage.tree.nodes if node.parent is None]
        waiting.sort(key=lambda node: (node.kind is Kind.TENANT, node.name), reverse=True)
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    def figures(self, node: Node) -> dict[FlavorResource, Figures]:
        """Of all that is declared or used there, in the order in which it is declared."""
        sums = self._summed().get(node, {})
        keys = dict.fromkeys((*node.limits, *sorted(sums)))
        return {key: self._figures(node, key, *sums.get(key, (0, 0))) for key in keys}

    def shares(self, node: Node) -> dict[str, Share]:
        """By resource: what each by itself would make of its share. Those that count."""
        used = self.usage.at(node)
        found: dict[str, Share] = {}
        for name in sorted({key[1] for key in used}):
            share = share_of(node, {key: amount for key, amount in used.items() if key[1] == name})
            if share.top:
                found[name] = share
        return found

    def _figures(self, node: Node, key: FlavorResource, total: int, used: int) -> Figures:
        return Figures(
            limits=node.limits.get(key, Limits()),
            total=total,
            used=used,
            subtree=node.subtree.get(key, 0),
            usage=self.usage.at(node).get(key, 0),
            available=max(0, self.usage.available_at(node, key)),
            potential=node.potential(key),
            borrowed=borrowed(self.usage, node, key),
            lent=self._lenders(key).get(node, 0),
        )

    def _lenders(self, key: FlavorResource) -> Mapping[Node, int]:
        found = self._lent.get(key)
        if found is None:
            found = self._lent[key] = lent(self.usage, key)
        return found

    def _summed(self) -> Mapping[Node, Mapping[FlavorResource, tuple[int, int]]]:
        """(nominal, used) of each and of all below it."""
        if self._sums:
            return self._sums
        for node in reversed(self.usage.tree.nodes):
            sums = self._sums.setdefault(node, {})
            for key, limits in node.limits.items():
                total, used = sums.get(key, (0, 0))
                sums[key] = total + limits.nominal, used
            if node.kind is Kind.TENANT:
                for key, amount in self.usage.at(node).items():
                    sums[key] = sums.get(key, (0, 0))[0], amount
            if node.parent is not None:
                above = self._sums.setdefault(node.parent, {})
                for key, (more, amount) in sums.items():
                    total, used = above.get(key, (0, 0))
                    above[key] = total + more, used + amount
        return self._sums
