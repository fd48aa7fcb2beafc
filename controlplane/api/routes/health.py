"""Whether this process lives, whether it can answer, and what it counts."""

from collections.abc import Iterable

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from controlplane.access.tokens import Act
from controlplane.api.answers import PROBLEMS, answer
from controlplane.api.bearer import require
from controlplane.api.known_metrics import KnownMetrics
from controlplane.api.ports import ApiDeps, NotReady
from controlplane.api.stepping import stepped


def _named(found: Iterable[NotReady]) -> list[dict[str, str]]:
    return [{"what": each.what, "message": each.message} for each in found]


def router(deps: ApiDeps) -> APIRouter:
    api = APIRouter(tags=["health"], responses=PROBLEMS)

    @api.get("/healthz", openapi_extra={"security": []})
    async def healthz() -> Response:
        """200 as long as the process answers at all."""
        return answer({"status": "alive"})

    @api.get("/readyz", openapi_extra={"security": []})
    async def readyz() -> Response:
        """200, naming what it lacks, while no other process could answer better; else 503 naming why."""
        found = deps.not_ready()
        waiting, lacking = ([each for each in found if each.answers is answers] for answers in (False, True))
        said = {"waiting_for": _named(waiting), "lacks": _named(lacking)}
        return answer({"status": "not ready" if waiting else "ready", **said}, 503 if waiting else 200)

    # Where the API of alerts is open, as Alertmanager's, so are the numbers beside it.
    is_open = deps.alerting is not None and deps.alerting.open
    guard = [] if is_open else [Depends(require(deps.access, Act.READ))]

    @api.get("/metrics", dependencies=guard)
    async def metrics() -> Response:
        """In the text format of Prometheus."""
        known = KnownMetrics(deps.known, deps.clock.now())
        await stepped(known.steps())
        return Response(generate_latest(deps.metrics) + known.page(), media_type=CONTENT_TYPE_LATEST)

    return api
