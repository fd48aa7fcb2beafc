"""The doors of alerting in front of a real Postgres, with the loops that decide and send running."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from controlplane.access.tokens import Access, Role, token_entry
from controlplane.alert_service import AlertsConfiguration, AlertService, AlertServicePorts
from controlplane.api import ApiDeps, NotReady, create_api
from controlplane.channels.dead_mans_switch import HttpSwitch
from controlplane.channels.http import Http
from controlplane.channels.sending import AsyncChannels
from controlplane.known.known import Known
from controlplane.loops.alert_metrics import AlertMetrics
from controlplane.loops.running import LoopMetrics
from controlplane.store.store import PostgresStore
from tests.integration.api_world import ADMIN, VIEWER, WallClock

PLAIN = "route: {receiver: team, group_wait: 100ms, group_interval: 1s}\nreceivers: [{name: team}]\n"


class LoopClock(WallClock):
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class AlertWorld:
    """client: with the administrator's token. waits: what readiness names."""

    service: AlertService
    app: FastAPI
    client: httpx.AsyncClient
    waits: list[NotReady]

    def as_(self, token: str) -> httpx.AsyncClient:
        return client_of(self.app, token)

    async def post(self, *alerts: dict[str, Any]) -> httpx.Response:
        return await self.client.post("/api/v2/alerts", json=list(alerts))

    async def listed(self, *filters: str) -> list[dict[str, Any]]:
        return (await self.client.get("/api/v2/alerts", params={"filter": list(filters)})).json()


def client_of(app: FastAPI, token: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers)


@asynccontextmanager
async def alert_world(
    dsn: str, folder: Path, configuration: str = PLAIN, *, open_api: bool = False
) -> AsyncGenerator[AlertWorld, None]:
    file = folder / "alertmanager.yml"
    file.write_text(configuration)
    clock, registry, waits = LoopClock(), CollectorRegistry(), list[NotReady]()
    metrics, known = AlertMetrics(registry), Known(loaded=True)
    read = AlertsConfiguration(file, metrics, clock.now)
    channels, http = AsyncChannels(read.current, read.templates, "http://muster", clock.now), Http("muster")
    async with PostgresStore(dsn) as store:
        service = AlertService(
            AlertServicePorts(
                store=store,
                alerts=store.alerting,
                history=store.alerting,
                channels=channels,
                switch=HttpSwitch(http, clock.now, "test"),
                clock=clock,
                metrics=metrics,
                loop_metrics=LoopMetrics(registry),
                rules=store.alerting,
                known=known,
                holder="test",
                lease_seconds=5.0,
            ),
            read,
        )
        running = asyncio.create_task(service.run())
        app = create_api(
            ApiDeps(
                known=known,
                intent=store,
                changes=store,
                registrar=cast(Any, None),
                sealer=cast(Any, None),
                access=Access(
                    (token_entry("ada", Role.ADMIN, ADMIN), token_entry("vera", Role.VIEWER, VIEWER))
                ),
                clock=clock,
                not_ready=lambda: waits,
                random_bytes=secrets.token_bytes,
                metrics=registry,
                alerting=service.doors(open_api=open_api),
            )
        )
        try:
            async with asyncio.timeout(20):
                while not service.follower.loaded:  # noqa: ASYNC110 - it tells by a flag only
                    await asyncio.sleep(0.01)
            headers = {"Authorization": f"Bearer {ADMIN}"}
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://api", headers=headers
            ) as client:
                yield AlertWorld(service, app, client, waits)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await channels.close()
            await http.close()
