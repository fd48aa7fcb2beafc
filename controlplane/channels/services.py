"""Services that Alertmanager knows beside the great ones: their messages and their limits, as it has them."""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode

from controlplane.alerts.notice import Answer
from controlplane.channels.answers import Reply, by_status, json_of, quoted
from controlplane.channels.http import Outgoing
from controlplane.channels.letters import Letter, in_characters
from schemas.manifests.alertmanager_services import (
    DiscordConfig,
    OpsgenieConfig,
    PushoverConfig,
    RocketchatConfig,
    TelegramConfig,
    VictoropsConfig,
)

_PUSHOVER = "https://api.pushover.net/1/messages.json"
_RED, _GREEN = "8C1A1A", "2DC72D"
_MOST_TELEGRAM = 4_096
_MOST_TEAMS_BYTES = 24_000
_FORM = "application/x-www-form-urlencoded"


def opsgenie(letter: Letter) -> list[Outgoing]:
    """The alias is the group: it is opened once, and closed when all of it is over."""
    settings: OpsgenieConfig = letter.settings
    base = f"{(settings.api_url or '').rstrip('/')}/v2/alerts"
    headers = {"Authorization": f"GenieKey {letter.secret('api_key')}"}
    source = letter.text("source", "opsgenie.default.source")
    by_alias = f"{base}/{letter.group_hash}/{{}}?identifierType=alias"
    if not letter.fires:
        return [_json(by_alias.format("close"), {"source": source}, headers)]
    message = letter.title("message", "opsgenie.default.message", 130)
    description = letter.fitted("description", "opsgenie.default.description", 15_000, in_characters)
    details = letter.data.CommonLabels.plain()
    details |= {name: letter.filled(f"details.{name}", text) for name, text in settings.details.items()}
    opened = {
        "alias": letter.group_hash,
        "message": message,
        "description": description,
        "details": details,
        "source": source,
        "responders": list(_responders(letter, settings)),
        "tags": _split(letter.text("tags")),
        "note": letter.text("note"),
        "priority": letter.text("priority"),
        "entity": letter.text("entity"),
        "actions": _split(letter.text("actions")),
    }
    requests = [_json(base, {name: value for name, value in opened.items() if value}, headers)]
    if settings.update_alerts:
        requests.append(_json(by_alias.format("message"), {"message": message}, headers, "PUT"))
        requests.append(_json(by_alias.format("description"), {"description": description}, headers, "PUT"))
    return requests


def _responders(letter: Letter, settings: OpsgenieConfig) -> Iterable[dict[str, str]]:
    for each in settings.responders:
        names = ("id", "name", "username", "type")
        filled = {name: letter.filled(f"responders.{name}", getattr(each, name)) for name in names}
        if filled["type"] == "teams":
            yield from ({"name": team, "type": "team"} for team in _split(filled["name"]))
        elif filled["id"] or filled["name"] or filled["username"]:
            yield {name: value for name, value in filled.items() if value}


def victorops(letter: Letter) -> list[Outgoing]:
    settings: VictoropsConfig = letter.settings
    kind = letter.text("message_type")
    kind = "RECOVERY" if not letter.fires else kind if kind in {"INFO", "WARNING", "CRITICAL"} else "CRITICAL"
    message = {
        "message_type": kind,
        "entity_id": letter.group_hash,
        "entity_display_name": letter.text("entity_display_name", "victorops.default.entity_display_name"),
        "state_message": letter.fitted(
            "state_message", "victorops.default.state_message", 20_480, in_characters
        ),
        "monitoring_tool": letter.text("monitoring_tool", "victorops.default.monitoring_tool"),
    }
    message |= {
        name: letter.filled(f"custom_fields.{name}", text) for name, text in settings.custom_fields.items()
    }
    key, route = (quote(part, safe="") for part in (letter.secret("api_key"), letter.text("routing_key")))
    return [_json(f"{(settings.api_url or '').rstrip('/')}/{key}/{route}", message)]


def telegram(letter: Letter) -> list[Outgoing]:
    """A page of HTML is never cut inside: where one alert is too long, it goes as plain text."""
    settings: TelegramConfig = letter.settings
    mode, name = settings.parse_mode, "telegram.default.message"
    html = mode == "HTML"
    if html and len(letter.text("message", name, letter.data.first(1), html=True)) > _MOST_TELEGRAM - 32:
        mode, html = "", False
    message = {
        "chat_id": settings.chat_id,
        "text": letter.fitted("message", name, _MOST_TELEGRAM, _in_utf16, html=html),
        "disable_web_page_preview": True,
        "disable_notification": settings.disable_notifications,
        "parse_mode": mode,
        "message_thread_id": settings.message_thread_id,
    }
    url = f"{(settings.api_url or '').rstrip('/')}/bot{letter.secret('bot_token')}/sendMessage"
    return [_json(url, {name: value for name, value in message.items() if value})]


def telegram_answer(reply: Reply, now: float) -> Answer:
    answer, body = by_status(reply, now), json_of(reply)
    parameters: Any = body.get("parameters")
    after = parameters.get("retry_after") if isinstance(parameters, dict) else None  # pyright: ignore
    if isinstance(after, int | float) and answer.retry:
        return Answer(False, True, answer.code, quoted(str(body.get("description", ""))), float(after))
    if answer.delivered and body.get("ok") is not True:
        return Answer(False, True, answer.code, answer.detail)
    return answer


