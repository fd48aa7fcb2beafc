"""A connection to that one of several Postgres servers which takes writes.

asyncpg has one timeout for all hosts of a DSN and asks one after the other: where the first is stopped, or
the way to it cut, the others are never asked, and a failover would help nobody.
"""

import asyncio
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

TIMEOUT_SECONDS = 2.0
STAGGER_SECONDS = 0.25
"""A host that has not answered by then is asked no longer alone."""
ONE_OF_THEM = frozenset({"read-write", "primary"})
"""Of `target_session_attrs`: with others, which host it is depends on who answers at all."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def single(dsn: str) -> list[str]:
    """A DSN for each host; the same where its hosts are not to be asked side by side. Pure."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if query.get("target_session_attrs") not in ONE_OF_THEM:
        return [dsn]
    account, at, listed = parts.netloc.rpartition("@")
    hosts = [host for host in listed.split(",") if host]
    if not hosts:
        names, ports = query.pop("host", "").split(","), query.pop("port", "").split(",")
        ports = ports * len(names) if len(ports) == 1 else ports
        hosts = [f"{name}:{port}" if port else name for name, port in zip(names, ports, strict=False) if name]
    made = [
        urlunsplit(parts._replace(netloc=f"{account}{at}{host}", query=urlencode(query))) for host in hosts
    ]
    return made if len(made) > 1 else [dsn]


async def connect(dsn: str | None = None, *, timeout: float = TIMEOUT_SECONDS, **options: Any) -> Connection:
    """As `asyncpg.connect`, within `timeout` seconds. Raises the error of the host that was asked last."""
    dsn = dsn or ""
    alternatives = single(dsn)
    if len(alternatives) == 1:
        return await asyncpg.connect(dsn, timeout=timeout, **options)
    asked: set[asyncio.Task[Connection]] = set()
    failed: BaseException = TimeoutError(f"none of {len(alternatives)} hosts answered in {timeout:g} s")
    try:
        async with asyncio.timeout(timeout):
            while alternatives or asked:
                if alternatives:
                    one = asyncpg.connect(alternatives.pop(0), timeout=timeout, **options)
                    asked.add(asyncio.ensure_future(one))
                wait_seconds = STAGGER_SECONDS if alternatives else None
                done, asked = await asyncio.wait(
                    asked, timeout=wait_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    if (error := task.exception()) is None:
                        _give_back(done - {task})
                        return task.result()
                    failed = error
        raise failed
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        _give_back(asked)


def _give_back(tasks: "set[asyncio.Task[Connection]]") -> None:
    """Two have answered at once: one is enough."""
    for task in tasks:
        if not task.cancelled() and task.exception() is None:
            task.result().terminate()
