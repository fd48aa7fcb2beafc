"""The one listener of a process, and the server behind it."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from controlplane.parts import Parts

GRACE_SECONDS = 3
"""For requests that are under way when the service is stopped."""
STOP_SECONDS = 5


class CannotListen(Exception):
    """The address is none of ours, or somebody listens there."""


class ApiServer(uvicorn.Server):
    """Signals belong to the composition root: uvicorn's own handlers would end the API before the loops."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """host: "" for every interface. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise CannotListen(f"cannot listen on {host or '*'}:{port}: {error.strerror or error}") from error
    return listener


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve(application: Any, listener: socket.socket, parts: Parts) -> ApiServer:
    """An ASGI application; `started` of the server says when it answers."""
    server = ApiServer(
        uvicorn.Config(
            application,
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_SECONDS,
            access_log=False,
        )
    )
    serving = parts.start("api", server.serve(sockets=[listener]))
    parts.stack.push_async_callback(_stop, server, serving)
    return server


async def _stop(server: ApiServer, serving: "asyncio.Task[None]") -> None:
    server.should_exit = True
    await asyncio.wait({serving}, timeout=STOP_SECONDS)
