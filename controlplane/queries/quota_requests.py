"""Requests for quota as rows, and what approving one would do."""

from collections.abc import Generator, Mapping
from copy import copy
from dataclasses import dataclass, replace

from controlplane.known.admitting import QUOTA_REASONS, admit, candidate_of
from controlplane.known.compiling import Compiler
from controlplane.known.holders import admitted_of
from controlplane.known.known import Known
from controlplane.known.records import QuotaRequestRecord, RequestState
from controlplane.known.views import Views
from controlplane.quota.declared import grant_amounts, granted
from controlplane.quota.effect import Effect, Entry, Measure, Question, Shift, effect
from controlplane.quota.overused import not_there
from controlplane.quota.quota import Amounts, Candidate, FlavorResource
from controlplane.quota.tree import Kind, Tree
from controlplane.quota.usage import Usage
from schemas.reasons import Reason

MOST_WAITING = 2_000
_WAITS = frozenset({*QUOTA_REASONS, Reason.QUOTA_NOT_GRANTED}) - {Reason.BUDGET_EXHAUSTED}


@dataclass(frozen=True)
class QuotaRequestRow:
    """amounts: by flavor, then resource, as they were written; of a grant, what is still granted.

    until: 0 for without an end. taken_from: `tenant/NAME` or `cohort/NAME`, "" for from nobody.
    """

    id: int
    tenant: str
    amounts: Mapping[str, Mapping[str, str]]
    until: float
    why: str
    state: str
    requested_by: str
    requested_at: float
    decided_by: str
    decided_at: float
    decision: str
    taken_from: str
    resource_version: int


@dataclass(frozen=True)
class MeasureRow:
    """Of one moment. available, potential: None where it is not bounded."""

    nominal: int
    available: int | None
    potential: int | None
    borrowed: int


@dataclass(frozen=True)
class ShiftRow:
    """One flavor and resource of a Tenant or a Cohort, before the grant and after it."""

    kind: str
    name: str
    flavor: str
    resource: str
    used: int
    before: MeasureRow
    after: MeasureRow


@dataclass(frozen=True)
class EntryRow:
    """What becomes admissible. victims: names of what gives way for it first, of any tenant."""

    workload: str
    uid: str
    tenant: str
    borrows: bool
    victims: tuple[str, ...]


@dataclass(frozen=True)
class EffectRow:
    """What approving would do. problems: why it would be refused; none: it would not.

    borrowing: names of tenants and cohorts that come to borrow, or to borrow more. admissible: in the order
    in which they come, each with what it would be charged where there is room for it by itself. waiting: how
    many wait under this root for quota; judged: of these, how many were looked at.
    """

    taken_from: str
    shifts: tuple[ShiftRow, ...]
    borrowing: tuple[str, ...]
    problems: tuple[str, ...]
    admissible: tuple[EntryRow, ...]
    waiting: int
    judged: int


@dataclass(frozen=True)
class QuotaRequestDetail:
    """effect: of a request that waits, as it would be now; None for one that is decided."""

    request: QuotaRequestRow
    effect: EffectRow | None = None


def request_row(record: QuotaRequestRecord) -> QuotaRequestRow:
    return QuotaRequestRow(
        id=record.id,
        tenant=record.tenant,
        amounts=record.amounts,
        until=record.until,
        why=record.why,
        state=record.state.value,
        requested_by=record.requested_by,
        requested_at=record.requested_at,
        decided_by=record.decided_by,
        decided_at=record.decided_at,
        decision=record.decision,
        taken_from=donor_text(record.taken_from),
        resource_version=record.resource_version,
    )


def donor_text(taken_from: tuple[str, str] | None) -> str:
    return f"{taken_from[0].lower()}/{taken_from[1]}" if taken_from is not None else ""


def foreseen(
    known: Known, record: QuotaRequestRecord, taken_from: tuple[str, str] | None, now: float
) -> Generator[None, None, EffectRow]:
    """Over what is known now; nothing is written. Others may run between two steps."""
    before = known.quotas.tree
    grant = replace(record, state=RequestState.GRANTED, until=0.0, taken_from=taken_from)
    tenants, cohorts = granted(before.tenants, before.cohorts, [grant], now)
    after = Tree.of(tenants.values(), cohorts.values())
    used = {name: known.quotas.usage.of(name) for name in before.tenants}
    donor = (Kind(taken_from[0]), taken_from[1]) if taken_from is not None else None
    line = _Line(known, after, now)
    waiting = yield from line.waiting(record.tenant)
    question = Question(
        before,
        after,
        used,
        record.tenant,
        donor,
        tuple(sorted(grant_amounts(record))),
        waiting,
        line.needs,
        admitted_of(known),
        _leaving(known),
        known.quotas.claims,
    )
    found = yield from effect(question)
    return _effect_row(known, found, donor_text(taken_from), _not_there(before, grant))


