"""What is to be decided, what of it is next, and what has to wait for something first. Of one epoch."""

import asyncio
from collections.abc import Collection, Iterable, Sequence

from controlplane.known.admitting import QUOTA_REASONS
from controlplane.known.known import Known
from controlplane.known.losing import is_stranded
from controlplane.known.records import Cause, DecisionRecord, WorkloadRecord
from controlplane.loops.made import Made
from controlplane.loops.waiting import Waiting
from controlplane.quota.pending import is_before
from controlplane.quota.quota import Candidate, Within
from schemas.reasons import Reason


def decided(known: Known, record: WorkloadRecord) -> DecisionRecord | None:
    """The decision that stands; None where there is something to decide or to issue anew."""
    decision = known.decisions.get(record.uid)
    orders = known.orders.get(record.uid, {}).values()
    if decision is None or decision.resource_version < record.resource_version:
        return None
    return None if any(known.below_floor(order) for order in orders) else decision


class Due:
    """is_exhausted: nothing was left when the last one was asked for.

    is_behind: what runs could not be entered in the ledger, by what has changed since it was read: until that
    is read nobody else is let in either.

    _placing: what is given a place that is not written yet, with its root in the quota tree. _lacked: who was
    refused for its quota meanwhile, by the uid of the last of these whom it might make give way.
    """

    def __init__(self, known: Known, waiting: Waiting) -> None:
        self._known = known
        self._waiting = waiting
        self._now: dict[str, None] = {}
        self._adopting: dict[str, None] = {}
        self._skipped: dict[str, None] = {}
        self._postponed: dict[str, None] = {}
        self._uncommitted: set[str] = set()
        self._is_blocked = False
        self._claimed: dict[str, str] = {}
        self._placing: dict[str, tuple[str, WorkloadRecord]] = {}
        self._lacked: dict[str, dict[str, None]] = {}
        self._unplaced = {uid: None for uid, each in known.decisions.items() if _tries_again(each)}
        self.is_exhausted = self.is_behind = False
        for uid, record in known.workloads.items():
            if decided(known, record) is None:
                self._now[uid] = None

    @property
    def depth(self) -> int:
        """How many are due, or decided on and not written; who waits for quota or room is not."""
        return len(self._now) + len(self._adopting) + len(self._skipped) + len(self._uncommitted)

    def begin(self, touched: Iterable[str]) -> None:
        """A pass: with what was written, or lost a cluster, since the last one, and with what it skipped."""
        self._now |= dict.fromkeys(uid for uid in (*touched, *self._skipped) if uid in self._known.workloads)
        self._skipped.clear()
        self.is_exhausted = self.is_behind = False

    def retry(self, moved: Iterable[str]) -> None:
        """What has no place, or one in a lost cluster, and what is to move; not what lacks quota."""
        for uid in [uid for uid in self._unplaced if uid not in self._known.workloads]:
            del self._unplaced[uid]
        self._now |= dict.fromkeys(uid for uid in self._unplaced if uid not in self._waiting)
        self._now |= dict.fromkeys(moved)
        self._now |= dict.fromkeys(uid for uid in self._postponed if uid in self._known.workloads)
        self._postponed.clear()

    def adopt(self, uids: Iterable[str]) -> None:
        """What runs counts before anything else is let in: what it takes is there for nobody else."""
        for uid in uids:
            record, decision = self._known.workloads.get(uid), self._known.decisions.get(uid)
            if record is not None:
                runs = decision is not None and decision.placed and decision.revision == record.revision
                (self._adopting if runs else self._now)[uid] = None

    def next(self, until: float) -> WorkloadRecord | None:
        """None where the time (of the event loop) is over, nothing is left, or it waits for what is written.

        What counts from now on is first; then what needs no quota, in its order; then by fair share.
        """
        while not self._is_blocked:
            uid = self._take(until)
            if uid is None:
                return None
            record = self._known.workloads.get(uid)
            if uid in self._uncommitted:
                self.after_commit(uid)
            elif record is not None:
                return record
        return None

    def _take(self, until: float) -> str | None:
        loop = asyncio.get_running_loop()
        if self._adopting:
            uid = next(iter(self._adopting))
            del self._adopting[uid]
            self._now.pop(uid, None)
            return uid
        while self._now:
            uid = next(iter(self._now))
            del self._now[uid]
            record = self._known.workloads.get(uid)
            if record is None or not self._waiting.take(record):
                return uid
            if loop.time() > until:
                return None
        uid = self._waiting.next()
        self.is_exhausted = uid is None
        return uid

    def behind(self, limit: int) -> list[tuple[WorkloadRecord, str]]:
        """As `Waiting.behind`."""
        return self._waiting.behind(limit)

    def postpone(self, uid: str) -> None:
        """Until what is without a place is tried again: clusters are not heard yet, or lack what they had."""
        self._postponed[uid] = None

    def after_commit(self, uid: str) -> None:
        """Once what is decided and not written yet is: what that holds is not known before."""
        self._now[uid] = None
        self._is_blocked, self.is_exhausted = True, False

    def is_uncommitted(self, uids: Iterable[str]) -> bool:
        """Whether any of them is decided on and not written yet."""
        return not self._uncommitted.isdisjoint(uids)

    def made(self, record: WorkloadRecord, made: Sequence[Made], claim: Candidate | None) -> None:
        """It was decided on. claim: what was kept for it before."""
        quotas = self._known.quotas
        self._uncommitted.update(one.record.uid for one in made)
        is_placed = bool(made) and made[-1].new.placed and not record.deleted
        self._claimed.pop(record.uid, None)
        if claim is not None and record.uid not in quotas.claims:
            if is_placed:
                self._claimed[record.uid] = claim.tenant
            else:
                # What was kept for it may be had by others.
                quotas.usage.free(quotas.tree.root(claim.tenant))
        if is_placed:
            self._placing[record.uid] = quotas.tree.root(record.tenant), record
        self._doubt_behind(quotas.claims.get(record.uid))
        held = self._known.decisions.get(record.uid)
        said = made[-1].new.reason if made else held.reason if held is not None else ""
        # What was put off has not been judged: parked for what it was told before, nothing would free it.
        if said in QUOTA_REASONS and record.uid not in self._postponed:
            self._waiting.park(record)
            if (other := self._may_give_way_soon(record)) is not None:
                self._lacked.setdefault(other, {})[record.uid] = None

    def _may_give_way_soon(self, record: WorkloadRecord) -> str | None:
        """The last of those who may be made to give way to it only once their place is written."""
        quotas = self._known.quotas
        root, quota = quotas.tree.root(record.tenant), quotas.tenants.get(record.tenant)
        within = quota.preemption.within if quota is not None else Within.NEVER
        for uid, (others, other) in reversed(self._placing.items()):
            if others == root and (other.tenant != record.tenant or _is_below(other, record, within)):
                return uid
        return None

    def _doubt_behind(self, claim: Candidate | None) -> None:
        """Who of its tenant claimed before it, and comes after it, may find nothing left of what leaves."""
        if claim is None:
            return
        quotas = self._known.quotas
        for uid, other in quotas.claims.items():
            if other.tenant == claim.tenant and is_before(quotas.usage, claim, other):
                self._now[uid] = None

    def written(self, one: Made, decision: DecisionRecord) -> None:
        """It is committed, and known."""
        uid, quotas = one.record.uid, self._known.quotas
        self._now |= self._lacked.pop(uid, {})
        self._release((one,))
        if _tries_again(decision):
            self._unplaced[uid] = None
        else:
            self._unplaced.pop(uid, None)
        if (claimant := self._claimed.pop(uid, None)) is not None:
            # Nobody can be made to give up a claim, but what runs can be made to give way.
            quotas.usage.free(quotas.tree.root(claimant))
        if decision.reason == Reason.PREEMPTED:
            self._waiting.park(one.record)
        if one.record.deleted:
            self._waiting.leave(uid)

    def skipped(self, one: Made) -> None:
        """It is taken back; what it was decided on has changed."""
        self._release((one,))
        if _is_adopted(one):
            # By what is read before the next pass.
            self._adopting[one.record.uid] = None
            self.is_behind = True
        else:
            self._skipped[one.record.uid] = None

    def failed(self, made: Collection[Made]) -> None:
        """They are taken back: one of them cannot be written."""
        self._release(made)
        for one in made:
            # Alone, it is tried again now and then only: it may stand before all the others.
            among = self._adopting if _is_adopted(one) else self._skipped
            (among if len(made) > 1 else self._postponed)[one.record.uid] = None

    def _release(self, made: Iterable[Made]) -> None:
        self._is_blocked = False
        for one in made:
            self._uncommitted.discard(one.record.uid)
            self._placing.pop(one.record.uid, None)
            self._lacked.pop(one.record.uid, None)


def _is_below(other: WorkloadRecord, record: WorkloadRecord, within: Within) -> bool:
    """Whether that one of its own tenant may give way to it."""
    above = int(record.spec.get("priority", 0)) - int(other.spec.get("priority", 0))
    newer = above == 0 and within is Within.LOWER_OR_NEWER_EQUAL
    return within is not Within.NEVER and (above > 0 or newer)


def _is_adopted(one: Made) -> bool:
    """It ran before its tenant had a quota, and counts under it from this decision on."""
    return any(line.cause is Cause.MOVED for line in one.new.lines)


def _tries_again(decision: DecisionRecord) -> bool:
    return not decision.placed or is_stranded(decision)
