"""What is seen in clusters beyond what is charged: autoscalers, other tools, surges of updates. Never hidden.

Flavors are told by the nodes on which pods stand. What is charged for a flavor covers pods on its nodes; what
is left over is drift of the first of the tenant's flavors that is of these nodes, else of none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controlplane.placement.filters import selected
from controlplane.placement.rules import ClusterView
from controlplane.quota.quota import PODS, UNFLAVORED, Amounts, Flavor, FlavorResource, TenantQuota

MOST = 2**53 - 1
"""No amount is counted as larger, so that no column of the ledger overflows."""
MOST_RESOURCES = 64
LONGEST = 317
"""Of a resource's name in Kubernetes: a prefix of 253, a slash, a name of 63."""
Key = tuple[str, str, str, str]
"""(tenant, workload, flavor, resource), in one cluster."""


@dataclass(frozen=True)
class Seen:
    """What pods ask for that stand on nodes of the same kind. flavors: those that these nodes are of."""

    flavors: frozenset[str]
    amounts: Mapping[str, int]


def plausible(amounts: Mapping[str, int], quota: TenantQuota | None) -> Mapping[str, int]:
    """Without names that no API server takes, and a bounded number of them: agents say what they like.

    What the quota names comes first.
    """
    if len(amounts) <= MOST_RESOURCES and all(map(_may_be, amounts)):
        return amounts
    covered = {name for group in (quota.groups if quota is not None else ()) for name in group.resources}
    names = sorted(filter(_may_be, amounts), key=lambda name: (name not in covered, name))
    return {name: amounts[name] for name in names[:MOST_RESOURCES]}


def _may_be(name: str) -> bool:
    """A NUL would come back from the ledger as something else, which memory then never agrees with."""
    return len(name) <= LONGEST and name.isprintable()


def flavors_of(
    flavors: Iterable[Flavor], labels: Mapping[str, str], values: Mapping[str, str | None], view: ClusterView
) -> frozenset[str]:
    """Names of the flavors of which nodes in this cluster are that have these labels.

    values: by key of the flavors' requirements, what the nodes say; None for what they lack.
    """
    return frozenset(
        each.name
        for each in flavors
        if all(labels.get(key) == value for key, value in each.node_labels.items())
        and all(one.admits(values.get(one.key)) for one in each.requirements)
        and selected(each.clusters, view)
    )


def workload_drift(
    seen: Sequence[Seen], charged: Amounts, quota: TenantQuota | None, flavors: Iterable[str]
) -> dict[FlavorResource, int]:
    """What a workload's pods take in a cluster beyond what is charged for it there.

    flavors: all that are declared: a charge under one that is not any more covers every node.
    """
    known = frozenset(flavors)
    found: dict[FlavorResource, int] = {}
    for resource in sorted({name for each in seen for name in each.amounts}):
        left = {flavor: amount for (flavor, of), amount in charged.items() if of == resource}
        if not left and not _counts(resource, quota):
            continue
        wanted = [(each.flavors, each.amounts[resource]) for each in seen if each.amounts.get(resource)]
        # Who can be covered by few flavors goes first, so that none is left over while another would do.
        wanted.sort(key=lambda each: (len(each[0] & left.keys()), sorted(each[0])))
        for nodes, amount in wanted:
            covering = [each for each in left if each in nodes or each == UNFLAVORED or each not in known]
            covering.sort(key=lambda each: (each == UNFLAVORED, each not in nodes, each))
            for flavor in covering:
                used = min(left[flavor], amount)
                left[flavor] -= used
                amount -= used
            if amount:
                own = [each for each in covering if each in nodes]
                flavor = own[0] if own else first_flavor(quota, resource, nodes)
                _more(found, flavor, resource, amount)
    return found


def foreign_drift(seen: Iterable[Seen], quota: TenantQuota) -> dict[FlavorResource, int]:
    """What pods take that are no workload's, in namespaces of this tenant in one cluster."""
    found: dict[FlavorResource, int] = {}
    for each in seen:
        for resource, amount in each.amounts.items():
            if amount and _counts(resource, quota):
                _more(found, first_flavor(quota, resource, each.flavors), resource, amount)
    return found


def first_flavor(quota: TenantQuota | None, resource: str, nodes: frozenset[str]) -> str:
    """The first flavor of the tenant that covers the resource and is of these nodes; "" for none."""
    for group in quota.groups if quota is not None else ():
        if resource in group.resources:
            return next((each for each in group.flavors if each in nodes), UNFLAVORED)
    return UNFLAVORED


class Patience:
    """Waits before it believes that something grew; believes at once that it shrank.

    A surge of an update shall not be entered the moment it appears, nor something that stays be missed: what
    is entered is the least that was seen over the last seconds.
    """

    def __init__(self, workload_seconds: float, foreign_seconds: float) -> None:
        """How long it waits for pods of workloads, and for those that are no workload's."""
        self._workload_seconds = workload_seconds
        self._foreign_seconds = foreign_seconds
        self._risen: dict[str, dict[Key, list[tuple[float, int]]]] = {}

    def moved(
        self, cluster: str, entered: Mapping[Key, int], found: Mapping[Key, int], now: float
    ) -> dict[Key, int]:
        """By how much what is entered of a cluster is to change. found: all that is seen there now."""
        risen = self._risen.pop(cluster, {})
        waiting: dict[Key, list[tuple[float, int]]] = {}
        moves: dict[Key, int] = {}
        for key in entered.keys() | found.keys():
            before, amount = entered.get(key, 0), min(found.get(key, 0), MOST)
            if amount < before:
                moves[key] = amount - before
                continue
            if amount == before:
                continue
            began = now - (self._workload_seconds if key[1] else self._foreign_seconds)
            looks = [*risen.get(key, ()), (now, amount)]
            # The last look at or before the beginning of the time that counts says what was there then.
            while len(looks) > 1 and looks[1][0] <= began:
                del looks[0]
            waiting[key] = looks
            least = min(each for _, each in looks)
            if looks[0][0] <= began and least > before:
                moves[key] = least - before
        if waiting:
            self._risen[cluster] = waiting
        return moves


def _counts(resource: str, quota: TenantQuota | None) -> bool:
    """Pods are counted only where a quota of the tenant names them."""
    if resource != PODS:
        return True
    return quota is not None and any(PODS in group.resources for group in quota.groups)


def _more(found: dict[FlavorResource, int], flavor: str, resource: str, amount: int) -> None:
    found[flavor, resource] = min(found.get((flavor, resource), 0) + amount, MOST)
