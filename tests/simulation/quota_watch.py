"""Promise 2, held against every commit and every step: formulas written out, over what is stored and runs."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import ceil
from typing import Any, Protocol

from controlplane.known.records import Cause, LedgerLine, RequestState
from controlplane.loops.ports import NewDecision
from controlplane.quota.declared import cohort_quota, granted, tenant_quota
from controlplane.quota.quota import UNFLAVORED, CohortQuota, FlavorResource, Limits, TenantQuota
from schemas.manifests import CohortSpec, TenantSpec
from schemas.quantities import quantity_amount
from schemas.reasons import Reason
from schemas.wire.orders import WORKLOAD_LABEL
from tests.simulation.memory_tables import Tables

MOST_PREEMPTIONS = 3
"""Of one workload while nobody changes anything."""
STALE_SECONDS = 2.0
"""A window may open or close, and a grant run out, between a decision and its commit."""
SURGE = 0.25
"""What a Deployment makes beyond its replicas while it rolls, and one at least."""
_amount = cache(quantity_amount)
_Used = Mapping[str, Mapping[FlavorResource, int]]


class Simulated(Protocol):
    """A member cluster's id, and what runs in it."""

    @property
    def id(self) -> str: ...

    @property
    def cluster(self) -> Any: ...


@dataclass(frozen=True)
class Forest:
    """Cohorts and tenants as they are declared, granted and open at one moment."""

    tenants: Mapping[str, TenantQuota]
    cohorts: Mapping[str, CohortQuota]
    used: _Used

    def available(self, tenant: str, key: FlavorResource) -> int:
        """What it can still be given; below 0 where more is used than there is."""
        return self._available(("Tenant", tenant), key)

    def used_by(self, tenant: str, key: FlavorResource) -> int:
        return self.used.get(tenant, {}).get(key, 0)

    def _available(self, node: tuple[str, str], key: FlavorResource) -> int:
        limits, subtree, usage = self._limits(node, key), self._subtree(node, key), self._usage(node, key)
        parent = self._parent(node)
        if parent is None:
            return subtree - usage
        local = self._local(node, key)
        given = self._available(parent, key)
        if limits.borrowing is not None:
            given = min(given, subtree - local - max(0, usage - local) + limits.borrowing)
        return max(0, local - usage) + given

    def _subtree(self, node: tuple[str, str], key: FlavorResource) -> int:
        below = (self._subtree(each, key) - self._local(each, key) for each in self._children(node))
        return self._limits(node, key).nominal + sum(below)

    def _local(self, node: tuple[str, str], key: FlavorResource) -> int:
        lending = self._limits(node, key).lending
        return 0 if lending is None else max(0, self._subtree(node, key) - lending)

    def _usage(self, node: tuple[str, str], key: FlavorResource) -> int:
        if node[0] == "Tenant":
            return self.used_by(node[1], key)
        return sum(max(0, self._usage(each, key) - self._local(each, key)) for each in self._children(node))

    def _limits(self, node: tuple[str, str], key: FlavorResource) -> Limits:
        kind, name = node
        quota = self.tenants[name] if kind == "Tenant" else self.cohorts.get(name)
        return quota.limits.get(key, Limits()) if quota is not None else Limits()

    def _parent(self, node: tuple[str, str]) -> tuple[str, str] | None:
        kind, name = node
        if kind == "Tenant":
            above = self.tenants[name].cohort
        else:
            above = self.cohorts[name].parent if name in self.cohorts else ""
        return ("Cohort", above) if above else None

    def _children(self, node: tuple[str, str]) -> list[tuple[str, str]]:
        kind, name = node
        if kind == "Tenant":
            return []
        tenants = [("Tenant", each) for each, quota in self.tenants.items() if quota.cohort == name]
        return tenants + [("Cohort", each) for each, quota in self.cohorts.items() if quota.parent == name]


