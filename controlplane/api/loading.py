"""Nothing is answered from a memory that is still empty: 404 for what is there would be believed."""

from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from controlplane.api.ports import LOADING, NotReady
from controlplane.api.problems import Problem, render
from schemas.reasons import Reason


class UntilLoaded:
    """ASGI middleware: 503 below `prefix` until Postgres has been read; but a doctor says why it is not."""

    def __init__(self, app: ASGIApp, not_ready: Callable[[], Sequence[NotReady]], prefix: str) -> None:
        self._app, self._not_ready, self._prefix = app, not_ready, f"{prefix}/"
        self._doctor = f"{prefix}/doctor"
        self._is_loaded = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_loaded or scope["type"] != "http" or scope["path"] == self._doctor:
            return await self._app(scope, receive, send)
        if scope["path"].startswith(self._prefix):
            waits = [each for each in self._not_ready() if each.what == LOADING]
            if waits:
                problem = Problem(503, Reason.UNAVAILABLE, waits[0].message, headers={"Retry-After": "1"})
                return await render(problem)(scope, receive, send)
            self._is_loaded = True
        return await self._app(scope, receive, send)