def _in_utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def discord(letter: Letter) -> list[Outgoing]:
    settings: DiscordConfig = letter.settings
    embed = {
        "title": letter.title("title", "discord.default.title", 256),
        "description": letter.fitted("message", "discord.default.message", 4_096, in_characters),
        "color": int(_RED if letter.fires else _GREEN, 16),
    }
    message: dict[str, Any] = {
        "content": letter.fitted("content", "discord.default.content", 2_000, in_characters),
        "embeds": [embed],
    }
    beside = {"username": settings.username, "avatar_url": settings.avatar_url}
    message |= {name: letter.filled(name, text) for name, text in beside.items() if text}
    return [_json(letter.secret("webhook_url"), message)]


def msteams(letter: Letter) -> list[Outgoing]:
    card = {
        "@context": "http://schema.org/extensions",
        "type": "MessageCard",
        "title": letter.title("title", "msteams.default.title", 1_024),
        "summary": letter.title("summary", "msteams.default.summary", 1_024),
        "text": letter.fitted("text", "msteams.default.text", _MOST_TEAMS_BYTES),
        "themeColor": _RED if letter.fires else _GREEN,
    }
    return [_json(letter.secret("webhook_url"), card)]


def msteamsv2(letter: Letter) -> list[Outgoing]:
    title = letter.title("title", "msteamsv2.default.title", 1_024)
    text = letter.fitted("text", "msteamsv2.default.text", _MOST_TEAMS_BYTES)
    color = "attention" if letter.fires else "good"
    heading = {"weight": "Bolder", "size": "Medium", "wrap": True, "style": "heading", "color": color}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": title, **heading},
            {"type": "TextBlock", "text": text, "wrap": True},
        ],
        "msteams": {"width": "full"},
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return [_json(letter.secret("webhook_url"), {"type": "message", "attachments": [attachment]})]


def msteams_answer(reply: Reply, now: float) -> Answer:
    """Teams says HTTP 200 also when its own endpoint behind did not take it."""
    if reply.good and "failed with error" in reply.text:
        return Answer(False, "429" in reply.text, f"HTTP {reply.status}", quoted(reply.text))
    return by_status(reply, now)


def pushover(letter: Letter) -> list[Outgoing]:
    settings: PushoverConfig = letter.settings
    message = letter.fitted("message", "pushover.default.message", 1_024, in_characters, html=settings.html)
    default = "2" if letter.fires else "0"
    form = {
        "token": letter.secret("token"),
        "user": letter.secret("user_key"),
        "title": letter.title("title", "pushover.default.title", 250),
        "message": message.strip() or "(no details)",
        "url": letter.title("url", "pushover.default.url", 512),
        "url_title": letter.text("url_title"),
        "priority": default if settings.priority is None else letter.text("priority"),
        "retry": str(int(settings.retry)),
        "expire": str(int(settings.expire)),
        "device": letter.text("device"),
        "sound": letter.text("sound"),
        "ttl": str(int(settings.ttl) or ""),
        "html": "1" if settings.html else "",
    }
    body = urlencode({name: value for name, value in form.items() if value})
    return [Outgoing(_PUSHOVER, body.encode(), _FORM)]


def webex(letter: Letter) -> list[Outgoing]:
    message = {
        "markdown": letter.fitted("message", "webex.default.message", 7_439),
        "roomId": letter.text("room_id"),
    }
    return [_json(letter.settings.api_url or "", message)]


def rocketchat(letter: Letter) -> list[Outgoing]:
    settings: RocketchatConfig = letter.settings
    attachment: dict[str, Any] = {
        "title": letter.title("title", "rocketchat.default.title", 1_024),
        "title_link": letter.text("title_link", "rocketchat.default.titlelink"),
        "text": letter.fitted("text", "rocketchat.default.text", 5_000, in_characters),
        "image_url": letter.text("image_url"),
        "thumb_url": letter.text("thumb_url"),
        "color": letter.text("color", "slack.default.color"),
        "fields": [
            {
                "title": letter.filled("fields.title", each.title),
                "value": letter.filled("fields.value", each.value),
                "short": settings.short_fields if each.short is None else each.short,
            }
            for each in settings.fields
        ],
        "actions": [
            {"type": "button"}
            | {name: letter.filled(f"actions.{name}", getattr(each, name)) for name in ("text", "url", "msg")}
            for each in settings.actions
        ],
    }
    message: dict[str, Any] = {
        "channel": letter.text("channel"),
        "emoji": letter.text("emoji", "rocketchat.default.emoji"),
        "avatar": letter.text("icon_url", "rocketchat.default.iconurl"),
        "attachments": [{name: value for name, value in attachment.items() if value}],
    }
    headers = {"X-User-Id": letter.secret("token_id"), "X-Auth-Token": letter.secret("token")}
    url = f"{(settings.api_url or '').rstrip('/')}/api/v1/chat.postMessage"
    return [_json(url, {name: value for name, value in message.items() if value}, headers)]


def rocketchat_answer(reply: Reply, now: float) -> Answer:
    body = json_of(reply)
    if reply.good and body.get("success") is not True:
        return Answer(False, not body, f"HTTP {reply.status}", quoted(str(body.get("error") or reply.text)))
    return by_status(reply, now)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _json(url: str, value: Any, headers: dict[str, str] | None = None, method: str = "POST") -> Outgoing:
    body = json.dumps(value, ensure_ascii=False).encode()
    return Outgoing(url, body, headers=headers or {}, method=method)
