"""PagerDuty's Events API: an incident a group, opened by what fires, resolved when all of it is over."""

import json
from typing import Any

from controlplane.alerts.notice import Answer
from controlplane.channels.answers import Reply, by_status, json_of, quoted
from controlplane.channels.http import Outgoing
from controlplane.channels.letters import Letter
from schemas.manifests.alertmanager_services import PagerdutyConfig

_V1 = "https://events.pagerduty.com/generic/2010-04-15/create_event.json"
_MOST_BYTES = 512_000
_DETAILS = {
    "firing": '{{ template("pagerduty.default.instances", Alerts.Firing) }}',
    "resolved": '{{ template("pagerduty.default.instances", Alerts.Resolved) }}',
    "num_firing": "{{ Alerts.Firing|length }}",
    "num_resolved": "{{ Alerts.Resolved|length }}",
}


def pagerduty(letter: Letter) -> list[Outgoing]:
    """service_key: version 1 of the API; routing_key: version 2."""
    settings: PagerdutyConfig = letter.settings
    action = "trigger" if letter.fires else "resolve"
    service_key = letter.secret("service_key")
    message = _first(letter, action, service_key) if service_key else _second(letter, settings, action)
    body = json.dumps(message, ensure_ascii=False).encode()
    if len(body) > _MOST_BYTES:
        said = {"error": f"left out: the event was larger than {_MOST_BYTES} bytes"}
        if service_key:
            message["details"] = said
        else:
            message["payload"]["custom_details"] = said
        body = json.dumps(message, ensure_ascii=False).encode()
    return [Outgoing(_V1 if service_key else settings.url or "", body)]


def _first(letter: Letter, action: str, key: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "service_key": key,
        "event_type": action,
        "incident_key": letter.group_hash,
        "description": letter.title("description", "pagerduty.default.description", 1_024),
        "details": _details(letter),
    }
    if letter.fires:
        message["client"] = letter.text("client", "pagerduty.default.client")
        message["client_url"] = letter.text("client_url", "pagerduty.default.clientURL")
    return message


def _second(letter: Letter, settings: PagerdutyConfig, action: str) -> dict[str, Any]:
    client = letter.text("client", "pagerduty.default.client")
    payload = {
        "summary": letter.title("description", "pagerduty.default.description", 1_024),
        "source": letter.text("source") or client,
        "severity": letter.text("severity") or "error",
        "class": letter.text("class_"),
        "component": letter.text("component"),
        "group": letter.text("group"),
        "custom_details": _details(letter),
    }
    images = [_filled(letter, "images", each, ("src", "alt", "href")) for each in settings.images]
    links = [_filled(letter, "links", each, ("href", "text")) for each in settings.links]
    return {
        "routing_key": letter.secret("routing_key"),
        "event_action": action,
        "dedup_key": letter.group_hash,
        "client": client,
        "client_url": letter.text("client_url", "pagerduty.default.clientURL"),
        "payload": {name: value for name, value in payload.items() if value},
        "images": [each for each in images if each["src"]],
        "links": [each for each in links if each["href"]],
    }


def _details(letter: Letter) -> dict[str, str]:
    sources = _DETAILS | letter.settings.details
    return {name: letter.filled(f"details.{name}", source) for name, source in sources.items()}


def _filled(letter: Letter, field: str, each: Any, names: tuple[str, ...]) -> dict[str, str]:
    return {name: letter.filled(f"{field}.{name}", getattr(each, name)) for name in names}


def pagerduty_answer(reply: Reply, now: float) -> Answer:
    """403 is the first version's word for too many."""
    answer, body = by_status(reply, now, again=(403,)), json_of(reply)
    errors = body.get("errors")
    if not answer.delivered and isinstance(errors, list):
        said = quoted(f"{body.get('message', '')}: {', '.join(map(str, errors))}")  # pyright: ignore
        return Answer(False, answer.retry, answer.code, said, answer.retry_after_seconds)
    return answer
