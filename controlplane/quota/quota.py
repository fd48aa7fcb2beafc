"""Quota as it is decided on: limits per flavor and resource, in a tree of cohorts with tenants at its leaves.

The words and their meaning are Kueue's (`kueue.x-k8s.io/v1beta1`). Amounts are whole numbers: cpu in
millicores, everything else in units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from controlplane.fleet import Requirement
from controlplane.fleet.demand import Toleration
from controlplane.placement.rules import Affinity

PODS = "pods"
OBJECTS = "objects"
ADDRESSES = "addresses/"
"""`addresses/POOL`: of a pool of addresses of network interfaces. Counted, as pods and objects are, only
where a quota names it."""
COUNTED_WHERE_NAMED = (PODS, OBJECTS)
UNFLAVORED = ""
"""The flavor under which is counted what no quota of its tenant covers."""

FlavorResource = tuple[str, str]
"""(flavor, resource)"""
Amounts = Mapping[FlavorResource, int]
EVERYWHERE = Affinity()
NOTHING: Amounts = MappingProxyType({})


@dataclass(frozen=True)
class Limits:
    """Of one flavor and resource. borrowing, lending: None for no limit."""

    nominal: int = 0
    borrowing: int | None = None
    lending: int | None = None


class Reclaim(StrEnum):
    """Whose workloads may be preempted. Kueue's reclaimWithinCohort and borrowWithinCohort."""

    NEVER = "Never"
    LOWER_PRIORITY = "LowerPriority"
    ANY = "Any"


class Within(StrEnum):
    """Kueue's withinClusterQueue: which of the tenant's own may be preempted."""

    NEVER = "Never"
    LOWER_PRIORITY = "LowerPriority"
    LOWER_OR_NEWER_EQUAL = "LowerOrNewerEqualPriority"


@dataclass(frozen=True)
class Preemption:
    """reclaim: to get back what is nominally the tenant's. borrow: also while it would borrow itself.

    borrow_below: priority up to which others are preempted while borrowing; None for no such bound.
    """

    reclaim: Reclaim = Reclaim.ANY
    borrow: Reclaim = Reclaim.NEVER
    borrow_below: int | None = None
    within: Within = Within.LOWER_PRIORITY


@dataclass(frozen=True)
class Group:
    """Resources that are taken from one flavor together; flavors in the order in which they are tried."""

    resources: frozenset[str]
    flavors: tuple[str, ...]


@dataclass(frozen=True)
class CohortQuota:
    """parent: "" for a root. weight: of its fair share, in thousandths."""

    name: str
    parent: str = ""
    weight: int = 1000
    limits: Mapping[FlavorResource, Limits] = field(default_factory=dict[FlavorResource, Limits])


@dataclass(frozen=True)
class TenantQuota:
    """cohort: "" for none: then it neither borrows nor lends.

    refuses_uncovered: what no flavor of it covers is refused; else it is not bounded.
    strict: nothing of it is admitted before an older one of the same priority or above (Kueue's StrictFIFO).
    """

    name: str
    cohort: str = ""
    weight: int = 1000
    limits: Mapping[FlavorResource, Limits] = field(default_factory=dict[FlavorResource, Limits])
    groups: tuple[Group, ...] = ()
    preemption: Preemption = Preemption()
    refuses_uncovered: bool = True
    strict: bool = False

    def counted(self, amounts: Amounts) -> dict[FlavorResource, int]:
        """What is charged under no flavor counts as of the first flavor that covers it."""
        found: dict[FlavorResource, int] = {}
        for (flavor, resource), amount in amounts.items():
            if flavor == UNFLAVORED:
                groups = (each for each in self.groups if resource in each.resources)
                flavor = next((each.flavors[0] for each in groups), flavor)
            found[flavor, resource] = found.get((flavor, resource), 0) + amount
        return found

    @cached_property
    def covered(self) -> frozenset[str]:
        """Resources of all its groups."""
        return frozenset[str]().union(*(group.resources for group in self.groups))


@dataclass(frozen=True)
class Flavor:
    """A class of nodes. requirements: of features; its labels are in node_labels.

    prices: by resource, millionths of the currency for one unit and hour, a unit being one core, one GiB of
    what is counted in bytes, and one of everything else.
    """

    name: str
    node_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    requirements: tuple[Requirement, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    clusters: Affinity = EVERYWHERE
    currency: str = ""
    prices: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Candidate:
    """What waits for quota. needs: at least so much more than is charged for it now.

    gave_way: it was preempted before. Then it takes of others what was admitted after it was created only
    where all its needs are within its own quota; without that, some could preempt each other in turns.
    """

    uid: str
    tenant: str
    priority: int
    created_at: float
    needs: Amounts
    gave_way: bool = False


@dataclass(frozen=True)
class Admitted:
    """What runs, and may have to give way. amounts: all that is charged for it, and not on its way out.

    created_at: of the workload, as its candidate had it; without it, it counts as older than any other.
    """

    uid: str
    tenant: str
    priority: int
    admitted_at: float
    amounts: Amounts
    preemptible: bool = True
    created_at: float = float("-inf")
