"""What deploy/ says of NATS and Postgres holds on real servers: three of one, a primary and its standby."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGINT, SIGTERM

import asyncpg
import pytest

from controlplane.bus import NatsBus
from controlplane.embedded import EmbeddedPostgres
from controlplane.embedded.nats import find_nats_server
from controlplane.embedded.postgres import find_postgres
from controlplane.embedded.processes import Account, ServerProcess, free_port, port_answers
from controlplane.identity import keys
from controlplane.identity.server_configuration import init_nats
from controlplane.loops.ports import BusUnavailable
from schemas.wire.subjects import Subjects
from tests.circle import eventually
from tests.installation import SMALL_BOUNDS

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVERS = ("nats-0", "nats-1", "nats-2")
START_SECONDS = 30.0
NEEDS_A_RESTART = {"wal_log_hints"}
"""Of those that deploy/postgres sets otherwise than the server had them."""


def test_a_real_server_takes_the_configuration(tmp_path: Path) -> None:
    init_nats(tmp_path, "muster", int(time.time()))
    (tmp_path / "nats.conf").write_text((DEPLOY / "nats" / "nats.conf").read_text())
    done = subprocess.run(
        [str(find_nats_server()), "-c", str(tmp_path / "nats.conf"), "-t"],
        env={**os.environ, "NATS_NAME": "nats-0"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr


@asynccontextmanager
async def three_servers(folder: Path) -> AsyncGenerator[dict[str, tuple[str, ServerProcess]]]:
    """(URL, process) by name, of deploy/nats with other ports and folders."""
    init_nats(folder, "muster", int(time.time()))
    trust = (folder / "muster-trust.conf").read_text()
    ports = {name: (free_port(), free_port()) for name in SERVERS}
    text = (DEPLOY / "nats" / "nats.conf").read_text()
    for name in SERVERS:
        text = text.replace(f"nats://{name}:6222", f"nats://127.0.0.1:{ports[name][1]}")
    async with AsyncExitStack() as stack:
        running: dict[str, tuple[str, ServerProcess]] = {}
        for name, (client, route) in ports.items():
            home = folder / name
            home.mkdir()
            own = text.replace("port: 4222", f'listen: "127.0.0.1:{client}"').replace(
                "port: 6222", f'listen: "127.0.0.1:{route}"'
            )
            own = own.replace('http: "127.0.0.1:8222"', "").replace("/var/lib/nats", str(home))
            (home / "nats.conf").write_text(own)
            (home / "muster-trust.conf").write_text(trust.replace("/var/lib/nats", str(home)))
            command = [str(find_nats_server()), "-c", str(home / "nats.conf")]
            server = ServerProcess("nats-server", command, home, SIGTERM, environment={"NATS_NAME": name})
            stack.push_async_callback(server.stop)
            running[name] = f"nats://127.0.0.1:{client}", server
        deadline = time.monotonic() + START_SECONDS
        await asyncio.gather(
            *(
                server.start(lambda port=ports[name][0]: port_answers(port), deadline)
                for name, (_, server) in running.items()
            )
        )
        yield running


async def test_three_servers_keep_every_stream_and_lose_one_of_them(tmp_path: Path) -> None:
    async with three_servers(tmp_path) as servers, AsyncExitStack() as stack:
        urls = [url for url, _ in servers.values()]
        bounds = replace(SMALL_BOUNDS, replicas=3)
        own, subjects = keys.load(tmp_path / "keys"), Subjects()
        bus = NatsBus(urls, own, subjects, time.time, bounds)
        stack.push_async_callback(bus.close)

        async def opened() -> bool:
            # Servers that have just found each other first choose who leads.
            try:
                await bus.open()
            except BusUnavailable:
                return False
            return True

        await eventually("the streams are made", opened)
        assert await bus.publish_order("C1", "w1", b"first", expected_sequence=0) == 1
        await servers["nats-0"][1].stop()

        async def ordered() -> int:
            try:
                return await bus.publish_order("C1", "w2", b"second", expected_sequence=0)
            except BusUnavailable:
                return 0

        assert await eventually("two of three take orders", ordered) >= 2
        stored = await bus.last_order("C1", "w1")
        assert stored is not None
        assert stored.body == b"first"


async def test_a_commit_is_on_the_standby_before_it_is_answered(open_folder: Path) -> None:
    """A primary and a standby of deploy/postgres; the second that it names is away, which one may be."""
    async with AsyncExitStack() as stack:
        primary = EmbeddedPostgres(open_folder / "primary", durable=True)
        await primary.start()
        stack.push_async_callback(primary.stop)
        account = primary._account  # pyright: ignore[reportPrivateUsage]
        data, copy = primary.folder / "data", primary.folder / "standby"
        with (data / "postgresql.conf").open("a") as file:
            file.write((DEPLOY / "postgres" / "primary.conf").read_text())
        admin = await asyncpg.connect(primary.dsn())
        stack.push_async_callback(admin.close)
        await admin.execute("select pg_reload_conf()")
        wrong = await admin.fetch(
            "select name, error from pg_file_settings where error is not null and not applied"
        )
        assert {each["name"] for each in wrong} <= NEEDS_A_RESTART, wrong
        # Nobody stands by yet: this one commit does not wait.
        await admin.execute("set synchronous_commit = local")
        port = base_backup(primary, account, copy)
        command = [str(find_postgres(account) / "postgres"), "-D", str(copy), "-p", str(port)]
        standby = ServerProcess(
            "standby", [*command, "-c", "unix_socket_directories="], primary.folder, SIGINT, account
        )
        stack.push_async_callback(standby.stop)
        await standby.start(lambda: port_answers(port), time.monotonic() + START_SECONDS)
        await eventually(
            "it stands by",
            lambda: admin.fetchval("select sync_state from pg_stat_replication"),
            lambda state: state == "quorum",
        )
        await admin.execute("set synchronous_commit = on")
        await admin.execute("create table seen (at int)")
        follower = await asyncpg.connect(primary.dsn().replace(f":{primary.port}/", f":{port}/"))
        stack.push_async_callback(follower.close)
        await eventually("it is there", lambda: follower.fetchval("select to_regclass('seen') is not null"))
        await standby.stop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(admin.execute("insert into seen values (1)"), 0.5)


def base_backup(primary: EmbeddedPostgres, account: Account | None, folder: Path) -> int:
    """A copy that follows the primary as `muster_standby_1`; its port."""
    dsn = f"{primary.dsn()}?application_name=muster_standby_1"
    binary = find_postgres(account) / "pg_basebackup"
    command = [
        str(binary),
        "-d",
        dsn,
        "-D",
        str(folder),
        "-R",
        "-X",
        "stream",
        "-C",
        "-S",
        "muster_standby_1",
    ]
    done = subprocess.run(
        [*command, "--checkpoint=fast", "--no-sync"],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    assert done.returncode == 0, done.stderr
    with (folder / "postgresql.conf").open("a") as file:
        file.write((DEPLOY / "postgres" / "standby.conf").read_text())
    return free_port()
