"""An embedded server that ended by itself is started again, where its clients look for it."""

import asyncio
from typing import Protocol

import structlog

from controlplane.embedded.processes import ServerDidNotStart

LOOK_SECONDS = 0.5
RETRY_SECONDS = 5.0

log = structlog.get_logger()


class Restartable(Protocol):
    """Starts on the port that it had."""

    @property
    def running(self) -> bool: ...

    async def start(self) -> None: ...


async def keep_up(name: str, server: Restartable) -> None:
    """Until cancelled; the server has been started once."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if server.running:
            continue
        log.error("embedded_server_ended", server=name)
        try:
            await server.start()
            log.info("embedded_server_started_again", server=name)
        except ServerDidNotStart as error:
            log.error("embedded_server_not_started", server=name, detail=str(error))
            await asyncio.sleep(RETRY_SECONDS)
