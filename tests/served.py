"""`muster serve` as a process on a Postgres of the test, and a webhook receiver that remembers."""

import asyncio
import re
import signal
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from controlplane.embedded.processes import ServerProcess

START_SECONDS = 60.0
NO_NATS = "nats://127.0.0.1:1"
_LISTENING = re.compile(r"Listening on.* address=(\S+)")


@dataclass(frozen=True)
class Message:
    """What a webhook brought. key: its idempotency key."""

    key: str
    at: float
    body: dict[str, Any]

    @property
    def group(self) -> str:
        return self.body["groupKey"]

    @property
    def status(self) -> str:
        return self.body["status"]

    @property
    def names(self) -> set[str]:
        return {alert["labels"]["instance"] for alert in self.body["alerts"]}


@dataclass
class Webhook:
    """status: what it answers."""

    url: str = ""
    status: int = 200
    messages: list[Message] = field(default_factory=list[Message])

    async def take(self, request: web.Request) -> web.Response:
        key = request.headers.get("Idempotency-Key", "")
        self.messages.append(Message(key, time.time(), await request.json()))
        return web.Response(status=self.status)


@asynccontextmanager
async def webhook() -> AsyncGenerator[Webhook]:
    taken = Webhook()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/", taken.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    taken.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield taken
    finally:
        await runner.cleanup()


@dataclass
class Served:
    """One process; started again, it listens elsewhere and its log goes on."""

    folder: Path
    environment: Mapping[str, str]
    process: ServerProcess | None = None
    _read_to: int = 0

    async def start(self, failpoints: str = "", **settings: str) -> None:
        """Returns once it says that it listens. ServerDidNotStart with its last lines."""
        self.folder.mkdir(parents=True, exist_ok=True)
        process = ServerProcess(
            name="centre",
            command=[sys.executable, "-m", "controlplane"],
            folder=self.folder,
            stop_signal=signal.SIGTERM,
            environment={
                "MUSTER_DATA_DIR": str(self.folder / "data"),
                "MUSTER_NATS_URL": NO_NATS,
                "MUSTER_LEASE_SECONDS": "1.5",
                "MUSTER_WEB_LISTEN_ADDRESS": "127.0.0.1:0",
                "MUSTER_FAILPOINTS": failpoints,
                **self.environment,
                **settings,
            },
        )
        self._read_to = process.log.stat().st_size if process.log.exists() else 0
        self.process = process
        await process.start(lambda: self.addresses() != [], time.monotonic() + START_SECONDS)

    def log(self) -> str:
        """Of this start."""
        assert self.process is not None
        with self.process.log.open("rb") as file:
            file.seek(self._read_to)
            return file.read().decode(errors="replace")

    def addresses(self) -> list[str]:
        """All that it said it listens on."""
        return _LISTENING.findall(self.log())

    @property
    def url(self) -> str:
        return f"http://{self.addresses()[0]}"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    async def stop(self) -> None:
        if self.process is not None:
            await self.process.stop()

    async def post(self, alerts: list[dict[str, Any]]) -> None:
        """As Prometheus does: again until it is taken, whoever died meanwhile."""
        deadline = time.monotonic() + START_SECONDS
        async with httpx.AsyncClient(timeout=10.0, verify=False) as client:
            while True:
                try:
                    answer = await client.post(f"{self.url}/api/v2/alerts", json=alerts)
                except (httpx.HTTPError, IndexError) as error:
                    if time.monotonic() > deadline:
                        raise AssertionError("nobody takes alerts") from error
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code == 200:
                    return
                assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.1)

    async def get(self, path: str) -> Any:
        async with httpx.AsyncClient(timeout=30.0, verify=False) as client:
            answer = await client.get(f"{self.url}{path}")
            assert answer.status_code == 200, answer.text
            return answer.json()
