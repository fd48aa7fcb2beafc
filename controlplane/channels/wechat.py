"""An application of WeCom: a token for the corporation, then the message."""

import json
from typing import Any
from urllib.parse import urlencode

from controlplane.alerts.notice import Answer
from controlplane.channels.answers import Codes, Reply, Undeliverable, by_code, by_status, json_of
from controlplane.channels.http import Http, Outgoing
from controlplane.channels.letters import Letter
from schemas.manifests.alertmanager_http import HttpConfig
from schemas.manifests.alertmanager_services import WechatConfig

_CODES = Codes(("errcode",), ("errmsg",), frozenset((45009, 45033)), busy=frozenset((-1, 40014, 42001)))
_BAD_TOKEN = frozenset((40014, 42001))
_MOST_BYTES = 2_048


class Wechat:
    """Holds a token as long as it is taken. Never says it: secrets are told to the mask by whoever sends."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._tokens: dict[tuple[str, str, str], str] = {}

    async def send(self, letter: Letter, body: bytes) -> Answer:
        settings: WechatConfig = letter.settings
        base, config = (settings.api_url or "").rstrip("/"), settings.http_config or HttpConfig()
        key = base, settings.corp_id, letter.secret("api_secret")
        if key not in self._tokens:
            query = urlencode({"corpid": settings.corp_id, "corpsecret": key[2]})
            reply = await self._http.send(Outgoing(f"{base}/gettoken?{query}", b"", method="GET"), config)
            token = json_of(reply).get("access_token")
            if not isinstance(token, str) or not token:
                return self._refused(reply, letter.now)
            self._tokens[key] = token
        query = urlencode({"access_token": self._tokens[key]})
        reply = await self._http.send(Outgoing(f"{base}/message/send?{query}", body), config)
        if json_of(reply).get("errcode") in _BAD_TOKEN:
            del self._tokens[key]
        return by_code(reply, _CODES, letter.now)

    def _refused(self, reply: Reply, now: float) -> Answer:
        answer = by_code(reply, _CODES, now) if reply.good else by_status(reply, now)
        if answer.delivered:
            raise Undeliverable("no access_token in the answer to gettoken", retry=True)
        return answer


def wechat(letter: Letter) -> bytes:
    settings: WechatConfig = letter.settings
    kind = settings.message_type
    message: dict[str, Any] = {
        "touser": letter.text("to_user", "wechat.default.to_user"),
        "toparty": letter.text("to_party", "wechat.default.to_party"),
        "totag": letter.text("to_tag", "wechat.default.to_tag"),
        "agentid": letter.text("agent_id", "wechat.default.agent_id"),
        "msgtype": kind,
        "safe": "0",
        kind: {"content": letter.fitted("message", "wechat.default.message", _MOST_BYTES)},
    }
    return json.dumps(message, ensure_ascii=False).encode()
