"""What becomes of a request for quota, given it as it is. Pure: the store reads, asks here, then writes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from controlplane.intent import MayNot, QuotaAmounts, QuotaDraft, QuotaGrant, Taken, Unfit, Write
from controlplane.known.records import Change, QuotaRequestRecord, RequestState
from controlplane.store.settlement import changed, check_condition, fingerprint
from schemas.quantities import limit_amount, quantity_amount, quantity_text

KIND = "QuotaRequest"
MOST_AMOUNTS = 100
MOST_PENDING = 100
"""Of one tenant. More are asked for by mistake."""
NO_TENANT = "its tenant is deleted"
OPEN = (RequestState.PENDING, RequestState.GRANTED)
_OVERFLOW = 2**63 - 1
Flat = Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Step:
    """The request as it is from now on, and the change that says so."""

    record: QuotaRequestRecord
    change: Change


@dataclass(frozen=True)
class Moment:
    """now: Unix seconds by the store's clock. version: an unused resource version."""

    now: float
    version: int


def asked(id_: int, draft: QuotaDraft, pending: int, write: Write, moment: Moment) -> Step:
    """pending: how many of the tenant's wait. Raises Unfit, Taken."""
    flat(draft.amounts, limit_amount)
    _check_until(draft.until, moment.now)
    if not draft.why.strip():
        raise Unfit(("why", "missing: say what it is for, to those who decide"))
    if pending >= MOST_PENDING:
        raise Taken(
            f"{pending} requests of tenant {draft.tenant!r} wait: withdraw some, or let them be decided"
        )
    record = QuotaRequestRecord(
        id=id_,
        tenant=draft.tenant,
        amounts=draft.amounts,
        until=draft.until,
        why=draft.why,
        state=RequestState.PENDING,
        requested_by=write.principal,
        requested_at=moment.now,
        resource_version=moment.version,
    )
    return _step(record, "Requested", write.principal, why=draft.why)


def withdrawn(record: QuotaRequestRecord, write: Write, moment: Moment) -> Step:
    """Raises PreconditionFailed, Taken, MayNot."""
    _check(record, RequestState.PENDING, write)
    if record.requested_by != write.principal:
        raise MayNot(
            f"{record.requested_by} asked, and only who asked withdraws; an approver can refuse it instead"
        )
    return _decided(record, RequestState.WITHDRAWN, write, "", moment)


def refused(record: QuotaRequestRecord, why: str, write: Write, moment: Moment) -> Step:
    """Raises PreconditionFailed, Taken, MayNot, Unfit."""
    _check(record, RequestState.PENDING, write)
    _check_other(record, write)
    if not why.strip():
        raise Unfit(("why", "missing: say why, to who asked"))
    return _decided(record, RequestState.REFUSED, write, why, moment)


def granted(record: QuotaRequestRecord, grant: QuotaGrant, write: Write, moment: Moment) -> Step:
    """Whether the quota allows it is another question. Raises PreconditionFailed, Taken, MayNot, Unfit."""
    _check(record, RequestState.PENDING, write)
    _check_other(record, write)
    until = record.until if grant.until is None else grant.until
    if grant.until is None and 0 < until <= moment.now:
        raise Taken(f"request {record.id} has run out: its until has passed")
    _check_until(until, moment.now)
    amounts = record.amounts
    if grant.amounts is not None:
        _check_part(grant.amounts, record.amounts, "was asked for")
        amounts = grant.amounts
    if grant.taken_from == ("Tenant", record.tenant):
        raise Unfit(("taken_from", f"tenant {record.tenant!r} is who asks: name another one, or a cohort"))
    less = {} if amounts == record.amounts else {"requested": record.amounts}
    record = replace(record, amounts=amounts, until=until, taken_from=grant.taken_from)
    return _decided(record, RequestState.GRANTED, write, grant.comment, moment, **less)


def given_back(
    record: QuotaRequestRecord, amounts: QuotaAmounts | None, write: Write, moment: Moment
) -> Step:
    """Raises PreconditionFailed, Taken, Unfit."""
    _check(record, RequestState.GRANTED, write)
    rest: QuotaAmounts = {}
    if amounts is not None:
        _check_part(amounts, record.amounts, "is granted")
        rest = _less(record.amounts, amounts)
    back = record.amounts if amounts is None else amounts
    if rest:
        record = replace(record, amounts=rest, resource_version=moment.version)
    else:
        record = replace(record, state=RequestState.GIVEN_BACK, resource_version=moment.version)
    return _step(record, RequestState.GIVEN_BACK.value, write.principal, amounts=back, left=rest)


