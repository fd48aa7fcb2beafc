"""Whether and where, decided together: the one decision that loops, `explain` and a dry run share.

A flavor after the other is tried: first whether the quota could allow it at all, then where it would run,
then whether the quota allows exactly that. What must preempt tries the next flavors first, as in Kueue.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controlplane.known.awaited import awaited
from controlplane.known.charging import charge_in, least, requests_of
from controlplane.known.compiling import Compiled
from controlplane.known.finished import finished_in
from controlplane.known.flavors import UNBOUNDED, Assignment, Chosen, assignments, held_flavors
from controlplane.known.holders import admitted_of, leaving_of
from controlplane.known.known import Known
from controlplane.known.own_charges import OwnCharges
from controlplane.known.records import Cause
from controlplane.known.views import asked as asked_of
from controlplane.known.views import decide
from controlplane.placement import ClusterView, Decision, Refused
from controlplane.quota.admission import Awaits, Fits, Lacks, Preempts, judge
from controlplane.quota.quota import NOTHING, Amounts, Candidate, FlavorResource, TenantQuota
from schemas.reasons import Reason

_ORDER = {Reason.QUOTA_AWAITED: 0, Reason.QUOTA_EXCEEDED: 2}
MOST_COMPARED = 16
"""Choices of flavors that are compared for the smallest change."""
GAVE_WAY = "gaveWay"
"""Of a decision's explanation: it was preempted, and not admitted since."""
QUOTA_REASONS = frozenset({Reason.QUOTA_EXCEEDED, Reason.QUOTA_AWAITED, Reason.BUDGET_EXHAUSTED})
"""What waits for these waits until something of its quota is free again."""


@dataclass(frozen=True)
class Admission:
    """compiled: with the flavors that it was given.

    asked: what it comes to in each cluster that it gets; nothing where it has run to its end.
    victims: uids of what has to give way first.
    needs: what it would be charged more than now, or, where it lacks quota, at least. cause: of that.
    claim: of what is on its way out, where it waits for that.
    """

    compiled: Compiled
    decision: Decision
    assignment: Assignment = UNBOUNDED
    asked: Mapping[str, Amounts] = field(default_factory=dict[str, Amounts])
    victims: tuple[str, ...] = ()
    needs: Amounts = field(default_factory=lambda: NOTHING)
    cause: Cause = Cause.PLACED
    claim: Candidate | None = None


def admit(
    known: Known, compiled: Compiled, views: Sequence[ClusterView], gone: Collection[str] = ()
) -> Admission:
    """gone: lost clusters from which it is placed again; what it holds there stays charged beside the new."""
    quota = known.quotas.tenants.get(compiled.record.tenant)
    if quota is not None:
        return _Admitting(known, compiled, quota, views, gone).admit()
    decision = decide(known, compiled, views, gone)
    if not compiled.record.tenant or decision.error is not None:
        return Admission(compiled, decision)
    return Admission(compiled, decision, asked=_asked(known, compiled, None, UNBOUNDED, views, decision))


def candidate_of(known: Known, compiled: Compiled) -> Candidate | None:
    """What it waits for at least; None where it needs no more than it has, or has no quota to wait for."""
    quota = known.quotas.tenants.get(compiled.record.tenant)
    if quota is None or compiled.record.deleted:
        return None
    admitting = _Admitting(known, compiled, quota, (), ())
    tried = admitting.tried()
    if isinstance(tried, Refused) or not tried:
        return None
    needs = admitting.floor(tried[0])
    return admitting.candidate(needs) if needs else None


def least_lacking(known: Known, compiled: Compiled, views: Sequence[ClusterView]) -> Amounts:
    """What it would be charged more under the flavors of which it lacks least.

    Those under which it would have a place come first; of equals, the first as its tenant has them.
    """
    record = compiled.record
    quota = known.quotas.tenants.get(record.tenant)
    admitting = _Admitting(known, compiled, quota, views, ()) if quota is not None else None
    tried = admitting.tried() if admitting is not None else []
    if admitting is None or isinstance(tried, Refused):
        return NOTHING
    found = [admitting.needs_under(each) for each in tried[:MOST_COMPARED]]

    def lacks(each: tuple[bool, Amounts]) -> tuple[bool, float]:
        has_place, needs = each
        missing = known.quotas.usage.lacking(record.tenant, needs)
        # In parts of what is asked for: of resources that are counted each in its own unit.
        return not has_place, sum(amount / needs[key] for key, amount in missing.items() if needs.get(key))

    return min(found, key=lacks)[1] if found else NOTHING


