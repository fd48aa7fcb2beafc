"""What goes wrong for a while: said when it begins, once a minute while it lasts, and when it is over."""

import asyncio

import structlog

SAY_AGAIN_SECONDS = 60.0
log = structlog.get_logger()


class Trouble:
    """begins, ends: what the log says, with what is given here. By the clock of the event loop."""

    def __init__(self, begins: str, ends: str, **said: object) -> None:
        self._begins = begins
        self._ends = ends
        self._said = said
        self._since: float | None = None
        self._said_at = 0.0

    def met(self, **said: object) -> None:
        """It is there, or there still."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = self._said_at = now
            log.warning(self._begins, **self._said, **said)
        elif now - self._said_at >= SAY_AGAIN_SECONDS:
            self._said_at = now
            log.warning(self._begins, since_seconds=round(now - self._since), **self._said, **said)

    def over(self) -> None:
        """Nothing, where there was none."""
        if self._since is not None:
            lasted = asyncio.get_running_loop().time() - self._since
            log.warning(self._ends, after_seconds=round(lasted, 1), **self._said)
            self._since = None