def expired(
    record: QuotaRequestRecord,
    by: str,
    moment: Moment,
    why: str = "nobody decided in time",
    beyond: QuotaAmounts | None = None,
) -> Step:
    """One that waited (why: nobody decides), or a grant: whose and from whom it was stays on it.

    beyond: what its tenant uses now above its own.
    """
    was = record.state
    record = replace(record, state=RequestState.EXPIRED, resource_version=moment.version)
    if was is RequestState.PENDING:
        record = replace(record, decided_by=by, decided_at=moment.now, decision=why)
    more = {"beyond": beyond} if beyond else {}
    return _step(record, RequestState.EXPIRED.value, by, was=was.value, **more)


def grants_of(ended: Iterable[Step]) -> list[QuotaRequestRecord]:
    """Of steps made by `expired`: those that were in force, as they were."""
    return [
        replace(each.record, state=RequestState.GRANTED)
        for each in ended
        if each.change.detail["was"] == RequestState.GRANTED.value
    ]


def flat(
    amounts: QuotaAmounts, counted: Callable[[str, str], int] = quantity_amount
) -> dict[tuple[str, str], int]:
    """By (flavor, resource), as Muster counts. Raises Unfit naming what is none, nothing, or too much.

    counted: `limit_amount` of what is written now; what an older release took stays readable.
    """
    found: dict[tuple[str, str], int] = {}
    problems: list[tuple[str, str]] = []
    for flavor, resources in amounts.items():
        for resource, text in resources.items():
            try:
                amount = counted(resource, text)
            except ValueError as error:
                problems.append((f"amounts.{flavor}.{resource}", str(error)))
                continue
            if not 0 < amount < _OVERFLOW:
                problems.append((f"amounts.{flavor}.{resource}", f"{text!r}: more than 0, and below 2^63"))
            found[flavor, resource] = amount
    if not problems and not 1 <= len(found) <= MOST_AMOUNTS:
        problems.append(("amounts", f"{len(found)} amounts; 1 to {MOST_AMOUNTS}, by flavor and resource"))
    if problems:
        raise Unfit(*problems[:MOST_AMOUNTS])
    return found


def operation(what: str, id_: int, *content: Any) -> bytes:
    """What an idempotency key is compared by."""
    return fingerprint(f"{what} quota request", id_, *content)


def draft_content(draft: QuotaDraft) -> bytes:
    return fingerprint("request quota", draft.tenant, draft.amounts, draft.until, draft.why)


def _check(record: QuotaRequestRecord, wanted: RequestState, write: Write) -> None:
    check_condition(f"request {record.id}", write, record.resource_version)
    if record.state is not wanted:
        raise Taken(f"request {record.id} is {record.state}, not {wanted}: look at it again")


def _check_other(record: QuotaRequestRecord, write: Write) -> None:
    if record.requested_by == write.principal:
        raise MayNot(f"{write.principal} asked: somebody else decides; who asked can withdraw it")


def _check_until(until: float, now: float) -> None:
    if until and until <= now:
        raise Unfit(("until", "it has passed: a later time is needed, or none"))


def _check_part(part: QuotaAmounts, whole: QuotaAmounts, what: str) -> None:
    most = flat(whole)
    problems = [
        (
            f"amounts.{flavor}.{resource}",
            f"{part[flavor][resource]!r}: {quantity_text(resource, most.get((flavor, resource), 0))} {what}",
        )
        for (flavor, resource), amount in flat(part, limit_amount).items()
        if amount > most.get((flavor, resource), 0)
    ]
    if problems:
        raise Unfit(*problems)


def _less(whole: QuotaAmounts, part: QuotaAmounts) -> QuotaAmounts:
    taken = flat(part)
    rest: dict[str, dict[str, str]] = {}
    for (flavor, resource), amount in flat(whole).items():
        left = amount - taken.get((flavor, resource), 0)
        if left:
            rest.setdefault(flavor, {})[resource] = (
                quantity_text(resource, left) if (flavor, resource) in taken else whole[flavor][resource]
            )
    return rest


def _decided(
    record: QuotaRequestRecord,
    state: RequestState,
    write: Write,
    decision: str,
    moment: Moment,
    **detail: Any,
) -> Step:
    record = replace(
        record,
        state=state,
        decided_by=write.principal,
        decided_at=moment.now,
        decision=decision,
        resource_version=moment.version,
    )
    return _step(
        record, state.value, write.principal, **detail, **({"decision": decision} if decision else {})
    )


def _step(record: QuotaRequestRecord, what: str, by: str, **more: Any) -> Step:
    detail: dict[str, Any] = {
        "tenant": record.tenant,
        "amounts": record.amounts,
        "until": record.until,
        **more,
    }
    if record.taken_from is not None:
        detail["taken_from"] = "/".join(record.taken_from)
    return Step(record, changed(KIND, str(record.id), "", what, by, **detail))
