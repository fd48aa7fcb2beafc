"""What the API counts of itself, by route and never by address: names of workloads are not labels."""

import time

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane import tracing
from schemas.wire.traces import TRACEPARENT, traceparent

UNMATCHED = "unmatched"
TRACED = frozenset({"PUT", "POST", "PATCH", "DELETE"})
"""Something may come of these; whoever only reads begins no trace."""
_HEADER = TRACEPARENT.encode()
_METHODS = frozenset({"GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Telemetry:
    """ASGI middleware around the whole API."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry, prefix: str = "/api/v1") -> None:
        self._app, self._prefix = app, prefix
        self._requests = Counter(
            "muster_http_requests", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "muster_http_request_seconds",
            "Seconds from a request to the beginning of its answer",
            ["method", "route"],
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, message["status"], time.perf_counter() - began)
            await send(message)

        if tracing.is_on() and scope["method"] in TRACED:
            await self._traced(scope, receive, counted)
        else:
            await self._app(scope, receive, counted)

    async def _traced(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Within the trace of who asks, where there is one."""
        header = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        parent = traceparent(header.decode("latin-1"))
        with tracing.span(scope["method"], parent=parent, kind="server") as span:

            async def said(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route, status = self._route(scope), message["status"]
                    span.named(f"{scope['method']} {route}")
                    span.say(**{"http.request.method": scope["method"], "http.route": route})
                    span.say(**{"http.response.status_code": status})
                    if status >= 500:
                        span.failed(str(status))
                await send(message)

            await self._app(scope, receive, said)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = self._route(scope)
        self._requests.labels(method, route, f"{status // 100}xx").inc()
        self._seconds.labels(method, route).observe(seconds)

    def _route(self, scope: Scope) -> str:
        path: str = getattr(scope.get("route"), "path", UNMATCHED)
        # FastAPI leaves the prefix out of the route of a router that was included.
        is_below = path != UNMATCHED and scope["path"].startswith(self._prefix)
        return self._prefix + path if is_below and not path.startswith(self._prefix) else path
