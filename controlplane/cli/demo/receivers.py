"""Who hears in the demo: the webhook of a business line's owner, and a robot that signs as DingTalk's do.

Both listen on loopback in the demo's own process, and keep what they were told.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

RECEIVER = "retail-oncall"
"""Named by the tenant retail of the samples: `receiver: owner` of the configuration means it."""
_CLOCK_SLACK_SECONDS = 3600.0


@dataclass(frozen=True)
class Message:
    """status: firing or resolved. alerts: how many are in it. title: of the robot's, "" of the webhook's."""

    status: str
    alerts: int
    labels: Mapping[str, str]
    title: str = ""


@dataclass
class Receivers:
    """Opened once; `webhook` and `robot` hold what came, in order."""

    webhook: list[Message] = field(default_factory=list[Message])
    robot: list[Message] = field(default_factory=list[Message])
    _secret: str = field(default_factory=lambda: f"SEC{secrets.token_hex(16)}")
    _token: str = field(default_factory=lambda: secrets.token_hex(16))
    _told: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None
    _port: int = 0

    async def open(self) -> None:
        application = web.Application()
        application.router.add_post("/owner", self._hear_webhook)
        application.router.add_post("/robot/send", self._hear_robot)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def write_configuration(self, path: Path) -> None:
        """Alertmanager's own file, quicker than usual, with one key more: who owns it, hears."""
        address = f"http://127.0.0.1:{self._port}"
        dingtalk = {"url": f"{address}/robot/send?access_token={self._token}", "secret": self._secret}
        receivers = [
            {"name": "central-ops"},
            {
                "name": RECEIVER,
                "webhook_configs": [{"url": f"{address}/owner"}],
                "dingtalk_configs": [dingtalk],
            },
        ]
        route = {
            "receiver": "central-ops",
            "group_by": ["alertname", "workload"],
            "group_wait": "2s",
            "group_interval": "2s",
            "routes": [{"matchers": ['tenant!=""'], "receiver": "owner"}],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps({"route": route, "receivers": receivers}, indent=2))

    async def told(self, status: str, bound_seconds: float) -> bool:
        """Whether both have heard of something with this status, within the bound."""
        try:
            async with asyncio.timeout(bound_seconds):
                while not all(
                    any(message.status == status for message in heard) for heard in (self.webhook, self.robot)
                ):
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            return False
        return True

    async def _hear_webhook(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        self.webhook.append(Message(body["status"], len(body["alerts"]), body["commonLabels"]))
        self._told.set()
        return web.Response()

    async def _hear_robot(self, request: web.Request) -> web.Response:
        """As DingTalk answers: always HTTP 200, and `errcode` says whether it was taken."""
        if request.query.get("access_token") != self._token:
            return web.json_response({"errcode": 300005, "errmsg": "token is not exist"})
        if not self._signed(request.query.get("timestamp", ""), request.query.get("sign", "")):
            return web.json_response({"errcode": 310000, "errmsg": "sign not match"})
        body: dict[str, Any] = await request.json()
        said: dict[str, Any] = body.get(str(body.get("msgtype")), {})
        title = str(said.get("title", ""))
        text = title + str(said.get("text", "")) + str(said.get("content", ""))
        status = "resolved" if "resolved" in text.lower() else "firing"
        self.robot.append(Message(status, 1, {}, title))
        self._told.set()
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    def _signed(self, timestamp: str, sign: str) -> bool:
        if not timestamp.isdigit() or abs(time.time() - int(timestamp) / 1000) > _CLOCK_SLACK_SECONDS:
            return False
        signed = f"{timestamp}\n{self._secret}".encode()
        expected = base64.b64encode(hmac.new(self._secret.encode(), signed, hashlib.sha256).digest())
        return hmac.compare_digest(expected.decode(), sign)
