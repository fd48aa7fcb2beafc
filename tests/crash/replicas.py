"""Several centres on one NATS and one Postgres, each by ways of its own that can be cut; and who looks on
from outside: at what is stored, what is published, and what people are told.
"""

import asyncio
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from controlplane.access.tokens import Role, token_entry
from controlplane.cli.demo.installation import Installation
from controlplane.embedded import EmbeddedNats, EmbeddedPostgres
from controlplane.embedded.processes import ServerProcess, free_port
from controlplane.identity import keys
from controlplane.identity.server_configuration import Trust
from schemas.wire.subjects import Subjects
from tests.circle import QUICK_SIMULATED, UNEQUAL, eventually, open_folder
from tests.crash.outside import CHARGED, FORGED, UNPLACED, Orders, watched
from tests.crash.proxy import Way
from tests.served import Webhook, webhook

CLUSTERS = ("north", "south")
START_SECONDS = 90.0
ANSWER_SECONDS = 5.0
ENGINES = ("postgres", "nats")
CONFIGURATION = """
route: {{receiver: ops, group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 24h}}
receivers:
  - name: ops
    webhook_configs: [{{url: "{url}", send_resolved: true}}]
"""


class Ways:
    """Carried by an event loop of their own, so that a test which is busy holds nobody up."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._made: list[Way] = []

    def to(self, target: int) -> Way:
        way = Way(target)
        asyncio.run_coroutine_threadsafe(way.open(), self._loop).result()
        self._made.append(way)
        return way

    def call(self, act: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(act)

    def close(self) -> None:
        for way in self._made:
            asyncio.run_coroutine_threadsafe(way.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass
class Replica:
    """One process. ways: to Postgres and NATS, by name."""

    name: str
    port: int
    ways: Mapping[str, Way]
    carried: Ways
    loops: str
    process: ServerProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    def stop_still(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def cut(self, *engines: str) -> None:
        for engine in engines:
            self.carried.call(self.ways[engine].cut)

    def mend(self) -> None:
        for way in self.ways.values():
            self.carried.call(way.mend)


@dataclass
class Replicas:
    """Centres by name, two simulated clusters, and one Postgres and NATS that are never touched.

    releases: by name of a centre or a cluster, where the sources are that it runs; else those of this test.
    """

    folder: Path
    nats: EmbeddedNats
    postgres: EmbeddedPostgres
    dsn: str
    webhook: Webhook
    installation: Installation
    centres: dict[str, Replica] = field(default_factory=dict[str, Replica])
    orders: Orders = field(default_factory=Orders)
    carried: Ways = field(default_factory=Ways)
    lease_seconds: float = 2.0
    releases: dict[str, Path] = field(default_factory=dict[str, Path])
    quick: Sequence[str] = QUICK_SIMULATED

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.installation.token}"}

    @property
    def urls(self) -> list[str]:
        return [each.url for each in self.centres.values()]

    def add(self, name: str, loops: str) -> None:
        """The first one is the one that agents join by."""
        ways = {"postgres": self.carried.to(self.postgres.port), "nats": self.carried.to(self.nats.port)}
        port = self.installation.port if not self.centres else free_port()
        self.centres[name] = Replica(name, port, ways, self.carried, loops)

    async def start(self, name: str) -> Replica:
        """Returns when the process says that it listens."""
        centre, home = self.centres[name], self.folder / name
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
        dsn = self.dsn.replace(f":{self.postgres.port}/", f":{centre.ways['postgres'].port}/")
        process = ServerProcess(
            name="centre",
            command=[sys.executable, "-m", "controlplane"],
            folder=home,
            stop_signal=signal.SIGTERM,
            environment=self.release_of(name)
            | {
                "MUSTER_DATA_DIR": str(home),
                "MUSTER_KEYS_DIR": str(self.folder / "keys"),
                "MUSTER_TOKENS_FILE": str(self.folder / "tokens"),
                "MUSTER_POSTGRES_DSN": dsn,
                "MUSTER_NATS_URL": f"nats://127.0.0.1:{centre.ways['nats'].port}",
                "MUSTER_NATS_PUBLIC_URL": self.nats.url,
                "MUSTER_ALERTS_CONFIG": str(self.folder / "alertmanager.yml"),
                "MUSTER_WEB_LISTEN_ADDRESS": f"127.0.0.1:{centre.port}",
                "MUSTER_LEASE_SECONDS": str(self.lease_seconds),
                "MUSTER_LOOPS": centre.loops,
                "MUSTER_LOG_FORMAT": "json",
            },
        )
        said = process.log.stat().st_size if process.log.exists() else 0

        def listens() -> bool:
            with process.log.open("rb") as file:
                file.seek(said)
                return b"Listening on" in file.read()

        centre.process = process
        await process.start(listens, time.monotonic() + START_SECONDS)
        return centre

    def release_of(self, name: str) -> dict[str, str]:
        """As the environment of its process."""
        return {"PYTHONPATH": str(self.releases[name])} if name in self.releases else {}

    async def join(self, cluster: str, seed: int) -> None:
        def invited() -> list[str]:
            with self.installation.client() as client:
                return self.installation.invite(client, cluster, {})

        joining = await asyncio.to_thread(invited)
        await self.start_agent(cluster, seed, *joining)

    async def start_agent(self, cluster: str, seed: int, *joining: str) -> None:
        arguments = ["--simulate", "edge", "--seed", str(seed), *self.quick, *joining]
        await self.installation.start_agent(cluster, arguments, self.release_of(cluster))

    async def whole(self) -> None:
        """Every centre runs, unhindered, and is ready; one of them leads."""
        for name, centre in self.centres.items():
            centre.mend()
            if centre.running:
                centre.wake()
            else:
                await self.start(name)
        for centre in self.centres.values():
            await eventually(
                f"{centre.name} is ready", lambda url=centre.url: self.answer(url, "/readyz"), _is_200, 60.0
            )
        await eventually("one leads", self.leader, bound_seconds=60.0)

    # From outside.

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return [dict(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    async def leader(self, role: str = "deciding") -> Replica | None:
        rows = await self.rows(
            "select holder from lease where role = $1 and expires_at > clock_timestamp()", role
        )
        pids = {each.pid: each for each in self.centres.values() if each.running}
        return pids.get(int(rows[0]["holder"].rsplit("-", 2)[1])) if rows else None

    async def until_led(self, role: str = "deciding") -> Replica:
        found = await eventually(f"one leads in {role}", lambda: self.leader(role))
        assert found is not None
        return found

    async def epoch(self) -> int:
        (row,) = await self.rows("select max(epoch) as epoch from epoch where role = 'deciding'")
        return row["epoch"]

    async def seconds_until_decided(self, since: float, after_epoch: int) -> float:
        """From `since` (of the monotonic clock) until a decision of a later epoch is committed."""
        connection = await asyncpg.connect(self.dsn)
        try:
            while not await connection.fetchval(
                "select exists(select from placement where epoch > $1)", after_epoch
            ):
                assert time.monotonic() - since < START_SECONDS, "nobody decides"
                await asyncio.sleep(0.02)
            return time.monotonic() - since
        finally:
            await connection.close()

    async def answer(self, url: str, path: str) -> tuple[int, Any]:
        """(status, body); 0 for no answer."""
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, verify=False) as client:
            try:
                reply = await client.get(f"{url}{path}", headers=self.headers)
            except httpx.HTTPError:
                return 0, None
            return reply.status_code, reply.json()

    async def put(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> Any:
        """By the first centre."""
        path = f"/api/v1/{manifest['kind'].lower()}s/{manifest['metadata']['name']}"
        url = f"{self.urls[0]}{path}{'?dryRun=true' if dry_run else ''}"
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, verify=False) as client:
            answer = await client.put(url, headers=self.headers, json=manifest)
            assert answer.is_success, answer.text
            return answer.json()

    async def nothing_is_doubled(self) -> None:
        """Placed once, charged once, and no order followed by an older one."""
        await eventually("each workload is placed once", lambda: self.rows(UNPLACED), lambda rows: not rows)
        assert await self.rows(UNEQUAL) == [], "the ledger is the balances"
        # What has just been told to run with fewer is charged until its pods are gone.
        await eventually("what runs is charged once", lambda: self.rows(CHARGED), lambda rows: not rows)
        assert self.orders.went_back() == {}
        ((forged,),) = [tuple(row.values()) for row in await self.rows(FORGED)]
        assert forged == 0, "an epoch that was over gave orders"


def _is_200(answered: tuple[int, Any]) -> bool:
    return answered[0] == 200


@asynccontextmanager
async def running_replicas(
    loops: Mapping[str, str],
    *,
    lease_seconds: float = 2.0,
    releases: Mapping[str, Path] | None = None,
    quick: Sequence[str] = QUICK_SIMULATED,
) -> AsyncGenerator[Replicas]:
    """loops: by name of the centre, what it runs. quick: arguments of the agents."""
    folder = open_folder()
    own = keys.load_or_init(folder / "keys")
    nats = EmbeddedNats(folder / "nats", Trust.of(own, (Subjects(),), int(time.time())))
    postgres = EmbeddedPostgres(folder / "postgres", durable=False)
    installation = Installation(folder, port=free_port())
    tokens = folder / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"{token_entry('test', Role.ADMIN, installation.token)}\n")
    try:
        async with nats, postgres, webhook() as receiver:
            (folder / "alertmanager.yml").write_text(CONFIGURATION.format(url=receiver.url))
            dsn = await postgres.ensure_database("muster")
            replicas = Replicas(
                *(folder, nats, postgres, dsn, receiver, installation),
                lease_seconds=lease_seconds,
                releases=dict(releases or {}),
                quick=quick,
            )
            try:
                for name, named in loops.items():
                    replicas.add(name, named)
                await asyncio.gather(*map(replicas.start, loops))
                async with watched(replicas.orders, folder / "keys", nats.url):
                    for seed, cluster in enumerate(CLUSTERS):
                        await replicas.join(cluster, seed)
                    yield replicas
            finally:
                await _end(replicas)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _end(replicas: Replicas) -> None:
    for centre in replicas.centres.values():
        if centre.running:
            centre.wake()
        centre.mend()
    await replicas.installation.stop()
    for centre in replicas.centres.values():
        if centre.process is not None:
            await centre.process.stop()
    replicas.carried.close()


def turns(urls: Sequence[str], first: int) -> Iterator[str]:
    """All of them, beginning with another each time."""
    for number in range(len(urls)):
        yield urls[(first + number) % len(urls)]
