"""A bus that opens when it can: a NATS that is away, or does not trust our operator, holds up nothing."""

import asyncio

import structlog

from controlplane.bus.adapter import NatsBus
from controlplane.loops.ports import BusUnavailable

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
BEING_OPENED = "it is being opened"

_log = structlog.get_logger()


class Opening:
    """reason: why it is not open yet, "" once it is."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self._opened = asyncio.Event()
        self.reason = BEING_OPENED

    async def run(self) -> None:
        """Until it is open, and then until cancelled: whatever runs beside it need not end."""
        pause = FIRST_PAUSE_SECONDS
        while not self._opened.is_set():
            try:
                await self._bus.open()
            except BusUnavailable as error:
                if str(error) != self.reason:
                    _log.warning("bus_not_open", detail=str(error), effect="agents are not heard")
                self.reason = str(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                _log.info("bus_open")
                self.reason = ""
                self._opened.set()
        await asyncio.Event().wait()

    async def wait(self) -> None:
        await self._opened.wait()
