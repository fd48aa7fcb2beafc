"""Who lends what others use beyond their own. Kueue counts who borrows; whose it is, is told here.

What is used beyond their own in a cohort, and what the cohort itself lends, comes first of what belongs to
the cohort, then of what its children leave unused and lend, in proportion to it, and then from above it.
"""

from collections.abc import Mapping, Sequence

from controlplane.quota.quota import FlavorResource
from controlplane.quota.tree import Node
from controlplane.quota.usage import Usage


def lent(usage: Usage, key: FlavorResource) -> Mapping[Node, int]:
    """Of each node that lends any: how much of its own others use, those outside of it."""
    found: dict[Node, int] = {}
    for node in usage.tree.nodes:
        if not node.children:
            continue
        demand = found.get(node, 0) + sum(borrowed(usage, child, key) for child in node.children)
        limits = node.limits.get(key)
        rest = demand - (limits.nominal if limits is not None else 0)
        if rest > 0:
            idle = [_idle(usage, child, key) for child in node.children]
            shares = zip(node.children, split(min(rest, sum(idle)), idle), strict=True)
            found.update((child, amount) for child, amount in shares if amount)
    return found


def borrowed(usage: Usage, node: Node, key: FlavorResource) -> int:
    """Beyond its own, from above it; a root borrows from nobody."""
    if node.parent is None:
        return 0
    return max(0, usage.at(node).get(key, 0) - node.subtree.get(key, 0))


def split(amount: int, parts: Sequence[int]) -> list[int]:
    """`amount`, of at most their sum, in proportion to the parts: whole, none above its part."""
    whole = sum(parts)
    if not whole:
        return [0] * len(parts)
    given = [amount * part // whole for part in parts]
    most_left = sorted(range(len(parts)), key=lambda index: -(amount * parts[index] % whole))
    for index in most_left[: amount - sum(given)]:
        given[index] += 1
    return given


def _idle(usage: Usage, node: Node, key: FlavorResource) -> int:
    """What it does not use and lends."""
    local = node.local.get(key, 0)
    return max(0, node.subtree.get(key, 0) - local - max(0, usage.at(node).get(key, 0) - local))