def _not_there(before: Tree, grant: QuotaRequestRecord) -> list[str]:
    if grant.tenant not in before.tenants:
        return [f"tenant {grant.tenant!r} has no quota: it is not bounded"]
    if grant.taken_from is None:
        return []
    kind, name = grant.taken_from
    donor = before.tenants.get(name) if kind == Kind.TENANT else before.cohorts.get(name)
    return not_there(donor, kind, name, grant_amounts(grant))


class _Line:
    """Who would wait in another tree, and for how much."""

    def __init__(self, known: Known, tree: Tree, now: float) -> None:
        self._known, self._tree = known, tree
        # As if nobody used anything: what it comes to then is what it needs.
        self._free = copy(known)
        self._free.quotas = copy(known.quotas)
        self._free.quotas.tree, self._free.quotas.usage, self._free.quotas.claims = tree, Usage(tree), {}
        self._compiler = Compiler(self._free)
        self._views = Views(known).all(now)
        self._needs: dict[str, Amounts | None] = {}

    def waiting(self, tenant: str) -> Generator[None, None, tuple[Candidate, ...]]:
        """Under the tenant's root: with the flavors that each would be given, and what it needs at least."""
        known, tree = self._known, self._tree
        root, found = tree.root(tenant), list[Candidate]()
        for uid, decision in list(known.decisions.items()):
            record = known.workloads.get(uid)
            if decision.placed or record is None or decision.reason not in _WAITS:
                continue
            if not record.tenant or tree.root(record.tenant) != root:
                continue
            yield
            try:
                candidate = candidate_of(self._free, self._compiler.compiled(record))
            except ValueError:
                # What is stored of it is not understood any more: it waits for something else.
                continue
            if candidate is not None:
                found.append(candidate)
            if len(found) == MOST_WAITING:
                break
        return tuple(found)

    def needs(self, candidate: Candidate) -> Amounts | None:
        """What it would be charged where it would be placed; None where that is nowhere."""
        if candidate.uid not in self._needs:
            self._needs[candidate.uid] = self._placed(candidate.uid)
        return self._needs[candidate.uid]

    def _placed(self, uid: str) -> Amounts | None:
        record = self._known.workloads.get(uid)
        if record is None:
            return None
        try:
            admission = admit(self._free, self._compiler.compiled(record), self._views)
        except ValueError:
            return None
        return admission.needs if admission.decision.error is None else None


def _leaving(known: Known) -> Mapping[str, Amounts]:
    """By tenant. What a lost cluster holds may never be reported gone: nobody waits for that."""
    found: dict[str, dict[FlavorResource, int]] = {}
    for tenant, places in known.quotas.charges.leaving().items():
        held = found.setdefault(tenant, {})
        for (_, cluster), amounts in places.items():
            if cluster in known.losses.unreachable:
                continue
            for key, amount in amounts.items():
                held[key] = held.get(key, 0) + amount
    return found


def _effect_row(known: Known, found: Effect, taken_from: str, problems: list[str]) -> EffectRow:
    return EffectRow(
        taken_from,
        tuple(_shift_row(each) for each in found.shifts),
        tuple(dict.fromkeys(each.name for each in found.borrowing)),
        (*problems, *(str(each) for each in found.refused)),
        tuple(_entry_row(known, each) for each in found.entries),
        found.waiting,
        found.judged,
    )


def _shift_row(shift: Shift) -> ShiftRow:
    return ShiftRow(
        shift.kind.value,
        shift.name,
        shift.flavor,
        shift.resource,
        shift.used,
        _measure_row(shift.before),
        _measure_row(shift.after),
    )


def _measure_row(measure: Measure) -> MeasureRow:
    return MeasureRow(measure.nominal, measure.available, measure.potential, measure.borrowed)


def _entry_row(known: Known, entry: Entry) -> EntryRow:
    def name(uid: str) -> str:
        record = known.workloads.get(uid)
        return record.name if record is not None else uid

    return EntryRow(name(entry.uid), entry.uid, entry.tenant, entry.borrows, tuple(map(name, entry.victims)))