@dataclass
class _Admitting:
    known: Known
    compiled: Compiled
    quota: TenantQuota
    views: Sequence[ClusterView]
    gone: Collection[str]

    def admit(self) -> Admission:
        tried = self.tried()
        if isinstance(tried, Refused):
            return self._refused(tried)
        if self._is_to_adopt():
            return self._adopted(tried[0])
        failed: list[tuple[Refused, Admission]] = []
        for assignment in tried:
            found = self._with(assignment)
            error = found.decision.error
            if error is None:
                return found
            failed.append((error, found))
        # Who waits for others to give way is told that; else, what keeps it from a place before its quota.
        error, worst = min(failed, key=lambda each: _ORDER.get(each[0].reason, 1))
        messages = list(dict.fromkeys(each.message for each, _ in failed))
        if len(messages) == 1 or error.reason is Reason.QUOTA_AWAITED:
            return worst
        error = Refused(error.reason, "; ".join(messages))
        return replace(worst, decision=replace(worst.decision, error=error))

    def tried(self) -> list[Assignment] | Refused:
        """Of what holds none yet, always the same for a version of it, of the quota and of the flavors."""
        held, stays = self._held(), self._stays()
        if held is not None:
            return self._assignments(held, anew=not stays)
        made_of = self.quota, self.known.quotas.flavors
        remembered = self.compiled.tried.get(stays)
        if remembered is None or remembered[0][0] is not made_of[0] or remembered[0][1] is not made_of[1]:
            remembered = self.compiled.tried[stays] = made_of, self._assignments(None, anew=not stays)
        return remembered[1]

    def _assignments(self, held: Chosen | None, *, anew: bool) -> list[Assignment] | Refused:
        components = self.compiled.interpretation.components
        requests = [requests_of(self.quota, each.demand, None) for each in components]
        return assignments(self.quota, self.known.quotas.flavors, components, requests, held, anew=anew)

    def _held(self) -> Chosen | None:
        decision = self.known.decisions.get(self.compiled.record.uid)
        return held_flavors(decision.explanation) if decision is not None else None

    def _stays(self) -> bool:
        """Whether this revision of it is placed."""
        record = self.compiled.record
        decision = self.known.decisions.get(record.uid)
        return (
            decision is not None
            and decision.placed
            and decision.revision == record.revision
            and bool(self.known.placements_of(record.uid))
        )

    def _is_to_adopt(self) -> bool:
        """It was placed before its tenant had a quota."""
        return self._held() is None and self._stays()

    def _adopted(self, assignment: Assignment) -> Admission:
        """It counts, and goes on where it is: nothing of it is told to go to other nodes."""
        assignment = replace(assignment, flavorings={})
        decision = decide(self.known, self.compiled, self.views, self.gone)
        if decision.error is not None:
            return Admission(self.compiled, decision)
        asked = _asked(self.known, self.compiled, self.quota, assignment, self.views, decision)
        return Admission(self.compiled, decision, assignment, asked, cause=Cause.MOVED)

    def floor(self, assignment: Assignment) -> dict[FlavorResource, int]:
        """So much more it is charged at least."""
        record = self.compiled.record
        placements = self.known.placements_of(record.uid)
        if placements and placements.keys() <= finished_in(self.known, record.uid, record.revision):
            return {}
        asked = least(self.compiled.interpretation, assignment, self.quota)
        return self._own().lacking_anywhere(asked)

    def needs_under(self, assignment: Assignment) -> tuple[bool, Amounts]:
        """Whether it would have a place with these flavors, and what it would be charged more then."""
        given = self.compiled.given(assignment)
        decision = decide(self.known, given, self.views, self.gone)
        if decision.error is not None:
            return False, self.floor(assignment)
        asked = _asked(self.known, given, self.quota, assignment, self.views, decision)
        return True, self._own().lacking(asked)

    def _own(self) -> OwnCharges:
        return OwnCharges(self.known.quotas, self.compiled.record)

    def candidate(self, needs: Amounts) -> Candidate:
        record, spec = self.compiled.record, self.compiled.spec
        decision = self.known.decisions.get(record.uid)
        return Candidate(
            record.uid,
            record.tenant,
            spec.priority,
            record.created_at,
            needs,
            gave_way=decision is not None and bool(decision.explanation.get(GAVE_WAY)),
        )

    def _with(self, assignment: Assignment) -> Admission:
        floor = self.floor(assignment)
        spent = self.known.spending.exhausted.get(self.quota.name) if floor else None
        if spent is not None:
            return self._refused(Refused(Reason.BUDGET_EXHAUSTED, spent))
        verdict = self._judge(floor)
        if isinstance(verdict, Lacks):
            return self._refused(Refused(Reason.QUOTA_EXCEEDED, verdict.why), floor)
        given = self.compiled.given(assignment)
        decision = decide(self.known, given, self.views, self.gone)
        if decision.error is not None:
            if isinstance(verdict, Fits):
                return Admission(given, decision, assignment)
            if isinstance(verdict, Preempts):
                fits = self._fits_without(given, verdict.victims)
                if fits is not None:
                    return Admission(given, replace(decision, error=fits), assignment)
            return self._waits(given, decision, assignment, verdict, floor)
        asked = _asked(self.known, given, self.quota, assignment, self.views, decision)
        needs = self._own().lacking(asked)
        verdict = self._judge(needs, asked)
        if isinstance(verdict, Lacks):
            return self._refused(Refused(Reason.QUOTA_EXCEEDED, verdict.why), needs)
        if isinstance(verdict, Fits):
            return Admission(given, decision, assignment, asked, needs=needs)
        return self._waits(given, decision, assignment, verdict, needs)

    def _waits(
        self,
        given: Compiled,
        decision: Decision,
        assignment: Assignment,
        verdict: Preempts | Awaits | Fits,
        needs: Amounts,
    ) -> Admission:
        victims = verdict.victims if isinstance(verdict, Preempts) else ()
        error = Refused(Reason.QUOTA_AWAITED, awaited(self.known, victims))
        return Admission(
            given,
            replace(decision, assignments={}, error=error),
            assignment,
            victims=victims,
            needs=needs,
            claim=self.candidate(needs),
        )

    def _judge(
        self, needs: Amounts, asked: Mapping[str, Amounts] | None = None
    ) -> Fits | Preempts | Awaits | Lacks:
        """asked: None while it is not known where it will run."""
        quotas, uid, tenant = self.known.quotas, self.compiled.record.uid, self.compiled.record.tenant
        if not quotas.claims and not quotas.usage.lacking(tenant, needs):
            return Fits(quotas.usage.borrows(tenant, needs))
        trial = quotas.usage.trial()
        trial.take(tenant, self._own().taken_again(asked))
        try:
            return judge(
                quotas.usage,
                self.candidate(needs),
                admitted_of(self.known),
                leaving_of(self.known, uid),
                dict(quotas.claims),
            )
        finally:
            trial.undo()

    def _fits_without(self, given: Compiled, victims: Sequence[str]) -> Refused | None:
        """Why it could not be placed even if these were gone; None where it could."""
        known = self.known
        trials, ask = asked_of(known, given, self.views, self.gone)
        touched = {cluster for uid in victims for cluster in known.placements_of(uid)}
        plain: dict[str, int] = {}
        for view in ask.views:
            found = trials.asked(ask, view) if view.id in touched else Refused(Reason.NOT_CHOSEN, "")
            if isinstance(found, Refused):
                continue
            parts = zip(given.interpretation.components, found, strict=True)
            whole = given.interpretation.is_set
            plain[view.id] = min(
                known.fleet.room_released(view.id, victims, resolved.demand)
                // (max(1, component.replicas) if whole else 1)
                for component, resolved in parts
            )
        return replace(trials, plain=plain).decide(ask).error if plain else None

    def _refused(self, error: Refused, needs: Amounts = NOTHING) -> Admission:
        return Admission(self.compiled, Decision({}, {}, {}, {}, error=error), needs=needs)


def _asked(
    known: Known,
    compiled: Compiled,
    quota: TenantQuota | None,
    assignment: Assignment,
    views: Sequence[ClusterView],
    decision: Decision,
) -> dict[str, Amounts]:
    """What each cluster that is given some comes to; where it stays as it was, what it came to before."""
    found: dict[str, Amounts] = {}
    record = compiled.record
    finished = finished_in(known, record.uid, record.revision)
    placed = known.placements_of(record.uid)
    for view in views:
        replicas = decision.assignments.get(view.id)
        # What comes to it beside what has run to its end there begins anew.
        if replicas is None or (view.id in finished and placed[view.id].replicas == replicas):
            continue
        variant = compiled.asked_in(view)
        if isinstance(variant, Refused):
            found[view.id] = known.quotas.charges.asked(record.uid, view.id, record.tenant)
            continue
        made, asked = variant
        found[view.id] = charge_in(quota, assignment, made.interpretation, asked, replicas, view, known.fleet)
    return found
