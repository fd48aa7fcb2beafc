"""Nothing is answered from a memory that is still empty: 404 for what is there would be believed. What is
answered from one that is of before, says so."""

from collections.abc import Callable, Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.api.ports import LOADING, STALE, NotReady
from controlplane.api.problems import Problem, render
from schemas.reasons import Reason


class UntilLoaded:
    """ASGI middleware: 503 below `prefix` until Postgres has been read; but a doctor says why it is not.

    While Postgres does not answer, what is answered bears `Warning: 110` ("Response is Stale", RFC 7234).
    """

    def __init__(self, app: ASGIApp, not_ready: Callable[[], Sequence[NotReady]], prefix: str) -> None:
        self._app, self._not_ready, self._prefix = app, not_ready, f"{prefix}/"
        self._doctor = f"{prefix}/doctor"
        self._is_loaded = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self._prefix):
            return await self._app(scope, receive, send)
        lacks = {each.what: each.message for each in self._not_ready()}
        if not self._is_loaded and LOADING in lacks and scope["path"] != self._doctor:
            problem = Problem(503, Reason.UNAVAILABLE, lacks[LOADING], headers={"Retry-After": "1"})
            return await render(problem)(scope, receive, send)
        self._is_loaded |= LOADING not in lacks
        return await self._app(scope, receive, _warned(send, lacks[STALE]) if STALE in lacks else send)


def _warned(send: Send, said: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Warning"] = f'110 muster "{said}"'
        await send(message)

    return sending
