"""Whether this process lives, whether it can answer, and what it counts."""

import asyncio

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from controlplane.access.tokens import Act
from controlplane.api.answers import PROBLEMS, answer
from controlplane.api.bearer import require
from controlplane.api.known_metrics import KnownMetrics
from controlplane.api.ports import ApiDeps


def router(deps: ApiDeps) -> APIRouter:
    api = APIRouter(tags=["health"], responses=PROBLEMS)

    @api.get("/healthz", openapi_extra={"security": []})
    async def healthz() -> Response:
        """200 as long as the process answers at all."""
        return answer({"status": "alive"})

    @api.get("/readyz", openapi_extra={"security": []})
    async def readyz() -> Response:
        """200 when reads are current and writes are taken; else 503 naming what is waited for."""
        waiting = [{"what": each.what, "message": each.message} for each in deps.not_ready()]
        status = "not ready" if waiting else "ready"
        return answer({"status": status, "waiting_for": waiting}, 503 if waiting else 200)

    # Where the API of alerts is open, as Alertmanager's, so are the numbers beside it.
    is_open = deps.alerting is not None and deps.alerting.open
    guard = [] if is_open else [Depends(require(deps.access, Act.READ))]

    @api.get("/metrics", dependencies=guard)
    async def metrics() -> Response:
        """In the text format of Prometheus."""
        known = KnownMetrics(deps.known, deps.clock.now())
        for _ in known.steps():
            await asyncio.sleep(0)
        return Response(generate_latest(deps.metrics) + known.page(), media_type=CONTENT_TYPE_LATEST)

    return api
