"""Where work runs: the loop that decides.

1. Take in what changed in Postgres since the last pass; re-read what the changes name.
2. List what is to be decided: workloads written since their last decision, those that wait for room, those
   of which a cluster was removed, or recovered (its orders are issued anew, above what its agent held), or
   lost (they are placed again without it; where that cannot be, they stay and wait).
3. Decide one after the other, each on what the ones before it were promised.
4. Commit many decisions in one transaction: placements, outbox, decision and change rows.
5. A decision whose workload moved on meanwhile was skipped: take its promise back, decide again.
6. What was committed is known from now on; wake dispatch.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import msgspec
import structlog

from controlplane.failpoints import reached
from controlplane.fleet import Promise
from controlplane.interpreters import NotUnderstood
from controlplane.known.explained import explained, remembered
from controlplane.known.known import Known
from controlplane.known.losing import DELETED, PLACED, is_stranded, leaving
from controlplane.known.records import (
    DecisionRecord,
    Lease,
    OutboxRecord,
    PlacementRecord,
    WorkloadRecord,
)
from controlplane.known.views import Compiled, Compiler, Views, decide, summary
from controlplane.loops.failover import Failover, listed
from controlplane.loops.follow import Follow
from controlplane.loops.orders import OrderTooLarge, OrderWriter, Signer, understood_anew
from controlplane.loops.ports import Clock, LeaseLost, NewDecision, NewOrder, Store, StoreUnavailable
from controlplane.loops.promises import promise_of, restored_promise
from controlplane.loops.running import LoopMetrics
from controlplane.placement import ClusterView, Decision, Refused
from controlplane.placement.overriding import Variant
from controlplane.placement.rooms import Asked, asked_in
from controlplane.placement.spelling import adaptions
from controlplane.placement.wording import counted
from schemas.reasons import Reason
from schemas.wire.orders import PRESERVE, OrderBody, Verb, Version

log = structlog.get_logger()

DECISIONS_AT_ONCE = 256
SECONDS_AT_ONCE = 0.05
RETRY_SECONDS = 2.0
GENERATION_BLOCK = 8_192
PROMISED_AT_ONCE = 50


@dataclass(frozen=True)
class _Made:
    """One decision on its way to Postgres, with what to do when it is skipped."""

    record: WorkloadRecord
    new: NewDecision
    promises: Mapping[str, Promise]


class Place:
    """Decides for one epoch."""

    def __init__(
        self,
        store: Store,
        known: Known,
        follow: Follow,
        signer: Signer,
        clock: Clock,
        lease: Lease,
        metrics: LoopMetrics,
        *,
        orders_committed: Callable[[], None],
    ) -> None:
        self._store = store
        self._known = known
        self._follow = follow
        self._signer = signer
        self._clock = clock
        self._lease = lease
        self._metrics = metrics
        self._orders_committed = orders_committed
        self._views = Views(known)
        self._compiler = Compiler(known)
        self._failover = Failover(known, self._compiler, clock, metrics)
        self._generations = range(0)
        self._due: dict[str, None] = {}
        self._skipped: set[str] = set()
        self._postponed: set[str] = set()
        self._retried_at = 0.0
        for uid in known.workloads:
            self._offer(uid)
        self._promised_all = False

    async def run_pass(self) -> None:
        """Decide all that is due."""
        self._failover.look()
        if not self._promised_all:
            await self._promise_all()
            self._promised_all = True
        for uid in [*await self._follow.take_changes(), *self._skipped]:
            if uid in self._known.workloads:
                self._due[uid] = None
        self._skipped.clear()
        await self._offer_waiting()
        while self._due:
            await self._reserve()
            made = self._decide_some()
            if made:
                await self._commit(made)
            await asyncio.sleep(0)

    def _offer(self, uid: str) -> None:
        record = self._known.workloads.get(uid)
        if record is not None and self._decided(record) is None:
            self._due[uid] = None

    def _decided(self, record: WorkloadRecord) -> DecisionRecord | None:
        """The decision that stands; None where there is something to decide or to issue anew."""
        decision = self._known.decisions.get(record.uid)
        orders = self._known.orders.get(record.uid, {}).values()
        if decision is None or decision.resource_version < record.resource_version:
            return None
        return None if any(self._known.below_floor(order) for order in orders) else decision

    async def _offer_waiting(self) -> None:
        """Those without a place, or in a lost one, try again, but not with every report that comes in."""
        now = self._clock.now()
        if now - self._retried_at < RETRY_SECONDS:
            return
        self._retried_at = now
        for uid, decision in self._known.decisions.items():
            if (not decision.placed or is_stranded(decision)) and uid in self._known.workloads:
                self._due[uid] = None
        self._due |= dict.fromkeys(await self._failover.due())
        self._due |= dict.fromkeys(uid for uid in self._postponed if uid in self._known.workloads)
        self._postponed.clear()

    async def _reserve(self) -> None:
        if len(self._generations) < GENERATION_BLOCK // 2:
            self._generations = await self._store.reserve_generations(self._lease, GENERATION_BLOCK)
            self._known.last_generation = self._generations[-1]

    def _version(self) -> Version:
        generation, self._generations = self._generations[0], self._generations[1:]
        return Version(self._lease.epoch, generation)

    def _decide_some(self) -> list[_Made]:
        """Up to a bound of decisions, of time, and of the generations at hand."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SECONDS_AT_ONCE
        self._failover.look()
        views = self._views.all(self._clock.now())
        made: list[_Made] = []
        while self._due and len(made) < DECISIONS_AT_ONCE and loop.time() < until:
            if len(self._generations) <= len(self._known.clusters):
                break
            uid = next(iter(self._due))
            del self._due[uid]
            record = self._known.workloads.get(uid)
            one = self._decide(record, views) if record is not None else None
            if one is not None:
                made.append(one)
        return made

    def _decide(self, record: WorkloadRecord, views: list[ClusterView]) -> _Made | None:
        try:
            compiled = self._compiler.compiled(record)
            if record.deleted:
                return self._withdrawn(compiled)
            if _is_lasting(compiled) and self._known.awaits_beats(self._clock.now()):
                self._postponed.add(record.uid)
                return None
            gone = leaving(self._known, compiled)
            stands = self._decided(record)
            # Where its kind may have been declared meanwhile, it is decided on anew.
            if (
                stands is not None
                and is_stranded(stands)
                and not (gone or self._known.interpreters.declares(record))
            ):
                return self._stays(record, stands, PLACED, summary(compiled.request.current))
            decision = decide(self._known, compiled, views, gone)
            if gone and decision.error is not None:
                if stands is not None and stands.placed:
                    text = f"stays in {listed(self._known, gone)}, which is lost: {decision.error.message}"
                    return self._stays(record, stands, decision.error.reason, text)
                decision, gone = decide(self._known, compiled, views), frozenset[str]()
            if decision.error is not None:
                told = explained(self._known, record, decision)
                return self._refused(record, decision.error.reason, decision.error.message, told)
            return self._placed(compiled, decision, gone)
        except OrderTooLarge as error:
            return self._refused(record, error.reason, str(error), {})
        except ValueError as error:
            # Stored by an older version of ours, or by hand: it must not keep the others from their place.
            log.exception("workload_not_understood", workload=record.name)
            return self._refused(record, Reason.INVALID, str(error), {})

    def _refused(
        self, record: WorkloadRecord, reason: Reason, message: str, explanation: dict[str, object]
    ) -> _Made | None:
        held = self._known.decisions.get(record.uid)
        if (
            held is not None
            and held.resource_version == record.resource_version
            and (held.reason, held.message) == (reason, message)
        ):
            return None
        explanation = remembered(held) | explanation
        new = NewDecision(
            record.uid, record.resource_version, record.revision, False, reason, message, explanation
        )
        return _Made(record, new, {})

    @staticmethod
    def _stays(record: WorkloadRecord, stands: DecisionRecord, reason: str, message: str) -> _Made | None:
        """As it is placed; said once, and not with every number that changes."""
        if stands.reason == reason:
            return None
        new = NewDecision(
            record.uid, record.resource_version, record.revision, True, reason, message, stands.explanation
        )
        return _Made(record, new, {})

    def _placed(self, compiled: Compiled, decision: Decision, gone: Collection[str] = ()) -> _Made:
        record = compiled.record
        writer = OrderWriter(self._signer, compiled)
        placed = self._known.placements_of(record.uid)
        orders: list[NewOrder] = []
        promises: dict[str, Promise] = {}
        is_declared = self._known.interpreters.declares(record)
        for cluster, replicas in decision.assignments.items():
            before = self._known.order(cluster, record.uid)
            held = placed.get(cluster)
            unchanged = held is not None and (held.replicas, held.revision) == (replicas, record.revision)
            stands = unchanged and before is not None and not self._known.below_floor(before)
            if stands and not is_declared:
                continue
            variant, asked = self._asked(compiled, cluster)
            adapted = adaptions(self._known.fleet, cluster, variant.needs, asked)
            rendered = writer.rendered(replicas, adapted, variant)
            if stands and before is not None and not understood_anew(before, rendered):
                continue
            order = writer.apply(self._known.clusters[cluster], rendered, replicas, self._version(), before)
            orders.append(order)
            promise = promise_of(variant.interpretation, asked, replicas, rendered.templates)
            if promise is not None:
                promises[cluster] = promise
        orders += [
            writer.withdraw(cluster, self._version(), self._known.order(cluster, record.uid))
            for cluster in [*placed, *self._withdrawn_below_floor(record.uid)]
            if cluster not in decision.assignments
        ]
        new = NewDecision(
            record.uid,
            record.resource_version,
            record.revision,
            True,
            PLACED,
            summary(decision.assignments)
            + (f", placed again: {listed(self._known, gone)} is lost" if gone else ""),
            explained(self._known, record, decision),
            tuple(orders),
        )
        for cluster, promise in promises.items():
            self._known.fleet.promise(cluster, record.uid, promise)
        return _Made(record, new, promises)

    def _asked(self, compiled: Compiled, cluster: str) -> tuple[Variant, Asked]:
        """What it comes to in a cluster that was found to have all that it needs."""
        view = self._views.one(self._known.clusters[cluster], self._clock.now())
        variant = compiled.variants.in_cluster(view)
        asked = asked_in(variant.needs, variant.interpretation, view)
        if isinstance(asked, Refused):
            raise NotUnderstood(f"{view.name}: {asked.message}")
        return variant, asked

    def _withdrawn(self, compiled: Compiled) -> _Made | None:
        record = compiled.record
        writer = OrderWriter(self._signer, compiled)
        unable = self._unable_to_preserve(compiled) if compiled.spec.preserve_resources_on_deletion else []
        if unable:
            text = f"the agent of {', '.join(unable)} would remove what is to be preserved: update it first"
            return self._refused(record, Reason.CAPABILITY_MISSING, text, {})
        orders = [
            writer.withdraw(cluster, self._version(), order)
            for cluster, order in self._known.orders.get(record.uid, {}).items()
            if order.verb is Verb.APPLY or self._known.below_floor(order)
        ]
        new = NewDecision(
            record.uid,
            record.resource_version,
            record.revision,
            True,
            DELETED,
            f"withdrawn from {counted(len(orders), 'cluster')}",
            {},
            tuple(orders),
        )
        return _Made(record, new, {})

    def _unable_to_preserve(self, compiled: Compiled) -> list[str]:
        """Clusters that run it, and whose agent does not say that it can leave it there."""
        now = self._clock.now()
        running = self._known.orders.get(compiled.record.uid, {})
        views = [
            self._views.one(self._known.clusters[cluster], now)
            for cluster, order in running.items()
            if order.verb is Verb.APPLY and cluster in self._known.clusters
        ]
        return sorted(view.name for view in views if PRESERVE not in (view.capabilities or ()))

    def _withdrawn_below_floor(self, uid: str) -> list[str]:
        return [
            cluster
            for cluster, order in self._known.orders.get(uid, {}).items()
            if order.verb is Verb.WITHDRAW and self._known.below_floor(order)
        ]

    async def _commit(self, made: list[_Made]) -> None:
        try:
            skipped = await self._store.commit_decisions(self._lease, [one.new for one in made])
        except StoreUnavailable as error:
            # It may be committed or not: only a leader that loads everything anew knows which.
            raise LeaseLost(f"the outcome of a commit is unknown: {error}") from error
        reached("centre.after_commit")
        for one in made:
            if one.record.uid in skipped:
                self._take_back(one)
                self._skipped.add(one.record.uid)
                continue
            self._enter(one)
            self._metrics.decisions.labels(one.new.reason).inc()
        self._orders_committed()

    def _take_back(self, one: _Made) -> None:
        for cluster in one.promises:
            self._promise(cluster, one.record.uid)

    def _enter(self, one: _Made) -> None:
        known, uid, new = self._known, one.record.uid, one.new
        known.decisions[uid] = DecisionRecord(
            uid,
            new.resource_version,
            new.revision,
            new.placed,
            new.reason,
            new.message,
            new.explanation,
            self._clock.now(),
        )
        placements = known.placements.setdefault(uid, {})
        for order in new.orders:
            before = known.order(order.cluster, uid)
            known.put_order(
                OutboxRecord(
                    order.cluster,
                    uid,
                    order.verb,
                    order.version,
                    order.body,
                    order.signature,
                    acknowledged=before.acknowledged if before else None,
                )
            )
            if order.verb is Verb.APPLY:
                placements[order.cluster] = PlacementRecord(
                    uid, order.cluster, order.replicas, new.revision, order.version, order.template
                )
            else:
                placements.pop(order.cluster, None)
                # What a lost cluster may still run counts until its agent reports that it is gone.
                if order.cluster not in known.losses.unreachable:
                    known.fleet.unpromise(order.cluster, uid)
        if one.record.deleted:
            self._compiler.forget(uid)
            if not known.orders.get(uid):
                known.forget_workload(uid)

    async def _promise_all(self) -> None:
        """As Postgres has it, in the order of versions, since packing follows it.

        What this process promised in an earlier epoch may never have been committed. In slices: of 50,000
        it takes seconds, in which the lease has to be renewed.
        """
        fleet = self._known.fleet
        for cluster in fleet.clusters:
            for uid in set(fleet.promises(cluster)):
                if cluster not in self._known.placements_of(uid):
                    fleet.unpromise(cluster, uid)
        every = [placement for each in self._known.placements.values() for placement in each.values()]
        every.sort(key=lambda placement: placement.version)
        for start in range(0, len(every), PROMISED_AT_ONCE):
            for placement in every[start : start + PROMISED_AT_ONCE]:
                self._promise(placement.cluster, placement.workload)
            await asyncio.sleep(0)

    def _promise(self, cluster: str, uid: str) -> None:
        """The promise as its committed order has it: that order's own objects say what a replica asks for."""
        order = self._known.order(cluster, uid)
        placement = self._known.placements_of(uid).get(cluster)
        if order is None or placement is None or order.verb is not Verb.APPLY:
            self._known.fleet.unpromise(cluster, uid)
            return
        objects = msgspec.json.decode(order.body, type=OrderBody).objects
        view = self._views.one(self._known.clusters[cluster], self._clock.now())
        promise = restored_promise(objects, self._known.kinds, view, placement.replicas)
        if promise is not None:
            self._known.fleet.promise(cluster, uid, promise)


def _is_lasting(compiled: Compiled) -> bool:
    """Whether later decisions keep to what this one finds: then it waits for clusters to be heard.

    A request to place anew is carried out once, and the affinity group that takes a workload first stays.
    """
    request = compiled.request
    return request.fresh or (bool(request.groups) and not request.current)
