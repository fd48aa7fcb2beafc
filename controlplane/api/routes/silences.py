"""Silences beyond Alertmanager's API: those that return, by force, and maintenance of a whole cluster."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request, Response

from controlplane.access.tokens import Act, Principal
from controlplane.alerts.matchers import Matcher, Operator, parse_matcher
from controlplane.alerts.silence import State
from controlplane.alerts.silencing import state
from controlplane.api.answers import CONTINUE, answer, documented, object_body, page_query, versioned
from controlplane.api.bearer import require
from controlplane.api.bodies import read_object
from controlplane.api.ports import Alerting, ApiDeps
from controlplane.api.problems import FieldError, Problem, invalid, not_found
from controlplane.queries.alert_rows import SILENCES, SilenceRow, silence_row
from controlplane.queries.paging import Page, Query
from controlplane.queries.silences import (
    MOST_MATCHERS,
    BadSilence,
    Draft,
    NoSilence,
    Swallows,
    expired,
    object_to,
    placed,
)
from schemas.reasons import Reason

LONGEST_SECONDS = 10 * 366 * 86_400.0
_TEXT = {"type": "string"}
_COMMON = {
    "comment": {"type": "string", "description": "Why"},
    "starts_at": {"type": "number", "description": "Unix seconds; left out: now"},
    "ends_at": {"type": "number", "description": "Unix seconds; else for_seconds"},
    "for_seconds": {"type": "number", "description": "Instead of ends_at: from starts_at on"},
}
_SILENCE = {
    "id": {"type": "string", "description": "Of the one that it takes the place of"},
    "matchers": {"type": "array", "items": _TEXT, "description": 'As `alertname="Disk"`; all must match'},
    **_COMMON,
    "cron": {"type": "string", "description": "Five fields: active from each of these times on"},
    "duration_seconds": {"type": "number", "description": "With cron: for how long each time"},
    "timezone": {"type": "string", "description": "With cron: as Europe/Berlin; UTC"},
    "force": {"type": "boolean", "description": "Also where the guard of the configuration objects"},
}
_WINDOW = {"cluster": {"type": "string", "description": "Name of the cluster"}, **_COMMON}


def router(deps: ApiDeps, alerting: Alerting) -> APIRouter:
    api = versioned(tags=["silences"])
    reader, writer = require(deps.access, Act.READ), require(deps.access, Act.WRITE)
    _add_reads(api, deps, alerting, reader)
    _add_writes(api, deps, alerting, writer)
    return api


def _add_reads(api: APIRouter, deps: ApiDeps, alerting: Alerting, reader: Any) -> None:
    @api.get(
        "/silences",
        dependencies=[Depends(reader)],
        responses=documented(Page[SilenceRow], "Silences"),
        openapi_extra=CONTINUE,
    )
    async def list_(query: Annotated[Query, Depends(page_query)]) -> Response:
        """Filter and sort by id, state (active, pending, expired), silencing, created_by, starts_at, ends_at,
        maintenance, recurring."""
        now = deps.clock.now()
        held = alerting.board().silences.by_id.values()
        return answer(SILENCES.page((silence_row(each, now) for each in held), query))

    @api.get(
        "/silences/{id}", dependencies=[Depends(reader)], responses=documented(SilenceRow, "One silence")
    )
    async def get(id: str) -> Response:
        silence = alerting.board().silences.by_id.get(id)
        if silence is None:
            raise not_found(f"silence {id[:64]!r}")
        return answer(silence_row(silence, deps.clock.now()))


def _add_writes(api: APIRouter, deps: ApiDeps, alerting: Alerting, writer: Any) -> None:
    @api.post("/silences", status_code=201, openapi_extra=object_body(_SILENCE, ["matchers", "comment"]))
    async def post(request: Request, principal: Annotated[Principal, Depends(writer)]) -> Response:
        """Make one, or change the one of this id: in place while its matchers stay and it has not begun
        otherwise; else the old one expires and there is a new one."""
        body = await read_object(request, set(_SILENCE))
        now = deps.clock.now()
        starts_at, ends_at = _times(body, now)
        cron = _text(body, "cron")
        draft = Draft(
            _matchers(body),
            starts_at,
            ends_at,
            principal.name,
            _text(body, "comment", needed=True),
            cron=cron,
            duration_seconds=_number(body, "duration_seconds", 0.0) if cron else 0.0,
            timezone=_text(body, "timezone") or "UTC",
        )
        if not cron and ("duration_seconds" in body or "timezone" in body):
            raise invalid("cron", "missing, where duration_seconds or timezone are given")
        return await _put(deps, alerting, draft, _text(body, "id"), bool(body.get("force", False)))

    @api.post(
        "/maintenance-windows",
        status_code=201,
        openapi_extra=object_body(_WINDOW, ["cluster", "comment"]),
    )
    async def window(request: Request, principal: Annotated[Principal, Depends(writer)]) -> Response:
        """A silence over all of one cluster, recorded as maintenance; listed, and ended, as a silence."""
        body = await read_object(request, set(_WINDOW))
        cluster = _text(body, "cluster", needed=True)
        starts_at, ends_at = _times(body, deps.clock.now())
        matcher = Matcher("cluster", Operator.EQUAL, cluster)
        comment = _text(body, "comment", needed=True)
        draft = Draft((matcher,), starts_at, ends_at, principal.name, comment, maintenance=True)
        return await _put(deps, alerting, draft, "", force=True)

    @api.delete("/silences/{id}", dependencies=[Depends(writer)])
    async def expire(id: str) -> Response:
        """It ends now. Of one that has expired nothing changes."""
        silence = alerting.board().silences.by_id.get(id)
        if silence is None:
            raise not_found(f"silence {id[:64]!r}")
        now = deps.clock.now()
        if state(silence, now) is not State.EXPIRED:
            silence = expired(silence, now)
            await alerting.append([silence])
        return answer(silence_row(silence, deps.clock.now()))


async def _put(deps: ApiDeps, alerting: Alerting, draft: Draft, id_: str, force: bool) -> Response:
    board, now = alerting.board(), deps.clock.now()
    try:
        entries = placed(draft, id_, board.silences.by_id, now, alerting.new_id)
        if not force and entries[-1].id != id_:
            object_to(entries[-1], board, alerting.configuration(), now)
    except NoSilence:
        raise not_found(f"silence {id_[:64]!r}") from None
    except Swallows as error:
        errors = [
            FieldError("matchers", str(error)),
            FieldError("force", "true (--force) takes it all the same"),
        ]
        raise Problem(409, Reason.OVER_BOUND, str(error), errors) from error
    except BadSilence as error:
        raise invalid("", str(error)) from error
    await alerting.append(entries)
    row = silence_row(entries[-1], now)
    return answer(row, 200 if entries[-1].id == id_ else 201, Location=f"/api/v1/silences/{row.id}")


def _matchers(body: dict[str, Any]) -> tuple[Matcher, ...]:
    given = cast("list[Any] | None", body.get("matchers"))
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_MATCHERS:
        raise invalid("matchers", f'a list of 1 to {MOST_MATCHERS} texts as `alertname="Disk"` is needed')
    made: list[Matcher] = []
    for index, each in enumerate(given):
        try:
            made.append(parse_matcher(each if isinstance(each, str) else ""))
        except ValueError as error:
            raise invalid(f"matchers[{index}]", str(error)) from error
    return tuple(made)


def _times(body: dict[str, Any], now: float) -> tuple[float, float]:
    starts_at = _number(body, "starts_at", now)
    if ("ends_at" in body) == ("for_seconds" in body):
        raise invalid("ends_at", "either ends_at (Unix seconds) or for_seconds is needed")
    ends_at = _number(body, "ends_at", starts_at + _number(body, "for_seconds", 0.0))
    if ends_at - starts_at > LONGEST_SECONDS:
        raise invalid("ends_at", f"up to {LONGEST_SECONDS:,.0f} seconds, ten years, after it begins")
    return starts_at, ends_at


def _number(body: dict[str, Any], field: str, default: float) -> float:
    value = body.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise invalid(field, "a number of seconds is needed")
    return float(value)


def _text(body: dict[str, Any], field: str, *, needed: bool = False) -> str:
    value = body.get(field, "")
    if not isinstance(value, str) or (needed and not value.strip()):
        raise invalid(field, "a text is needed")
    return value
