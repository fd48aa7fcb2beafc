"""Who would be left with less than is used: what a change of quota is refused by."""

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.quota.quota import Amounts, CohortQuota, TenantQuota
from controlplane.quota.tree import Tree
from controlplane.quota.usage import Usage
from schemas.quantities import quantity_text


@dataclass(frozen=True)
class Overused:
    """used: by the tenant. beyond: how much of it would be above all that the tenant could still use."""

    tenant: str
    flavor: str
    resource: str
    used: int
    beyond: int

    def __str__(self) -> str:
        used, beyond = quantity_text(self.resource, self.used), quantity_text(self.resource, self.beyond)
        return (
            f"tenant {self.tenant} uses {used} {self.resource} of flavor {self.flavor}:"
            f" that would be {beyond} more than it may"
        )


def overused(before: Tree, after: Tree, used: Mapping[str, Amounts]) -> list[Overused]:
    """By tenant and resource. What was so before, and gets no worse, is nobody's fault.

    A tenant that comes to borrow what others have left is not named: it uses what it may.
    """
    were, are = usage_of(before, used), usage_of(after, used)
    found: list[Overused] = []
    for tenant in sorted(used.keys() & after.tenants.keys()):
        for key, amount in sorted(used[tenant].items()):
            left = are.available(tenant, key)
            if amount > 0 and left < 0 and left < were.available(tenant, key):
                found.append(Overused(tenant, *key, used=amount, beyond=-left))
    return found


def not_there(donor: TenantQuota | CohortQuota | None, kind: str, name: str, wanted: Amounts) -> list[str]:
    """What a donor has not, of what is to be taken from its nominal quota. donor: None for one without."""
    if donor is None:
        return [f"there is no {kind.lower()} {name!r} with a quota"]
    found: list[str] = []
    for (flavor, resource), amount in sorted(wanted.items()):
        limits = donor.limits.get((flavor, resource))
        nominal = limits.nominal if limits is not None else 0
        if amount > nominal:
            there, more = quantity_text(resource, nominal), quantity_text(resource, amount)
            found.append(
                f"{kind.lower()} {name!r} has {there} {resource} of flavor {flavor}: {more} are wanted"
            )
    return found


def usage_of(tree: Tree, used: Mapping[str, Amounts]) -> Usage:
    """used: by tenant."""
    usage = Usage(tree)
    for tenant, amounts in used.items():
        usage.add(tenant, amounts)
    return usage
