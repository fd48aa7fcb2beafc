"""Alertmanager's API v2, as its openapi.yaml and its handlers have it; `/-/healthy`, `/-/ready`, `/-/reload`.

Past FastAPI: what Prometheus sends a thousand times a second is answered without its work for each request,
and the answers, errors too, are Alertmanager's and not those of /api/v1.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from platform import python_version
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from controlplane.access.tokens import Act
from controlplane.api.bearer import require
from controlplane.api.ports import Alerting, ApiDeps
from controlplane.api.problems import Problem
from controlplane.api.routes.alertmanager_alerts import AlertDoor
from controlplane.api.routes.alertmanager_answers import Answered, Call, reply, text
from controlplane.api.routes.alertmanager_silences import SilenceDoor
from controlplane.loops.ports import StoreUnavailable
from controlplane.queries.alerts import BadMatcher, written_time

PREFIX = "/api/v2"
COMPATIBLE = "0.28.1"
"""The release of Alertmanager whose API this is; clients choose by it how they speak."""
_MOST_PARAMETERS = 200
_SILENCE = re.compile(r"/silence/([^/]*)")
_ALLOW_ORIGIN = (b"access-control-allow-origin", b"*")
_PREFLIGHT = [
    _ALLOW_ORIGIN,
    (b"access-control-allow-methods", b"GET, POST, DELETE"),
    (b"access-control-allow-headers", b"Accept, Authorization, Content-Type, Origin"),
    (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
]
_WRITES = frozenset({"POST", "DELETE", "PUT", "PATCH"})
_log = structlog.get_logger("api")

Handler = Callable[[Call], Awaitable[Answered]]


class AlertmanagerApi(BaseRoute):
    """One route over all of it. It keeps what it has read of alerts, and nothing else."""

    def __init__(self, deps: ApiDeps, alerting: Alerting) -> None:
        self._deps, self._alerting = deps, alerting
        self._may = {act: require(deps.access, act) for act in Act}
        alerts, silences = AlertDoor(deps, alerting), SilenceDoor(deps, alerting)
        self._paths: Mapping[str, Mapping[str, Handler]] = {
            "/status": {"GET": self._status},
            "/receivers": {"GET": self._receivers},
            "/alerts": {"POST": alerts.post, "GET": alerts.list},
            "/alerts/groups": {"GET": alerts.groups},
            "/silences": {"POST": silences.post, "GET": silences.list},
            "/silence/{silenceID}": {"DELETE": silences.expire, "GET": silences.get},
        }
        self._own: Mapping[str, Mapping[str, Handler]] = {
            "/-/healthy": {"GET": _healthy, "HEAD": _healthy},
            "/-/ready": {"GET": self._ready, "HEAD": self._ready},
            "/-/reload": {"POST": self._reload, "PUT": self._reload},
        }

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path: str = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(PREFIX + "/") or path in self._own:
            return Match.FULL, {"endpoint": self}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        template, methods, parameter = self._find(scope["path"])
        # Requests are counted by route: an address that is none is not a label.
        scope["route"] = SimpleNamespace(path=template or f"{PREFIX}/unmatched")
        cross = any(name == b"origin" for name, _ in scope["headers"])
        if cross and scope["method"] == "OPTIONS":
            await reply(Answered(200, headers=_PREFLIGHT), send)
            return
        call = Call(scope, receive, send, parameter)
        answered = await self._answer(call, template, methods)
        if not answered.sent:
            headers = [*answered.headers, _ALLOW_ORIGIN, (b"vary", b"Origin")] if cross else answered.headers
            await reply(Answered(answered.status, answered.body, headers), send)

    def _find(self, path: str) -> tuple[str, Mapping[str, Handler], str]:
        if path in self._own:
            return path, self._own[path], ""
        below = path.removeprefix(PREFIX)
        if below in self._paths:
            return PREFIX + below, self._paths[below], ""
        if found := _SILENCE.fullmatch(below):
            return f"{PREFIX}/silence/{{silenceID}}", self._paths["/silence/{silenceID}"], found[1]
        return "", {}, ""

    async def _answer(self, call: Call, template: str, methods: Mapping[str, Handler]) -> Answered:
        path, method = call.scope["path"], call.scope["method"]
        try:
            if not template:
                return call.refused(404, f"path {path} was not found")
            if method not in methods:
                allowed = ",".join(methods)
                answered = call.refused(405, f"method {method} is not allowed, but [{allowed}] are")
                return Answered(405, answered.body, [*answered.headers, (b"allow", allowed.encode())])
            if not self._alerting.open and path not in ("/-/healthy", "/-/ready"):
                await self._may[Act.WRITE if method in _WRITES else Act.READ](Request(call.scope))
            _read_query(call)
            if "{" in template and not _is_uuid(call.parameter):
                return call.refused(422, f'silenceID in path must be of type uuid: "{call.parameter}"', 601)
            return await methods[method](call)
        except BadMatcher as error:
            return call.wrong(400, str(error))
        except Problem as error:
            answered = call.refused(error.status, error.detail)
            more = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
            return Answered(error.status, answered.body, [*answered.headers, *more])
        except ConnectionError:
            return Answered(499, sent=True)
        except StoreUnavailable as error:
            _log.warning("alerts_not_taken", path=path, detail=str(error))
            answered = call.wrong(503, "the database does not answer in time; send it again")
            return Answered(503, answered.body, [*answered.headers, (b"retry-after", b"2")])
        except Exception as error:
            _log.error("request failed", method=method, path=path, exc_info=error)
            return call.wrong(500, "an error of ours; its trace is in the log of the service")

    async def _status(self, call: Call) -> Answered:
        """No peers, and no gossip: every service that shares the database answers alike."""
        return call.json(
            {
                "cluster": {"peers": [], "status": "disabled"},
                "config": {"original": self._alerting.configuration().text},
                "uptime": written_time(self._alerting.started_at),
                "versionInfo": {
                    "branch": "muster",
                    "buildDate": "",
                    "buildUser": "",
                    "goVersion": f"none (python {python_version()})",
                    "revision": f"muster {version('muster')}",
                    "version": COMPATIBLE,
                },
            }
        )

    async def _receivers(self, call: Call) -> Answered:
        return call.json([{"name": name} for name in self._alerting.configuration().receivers])

    async def _ready(self, _: Call) -> Answered:
        # A centre without NATS, or one that does not lead, takes alerts all the same.
        waiting = [each for each in self._deps.not_ready() if each.what == "alerts"]
        if waiting:
            return text(503, "; ".join(f"{each.what}: {each.message}" for each in waiting))
        return text(200, "OK")

    async def _reload(self, _: Call) -> Answered:
        reloaded = await self._alerting.reload()
        if reloaded.errors:
            return text(500, "failed to reload config: " + "; ".join(reloaded.errors))
        return Answered(200)


async def _healthy(_: Call) -> Answered:
    return text(200, "OK")


def _read_query(call: Call) -> None:
    written: bytes = call.scope["query_string"]
    if written:
        try:
            call.query = parse_qs(
                written.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS
            )
        except ValueError as error:
            raise BadMatcher(f"query: up to {_MOST_PARAMETERS} parameters, with %-escapes") from error


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def routes(deps: ApiDeps) -> list[Any]:
    """Before all others; none where the process serves no alerts."""
    return [] if deps.alerting is None else [AlertmanagerApi(deps, deps.alerting)]
