"""Rows of quota: the tree, what a tenant waits for and what would help, the ledger.

Amounts: cpu in millicores, everything else in units. Money is text, exact. Times are Unix seconds, 0 for
never.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.queries.rows import FlavorAmounts


@dataclass(frozen=True)
class QuotaLine:
    """One flavor and resource of a Cohort or a Tenant. Of a Cohort, used is what all tenants below it use.

    nominal: of its own, with the windows that are open and the grants that are in force; granted: of that,
    what grants gave (taken: below 0). total: nominal of it and of all below. borrowing_limit,
    lending_limit: None for no limit. drift: of used, what was seen beyond what was charged. leaving: of
    used, what is on its way out. borrowed: used beyond its own. lent: of its own, what others use.
    available: what it could still use; potential: what it could use if nobody else did; both None where it
    is not bounded.
    """

    flavor: str
    resource: str
    nominal: int
    granted: int
    total: int
    borrowing_limit: int | None
    lending_limit: int | None
    used: int
    drift: int
    leaving: int
    borrowed: int
    lent: int
    available: int | None
    potential: int | None
    window: str = ""


@dataclass(frozen=True)
class BudgetRow:
    """Of the running period. state: Within, Warned, Exhausted. per_hour: what it spends at this moment.

    exhausted_at: when it will be spent if nothing changes; 0 for not in this period.
    """

    amount: str
    spent: str
    currency: str
    period: str
    since: float
    until: float
    share: float
    warn_at: int
    state: str
    per_hour: str
    exhausted_at: float


@dataclass(frozen=True)
class QuotaRow:
    """A Cohort or a Tenant, in the order of the tree. path: names from the root to it.

    declared: a cohort that is only named is a root without quota. bounded: whether the tenant has a quota.
    share: in thousandths, over its weight, as Kueue counts; "infinite" where weight 0 borrows.
    share_resource: the resource that decides it. waiting: its workloads that wait for quota.
    """

    kind: str
    name: str
    parent: str
    root: str
    path: tuple[str, ...]
    depth: int
    declared: bool
    bounded: bool
    weight: float
    share: int | str
    share_resource: str
    waiting: int
    quotas: tuple[QuotaLine, ...]
    budget: BudgetRow | None = None


@dataclass(frozen=True)
class BorrowerRow:
    """Who uses, of what is missing, more than its own."""

    kind: str
    name: str
    flavor: str
    resource: str
    borrowed: int


@dataclass(frozen=True)
class HelpRow:
    """What would let it in. kind: Leaving, Lost, Window, Budget, Smaller, Request.

    command: ready to run, "" for none. at: when it comes by itself, 0 where it does not.
    """

    kind: str
    text: str
    command: str = ""
    at: float = 0.0


@dataclass(frozen=True)
class WaitingRow:
    """since: when that was decided. asked: what it needs; missing: of that, what lacks.

    borrowers: of what is missing, who has more than their own.
    """

    workload: str
    uid: str
    priority: int
    since: float
    reason: str
    message: str
    asked: FlavorAmounts
    missing: FlavorAmounts
    borrowers: tuple[BorrowerRow, ...]
    helps: tuple[HelpRow, ...]


@dataclass(frozen=True)
class ChargedRow:
    """What is charged for one workload in one cluster; leaving: of it, what is on its way out.

    workload: "" for pods that are no workload's, which can only drift. lost_since: since when the cluster is
    lost, so that nothing of it can be reported gone; 0 where it is not.
    """

    workload: str
    uid: str
    cluster: str
    priority: int
    charged: FlavorAmounts
    leaving: FlavorAmounts
    drift: FlavorAmounts
    lost_since: float = 0.0


@dataclass(frozen=True)
class WindowRow:
    """One window of the tenant's or of a cohort's above it. changes_at: when it opens or, if open, closes."""

    kind: str
    name: str
    window: str
    flavor: str
    resource: str
    nominal: int
    open: bool
    changes_at: float


@dataclass(frozen=True)
class GrantRow:
    """A request that is pending or granted. until: 0 for without end."""

    id: int
    state: str
    amounts: Mapping[str, Mapping[str, str]]
    until: float
    why: str
    requested_by: str
    decided_by: str


@dataclass(frozen=True)
class UnlimitedRow:
    """A cluster in which limits of the tenant do not stand as they are ordered, and why."""

    cluster: str
    reason: str
    message: str


@dataclass(frozen=True)
class TenantQuotaExplained:
    """above: its cohorts, from the root down. waiting: in the order in which they come next."""

    tenant: QuotaRow
    above: tuple[QuotaRow, ...]
    waiting: tuple[WaitingRow, ...]
    charged: tuple[ChargedRow, ...]
    windows: tuple[WindowRow, ...]
    grants: tuple[GrantRow, ...]
    unlimited: tuple[UnlimitedRow, ...] = ()


@dataclass(frozen=True)
class LedgerRow:
    """One entry. amount: so much more, or fewer. balance: of its tenant, workload, cluster, flavor and
    resource, after it; of drift apart.

    workload: its name, as long as it is known, else its uid. epoch, generation: of the order that it belongs
    to, 0 for none.
    """

    id: int
    at: float
    tenant: str
    workload: str
    uid: str
    cluster: str
    flavor: str
    resource: str
    amount: int
    balance: int
    cause: str
    epoch: int
    generation: int
