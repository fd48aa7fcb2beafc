"""Namespaces that tenants claim: no two the same one in one cluster."""

import re
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from controlplane.placement.filters import tenant_may
from controlplane.placement.rules import ClusterView, TenantRule

_LONGEST = 63
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Claim:
    """`patterns` of namespaces (they know only `*`) that a tenant claims where `rule` lets it."""

    rule: TenantRule
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Clash:
    """Two tenants, one namespace in one cluster. `example` is a namespace that both patterns match."""

    tenant: str
    other: str
    pattern: str
    other_pattern: str
    cluster: str
    example: str

    def __str__(self) -> str:
        return (
            f"namespace {self.example} in cluster {self.cluster}: {self.pattern} of {self.tenant} and "
            f"{self.other_pattern} of {self.other} both claim it"
        )


def matches(pattern: str, namespace: str) -> bool:
    """Whether `namespace` is covered. `*` stands for any characters, none included."""
    first, *middle = pattern.split("*")
    if not middle:
        return pattern == namespace
    *middle, last = middle
    if not namespace.startswith(first) or len(namespace) < len(first) + len(last):
        return False
    if not namespace.endswith(last):
        return False
    position, end = len(first), len(namespace) - len(last)
    for part in middle:
        found = namespace.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def overlap(first: str, second: str) -> str | None:
    """A namespace that both patterns match, None when there is none of up to 63 characters."""
    shortest = _shortest(first, second)
    if shortest is None or len(shortest) > _LONGEST:
        return None
    # The shortest may be empty or end in a dash: where the stars leave room, one that a cluster would take.
    for name in (shortest, shortest + "a", "a" + shortest, "a" + shortest + "a"):
        if _NAMESPACE.fullmatch(name) and matches(first, name) and matches(second, name):
            return name
    return shortest


def _shortest(first: str, second: str) -> str | None:
    """Breadth first over how much of each pattern is used up.

    A star may be left for nothing, or take a character that the other side brings.
    """
    done: set[tuple[int, int]] = set()
    queue: deque[tuple[int, int, str]] = deque([(0, 0, "")])
    while queue:
        at, other, name = queue.popleft()
        if (at, other) in done:
            continue
        done.add((at, other))
        if at == len(first) and other == len(second):
            return name
        mine, its = first[at : at + 1], second[other : other + 1]
        if mine == "*":
            queue.appendleft((at + 1, other, name))
        if its == "*":
            queue.appendleft((at, other + 1, name))
        if mine == "*" and its not in ("", "*"):
            queue.append((at, other + 1, name + its))
        elif its == "*" and mine not in ("", "*"):
            queue.append((at + 1, other, name + mine))
        elif mine == its and mine not in ("", "*"):
            queue.append((at + 1, other + 1, name + mine))
    return None


def clashes(claim: Claim, others: Sequence[Claim], clusters: Sequence[ClusterView]) -> list[Clash]:
    """One for each pair of patterns and cluster, where both tenants may use the cluster.

    A tenant does not clash with itself, so that its own new version may be checked against all.
    """
    mine = [cluster for cluster in clusters if tenant_may(claim.rule, cluster)]
    found: list[Clash] = []
    for other in others:
        if other.rule.name == claim.rule.name:
            continue
        shared = [cluster for cluster in mine if tenant_may(other.rule, cluster)]
        if not shared:
            continue
        for pattern in claim.patterns:
            for its in other.patterns:
                example = overlap(pattern, its)
                if example is not None:
                    found += [
                        Clash(claim.rule.name, other.rule.name, pattern, its, cluster.name, example)
                        for cluster in shared
                    ]
    return found


def outside(namespaces: Collection[str], patterns: Sequence[str]) -> list[str]:
    """Namespaces that no pattern covers, sorted."""
    return sorted(each for each in namespaces if not any(matches(pattern, each) for pattern in patterns))
