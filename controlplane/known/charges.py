"""What is charged of quota, place by place, as the ledger's balances have it."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from controlplane.known.records import BalanceRecord, Cause, LedgerLine
from controlplane.quota.quota import NOTHING, UNFLAVORED, Amounts, FlavorResource

Place = tuple[str, str]
"""(workload, cluster)"""
Asking = tuple[str, Amounts]
"""(tenant, amounts)"""
NOBODY: Asking = "", NOTHING
_Held = dict[str, dict[FlavorResource, int]]


class Charges:
    """By place, then tenant. What is seen beyond it, drift, is kept apart.

    asked: what the placement of the moment comes to there. What is charged beyond it is on its way out.
    """

    def __init__(self, balances: Iterable[BalanceRecord] = ()) -> None:
        self._charged: dict[Place, _Held] = {}
        self._drift: dict[Place, _Held] = {}
        self._asked: dict[Place, Asking] = {}
        self._places: dict[str, set[str]] = {}
        self._leaving: dict[str, dict[Place, Amounts]] = {}
        self._left_by: dict[Place, set[str]] = {}
        self._left: dict[str, dict[FlavorResource, int]] = {}
        self._unflavored: set[Place] = set()
        for each in balances:
            held = self._drift if each.drift else self._charged
            _add(held, (each.workload, each.cluster), each.tenant, (each.flavor, each.resource), each.amount)
            if not each.drift:
                self._places.setdefault(each.workload, set()).add(each.cluster)
        for place in self._charged:
            self._note_leaving(place)

    def take(self, lines: Iterable[LedgerLine]) -> None:
        """ValueError where a balance would be below 0: then memory is not what the ledger is."""
        touched: set[Place] = set()
        for line in lines:
            place = line.workload, line.cluster
            is_drift = line.cause is Cause.DRIFTED
            held = self._drift if is_drift else self._charged
            _add(held, place, line.tenant, (line.flavor, line.resource), line.amount)
            if is_drift:
                continue
            touched.add(place)
            if place in held:
                self._places.setdefault(line.workload, set()).add(line.cluster)
            else:
                self._forget(place)
        for place in touched:
            self._note_leaving(place)

    def ask(self, uid: str, cluster: str, tenant: str, amounts: Amounts) -> None:
        """What the placement in this cluster comes to from now on; nothing where there is none."""
        if amounts:
            self._asked[uid, cluster] = tenant, MappingProxyType(dict(amounts))
        else:
            self._asked.pop((uid, cluster), None)
        self._note_leaving((uid, cluster))

    def of(self, uid: str, cluster: str, tenant: str) -> Amounts:
        """What this tenant is charged there for it."""
        return self._charged.get((uid, cluster), {}).get(tenant, NOTHING)

    def asked(self, uid: str, cluster: str, tenant: str) -> Amounts:
        """What of it the placement of the moment comes to."""
        held = self._asked.get((uid, cluster))
        return held[1] if held is not None and held[0] == tenant else NOTHING

    def asking(self, uid: str, cluster: str) -> Asking:
        """Whose placement it is there, and what it comes to; nobody's where there is none."""
        return self._asked.get((uid, cluster), NOBODY)

    def tenants_of(self, uid: str, cluster: str) -> Collection[str]:
        """Who is charged there for it; more than one while it passes from one to another."""
        return self._charged.get((uid, cluster), {}).keys()

    def clusters_of(self, uid: str) -> Collection[str]:
        """Where anything is charged for it."""
        return self._places.get(uid, frozenset())

    def places(self) -> Collection[Place]:
        return self._charged.keys()

    def unflavored(self) -> Collection[Place]:
        """Where something is charged or asked for that no quota of its tenant covered."""
        return self._unflavored

    def drift(self, uid: str, cluster: str, tenant: str) -> Amounts:
        return self._drift.get((uid, cluster), {}).get(tenant, NOTHING)

    def drifting(self) -> Mapping[Place, Mapping[str, Amounts]]:
        """By place, then tenant; workload "" is what is no workload's."""
        return self._drift

    def leaving(self) -> Mapping[str, Mapping[Place, Amounts]]:
        """What is charged and not asked for any more, by tenant."""
        return self._leaving

    def all_leaving(self) -> Mapping[str, Amounts]:
        """The same, all places of a tenant together."""
        return self._left

    def balances(self) -> Iterable[BalanceRecord]:
        for drift, held in ((False, self._charged), (True, self._drift)):
            for (uid, cluster), by_tenant in held.items():
                for tenant, amounts in by_tenant.items():
                    for (flavor, resource), amount in amounts.items():
                        yield BalanceRecord(tenant, uid, cluster, flavor, resource, drift, amount)

    def _forget(self, place: Place) -> None:
        uid, cluster = place
        clusters = self._places.get(uid)
        if clusters is not None:
            clusters.discard(cluster)
            if not clusters:
                del self._places[uid]

    def _note_leaving(self, place: Place) -> None:
        charged = self._charged.get(place, {})
        self._note_unflavored(place, charged)
        leaving = self._left_by.pop(place, set[str]())
        for tenant in {*charged, *leaving}:
            asked = self.asked(*place, tenant)
            rest = {
                key: amount - asked.get(key, 0)
                for key, amount in charged.get(tenant, NOTHING).items()
                if amount > asked.get(key, 0)
            }
            self._recount(tenant, self._leaving.get(tenant, {}).get(place, NOTHING), rest)
            if rest:
                self._leaving.setdefault(tenant, {})[place] = rest
                self._left_by.setdefault(place, set()).add(tenant)
            elif tenant in self._leaving:
                self._leaving[tenant].pop(place, None)
                if not self._leaving[tenant]:
                    del self._leaving[tenant]

    def _note_unflavored(self, place: Place, charged: _Held) -> None:
        asked = self._asked.get(place)
        every = [*charged.values(), *([asked[1]] if asked is not None else [])]
        is_unflavored = any(flavor == UNFLAVORED for amounts in every for flavor, _ in amounts)
        (self._unflavored.add if is_unflavored else self._unflavored.discard)(place)

    def _recount(self, tenant: str, before: Amounts, after: Amounts) -> None:
        if not before and not after:
            return
        total = self._left.setdefault(tenant, {})
        for sign, amounts in ((-1, before), (1, after)):
            for key, amount in amounts.items():
                total[key] = total.get(key, 0) + sign * amount
                if not total[key]:
                    del total[key]
        if not total:
            del self._left[tenant]


def _add(held: dict[Place, _Held], place: Place, tenant: str, key: FlavorResource, amount: int) -> None:
    amounts = held.setdefault(place, {}).setdefault(tenant, {})
    left = amounts.get(key, 0) + amount
    if left < 0:
        raise ValueError(f"{place}: {tenant}: {key}: {amount} of what is {amounts.get(key, 0)}")
    if left:
        amounts[key] = left
        return
    amounts.pop(key, None)
    if not amounts:
        del held[place][tenant]
        if not held[place]:
            del held[place]
