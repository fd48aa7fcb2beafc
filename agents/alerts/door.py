"""Alertmanager's API v2 for the Prometheus of this cluster: what is answered 200 is synced to the disk.

1. Read the body, in bounds of size and time; what is no list of alerts is refused whole.
2. Look at its alerts, a few hundred at a step; those that cannot be taken are refused by name.
3. Write those that say something new; one sync carries what many requests brought.
4. Answer: 200; 400 where alerts were refused (the others are kept); 413 for a body too large; 503 with
   Retry-After where the spool is full.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import structlog
from aiohttp import web

from agents import tracing
from agents.alerts.accepting import Accepting
from agents.alerts.intake import BadAlert, BadBody, read_alert, read_batch
from agents.ports import Clock
from agents.spool import BatchTooLarge, SpoolFull
from schemas.wire.alerts import Alert
from schemas.wire.traces import TRACEPARENT, traceparent

LARGEST_BODY_BYTES = 16 * 1024 * 1024
MOST_BODY_BYTES = 32 * 1024 * 1024
"""Of all requests together."""
READ_SECONDS = 30.0
RETRY_AFTER_SECONDS = 5
AT_A_STEP = 200
MOST_NAMED = 10
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_log = structlog.get_logger()


class Door:
    """One listener. `ready`: whether what is accepted here will be sent by this very process.

    page: of metrics, in the text format of Prometheus; None: it is not served. outcomes: of alerts that came.
    """

    def __init__(
        self, accepting: Accepting, clock: Clock, *, version: str, ready: Callable[[], bool]
    ) -> None:
        self.page: Callable[[], bytes] | None = None
        self.outcomes = Counter(taken=0, malformed=0, full=0)
        self._accepting = accepting
        self._clock = clock
        self._version = version
        self._ready = ready
        self._opened_at = clock.now()
        self._body_bytes = 0
        self._foreign: set[str] = set()
        self._runner: web.AppRunner | None = None

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the address that it listens on. Raises OSError."""
        app = web.Application(client_max_size=LARGEST_BODY_BYTES)
        app.router.add_post("/api/v2/alerts", self._post_alerts)
        app.router.add_get("/api/v2/status", self._get_status)
        app.router.add_get("/metrics", self._get_metrics)
        for path in ("/-/healthy", "/-/ready"):
            app.router.add_get(path, self._get_ready if path == "/-/ready" else _get_healthy)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, shutdown_timeout=1.0)
        await site.start()
        found = self._runner.addresses[0]
        _log.info("alerts_door_open", address=f"{found[0]}:{found[1]}")
        return str(found[0]), int(found[1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _post_alerts(self, request: web.Request) -> web.Response:
        parent = traceparent(request.headers.get(TRACEPARENT)) if tracing.is_on() else ""
        with tracing.span("POST /api/v2/alerts", parent=parent, kind="server") as span:
            answer = await self._take_alerts(request)
            span.say(**{"http.response.status_code": answer.status})
            return answer

    async def _take_alerts(self, request: web.Request) -> web.Response:
        announced = request.content_length or 0
        if announced > LARGEST_BODY_BYTES:
            return _said(413, f"a body of {announced} bytes: up to {LARGEST_BODY_BYTES} are taken")
        held = announced or LARGEST_BODY_BYTES // 4
        if self._body_bytes + held > MOST_BODY_BYTES:
            return _later("many large batches at once")
        self._body_bytes += held
        try:
            async with asyncio.timeout(READ_SECONDS):
                body = await request.read()
            return await self._take(body)
        except TimeoutError:
            return _said(408, f"the body did not come within {READ_SECONDS:g} s")
        except web.HTTPRequestEntityTooLarge:
            return _said(413, f"the body is too large: up to {LARGEST_BODY_BYTES} bytes are taken")
        finally:
            self._body_bytes -= held

    async def _take(self, body: bytes) -> web.Response:
        try:
            raws = read_batch(body)
        except BadBody as error:
            return _said(400, str(error))
        alerts, refused = await self._read(raws)
        try:
            for start in range(0, len(alerts), AT_A_STEP * 10):
                await self._accepting.accept(alerts[start : start + AT_A_STEP * 10])
        except (SpoolFull, BatchTooLarge) as error:
            self.outcomes["full"] += len(alerts)
            _log.warning("alerts_refused", alerts=len(alerts), detail=str(error))
            return _later(str(error))
        self.outcomes["taken"] += len(alerts)
        self.outcomes["malformed"] += len(refused)
        if refused:
            _log.warning("alerts_malformed", refused=len(refused), taken=len(alerts), first=refused[0])
            more = f"; and {len(refused) - MOST_NAMED} more" if len(refused) > MOST_NAMED else ""
            return _said(400, "; ".join(refused[:MOST_NAMED]) + more)
        return web.Response(status=200)

    async def _read(self, raws: Sequence[msgspec.Raw]) -> tuple[list[Alert], list[str]]:
        """The alerts, and why the others are refused. A long list does not hold up the loop."""
        now = self._clock.now()
        alerts: list[Alert] = []
        refused: list[str] = []
        for place, raw in enumerate(raws):
            if place and place % AT_A_STEP == 0:
                await asyncio.sleep(0)
            try:
                alert, named = read_alert(raw, place, now)
            except BadAlert as error:
                refused.append(str(error))
                continue
            if named:
                self._leave_aside(named)
            alerts.append(alert)
        return alerts, refused

    def _leave_aside(self, cluster: str) -> None:
        if cluster not in self._foreign and len(self._foreign) < MOST_NAMED:
            self._foreign.add(cluster)
            _log.info("cluster_label_left_aside", named=cluster[:100], detail="the centre says whose it is")

    async def _get_status(self, _: web.Request) -> web.Response:
        """As clients of Alertmanager expect it; silences and routes are the centre's."""
        opened = datetime.fromtimestamp(self._opened_at, UTC).isoformat(timespec="milliseconds")
        body = {
            "cluster": {"name": "", "status": "disabled", "peers": list[str]()},
            "config": {"original": ""},
            "uptime": opened.replace("+00:00", "Z"),
            "versionInfo": {
                "branch": "",
                "buildDate": "",
                "buildUser": "",
                "goVersion": "",
                "revision": "",
                "version": self._version,
            },
        }
        return web.json_response(body, headers={"Cache-Control": "no-store"})

    async def _get_metrics(self, _: web.Request) -> web.Response:
        if self.page is None:
            return web.Response(status=404)
        return web.Response(body=self.page(), headers={"Content-Type": METRICS_TYPE})

    async def _get_ready(self, _: web.Request) -> web.Response:
        if self._ready():
            return web.Response(text="OK")
        return web.Response(status=503, text="another agent acts, or none has begun")


async def _get_healthy(_: web.Request) -> web.Response:
    return web.Response(text="OK")


def _said(status: int, text: str) -> web.Response:
    return web.json_response(text, status=status)


def _later(text: str) -> web.Response:
    return web.json_response(text, status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