@dataclass
class QuotaWatch:
    """`accuse(promise, text)` is raised at the next step. restored: the database is older than what runs."""

    accuse: Callable[[int, str], None]
    restored: bool = False
    preempted: Counter[str] = field(default_factory=Counter[str])
    commits: int = 0

    def entered(self, tables: Tables, lines: Sequence[LedgerLine], now: float) -> None:
        """These were committed: who was charged more by a decision is within what the tree gives."""
        grown = {
            (line.tenant, (line.flavor, line.resource))
            for line in lines
            if line.amount > 0 and line.cause is Cause.PLACED and line.flavor != UNFLAVORED
        }
        self.commits += bool(grown)
        forests = [forest(tables, at) for at in (now, now - STALE_SECONDS)]
        for tenant, key in sorted(grown):
            left = [each.available(tenant, key) for each in forests if tenant in each.tenants]
            if left and max(left) < 0:
                used = forests[0].used_by(tenant, key)
                self.accuse(2, f"{tenant} was charged {key} beyond its quota by {-max(left)}: uses {used}")

    def decided(self, decisions: Iterable[NewDecision]) -> None:
        for each in decisions:
            if each.reason == Reason.PREEMPTED:
                self.preempted[each.workload] += 1
                if self.preempted[each.workload] > MOST_PREEMPTIONS:
                    self.accuse(2, f"{each.workload} gives way again and again")

    def somebody_acts(self) -> None:
        self.preempted.clear()

    def declared(self, before: Forest, after: Forest, what: str) -> None:
        """A write was taken: it leaves nobody with less than is used, who was not before."""
        for tenant, quota in after.tenants.items():
            for key, limits in quota.limits.items():
                was = before.available(tenant, key) if tenant in before.tenants else 0
                left, used = after.available(tenant, key), after.used_by(tenant, key)
                if left < 0 <= was and used > limits.nominal:
                    self.accuse(2, f"{what} leaves {tenant} with {left} of {key}: uses {used}")

    def look(self, tables: Tables, members: Iterable[Simulated]) -> None:
        """The ledger comes to the balances, and what runs is charged."""
        sums: Counter[tuple[Any, ...]] = Counter()
        for _, line in tables.ledger:
            drift = line.cause is Cause.DRIFTED
            sums[line.tenant, line.workload, line.cluster, line.flavor, line.resource, drift] += line.amount
        stored = {
            (tenant, uid, cluster, flavor, resource, drift): amount
            for (uid, cluster, tenant, flavor, resource, drift), amount in tables.balances.items()
        }
        if {key: amount for key, amount in sums.items() if amount} != stored:
            self.accuse(2, f"the ledger comes to {dict(sums)}, the balances are {stored}")
        for each in sorted(stored):
            if stored[each] < 0:
                self.accuse(2, f"the balance {each} is {stored[each]}")
        # What nobody pays for is never compared: running pods are the dearest look.
        if not self.restored and any(record.tenant for record in tables.workloads.values()):
            for member in members:
                for text in uncharged(tables, member):
                    self.accuse(2, text)


def forest(tables: Tables, at: float) -> Forest:
    specs = {name: record.spec for (kind, name), record in tables.documents.items() if kind == "Tenant"}
    tenants = {name: TenantSpec.model_validate(spec).quota for name, spec in specs.items()}
    cohorts = {
        name: cohort_quota(name, CohortSpec.model_validate(record.spec), at)
        for (kind, name), record in tables.documents.items()
        if kind == "Cohort"
    }
    grants = [each for _, each in sorted(tables.quota_requests.items()) if each.state is RequestState.GRANTED]
    quotas, above = granted(
        {name: tenant_quota(name, each, at) for name, each in tenants.items() if each is not None},
        cohorts,
        grants,
        at,
    )
    used: dict[str, dict[FlavorResource, int]] = {}
    for (_, _, tenant, flavor, resource, _), amount in tables.balances.items():
        held = used.setdefault(tenant, {})
        held[flavor, resource] = held.get((flavor, resource), 0) + amount
    return Forest(quotas, above, used)


def charged(tables: Tables, uid: str, cluster: str, *, drift: bool = True) -> int:
    """cpu, to whomever, under whichever flavor."""
    return sum(
        amount
        for (workload, place, _, _, of, is_drift), amount in tables.balances.items()
        if (workload, place, of) == (uid, cluster, "cpu") and (drift or not is_drift)
    )


def ordered(member: Simulated) -> dict[str, tuple[int, int]]:
    """By workload: replicas, and cpu of one, as its Deployment has them in the cluster."""
    found: dict[str, tuple[int, int]] = {}
    for each in member.cluster.objects("Deployment"):
        uid = (each["metadata"].get("labels") or {}).get(WORKLOAD_LABEL)
        if uid is not None:
            found[uid] = each["spec"]["replicas"], _cpu(each["spec"]["template"]["spec"])
    return found


def running(member: Simulated) -> dict[str, list[int]]:
    """By workload: cpu of each pod that is not on its way out."""
    found: dict[str, list[int]] = {}
    for pod in member.cluster.objects("Pod"):
        uid = (pod["metadata"].get("labels") or {}).get(WORKLOAD_LABEL)
        if uid is not None and "deletionTimestamp" not in pod["metadata"]:
            found.setdefault(uid, []).append(_cpu(pod["spec"]))
    return found


def uncharged(tables: Tables, member: Simulated, *, restored: bool = False) -> Iterator[str]:
    """What runs, or is told to, and is not charged; the surge of a rolling update apart.

    restored: what has been deleted since, and is ordered there by the history that was lost, is whose its
    namespace is.
    """
    told, alive = ordered(member), running(member)
    for uid in sorted({*told, *alive}):
        record = tables.workloads.get(uid)
        if record is None or not record.tenant:
            continue
        if restored and record.deleted and (member.id, uid) not in tables.outbox:
            continue
        replicas, cpu = told.get(uid, (0, 0))
        pods, held = alive.get(uid, []), charged(tables, uid, member.id)
        each = max(pods, default=0)
        # Told to run with fewer in the midst of a rollout, it still has what that made of the charged ones.
        surge = max(1, ceil(SURGE * max(replicas or len(pods), held // (each or 1)))) * each
        if sum(pods) > held + (surge if held else 0):
            yield f"{record.name} runs with {sum(pods)} in {member.id}, and is charged {held}"
        if replicas * cpu > held:
            yield f"{record.name} is told to run with {replicas * cpu} in {member.id}, charged {held}"


def _cpu(spec: Mapping[str, Any]) -> int:
    return sum(
        _amount("cpu", each.get("resources", {}).get("requests", {}).get("cpu", "0"))
        for each in spec["containers"]
    )
