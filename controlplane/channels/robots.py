"""Robots of chat groups: DingTalk, Feishu and Lark, WeCom. A body with a code, not HTTP, says success."""

import base64
import hmac
import json
from hashlib import sha256
from typing import Any
from urllib.parse import quote_plus

from controlplane.alerts.notice import Answer
from controlplane.channels.answers import Codes, Reply, by_code
from controlplane.channels.http import Outgoing
from controlplane.channels.letters import Letter, in_bytes
from schemas.manifests.alertmanager_channels import DingtalkConfig, FeishuConfig, WecomConfig

_DINGTALK_BYTES = 20_000
_FEISHU_BYTES = 30 * 1024
_WECOM_BYTES = {"text": 2_048, "markdown": 4_096}
_WECOM_URL = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key="
_MOST_TITLE = 200
_ROOM = 64
"""Bytes of a message that are left free: vendors do not say what exactly they count."""

DINGTALK = Codes(("errcode",), ("errmsg",), frozenset((130101, 410100, 90030)))
"""130101: more than 20 a minute, says DingTalk; 410100: the same of its newer service."""
FEISHU = Codes(("code", "StatusCode"), ("msg", "StatusMessage"), frozenset((9499, 11232)), wait_seconds=30.0)
WECOM = Codes(("errcode",), ("errmsg",), frozenset((45009, 45033)))
"""45009: more than 20 a minute; 45033: too many at once."""


def dingtalk_signature(secret: str, milliseconds: int) -> str:
    """base64(HMAC-SHA256(key: secret, "ts\\nsecret"))."""
    said = f"{milliseconds}\n{secret}".encode()
    return base64.b64encode(hmac.digest(secret.encode(), said, sha256)).decode()


def feishu_signature(secret: str, seconds: int) -> str:
    """base64(HMAC-SHA256(key: "ts\\nsecret", nothing))."""
    return base64.b64encode(hmac.digest(f"{seconds}\n{secret}".encode(), b"", sha256)).decode()


def dingtalk(letter: Letter) -> list[Outgoing]:
    settings: DingtalkConfig = letter.settings
    url, secret = letter.secret("url"), letter.secret("secret")
    if secret:
        milliseconds = int(letter.now * 1000)
        signed = quote_plus(dingtalk_signature(secret, milliseconds))
        url += f"{'&' if '?' in url else '?'}timestamp={milliseconds}&sign={signed}"
    title = letter.title("title", "muster.default.title", _MOST_TITLE)
    names = [*settings.at.mobiles, *settings.at.user_ids]
    called = "\n\n" + " ".join(f"@{name}" for name in names) if names else ""
    at = {"atMobiles": settings.at.mobiles, "atUserIds": settings.at.user_ids, "isAtAll": settings.at.all}

    def framed(text: str) -> str:
        if settings.message_type == "text":
            return _json({"msgtype": "text", "text": {"content": text + called}, "at": at})
        return _json({"msgtype": "markdown", "markdown": {"title": title, "text": text + called}, "at": at})

    default = "muster.default.markdown" if settings.message_type == "markdown" else "muster.default.text"
    text = letter.fitted("text", default, _DINGTALK_BYTES - _ROOM, frame=framed)
    return [Outgoing(url, framed(text).encode())]


def feishu(letter: Letter) -> list[Outgoing]:
    settings: FeishuConfig = letter.settings
    secret, signed = letter.secret("secret"), dict[str, Any]()
    if secret:
        seconds = int(letter.now)
        signed = {"timestamp": str(seconds), "sign": feishu_signature(secret, seconds)}
    title = letter.title("title", "muster.default.title", _MOST_TITLE)

    def framed(text: str) -> str:
        return _json({**signed, **_feishu_content(settings.message_type, title, text, letter.fires)})

    defaults = {"interactive": "markdown_body", "post": "text_body", "text": "text"}
    default = f"muster.default.{defaults[settings.message_type]}"
    text = letter.fitted("text", default, _FEISHU_BYTES - _ROOM, frame=framed)
    return [Outgoing(letter.secret("url"), framed(text).encode())]


def _feishu_content(kind: str, title: str, text: str, fires: bool) -> dict[str, Any]:
    if kind == "text":
        return {"msg_type": "text", "content": {"text": text}}
    if kind == "post":
        post = {"title": title, "content": [[{"tag": "text", "text": text}]]}
        return {"msg_type": "post", "content": {"post": {"zh_cn": post}}}
    header = {"title": {"tag": "plain_text", "content": title}, "template": "red" if fires else "green"}
    elements = [{"tag": "markdown", "content": text}]
    card = {"config": {"wide_screen_mode": True}, "header": header, "elements": elements}
    return {"msg_type": "interactive", "card": card}


def wecom(letter: Letter) -> list[Outgoing]:
    settings: WecomConfig = letter.settings
    url = letter.secret("url") or _WECOM_URL + quote_plus(letter.secret("key"))
    kind = settings.message_type
    default = "muster.default.markdown" if kind == "markdown" else "muster.default.text"
    content: dict[str, Any] = {"content": letter.fitted("text", default, _WECOM_BYTES[kind], in_bytes)}
    if kind == "text":
        content["mentioned_list"] = settings.mentioned
        content["mentioned_mobile_list"] = settings.mentioned_mobiles
    return [Outgoing(url, _json({"msgtype": kind, kind: content}).encode())]


def dingtalk_answer(reply: Reply, now: float) -> Answer:
    return by_code(reply, DINGTALK, now)


def feishu_answer(reply: Reply, now: float) -> Answer:
    return by_code(reply, FEISHU, now)


def wecom_answer(reply: Reply, now: float) -> Answer:
    return by_code(reply, WECOM, now)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
