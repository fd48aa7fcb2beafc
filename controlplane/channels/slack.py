"""Slack, by an incoming webhook or chat.postMessage: one attachment, as Alertmanager sends it."""

import json
from typing import Any

from controlplane.alerts.notice import Answer
from controlplane.channels.answers import Reply, by_status, json_of, quoted, retry_after_seconds
from controlplane.channels.http import Outgoing
from controlplane.channels.letters import Letter, in_characters
from schemas.manifests.alertmanager_channels import SlackAction, SlackConfig

_MOST_TITLE = 1_024
_MOST_TEXT = 30_000
_MARKDOWN_IN = ("fallback", "pretext", "text")
_AGAIN = frozenset(("ratelimited", "rate_limited", "service_unavailable", "internal_error", "fatal_error"))


def slack(letter: Letter) -> list[Outgoing]:
    settings: SlackConfig = letter.settings
    message = {
        "channel": letter.text("channel"),
        "username": letter.text("username", "slack.default.username"),
        "icon_emoji": letter.text("icon_emoji", "slack.default.iconemoji"),
        "icon_url": letter.text("icon_url", "slack.default.iconurl"),
        "link_names": settings.link_names,
        "attachments": [_attachment(letter, settings)],
    }
    body = {name: value for name, value in message.items() if value}
    return [Outgoing(letter.secret("api_url"), json.dumps(body, ensure_ascii=False).encode())]


def _attachment(letter: Letter, settings: SlackConfig) -> dict[str, Any]:
    always = {
        "text": letter.fitted("text", "slack.default.text", _MOST_TEXT, in_characters),
        "fallback": letter.text("fallback", "slack.default.fallback"),
        "callback_id": letter.text("callback_id", "slack.default.callbackid"),
        "footer": letter.text("footer", "slack.default.footer"),
    }
    where_said = {
        "title": letter.title("title", "slack.default.title", _MOST_TITLE),
        "title_link": letter.text("title_link", "slack.default.titlelink"),
        "pretext": letter.text("pretext", "slack.default.pretext"),
        "image_url": letter.text("image_url"),
        "thumb_url": letter.text("thumb_url"),
        "color": letter.text("color", "slack.default.color"),
        "mrkdwn_in": settings.mrkdwn_in or list(_MARKDOWN_IN),
        "fields": [
            {
                "title": letter.filled(f"fields[{place}].title", each.title),
                "value": letter.filled(f"fields[{place}].value", each.value),
                "short": settings.short_fields if each.short is None else each.short,
            }
            for place, each in enumerate(settings.fields)
        ],
        "actions": [_action(letter, each) for each in settings.actions],
    }
    return always | {name: value for name, value in where_said.items() if value}


def _action(letter: Letter, action: SlackAction) -> dict[str, Any]:
    names = ("type", "text", "url", "style", "name", "value")
    filled: dict[str, Any] = {name: letter.filled(f"actions.{name}", getattr(action, name)) for name in names}
    if action.confirm is not None:
        asked = action.confirm
        parts = ("text", "title", "ok_text", "dismiss_text")
        filled["confirm"] = {
            part: letter.filled(f"confirm.{part}", getattr(asked, part))
            for part in parts
            if getattr(asked, part)
        }
    return {name: value for name, value in filled.items() if value}


def slack_answer(reply: Reply, now: float) -> Answer:
    """An API answers `ok` in JSON, a webhook the text `ok`; both by HTTP 200 also when it is not."""
    if not reply.good:
        return by_status(reply, now)
    if reply.headers.get("Content-Type", "").startswith("application/json"):
        body = json_of(reply)
        if body.get("ok") is True:
            return Answer(delivered=True, code="ok")
        error = quoted(str(body.get("error") or reply.text))
        after = retry_after_seconds(reply.headers, now)
        return Answer(False, not body or error in _AGAIN, error, quoted(reply.text), after)
    if reply.text.strip() == "ok":
        return Answer(delivered=True, code="ok")
    return Answer(False, False, f"HTTP {reply.status}", quoted(reply.text))
