"""Who is next of what waits for quota. What needs none of it, or no more than it has, is not in this line."""

from heapq import heappop, heappush

from msgspec.json import encode

from controlplane.known.admitting import candidate_of
from controlplane.known.compiling import Compiler
from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord
from controlplane.quota.pending import Pending
from controlplane.quota.quota import Candidate, FlavorResource, Within
from schemas.reasons import Reason

MOST_LACKING = 16


Class = tuple[str, int, bool, frozenset[tuple[FlavorResource, int]], bytes]
"""(tenant, priority, gave way, needs, how it is placed): of these, the older is admitted before the younger,
or none is."""


class Waiting:
    """Of one epoch. Of each class of what is parked, only the oldest stands in the line for all of it."""

    def __init__(self, known: Known, compiler: Compiler) -> None:
        self._known = known
        self._compiler = compiler
        self._pending = Pending()
        self._candidates: dict[str, Candidate] = {}
        self._lacking: dict[str, tuple[tuple[int, int], list[Candidate]]] = {}
        self._classes: dict[str, Class] = {}
        self._oldest: dict[Class, str] = {}
        self._behind: dict[Class, list[tuple[float, str]]] = {}
        self._untold: dict[str, None] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._candidates

    def take(self, record: WorkloadRecord) -> bool:
        """Whether it has to wait for its turn; where it stood before in the line is forgotten."""
        self.leave(record.uid)
        candidate = self._candidate(record)
        if candidate is None:
            return False
        self._candidates[record.uid] = candidate
        self._pending.put(candidate)
        if self._known.quotas.tenants[record.tenant].strict:
            self._untold[record.uid] = None
        return True

    def next(self) -> str | None:
        """By fair share; None where nobody is left who might be admitted.

        Who asks for no less than another of its tenant that lacked quota just now lacks it too.
        """
        usage = self._known.quotas.usage
        while (uid := self._pending.pick(usage)) is not None:
            candidate = self._candidates[uid]
            if not self._is_hopeless(candidate):
                self.leave(uid)
                return uid
            self._park(candidate)
        return None

    def behind(self, limit: int) -> list[tuple[WorkloadRecord, str]]:
        """Who stands behind another of its strict tenant, with that one's name; each is given once."""
        found: list[tuple[WorkloadRecord, str]] = []
        for uid in list(self._untold):
            if len(found) == limit:
                break
            del self._untold[uid]
            record, ahead = self._known.workloads.get(uid), self._pending.ahead_of(uid)
            first = self._known.workloads.get(ahead) if ahead is not None else None
            if record is not None and first is not None:
                found.append((record, first.name))
        return found

    def wake(self) -> None:
        """What waited for something to be free again stands in the line again.

        Who was promised what leaves, and may not be picked before another, would keep it idle.
        """
        quotas = self._known.quotas
        for uid, claim in list(quotas.claims.items()):
            if self._pending.is_behind(uid):
                del quotas.claims[uid]
                quotas.usage.free(quotas.tree.root(claim.tenant))
        self._pending.wake(quotas.usage)

    def park(self, record: WorkloadRecord) -> None:
        """It was refused for its quota: until something of that is free again."""
        candidate = self._candidate(record)
        if candidate is None:
            self.leave(record.uid)
            return
        self._candidates[record.uid] = candidate
        self._park(candidate)
        held = self._known.decisions.get(record.uid)
        if held is not None and held.reason == Reason.QUOTA_EXCEEDED:
            self._note_lacking(candidate)

    def leave(self, uid: str) -> None:
        """The next of its class stands in the line instead."""
        self._candidates.pop(uid, None)
        self._untold.pop(uid, None)
        self._pending.drop(uid)
        key = self._classes.pop(uid, None)
        if key is None or self._oldest.get(key) != uid:
            return
        del self._oldest[key]
        behind = self._behind.get(key, [])
        while behind:
            _, other = heappop(behind)
            held = self._candidates.get(other)
            if held is not None and self._classes[other] == key and other not in self._pending:
                self._oldest[key] = other
                self._pending.put(held)
                return
        self._behind.pop(key, None)

    def _park(self, candidate: Candidate) -> None:
        uid = candidate.uid
        key = self._classes[uid]
        oldest = self._candidates.get(self._oldest.get(key, ""))
        if oldest is not None and oldest.uid != uid:
            younger = max(candidate, oldest, key=lambda each: (each.created_at, each.uid))
            heappush(self._behind.setdefault(key, []), (younger.created_at, younger.uid))
            self._pending.drop(younger.uid)
            if younger is candidate:
                return
        self._oldest[key] = uid
        if uid not in self._pending:
            self._pending.put(candidate)
        self._pending.park(uid, self._known.quotas.tree.root(candidate.tenant))

    def _candidate(self, record: WorkloadRecord) -> Candidate | None:
        if record.deleted or record.tenant not in self._known.quotas.tenants:
            return None
        try:
            candidate = candidate_of(self._known, self._compiler.compiled(record))
        except ValueError:
            # The decision says what is wrong with it.
            return None
        if candidate is not None:
            self._classes[record.uid] = _class_of(candidate, record)
        return candidate

    def _note_lacking(self, candidate: Candidate) -> None:
        at = self._freed(candidate)
        before, lacking = self._lacking.get(candidate.tenant, (at, []))
        known = lacking if before == at else []
        self._lacking[candidate.tenant] = at, [*known[1 - MOST_LACKING :], candidate]

    def _is_hopeless(self, candidate: Candidate) -> bool:
        """Only of those who were told so before: the others have to hear why they wait."""
        record, held = self._known.workloads.get(candidate.uid), self._known.decisions.get(candidate.uid)
        if record is None or held is None or held.resource_version != record.resource_version:
            return False
        at, lacking = self._lacking.get(candidate.tenant, ((0, 0), []))
        return (
            held.reason == Reason.QUOTA_EXCEEDED
            and at == self._freed(candidate)
            and any(self._asks_no_less(candidate, each) for each in lacking)
        )

    def _asks_no_less(self, candidate: Candidate, than: Candidate) -> bool:
        """And nobody would give way to it who would not to the other."""
        quota = self._known.quotas.tenants[candidate.tenant]
        by_age = quota.preemption.within is Within.LOWER_OR_NEWER_EQUAL
        return (
            candidate.priority <= than.priority
            and not than.gave_way
            and (not by_age or candidate.created_at >= than.created_at)
            and all(candidate.needs.get(key, 0) >= amount for key, amount in than.needs.items())
        )

    def _freed(self, candidate: Candidate) -> tuple[int, int]:
        """Changes with whatever may let it in."""
        quotas = self._known.quotas
        return quotas.refreshed, quotas.usage.freed(quotas.tree.root(candidate.tenant))


def _class_of(candidate: Candidate, record: WorkloadRecord) -> Class:
    """Who asks for the same at least, and is placed alike: of two that are not, one may come to more."""
    placed = encode([record.spec.get("placement"), record.spec.get("overrides")])
    needs = frozenset(candidate.needs.items())
    return candidate.tenant, candidate.priority, candidate.gave_way, needs, placed
