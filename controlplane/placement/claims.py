"""Namespaces that tenants claim: no two the same one in one cluster."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from controlplane.placement.rules import ClusterView, TenantRule


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


def matches(pattern: str, namespace: str) -> bool:
    raise NotImplementedError


def overlap(first: str, second: str) -> str | None:
    """A shortest name that both patterns match, None when there is none."""
    raise NotImplementedError


def clashes(claim: Claim, others: Sequence[Claim], clusters: Sequence[ClusterView]) -> list[Clash]:
    raise NotImplementedError


def outside(namespaces: Collection[str], patterns: Sequence[str]) -> list[str]:
    """Namespaces that no pattern covers, sorted."""
    raise NotImplementedError
