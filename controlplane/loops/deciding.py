"""One decision on a workload, from its record to what is to be committed: placed, refused, withdrawn."""

from collections.abc import Sequence

import structlog

from controlplane.known.admitting import admit
from controlplane.known.compiling import Compiled, Compiler
from controlplane.known.explained import explained, gave_way_to, remembered
from controlplane.known.known import Known
from controlplane.known.losing import PLACED, is_stranded, leaving
from controlplane.known.records import DecisionRecord, WorkloadRecord
from controlplane.known.views import Views, summary
from controlplane.loops.due import Due, decided
from controlplane.loops.failover import listed
from controlplane.loops.made import Made
from controlplane.loops.ordering import BeyondCounting, Ordering
from controlplane.loops.orders import OrderTooLarge
from controlplane.loops.ports import Clock, NewDecision
from controlplane.loops.versions import Versions
from controlplane.placement import ClusterView
from controlplane.placement.rules import Division
from schemas.reasons import Reason
from schemas.wire.orders import PRESERVE, Verb

log = structlog.get_logger()


class Deciding:
    """Of one epoch."""

    def __init__(
        self,
        known: Known,
        views: Views,
        compiler: Compiler,
        clock: Clock,
        versions: Versions,
        due: Due,
        ordering: Ordering,
    ) -> None:
        self._known = known
        self._views = views
        self._compiler = compiler
        self._clock = clock
        self._versions = versions
        self._due = due
        self._ordering = ordering

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
                return _those(self._ordering.placed(admission, gone))
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
        known = self._known
        needed = sum(len(known.placements_of(uid)) for uid in victims)
        if self._due.is_uncommitted(victims):
            self._due.after_commit(record.uid)
            return []
        if needed + len(known.clusters) > len(self._versions):
            # With the next block of generations.
            self._due.postpone(record.uid)
            return []
        compiled = [self._compiler.compiled(known.workloads[uid]) for uid in victims]
        return [self._ordering.gives_way(each, record) for each in compiled]

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

    def _withdrawn(self, compiled: Compiled) -> Made | None:
        unable = self._unable_to_preserve(compiled) if compiled.spec.preserve_resources_on_deletion else []
        if unable:
            text = f"the agent of {', '.join(unable)} would remove what is to be preserved: update it first"
            return self._refused(compiled.record, Reason.CAPABILITY_MISSING, text, {})
        return self._ordering.withdrawn(compiled)

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


def _those(made: Made | None) -> list[Made]:
    return [] if made is None else [made]


def _is_lasting(compiled: Compiled) -> bool:
    """Whether later decisions keep to what this one finds: then it waits for clusters to be heard.

    A request to place anew is carried out once, the affinity group that takes a workload first stays, and
    what goes to all clusters that match is not looked at again because one more is heard.
    """
    request = compiled.request
    goes_to_all = request.division is Division.DUPLICATED or not request.has_pods
    return request.fresh or (not request.current and (goes_to_all or bool(request.groups)))
