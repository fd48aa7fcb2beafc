"""The embedded Postgres of a folder, for a program beside the service: what runs, or one for a while."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from controlplane.embedded.postgres import SUPERUSER, EmbeddedPostgres
from controlplane.embedded.processes import port_answers


def running_dsn(folder: Path, database: str) -> str | None:
    """Of the server that another process runs in `folder`; None where none answers, or none ever ran."""
    home = EmbeddedPostgres(folder).folder
    try:
        port, password = (home / "port").read_text().strip(), (home / "password").read_text().strip()
    except OSError:
        return None
    if not port.isdigit() or not port_answers(int(port)):
        return None
    return f"postgresql://{SUPERUSER}:{quote(password)}@127.0.0.1:{port}/{quote(database)}"


@asynccontextmanager
async def postgres_of(folder: Path, database: str, *, durable: bool) -> AsyncGenerator[str]:
    """The DSN of a database that is made when it is not there. Raises ServerDidNotStart."""
    if running := running_dsn(folder, database):
        yield running
        return
    async with EmbeddedPostgres(folder, durable=durable) as postgres:
        yield await postgres.ensure_database(database)
