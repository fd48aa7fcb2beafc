"""The load of alerting: the same for Muster and for Alertmanager, by one HTTP client that costs little."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

BATCH = 100
CONNECTIONS = 4
WARMING = 50
"""First messages after a start, of either server, that are not counted."""
_END = b"@@@@-@@-@@T@@:@@:@@Z"


def configuration(sink: str, *, routes: int = 500, inhibitions: int = 0, group_wait: str = "5m") -> str:
    """Alertmanager's own file, in JSON (which is YAML): `routes` teams, each with a route and a receiver."""
    teams = [f"team-{number:03}" for number in range(routes)]
    children = [{"matchers": [f'team="{team}"'], "receiver": team} for team in teams]
    receivers = [
        {"name": name, "webhook_configs": [{"url": sink, "send_resolved": False}]}
        for name in ("default", *teams)
    ]
    rules = [
        {
            "source_matchers": [f'alertname="Down-{number:04}"', 'severity="critical"'],
            "target_matchers": [f'depends="{number:04}"', 'severity="warning"'],
            "equal": ["site"],
        }
        for number in range(inhibitions)
    ]
    route = {
        "receiver": "default",
        "group_by": ["team", "service"],
        "group_wait": group_wait,
        "group_interval": "5m",
        "repeat_interval": "4h",
        "routes": children,
    }
    return json.dumps({"route": route, "receivers": receivers, "inhibit_rules": rules})


def fleet_alerts(groups: int = 5_000, each: int = 10, teams: int = 500) -> list[dict[str, str]]:
    """Labels of groups x each alerts, as Prometheus sends them."""
    return [
        {
            "alertname": "InstanceDown",
            "cluster": f"cluster-{group % 50:02}",
            "instance": f"10.{group // 256}.{group % 256}.{number}:9100",
            "job": "node",
            "service": f"service-{group:05}",
            "severity": "warning",
            "team": f"team-{group % teams:03}",
        }
        for group in range(groups)
        for number in range(each)
    ]


def bodies(labels: Sequence[dict[str, str]]) -> list[bytes]:
    """Requests of BATCH alerts, but for the time at which they end."""
    made: list[bytes] = []
    for start in range(0, len(labels), BATCH):
        alerts = [
            {
                "labels": each,
                "annotations": {"summary": f"{each['alertname']} on {each.get('instance', '')}"},
                "startsAt": "2026-01-01T00:00:00.000Z",
                "endsAt": _END.decode(),
                "generatorURL": "http://prometheus.example/graph?g0.expr=up+%3D%3D+0",
            }
            for each in labels[start : start + BATCH]
        ]
        made.append(json.dumps(alerts, separators=(",", ":")).encode())
    return made


def ending(body: bytes, seconds: float) -> bytes:
    """The same, ending so long from now."""
    at = datetime.fromtimestamp(time.time() + seconds, UTC)
    return body.replace(_END, at.strftime("%Y-%m-%dT%H:%M:%SZ").encode())


class Connection:
    """One connection that is kept, with just enough of HTTP/1.1."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=2**26)

    async def post(self, body: bytes) -> int:
        head = (
            f"POST /api/v2/alerts HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        return (await self._answer())[0]

    async def get(self, path: str) -> tuple[int, bytes]:
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        return await self._answer()

    async def _answer(self) -> tuple[int, bytes]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.decode().split("\r\n")[1:])
        }
        if fields.get("transfer-encoding") == "chunked":
            return status, await self._chunks()
        return status, await self._reader.readexactly(int(fields.get("content-length", "0")))

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int((await self._reader.readline()).split(b";")[0], 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readline()
        return b"".join(parts)

    def close(self) -> None:
        self._writer.close()


async def flood(host: str, port: int, made: Sequence[bytes], seconds: float) -> float:
    """Alerts accepted a second: every batch once, so that all are known, then again and again for so long."""
    connections = [Connection(host, port) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(each.open() for each in connections))
    await _send(connections, iter([ending(body, 3600) for body in made]))
    until = time.perf_counter() + seconds
    began = time.perf_counter()
    sent = await _send(connections, _again(made, until))
    took = time.perf_counter() - began
    for each in connections:
        each.close()
    return sent * BATCH / took


def _again(made: Sequence[bytes], until: float) -> Iterator[bytes]:
    while True:
        for body in made:
            if time.perf_counter() > until:
                return
            yield ending(body, 3600)


async def _send(connections: Sequence[Connection], requests: Iterator[bytes]) -> int:
    async def worker(connection: Connection) -> int:
        sent = 0
        for body in requests:
            status = await connection.post(body)
            assert status == 200, status
            sent += 1
        return sent

    return sum(await asyncio.gather(*map(worker, connections)))


@dataclass
class Sink:
    """A webhook that notes when it first heard of each service."""

    heard: dict[str, float] = field(default_factory=dict[str, float])
    port: int = 0

    async def open(self) -> None:
        app = web.Application(client_max_size=2**28)
        app.router.add_post("/", self._hear)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _hear(self, request: web.Request) -> web.Response:
        at = time.perf_counter()
        body: dict[str, Any] = await request.json()
        for alert in body["alerts"]:
            self.heard.setdefault(alert["labels"]["service"], at)
        return web.Response()


async def accept_to_webhook(
    host: str, port: int, sink: Sink, *, per_second: int = 50, seconds: float = 8
) -> list[float]:
    """Seconds from sending one alert of a new group to its webhook, at group_wait 0, sorted."""
    connection = Connection(host, port)
    await connection.open()
    sent: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(int(per_second * seconds)):
        await asyncio.sleep(max(0.0, began + number / per_second - loop.time()))
        labels = {
            "alertname": "Latency",
            "team": f"team-{number % 500:03}",
            "service": f"latency-{number:05}",
        }
        service = labels["service"]
        (body,) = bodies([labels])
        sent[service] = time.perf_counter()
        assert await connection.post(ending(body, 3600)) == 200
    deadline = time.perf_counter() + 30
    while not sent.keys() <= sink.heard.keys():
        assert time.perf_counter() < deadline, f"{len(sent.keys() - sink.heard.keys())} never came"
        await asyncio.sleep(0.01)
    connection.close()
    counted = list(sent.items())[WARMING:]
    return sorted(sink.heard[service] - at for service, at in counted)


async def listing_seconds(host: str, port: int, count: int, path: str = "/api/v2/alerts") -> float:
    """How long it takes to list all that is active; the best of three."""
    connection = Connection(host, port)
    await connection.open()
    took: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        status, body = await connection.get(path)
        took.append(time.perf_counter() - began)
        assert status == 200, body[:200]
        assert len(json.loads(body)) == count
    connection.close()
    return min(took)
