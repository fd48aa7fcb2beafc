"""A second Postgres that follows the first by streaming replication, synchronously, until it is promoted."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import asyncpg

from controlplane.embedded import EmbeddedPostgres
from controlplane.embedded.postgres import find_postgres
from tests.circle import eventually

TIMEOUT_SECONDS = 60


async def follow(primary: EmbeddedPostgres, folder: Path) -> EmbeddedPostgres:
    """Running; from now on the primary answers a commit once it is here, too."""
    _copy(primary, folder)
    standby = EmbeddedPostgres(folder)
    await standby.start()
    await execute(primary, "alter system set synchronous_standby_names = '*'")
    await execute(primary, "select pg_reload_conf()")
    await eventually(
        "it follows synchronously",
        lambda: value(primary, "select sync_state from pg_stat_replication"),
        lambda state: state == "sync",
    )
    return standby


async def promote(standby: EmbeddedPostgres) -> None:
    assert await value(standby, "select pg_promote()")


def dsn(first: EmbeddedPostgres, second: EmbeddedPostgres, database: str) -> str:
    """Of both; whoever takes writes is meant."""
    hosts = f"@127.0.0.1:{first.port},127.0.0.1:{second.port}/"
    return (
        first.dsn(database).replace(f"@127.0.0.1:{first.port}/", hosts) + "?target_session_attrs=read-write"
    )


def stop_still(postgres: EmbeddedPostgres) -> None:
    """As a host that hangs: connections stay, new ones are taken by its kernel, nobody answers."""
    children = Path(f"/proc/{postgres.pid}/task/{postgres.pid}/children").read_text().split()
    for pid in (postgres.pid, *map(int, children)):
        os.kill(pid, signal.SIGSTOP)


def put_away(postgres: EmbeddedPostgres) -> None:
    """SIGKILL, all of it: it never answers again."""
    children = Path(f"/proc/{postgres.pid}/task/{postgres.pid}/children").read_text().split()
    for pid in (postgres.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)


async def execute(postgres: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.dsn())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def value(postgres: EmbeddedPostgres, query: str) -> object:
    connection = await asyncpg.connect(postgres.dsn())
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def _copy(primary: EmbeddedPostgres, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    data, password = folder / "data", folder / "password"
    shutil.copy(primary.folder / "password", password)
    command = [str(find_postgres() / "pg_basebackup"), "--write-recovery-conf", "--checkpoint=fast"]
    command += ["--host=127.0.0.1", f"--port={primary.port}", "--username=muster", f"--pgdata={data}"]
    environment = {**os.environ, "PGPASSWORD": password.read_text().strip()}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    # Postgres does not run as root.
    owner = (primary.folder / "data").stat()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
