"""What goes wrong for a while: said when it begins, once a minute while it lasts, and when it is over."""

from collections.abc import Callable

import structlog

SAY_AGAIN_SECONDS = 60.0
_log = structlog.get_logger()


class Trouble:
    """begins, ends: what the log says. now: in seconds, of a clock that nobody sets."""

    def __init__(self, begins: str, ends: str, now: Callable[[], float]) -> None:
        self._begins = begins
        self._ends = ends
        self._now = now
        self._since: float | None = None
        self._said_at = 0.0

    def met(self, **said: object) -> None:
        """It is there, or there still."""
        now = self._now()
        if self._since is None:
            self._since = self._said_at = now
            _log.warning(self._begins, **said)
        elif now - self._said_at >= SAY_AGAIN_SECONDS:
            self._said_at = now
            _log.warning(self._begins, since_seconds=round(now - self._since), **said)

    def over(self, **said: object) -> None:
        """Nothing, where there was none."""
        if self._since is not None:
            _log.warning(self._ends, after_seconds=round(self._now() - self._since, 1), **said)
            self._since = None
