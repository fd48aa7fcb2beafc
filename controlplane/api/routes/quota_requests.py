"""Requests for quota: a tenant asks, sees what becomes of it, gives back; somebody else decides."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Query as Parameter

from controlplane.access.tokens import Act, Principal
from controlplane.api.answers import CONTINUE, WRITE_HEADERS, answer, documented, object_body, versioned
from controlplane.api.bearer import require
from controlplane.api.bodies import read_object, text_field
from controlplane.api.conditions import write_of
from controlplane.api.ports import ApiDeps
from controlplane.api.problems import FieldError, Problem, invalid
from controlplane.intent import QuotaAmounts, QuotaDraft, QuotaGrant
from controlplane.known.records import QuotaRequestRecord, RequestState
from controlplane.queries.paging import MAX_LIMIT, BadQuery, Page
from controlplane.queries.quota_requests import (
    EffectRow,
    QuotaRequestDetail,
    QuotaRequestRow,
    foreseen,
    request_row,
)
from schemas.reasons import Reason

MOST_CHARACTERS = 4_000
LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_MOST_ID = 2**63 - 1
_AMOUNTS = {
    "type": "object",
    "description": "By flavor, then resource: quantities, as {default: {cpu: '20', memory: 64Gi}}",
    "additionalProperties": {"type": "object", "additionalProperties": {"type": "string"}},
}
_UNTIL = {"type": "number", "description": "Unix seconds; left out or 0: without an end"}
_ASK = {
    "tenant": {"type": "string", "description": "For whom"},
    "amounts": _AMOUNTS,
    "until": _UNTIL,
    "why": {"type": "string", "description": "For those who decide"},
}
_DONOR = "tenant/NAME or cohort/NAME: out of whose nominal quota; left out: out of nobody's"
_APPROVE = {
    "taken_from": {"type": "string", "description": _DONOR},
    "amounts": {**_AMOUNTS, "description": "Less than was asked for; left out: all of it"},
    "until": {"type": "number", "description": "Unix seconds, 0 for without an end; left out: as asked"},
    "comment": {"type": "string"},
}
_REFUSE = {"why": {"type": "string", "description": "For who asked"}}
_GIVE_BACK = {"amounts": {**_AMOUNTS, "description": "Left out: all; a part leaves the rest granted"}}
TakenFrom = Annotated[str, Parameter(alias="takenFrom", description=_DONOR)]


def router(deps: ApiDeps) -> APIRouter:
    api = versioned(tags=["quota"])
    _add_reads(api, deps)
    _add_asking(api, deps)
    _add_deciding(api, deps)
    return api


def _add_reads(api: APIRouter, deps: ApiDeps) -> None:
    reader = require(deps.access, Act.READ)

    @api.get(
        "/quota/requests",
        dependencies=[Depends(reader)],
        responses=documented(Page[QuotaRequestRow], "Requests, the newest first"),
        openapi_extra=CONTINUE,
    )
    async def list_(
        request: Request,
        tenant: Annotated[str, Parameter(description="Of this tenant")] = "",
        state: Annotated[str, Parameter(description=f"Of {', '.join(RequestState)}; several by commas")] = "",
        limit: Annotated[int, Parameter(ge=1, le=MAX_LIMIT)] = 100,
    ) -> Response:
        """Requests for quota, and what was granted."""
        found = await deps.intent.quota_requests(tenant, _states(state), _before(request), limit)
        rows = tuple(request_row(each) for each in found)
        return answer(Page(rows, str(rows[-1].id) if len(rows) == limit else ""))

    @api.get(
        "/quota/requests/{id}",
        dependencies=[Depends(reader)],
        responses=documented(QuotaRequestDetail, "One request, and what approving it would do"),
    )
    async def get(id: str, taken_from: TakenFrom = "") -> Response:
        """While it waits, with the effect: what each tenant and cohort would have before and after, who would
        come to borrow, what that waits would become admissible and what would give way for it. By what is
        known now; it is looked at again, in the transaction that grants."""
        record = await deps.intent.quota_request(_id(id))
        donor = _donor(taken_from, "takenFrom")
        effect = None
        if record.state is RequestState.PENDING:
            effect = await _foreseen(deps, record, donor)
        return answer(QuotaRequestDetail(request_row(record), effect), 200, record.resource_version)


def _add_asking(api: APIRouter, deps: ApiDeps) -> None:
    asker = require(deps.access, Act.ASK)

    @api.post(
        "/quota/requests",
        status_code=201,
        responses=documented(QuotaRequestRow, "It waits to be decided", 201),
        openapi_extra=object_body(_ASK, ["tenant", "amounts", "why"]),
    )
    async def ask(request: Request, principal: Annotated[Principal, Depends(asker)]) -> Response:
        """Ask for quota of a tenant. Who asks does not decide."""
        body = await read_object(request, set(_ASK))
        tenant = text_field(body, "tenant", 253)
        _check_speaks_for(principal, tenant)
        until = _until(body)
        why = text_field(body, "why", MOST_CHARACTERS)
        draft = QuotaDraft(tenant, _amounts(body), until or 0.0, why)
        record = await deps.intent.request_quota(draft, write_of(request, principal))
        return _answered(record, 201)

    @api.post(
        "/quota/requests/{id}/withdraw",
        responses=documented(QuotaRequestRow, "Withdrawn"),
        openapi_extra={"parameters": WRITE_HEADERS},
    )
    async def withdraw(
        id: str, request: Request, principal: Annotated[Principal, Depends(asker)]
    ) -> Response:
        """While it waits, by who asked."""
        record = await deps.intent.withdraw_quota_request(_id(id), write_of(request, principal))
        return _answered(record)

    @api.post(
        "/quota/requests/{id}/give-back",
        responses=documented(QuotaRequestRow, "Given back, or what is left of it"),
        openapi_extra=object_body(_GIVE_BACK, []),
    )
    async def give_back(
        id: str, request: Request, principal: Annotated[Principal, Depends(asker)]
    ) -> Response:
        """Of what was granted, all or a part; not what is in use."""
        body = await read_object(request, set(_GIVE_BACK))
        amounts = _amounts(body) if "amounts" in body else None
        held = await deps.intent.quota_request(_id(id))
        _check_speaks_for(principal, held.tenant)
        record = await deps.intent.give_back_quota(held.id, amounts, write_of(request, principal))
        return _answered(record)


def _add_deciding(api: APIRouter, deps: ApiDeps) -> None:
    approver = require(deps.access, Act.DECIDE)

    @api.post(
        "/quota/requests/{id}/approve",
        responses=documented(QuotaRequestRow, "Granted"),
        openapi_extra=object_body(_APPROVE, []),
    )
    async def approve(
        id: str, request: Request, principal: Annotated[Principal, Depends(approver)]
    ) -> Response:
        """Grant it, by somebody else than who asked. 422 where the donor has not so much, and where somebody
        would be left with less than is used."""
        body = await read_object(request, set(_APPROVE))
        grant = QuotaGrant(
            _donor(body.get("taken_from", ""), "taken_from"),
            _until(body),
            _amounts(body) if "amounts" in body else None,
            text_field(body, "comment", MOST_CHARACTERS) if body.get("comment") else "",
        )
        record = await deps.intent.approve_quota_request(_id(id), grant, write_of(request, principal))
        return _answered(record)

    @api.post(
        "/quota/requests/{id}/refuse",
        responses=documented(QuotaRequestRow, "Refused"),
        openapi_extra=object_body(_REFUSE, ["why"]),
    )
    async def refuse(
        id: str, request: Request, principal: Annotated[Principal, Depends(approver)]
    ) -> Response:
        """Refuse it, by somebody else than who asked."""
        body = await read_object(request, set(_REFUSE))
        why = text_field(body, "why", MOST_CHARACTERS)
        record = await deps.intent.refuse_quota_request(_id(id), why, write_of(request, principal))
        return _answered(record)


async def _foreseen(deps: ApiDeps, record: QuotaRequestRecord, donor: tuple[str, str] | None) -> EffectRow:
    steps = foreseen(deps.known, record, donor, deps.clock.now())
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(EffectRow, end.value)
        await asyncio.sleep(0)


def _answered(record: QuotaRequestRecord, status: int = 200) -> Response:
    location = f"/api/v1/quota/requests/{record.id}"
    return answer(request_row(record), status, record.resource_version, Location=location)


def _check_speaks_for(principal: Principal, tenant: str) -> None:
    """403 for a role of another tenant."""
    if not principal.speaks_for(tenant):
        detail = f"{principal.name} is {principal.role_text}: it may not ask for tenant {tenant!r}"
        raise Problem(403, Reason.UNAUTHORISED, detail, [FieldError("tenant", detail)])


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= _MOST_ID):
        raise Problem(404, Reason.NOT_FOUND, f"there is no request {text[:40]!r} for quota")
    return int(text)


def _donor(value: Any, field: str) -> tuple[str, str] | None:
    if value in ("", None):
        return None
    kind, slash, name = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not slash or kind not in ("tenant", "cohort") or not 1 <= len(name) <= 253:
        raise invalid(field, f"{str(value)[:80]!r}: tenant/NAME or cohort/NAME, or nothing")
    return kind.capitalize(), name


def _until(body: dict[str, Any]) -> float | None:
    value = body.get("until")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LATEST:
        raise invalid("until", "Unix seconds are needed, or 0 for without an end")
    return round(float(value), 3)


def _amounts(body: dict[str, Any]) -> QuotaAmounts:
    """Of the right form; whether they are amounts is asked where they are stored."""
    given = body.get("amounts")
    if not isinstance(given, dict):
        raise invalid("amounts", "an object is needed, as {default: {cpu: '20', memory: 64Gi}}")
    for flavor, resources in cast(dict[str, Any], given).items():
        if not isinstance(resources, dict):
            raise invalid(f"amounts.{flavor}", "an object is needed, as {cpu: '20', memory: 64Gi}")
        for resource, amount in cast(dict[str, Any], resources).items():
            if not isinstance(amount, str):
                raise invalid(f"amounts.{flavor}.{resource}", "a quantity in quotes is needed, as '20'")
    return cast(QuotaAmounts, given)


def _states(text: str) -> list[RequestState]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name not in set(RequestState)]
    if unknown:
        raise BadQuery("state", f"{unknown[0][:80]!r}: one of {', '.join(RequestState)}")
    return [RequestState(name) for name in names]


def _before(request: Request) -> int:
    text = request.query_params.get("continue", "")
    if text and not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadQuery("continue", "not a cursor of this list: take `next` of the page before, unchanged")
    return int(text or 0)
