"""Limits in the member clusters: ResourceQuota objects of the tenants that ask to have them enforced.

1. Orders that wait to be published, of tenants with limits: work out what their namespaces need there.
2. Every few seconds: the same for all such tenants. What those have who do not ask any more is withdrawn.
3. What is above the limits that are ordered there is ordered at once; what is only below, after a while:
   a charge ends only when its pods are reported gone, so nothing is lowered before.
4. One order for each tenant and cluster, signed and with a version as any other: commit, then wake dispatch.
5. A workload's order waits until the agent has said what became of limits that are high enough for it. A
   refusal lets it go, also one that is known beforehand by its rights, as a silence of AWAITED_SECONDS does:
   pods may be refused then, and that is told.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from controlplane.known.known import Known
from controlplane.known.limiting import ENFORCE, Limiting, LimitsRule, mode_of, set_by
from controlplane.known.records import Lease, OutboxRecord, Standing
from controlplane.loops.limit_orders import Draft, draft, signed, withdrawal
from controlplane.loops.orders import Signer
from controlplane.loops.ports import Clock, Store
from controlplane.quota.limit_objects import Set, bounded, is_changed, is_raised
from controlplane.quota.limits import Limits, Placed, Resources, limits
from controlplane.quota.tolerated import Tolerated
from schemas.wire.limits import is_limits, limits_key
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import WorkState

log = structlog.get_logger()

SWEEP_SECONDS = 5.0
LOWER_SECONDS = 30.0
RAISE_SECONDS = 2.0
"""Limits that an agent has not spoken of yet are not replaced before: else it would never catch up."""
AWAITED_SECONDS = 60.0
AT_ONCE = 256
LOOKED_AT_ONCE = 500
_LONG_AGO = float("-inf")
Pair = tuple[str, str]
"""(cluster, tenant)"""


@dataclass
class _Pass:
    """waiting: orders to be published. postponed: where limits cannot be raised in this very moment."""

    now: float
    waiting: dict[Pair, list[OutboxRecord]] = field(default_factory=dict[Pair, list[OutboxRecord]])
    drafts: list[Draft] = field(default_factory=list[Draft])
    postponed: set[Pair] = field(default_factory=set[Pair])


class LimitsLoop:
    """For one epoch. What is remembered beside the orders is no more than when something was done."""

    def __init__(
        self,
        store: Store,
        known: Known,
        signer: Signer,
        clock: Clock,
        lease: Lease,
        *,
        orders_committed: Callable[[], None],
        lower_seconds: float = LOWER_SECONDS,
    ) -> None:
        self._lower_seconds = lower_seconds
        self._store = store
        self._known = known
        self._signer = signer
        self._clock = clock
        self._lease = lease
        self._orders_committed = orders_committed
        self._limiting = Limiting(known)
        self._tolerated = Tolerated()
        self._uids: Mapping[str, set[str]] = {}
        # By cluster: what is no tenant's.
        self._others: Mapping[str, Sequence[str]] = {}
        self._swept_at = _LONG_AGO
        self.depth = 0
        """Orders that wait to be looked at, or for limits that cannot be raised yet."""
        # By (cluster, uid): the version that was looked at, and the limits that it needs first.
        self._looked: dict[tuple[str, str], tuple[Version, Version | None]] = {}
        # By (cluster, key): when limits were ordered last, and which were seen published first when.
        self._ordered_at: dict[tuple[str, str], float] = {}
        self._published_at: dict[tuple[str, str], tuple[Version, float]] = {}

    def waits(self, order: OutboxRecord) -> bool:
        """Whether it is not to be published yet. O(1), and at once False for tenants without limits."""
        workload = self._known.workloads.get(order.workload)
        if workload is None or not workload.tenant or order.verb is not Verb.APPLY:
            return False
        if mode_of(self._known.tenants.get(workload.tenant)) != ENFORCE:
            return False
        version, needs = self._looked.get((order.cluster, order.workload), (None, None))
        if version != order.version:
            return True
        return needs is not None and not self._is_answered(order.cluster, limits_key(workload.tenant), needs)

    def _is_answered(self, cluster: str, key: str, version: Version) -> bool:
        """Whether the agent has spoken of limits of at least this version, or been silent for long."""
        if self._is_spoken_of(cluster, key, version):
            return True
        standing = self._known.order(cluster, key)
        if standing is None:
            return True
        if standing.published_sequence is None:
            # What the agent may not set is refused, as far as what waits for it is concerned.
            return self._known.withholding.why(standing) is not None
        seen, at = self._published_at.get((cluster, key), (None, 0.0))
        if seen != standing.version:
            self._published_at[cluster, key] = standing.version, self._clock.now()
            return False
        return self._clock.now() - at > AWAITED_SECONDS

    def _is_spoken_of(self, cluster: str, key: str, version: Version) -> bool:
        work = self._known.work.get(key, {}).get(cluster)
        if work is None or work.version < version:
            return False
        return work.state.is_known and work.state is not WorkState.RECORDED

    async def run_pass(self) -> None:
        """Order what has to be ordered, and let go what has not to wait."""
        rules = {rule.tenant: rule for rule in self._limiting.enforced()}
        do = _Pass(self._clock.now())
        is_sweep = do.now - self._swept_at >= SWEEP_SECONDS or not rules.keys() <= self._uids.keys()
        if is_sweep:
            self._uids = self._limiting.workloads(rules) if rules else {}
            self._others = await self._by_cluster(self._uids.get("", ()))
            self._withdraw(rules, do)
            self._forget()
        self._find_waiting(rules, do)
        self.depth = sum(map(len, do.waiting.values()))
        for tenant in rules if is_sweep else {tenant: None for _, tenant in do.waiting}:
            clusters = None if is_sweep else {cluster for cluster, of in do.waiting if of == tenant}
            await self._look(rules[tenant], clusters, do)
        await self._commit(do.drafts)
        self._let_go(do)
        self.depth = sum(len(do.waiting[pair]) for pair in do.waiting.keys() & do.postponed)
        if is_sweep:
            self._swept_at = do.now

    def _find_waiting(self, rules: Mapping[str, LimitsRule], do: _Pass) -> None:
        for cluster, uid in self._known.unpublished if rules else ():
            workload, order = self._known.workloads.get(uid), self._known.order(cluster, uid)
            if workload is None or order is None or workload.tenant not in rules:
                continue
            if order.verb is Verb.APPLY and self._looked.get((cluster, uid), (None,))[0] != order.version:
                do.waiting.setdefault((cluster, workload.tenant), []).append(order)
                # It may have been made since all were listed.
                self._uids[workload.tenant].add(uid)

    def _withdraw(self, rules: Mapping[str, LimitsRule], do: _Pass) -> None:
        wanted = {limits_key(tenant) for tenant in rules}
        for key in [each for each in self._known.orders if is_limits(each) and each not in wanted]:
            for cluster, order in self._known.orders[key].items():
                if order.verb is Verb.APPLY or self._known.below_floor(order):
                    do.drafts.append(withdrawal(cluster, key, order))

    def _forget(self) -> None:
        self._limiting.forget_gone()
        for memory in (self._looked, self._ordered_at, self._published_at):
            for place in [each for each in memory if self._known.order(*each) is None]:
                del memory[place]

    async def _look(self, rule: LimitsRule, clusters: Collection[str] | None, do: _Pass) -> None:
        """clusters: None for all of them."""
        by_cluster = await self._by_cluster(self._uids[rule.tenant])
        for record in list(self._known.clusters.values()):
            if record.standing is Standing.REMOVED or (clusters is not None and record.id not in clusters):
                continue
            try:
                self._look_in(rule, record.id, by_cluster.get(record.id, ()), do)
            except ValueError:
                # Its orders go without: what one tenant has there keeps nobody from his place.
                log.exception("limits_not_worked_out", tenant=rule.tenant, cluster=record.name)
            await asyncio.sleep(0)

    async def _by_cluster(self, uids: Collection[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        every = list(uids)
        for start in range(0, len(every), LOOKED_AT_ONCE):
            for cluster, some in self._limiting.by_cluster(every[start : start + LOOKED_AT_ONCE]).items():
                found.setdefault(cluster, []).extend(some)
            await asyncio.sleep(0)
        return found

    def _look_in(self, rule: LimitsRule, cluster: str, uids: Sequence[str], do: _Pass) -> None:
        key = limits_key(rule.tenant)
        standing = self._known.order(cluster, key)
        before = set_by(standing)
        placed = self._limiting.placed(rule, cluster, uids)
        ordered_in = {part.namespace for each in placed for part in each.parts}
        wanted = self._wanted(rule, cluster, placed, before, do.now)
        below_floor = standing is not None and self._known.below_floor(standing)
        if wanted is None or (not wanted and not before and not below_floor):
            return
        is_urgent = below_floor or is_raised(before, wanted, ordered_in)
        if not is_urgent and not is_changed(before, wanted):
            return
        since = do.now - self._ordered_at.get((cluster, key), _LONG_AGO)
        if not is_urgent and since < self._lower_seconds:
            return
        is_unspoken = standing is not None and not self._is_spoken_of(cluster, key, standing.version)
        if is_urgent and is_unspoken and since < RAISE_SECONDS:
            do.postponed.add((cluster, rule.tenant))
            return
        do.drafts.append(draft(cluster, rule.tenant, wanted, ordered_in, standing))

    def _wanted(
        self,
        rule: LimitsRule,
        cluster: str,
        placed: Sequence[Placed],
        before: Mapping[str, Set],
        now: float,
    ) -> Limits | None:
        """What is to stand there; None while it cannot be said."""
        seen = self._limiting.seen(rule, cluster)
        if seen is None and not before:
            return None
        foreign: dict[str, Resources] = {}
        kept = (each for each in before if self._limiting.claims(rule, cluster, each))
        for namespace in {*kept, *(seen or ())}:
            held = before.get(namespace)
            let_in = {each: held.foreign.get(each, 0) for each in held.hard} if held is not None else None
            there: Resources = seen[namespace].foreign if seen is not None and namespace in seen else {}
            place = rule.tenant, cluster, namespace
            # Without a report nobody knows what is there: what was let in stays.
            is_told = seen is not None or let_in is None
            foreign[namespace] = self._tolerated.of(place, let_in, there, now) if is_told else let_in or {}
        ordered_in = {part.namespace for each in placed for part in each.parts}
        beside = self._limiting.beside(cluster, self._others.get(cluster, ()), {*foreign, *ordered_in})
        return bounded(limits(rule.covered, placed, foreign, beside), ordered_in)

    async def _commit(self, drafts: Sequence[Draft]) -> None:
        for start in range(0, len(drafts), AT_ONCE):
            some = drafts[start : start + AT_ONCE]
            generations = await self._store.reserve_generations(self._lease, len(some))
            # Agents will hold them: what is not known to be issued makes one look ahead of this database.
            self._known.last_generation = max(self._known.last_generation, generations[-1])
            orders = [
                signed(
                    each,
                    Version(self._lease.epoch, generation),
                    self._signer,
                    self._known.order(each.cluster, each.key),
                )
                for each, generation in zip(some, generations, strict=True)
            ]
            await self._store.commit_orders(self._lease, orders)
            for order in orders:
                self._known.put_order(order)
                self._ordered_at[order.cluster, order.workload] = self._clock.now()
        if drafts:
            self._orders_committed()

    def _let_go(self, do: _Pass) -> None:
        """From now on it is known for which limits they wait, if for any."""
        for (cluster, tenant), orders in do.waiting.items():
            if (cluster, tenant) in do.postponed:
                continue
            standing = self._known.order(cluster, limits_key(tenant))
            needs = standing.version if standing is not None and standing.verb is Verb.APPLY else None
            for order in orders:
                self._looked[cluster, order.workload] = order.version, needs
        if do.waiting:
            self._orders_committed()
