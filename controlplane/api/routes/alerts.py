"""Alerts beyond Alertmanager's API: pages, what became of each, deliveries, acknowledgement, tests."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Query as Parameter

from controlplane.access.tokens import Act, Principal
from controlplane.alerts.alert import Alert
from controlplane.alerts.history import HistoryQuery
from controlplane.alerts.notice import What
from controlplane.alerts.silence import Acknowledgement
from controlplane.alerts.trial import WAIT_SECONDS, trials
from controlplane.api.answers import CONTINUE, answer, documented, object_body, page_query, versioned
from controlplane.api.bearer import require
from controlplane.api.bodies import read_object
from controlplane.api.ports import Alerting, ApiDeps
from controlplane.api.problems import Problem, invalid, not_found
from controlplane.api.stepping import stepped
from controlplane.queries.alert_rows import (
    AlertDetail,
    AlertPage,
    AlertRow,
    DeliveryRow,
    HistoryRow,
    alert_detail,
    delivery_row,
    history_row,
)
from controlplane.queries.paging import MAX_LIMIT, BadQuery, Page, Query
from schemas.reasons import Reason

MOST_COMMENT = 8_192
_STEP_SECONDS = 0.003
_LAST_ID = 2**62
_COMMENT = {"comment": {"type": "string", "maxLength": MOST_COMMENT}}


def router(deps: ApiDeps, alerting: Alerting) -> APIRouter:
    api = versioned(tags=["alerts"])
    reader, writer = require(deps.access, Act.READ), require(deps.access, Act.WRITE)
    _add_reads(api, deps, alerting, reader)
    _add_history(api, alerting, reader)
    _add_writes(api, deps, alerting, writer)
    return api


def _add_reads(api: APIRouter, deps: ApiDeps, alerting: Alerting, reader: Any) -> None:
    @api.get(
        "/alerts",
        dependencies=[Depends(reader)],
        responses=documented(Page[AlertRow], "Alerts"),
        openapi_extra=CONTINUE,
    )
    async def list_(query: Annotated[Query, Depends(page_query)]) -> Response:
        """Filter and sort by fingerprint, name, state (Firing, Silenced, Inhibited, Resolved), severity,
        cluster, tenant, workload, receiver, acknowledged_by, starts_at, updated_at, and by labels."""
        page = AlertPage(alerting.board(), query, deps.clock.now())
        await stepped(page.steps())
        return answer(page.page())

    @api.get(
        "/alerts/{fingerprint}",
        dependencies=[Depends(reader)],
        responses=documented(AlertDetail, "One alert, and the groups that it is in"),
    )
    async def get(fingerprint: str) -> Response:
        return answer(alert_detail(alerting.board(), _alert(alerting, fingerprint), deps.clock.now()))

    @api.get("/alert-receivers", dependencies=[Depends(reader)])
    async def receivers() -> Response:
        """Every receiver with the ways to it; what is secret of them is not shown."""
        rows = [
            {"name": each.name, "integrations": [integration.name for integration in each.integrations]}
            for each in alerting.configuration().receivers.values()
        ]
        return answer({"items": rows, "next": ""})


def _add_history(api: APIRouter, alerting: Alerting, reader: Any) -> None:
    @api.get(
        "/alert-history",
        dependencies=[Depends(reader)],
        responses=documented(Page[HistoryRow], "What happened, the newest first"),
        openapi_extra=CONTINUE,
    )
    async def history(
        request: Request,
        fingerprint: str = "",
        receiver: str = "",
        what: str = "",
        label: Annotated[list[str] | None, Parameter(description="NAME=VALUE; all must be there")] = None,
        since: Annotated[float, Parameter(ge=0, description="Unix seconds")] = 0.0,
        until: Annotated[float, Parameter(ge=0, description="Unix seconds, not included; 0: now")] = 0.0,
        limit: Annotated[int, Parameter(ge=1, le=MAX_LIMIT)] = 100,
    ) -> Response:
        """Of every episode that was accepted: who was told, or why nobody was."""
        if what and what not in {each.value for each in What}:
            raise BadQuery("what", f"{what[:60]!r}; one of {', '.join(What)}")
        known, wanted = alerting.board().alerts, _labels(label or [])
        query = HistoryQuery(
            fingerprint,
            receiver,
            what,
            wanted,
            await _fresh(known, wanted),
            since,
            until,
            _before(request),
            limit,
        )
        lines = await alerting.history.read_history(query)
        rows = tuple(history_row(line, known) for line in lines)
        return answer(Page(rows, str(rows[-1].id) if len(rows) == limit else ""))

    @api.get(
        "/alert-deliveries",
        dependencies=[Depends(reader)],
        responses=documented(Page[DeliveryRow], "Attempts to deliver, the newest first"),
        openapi_extra=CONTINUE,
    )
    async def deliveries(
        request: Request,
        receiver: str = "",
        key: Annotated[str, Parameter(description="Of one message: all attempts of it")] = "",
        limit: Annotated[int, Parameter(ge=1, le=MAX_LIMIT)] = 100,
    ) -> Response:
        """When, to whom, what was answered, how long it took."""
        lines = await alerting.history.read_attempts(
            receiver=receiver, key=key, before=_before(request), limit=limit
        )
        rows = tuple(delivery_row(line) for line in lines)
        return answer(Page(rows, str(rows[-1].id) if len(rows) == limit else ""))


def _add_writes(api: APIRouter, deps: ApiDeps, alerting: Alerting, writer: Any) -> None:
    @api.post("/alerts/{fingerprint}/acknowledge", openapi_extra=object_body(_COMMENT, []))
    async def acknowledge(
        fingerprint: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        """Somebody has taken it on: this episode is not escalated any more."""
        body = await read_object(request, {"comment"})
        comment = body.get("comment", "")
        if not isinstance(comment, str) or len(comment) > MOST_COMMENT or "\0" in comment:
            raise invalid("comment", f"a text of up to {MOST_COMMENT:,} characters, without NUL")
        alert, now = _alert(alerting, fingerprint), deps.clock.now()
        if alert.resolved(now):
            raise Problem(409, Reason.CONFLICT, f"alert {fingerprint} is resolved: nothing to take on")
        await alerting.append([Acknowledgement(*alert.episode, now, principal.name, comment)])
        return answer(alert_detail(alerting.board(), _alert(alerting, fingerprint), now))

    @api.post("/alert-receivers/{name}/test", dependencies=[], openapi_extra={"requestBody": {"content": {}}})
    async def test(name: str, principal: Annotated[Principal, Depends(writer)]) -> Response:
        """Sends a message that says that it is a test, each way that the receiver has, and tells what was
        answered. 200 also where it was refused: look at `delivered`."""
        receiver = alerting.configuration().receivers.get(name)
        if receiver is None:
            known = ", ".join(list(alerting.configuration().receivers)[:20])
            detail = f"receiver {name[:100]!r} is not there; there are {known}"
            raise Problem(404, Reason.NOT_FOUND, detail)
        notices = trials(receiver, principal.name, deps.clock.now(), f"trial-{deps.random_bytes(8).hex()}")

        async def attempt(position: int) -> dict[str, Any]:
            began = time.perf_counter()
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    said = await alerting.channels.send(notices[position])
                row = asdict(said)
            except TimeoutError:
                row = {"delivered": False, "code": "", "detail": f"no answer within {WAIT_SECONDS:g} s"}
            took = time.perf_counter() - began
            return {"integration": notices[position].integration, "took_seconds": round(took, 6), **row}

        rows = await asyncio.gather(*(attempt(position) for position in range(len(notices))))
        return answer({"receiver": name, "results": rows})


def _alert(alerting: Alerting, fingerprint: str) -> Alert:
    alert = alerting.board().alerts.get(fingerprint)
    if alert is None:
        raise not_found(f"alert {fingerprint[:64]!r}")
    return alert


def _labels(texts: list[str]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for each in texts[:32]:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise BadQuery("label", f"{each[:80]!r}: NAME=VALUE is needed")
        found.append((name, value))
    return tuple(found)


async def _fresh(known: Mapping[str, Alert], wanted: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Fingerprints of alerts of now with these labels."""
    found: list[str] = []
    began = time.perf_counter()
    for alert in list(known.values()) if wanted else ():
        if all(alert.labels.get(name) == value for name, value in wanted):
            found.append(alert.fingerprint)
        if time.perf_counter() - began > _STEP_SECONDS:
            await asyncio.sleep(0)
            began = time.perf_counter()
    return tuple(found)


def _before(request: Request) -> int:
    text = request.query_params.get("continue", "")
    if text and not (text.isdigit() and 0 < int(text[:20]) < _LAST_ID):
        raise BadQuery("continue", "not a cursor of this list: take `next` of the page before, unchanged")
    return int(text or 0)
