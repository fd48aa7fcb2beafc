"""What happened in a world, line by line, what the programs log included."""

import sys
from collections import deque
from collections.abc import Callable, Generator, MutableMapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, TextIO

import structlog

from agents.ports import BusUnavailable as AgentBusUnavailable
from agents.ports import KubeError
from controlplane.loops.ports import BusUnavailable, LeaseLost, StoreUnavailable

KEPT_LINES = 4_000
EXPECTED = (AgentBusUnavailable, KubeError, BusUnavailable, LeaseLost, StoreUnavailable)
NEVER = ("report_malformed", "stored_order_malformed", "beat_reply_malformed", "object_malformed")
"""Said only of what nobody in a world sends."""


class Trace:
    """The newest lines; `out`: all of them go there at once. surprises: errors that nobody foresaw.

    digest: of every line so far, byte for byte.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._hash = sha256()
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.surprises: list[str] = []
        self.now: Callable[[], float] = lambda: 0.0
        self._out = out

    def say(self, text: str) -> None:
        line = f"{self.now():9.3f}  {text}"
        self.lines.append(line)
        self._hash.update(line.encode() + b"\n")
        if self._out is not None:
            print(line, file=self._out)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    @contextmanager
    def capture_logs(self) -> Generator[None]:
        """Log lines become lines of the trace, while this lasts."""
        before = structlog.get_config()
        structlog.configure(processors=[self._log], cache_logger_on_first_use=False)
        try:
            yield
        finally:
            structlog.configure(**before)

    def _log(self, _: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        name = event.pop("event", "")
        raised = event.pop("exc_info", None)
        error = sys.exc_info()[1] if raised is True else raised
        fields = " ".join(f"{key}={value}" for key, value in event.items())
        self.say(f"  {method}: {name} {fields}" + (f" {error!r}" if error else ""))
        unforeseen = isinstance(error, BaseException) and not isinstance(error, EXPECTED)
        if unforeseen or name in NEVER:
            self.surprises.append(f"{name} {fields}: {error!r}")
        raise structlog.DropEvent
