"""Alertmanager's webhook, version 4: its body, and an idempotency key in a header."""

import json

from controlplane import tracing
from controlplane.alerts.notice import Answer
from controlplane.alerts.rendering import webhook_body
from controlplane.channels.answers import Reply, Undeliverable, by_status
from controlplane.channels.http import Outgoing
from controlplane.channels.letters import Letter
from schemas.wire.traces import TRACEPARENT

IDEMPOTENCY_KEY = "Idempotency-Key"


def webhook(letter: Letter) -> list[Outgoing]:
    url = letter.secret("url")
    if not url:
        raise Undeliverable("url is empty once it is filled in")
    body = json.dumps(webhook_body(letter.data), ensure_ascii=False, separators=(",", ":"))
    headers = {IDEMPOTENCY_KEY: letter.key}
    if trace := tracing.current():
        headers[TRACEPARENT] = trace
    return [Outgoing(url, body.encode(), headers=headers, host_is_filled_in=letter.host_is_filled_in("url"))]


def webhook_answer(reply: Reply, now: float) -> Answer:
    return by_status(reply, now)
