"""Dominant resource share: how much of what a cohort can lend a node of the tree has borrowed. Exact.

The formula is Kueue's (`fair_sharing.go`): the greatest over resources of
1000 * sum over flavors max(0, added + usage - subtree) / lendable, divided by the weight.
"""

from controlplane.quota.quota import NOTHING, Amounts
from controlplane.quota.tree import Node

MOST = 2**63 - 1
"""What an infinite share is as a whole number."""


class Share:
    """top / bottom thousandths. infinite: weight 0 and borrowing; two such compare without their weight.

    resource: which of them it is the share of; "" where nothing counts. bottom is above 0.
    """

    __slots__ = ("bottom", "infinite", "resource", "top")

    def __init__(self, top: int, bottom: int, infinite: bool = False, resource: str = "") -> None:
        self.top = top
        self.bottom = bottom
        self.infinite = infinite
        self.resource = resource

    @property
    def value(self) -> int:
        """Thousandths, rounded up as Kueue does; MOST when infinite."""
        return MOST if self.infinite else -(-self.top // self.bottom)

    @property
    def text(self) -> str:
        return "infinite" if self.infinite else str(self.value)

    @property
    def approximate(self) -> int:
        """Orders as the share does, but for what is closer than one in 2^64: quick to compare."""
        return (self.top << 64) // self.bottom

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Share) and not self < other and not other < self

    def __hash__(self) -> int:
        return hash((self.infinite, self.value))

    def __lt__(self, other: "Share") -> bool:
        if self.infinite is not other.infinite:
            return other.infinite
        return self.top * other.bottom < other.top * self.bottom

    def __le__(self, other: "Share") -> bool:
        return not other < self

    def __gt__(self, other: "Share") -> bool:
        return other < self

    def __ge__(self, other: "Share") -> bool:
        return not self < other

    def __repr__(self) -> str:
        return f"Share({self.text}{' of ' + self.resource if self.resource else ''})"


NO_SHARE = Share(0, 1)
"""Of what borrows nothing, and of a root."""


def share_of(node: Node, used: Amounts, added: Amounts = NOTHING) -> Share:
    """Of a node that uses so much and is given what is added; both at this node, above what stays below."""
    parent = node.parent
    if parent is None:
        return NO_SHARE
    borrowed: dict[str, int] = {}
    for key, amount in used.items():
        over = amount + added.get(key, 0) - node.subtree.get(key, 0)
        if over > 0:
            borrowed[key[1]] = borrowed.get(key[1], 0) + over
    for key, amount in added.items():
        if key not in used:
            over = amount - node.subtree.get(key, 0)
            if over > 0:
                borrowed[key[1]] = borrowed.get(key[1], 0) + over
    return _dominant(node, parent, borrowed) if borrowed else NO_SHARE


def _dominant(node: Node, parent: Node, borrowed: dict[str, int]) -> Share:
    lendable = parent.lendable()
    most, of, resource = 0, 1, ""
    for name, amount in borrowed.items():
        lent = lendable.get(name, 0)
        if lent > 0:
            here, there = amount * of, most * lent
            if here > there or (here == there and name < resource):
                most, of, resource = amount, lent, name
    if not most:
        return NO_SHARE
    if not node.weight:
        return Share(most * 1000, of, True, resource)
    return Share(most * 1_000_000, of * node.weight, False, resource)
