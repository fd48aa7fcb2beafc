"""Limits of a tenant in a member cluster: ResourceQuota objects that travel as an order of their own."""

import hashlib
import re

LIMITS = "limits-"
"""Begins the workload token under which they travel: one order for each tenant and cluster."""
WHERE_THERE = "muster.dev/where-namespace-exists"
"""An annotation: the object is made only where its namespace is there, which is not made for it."""
_SIMPLE = re.compile(r"[a-z0-9-]{1,47}")


def limits_key(tenant: str) -> str:
    """A subject token, a label's value and a part of an object's name; of two tenants never the same."""
    simple = _SIMPLE.fullmatch(tenant)
    return LIMITS + (tenant if simple else hashlib.sha256(tenant.encode()).hexdigest()[:48])


def is_limits(workload: str) -> bool:
    """Whether this is no workload's token, but that of a tenant's limits."""
    return workload.startswith(LIMITS)
