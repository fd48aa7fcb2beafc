"""One decision, from a workload's record to what is committed: placed or refused, its orders and promises.

What is promised counts at once for the decisions that follow, also before it is committed.
"""

from collections.abc import Collection, Mapping, Sequence

import structlog

from controlplane.fleet import Promise
from controlplane.known.admitting import Admission, admit
from controlplane.known.charging import beyond, lines_of
from controlplane.known.compiling import Compiled, Compiler
from controlplane.known.explained import explained, gave_way, gave_way_to, remembered
from controlplane.known.known import Known
from controlplane.known.losing import DELETED, PLACED, is_stranded, leaving
from controlplane.known.records import DecisionRecord, LedgerLine, WorkloadRecord
from controlplane.known.views import Views, summary
from controlplane.loops.due import Due, decided
from controlplane.loops.failover import listed
from controlplane.loops.made import Made
from controlplane.loops.orders import OrderTooLarge, OrderWriter, Signer, understood_anew
from controlplane.loops.ports import Clock, NewDecision, NewOrder
from controlplane.loops.promises import promise_of
from controlplane.loops.versions import Versions
from controlplane.placement import ClusterView, Refused
from controlplane.placement.rights import may_not
from controlplane.placement.spelling import adaptions
from controlplane.placement.wording import counted
from controlplane.quota.problems import MOST
from controlplane.quota.quota import NOTHING, Amounts
from schemas.reasons import Reason
from schemas.wire.orders import PRESERVE, Verb, Version

log = structlog.get_logger()


