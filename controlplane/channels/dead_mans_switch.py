"""A call to whoever is outside and alarms when we stay silent."""

from collections.abc import Callable

import msgspec

from controlplane.alerts.notice import Answer
from controlplane.channels.answers import Undeliverable, by_status
from controlplane.channels.http import Http, Outgoing
from schemas.manifests.alertmanager_http import HttpConfig

CALL_SECONDS = 10.0


class HttpSwitch:
    """`loops.alert_ports.DeadMansSwitch`: a POST that says who is well, and when."""

    def __init__(self, http: Http, now: Callable[[], float], name: str) -> None:
        self._http = http
        self._now = now
        self._name = name

    async def call(self, url: str) -> Answer:
        body = msgspec.json.encode({"status": "alive", "service": self._name, "at": self._now()})
        try:
            reply = await self._http.send(Outgoing(url, body), HttpConfig(), CALL_SECONDS)
        except Undeliverable as error:
            return Answer(delivered=False, detail=str(error))
        return by_status(reply, self._now())
