"""The API put together."""

from fastapi import FastAPI

from controlplane.api import problems
from controlplane.api.answers import PREFIX, PROBLEMS
from controlplane.api.loading import UntilLoaded
from controlplane.api.ports import ApiDeps
from controlplane.api.routes import (
    alertmanager,
    alerts,
    clusters,
    doctor,
    documents,
    events,
    health,
    inventory,
    quota,
    quota_limits,
    quota_requests,
    silences,
    streams,
    workloads,
)
from controlplane.api.telemetry import Telemetry

_DESCRIPTION = """\
Every cluster streams in; one place decides. Lists filter, sort and page on the server (`filter`, `sort`,
`limit`, `continue`). Writes take `If-Match` with the ETag that was read, and `Idempotency-Key`. Errors are
RFC 9457 problem details that name the field. Amounts are by resource: cpu in millicores, everything else in
units; times are Unix seconds.
"""


def create_api(deps: ApiDeps) -> FastAPI:
    """An ASGI application over these ports; it keeps nothing of its own but who follows the events."""
    app = FastAPI(
        title="Muster",
        version="v1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
        # FastAPI's own telemetry would be asked about with every request; ours is added below.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    problems.install(app)
    app.router.routes[:0] = [*alertmanager.routes(deps), *workloads.shortcuts(deps, PREFIX)]
    app.add_middleware(UntilLoaded, not_ready=deps.not_ready, prefix=PREFIX)
    app.add_middleware(Telemetry, registry=deps.metrics)
    for module in (clusters, workloads, inventory, quota, quota_limits, quota_requests, streams, events):
        app.router.routes += module.router(deps).routes
    for router in documents.routers(deps):
        app.router.routes += router.routes
    if deps.alerting is not None:
        for module in (alerts, silences):
            app.router.routes += module.router(deps, deps.alerting).routes
    if deps.doctor is not None:
        app.router.routes += doctor.router(deps, deps.doctor).routes
    app.router.routes += health.router(deps).routes
    return app


def create_health(deps: ApiDeps) -> FastAPI:
    """Of a process that serves no API: whether it lives, what it waits for, what it counts."""
    app = FastAPI(
        title="Muster",
        version="v1",
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    problems.install(app)
    if deps.doctor is not None:
        app.router.routes += doctor.router(deps, deps.doctor).routes
    app.router.routes += health.router(deps).routes
    return app