class Deciding:
    """Of one epoch."""

    def __init__(
        self,
        known: Known,
        views: Views,
        compiler: Compiler,
        signer: Signer,
        clock: Clock,
        versions: Versions,
        due: Due,
    ) -> None:
        self._known = known
        self._views = views
        self._compiler = compiler
        self._signer = signer
        self._clock = clock
        self._versions = versions
        self._due = due

    def decide(self, record: WorkloadRecord, views: list[ClusterView]) -> list[Made]:
        """Nothing where nothing is new, and where it has to wait for clusters to be heard.

        What has to give way comes first.
        """
        victims: tuple[str, ...] = ()
        quotas = self._known.quotas
        quotas.claims.pop(record.uid, None)
        try:
            compiled = self._compiler.compiled(record)
            if record.deleted:
                return _those(self._withdrawn(compiled))
            if _is_lasting(compiled) and self._known.awaits_beats(self._clock.now()):
                self._due.postpone(record.uid)
                return []
            gone = leaving(self._known, compiled)
            stands = decided(self._known, record)
            # Where its kind may have been declared meanwhile, it is decided on anew.
            if (
                stands is not None
                and is_stranded(stands)
                and not (gone or self._known.interpreters.declares(record))
            ):
                return _those(self._stays(record, stands, PLACED, summary(compiled.request.current)))
            admission = admit(self._known, compiled, views, gone)
            error = admission.decision.error
            if gone and error is not None:
                if stands is not None and stands.placed:
                    text = f"stays in {listed(self._known, gone)}, which is lost: {error.message}"
                    return _those(self._stays(record, stands, error.reason, text))
                admission, gone = admit(self._known, compiled, views), frozenset[str]()
                error = admission.decision.error
            if error is None:
                return _those(self._placed(admission, gone))
            if admission.claim is not None:
                quotas.claims[record.uid] = admission.claim
                victims = admission.victims
            told, whom = explained(self._known, record, admission), gave_way_to(self._known, record)
            message = f"gave way to {whom}; {error.message}" if whom else error.message
            refused = self._refused(record, error.reason, message, told)
            return [*self._give_way(record, victims), *_those(refused)]
        except (OrderTooLarge, BeyondCounting) as failure:
            return _those(self._refused(record, failure.reason, str(failure), {}))
        except ValueError as failure:
            # Stored by an older version of ours, or by hand: it must not keep the others from their place.
            log.exception("workload_not_understood", workload=record.name)
            return _those(self._refused(record, Reason.INVALID, str(failure), {}))

    def _give_way(self, record: WorkloadRecord, victims: Sequence[str]) -> list[Made]:
        """What they hold stays charged until their pods are reported gone."""
        known, made = self._known, list[Made]()
        needed = sum(len(known.placements_of(uid)) for uid in victims)
        if self._due.is_uncommitted(victims):
            self._due.after_commit(record.uid)
            return made
        if needed + len(known.clusters) > len(self._versions):
            # With the next block of generations.
            self._due.postpone(record.uid)
            return made
        for uid in victims:
            victim = known.workloads[uid]
            writer = OrderWriter(self._signer, self._compiler.compiled(victim))
            orders = [
                writer.withdraw(cluster, self._versions.next(), known.order(cluster, uid))
                for cluster in known.placements_of(uid)
            ]
            text = f"gave way to {record.name} of tenant {record.tenant}"
            held = known.decisions.get(uid)
            new = NewDecision(
                uid,
                victim.resource_version,
                victim.revision,
                False,
                Reason.PREEMPTED,
                text,
                gave_way(held, f"{record.name} of tenant {record.tenant}"),
                tuple(orders),
            )
            made.append(Made(victim, new, {}, self._ask(victim, {})))
        return made

    def _ask(self, record: WorkloadRecord, asked: Mapping[str, Amounts]) -> dict[str, Amounts]:
        """Note what it comes to from now on; what it came to before, in each cluster of before or now."""
        charges, tenant = self._known.quotas.charges, record.tenant
        clusters = {*self._known.placements_of(record.uid), *asked}
        before = {cluster: charges.asked(record.uid, cluster, tenant) for cluster in clusters}
        for cluster in clusters:
            charges.ask(record.uid, cluster, tenant, asked.get(cluster, NOTHING))
        return before

    def waits_behind(self, record: WorkloadRecord, first: str) -> list[Made]:
        """It is not judged before that one, which is first in line of its tenant."""
        text = f"waits behind {first}, which is first in line of tenant {record.tenant} (StrictFIFO)"
        return _those(self._refused(record, Reason.QUOTA_EXCEEDED, text, {}))

    def _refused(
        self, record: WorkloadRecord, reason: Reason, message: str, explanation: dict[str, object]
    ) -> Made | None:
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
        return Made(record, new, {})

    @staticmethod
    def _stays(record: WorkloadRecord, stands: DecisionRecord, reason: str, message: str) -> Made | None:
        """As it is placed; said once, and not with every number that changes."""
        if stands.reason == reason:
            return None
        new = NewDecision(
            record.uid, record.resource_version, record.revision, True, reason, message, stands.explanation
        )
        return Made(record, new, {})

    def _placed(self, admission: Admission, gone: Collection[str] = ()) -> Made | None:
        compiled, decision = admission.compiled, admission.decision
        record = compiled.record
        _check_countable(admission)
        writer = OrderWriter(self._signer, compiled)
        placed = self._known.placements_of(record.uid)
        orders: list[NewOrder] = []
        promises: dict[str, Promise] = {}
        kept: list[str] = []
        is_declared = self._known.interpreters.declares(record)
        for cluster, replicas in decision.assignments.items():
            before = self._known.order(cluster, record.uid)
            held = placed.get(cluster)
            unchanged = held is not None and (held.replicas, held.revision) == (replicas, record.revision)
            stands = unchanged and before is not None and not self._known.below_floor(before)
            if stands and not is_declared:
                continue
            view = self._views.one(self._known.clusters[cluster], self._clock.now())
            found = _beyond(compiled, view) or compiled.asked_in(view)
            if isinstance(found, Refused):
                # It was there when this was placed: to order it anew without would undo what it is for.
                revision = held.revision if held is not None else 0
                kept.append(f"stays at revision {revision} in {view.name}, which {found.message}")
                continue
            variant, asked = found
            adapted = adaptions(self._known.fleet, cluster, variant.needs, asked)
            rendered = writer.rendered(replicas, adapted, variant)
            if stands and before is not None and not understood_anew(before, rendered):
                continue
            order = writer.apply(
                self._known.clusters[cluster], rendered, replicas, self._versions.next(), before
            )
            orders.append(order)
            promise = promise_of(variant.interpretation, asked, replicas, rendered.templates)
            if promise is not None:
                promises[cluster] = promise
        orders += [
            writer.withdraw(cluster, self._versions.next(), self._known.order(cluster, record.uid))
            for cluster in [*placed, *self._withdrawn_below_floor(record.uid)]
            if cluster not in decision.assignments
        ]
        again = [f"placed again: {listed(self._known, gone)} is lost"] if gone else []
        message = ", ".join([summary(decision.assignments), *again, *kept])
        if kept:
            self._due.postpone(record.uid)
            said = decided(self._known, record)
            if not orders and said is not None and said.message == message:
                return None
        lines = self._charged(admission, {each.cluster: each.version for each in orders})
        new = NewDecision(
            record.uid,
            record.resource_version,
            record.revision,
            True,
            PLACED,
            message,
            explained(self._known, record, admission),
            tuple(orders),
            lines,
        )
        self._known.quotas.enter(lines)
        before = self._ask(record, admission.asked)
        for cluster, promise in promises.items():
            self._known.fleet.promise(cluster, record.uid, promise)
        return Made(record, new, promises, before)

    def _charged(self, admission: Admission, versions: Mapping[str, Version]) -> tuple[LedgerLine, ...]:
        """What is asked for and not charged yet. What is charged beyond it is released by reports."""
        record, charges = admission.compiled.record, self._known.quotas.charges
        return tuple(
            line
            for cluster, asked in admission.asked.items()
            for line in lines_of(
                record.tenant,
                record.uid,
                cluster,
                beyond(asked, charges.of(record.uid, cluster, record.tenant)),
                admission.cause,
                versions.get(cluster),
            )
        )

    def _withdrawn(self, compiled: Compiled) -> Made | None:
        record = compiled.record
        writer = OrderWriter(self._signer, compiled)
        unable = self._unable_to_preserve(compiled) if compiled.spec.preserve_resources_on_deletion else []
        if unable:
            text = f"the agent of {', '.join(unable)} would remove what is to be preserved: update it first"
            return self._refused(record, Reason.CAPABILITY_MISSING, text, {})
        orders = [
            writer.withdraw(cluster, self._versions.next(), order)
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
        return Made(record, new, {}, self._ask(record, {}))

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


def _beyond(compiled: Compiled, view: ClusterView) -> Refused | None:
    """What runs there stays when its agent may do less than it did; an order for it is not even sent."""
    lacking = view.rights.lacking(compiled.request.written) if view.rights is not None else []
    if not lacking:
        return None
    return Refused(Reason.AGENT_MAY_NOT, f"says {Reason.AGENT_MAY_NOT}: {may_not(lacking)}")


class BeyondCounting(ValueError):
    """More than a line of the ledger holds: of what runs on every node, no room is asked."""

    reason = Reason.INVALID


def _check_countable(admission: Admission) -> None:
    """Raises BeyondCounting."""
    for amounts in admission.asked.values():
        for (_, resource), amount in amounts.items():
            if amount >= MOST:
                raise BeyondCounting(f"{resource}: {amount} in one cluster: below 2^63 - 1 can be counted")


def _those(made: Made | None) -> list[Made]:
    return [] if made is None else [made]


def _is_lasting(compiled: Compiled) -> bool:
    """Whether later decisions keep to what this one finds: then it waits for clusters to be heard.

    A request to place anew is carried out once, and the affinity group that takes a workload first stays.
    """
    request = compiled.request
    return request.fresh or (bool(request.groups) and not request.current)
