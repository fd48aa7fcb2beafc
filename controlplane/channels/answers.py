"""What a receiver answered, and what follows: delivered, worth another attempt, or in vain."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from controlplane.alerts.notice import Answer

MOST_QUOTED = 500
MOST_RETRY_AFTER_SECONDS = 3600.0
_AGAIN = frozenset((408, 425, 429))
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; text: up to 64 KiB of its body."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


class Undeliverable(Exception):
    """An attempt that ended before anybody answered. retry: whether another may fare better."""

    def __init__(self, detail: str, *, retry: bool = False) -> None:
        super().__init__(detail)
        self.detail, self.retry = detail, retry


def by_status(reply: Reply, now: float, again: Collection[int] = ()) -> Answer:
    """2xx is success. 5xx, 429 and the like are worth another attempt, and so are those in `again`."""
    code = f"HTTP {reply.status}"
    if reply.good:
        return Answer(delivered=True, code=code, detail=quoted(reply.text))
    retry = reply.status >= 500 or reply.status in _AGAIN or reply.status in again
    after = retry_after_seconds(reply.headers, now) if retry else None
    return Answer(False, retry, code, quoted(reply.text), after)


@dataclass(frozen=True, slots=True)
class Codes:
    """How a vendor says in a body what HTTP says by a status. field: of the code; 0 is success.

    limited: sent too fast; a word of `limiting` in the message says so too. busy: worth another attempt.
    """

    fields: tuple[str, ...]
    messages: tuple[str, ...]
    limited: frozenset[int]
    limiting: tuple[str, ...] = ("too fast", "freq", "too many", "限流", "太快", "频")
    busy: frozenset[int] = frozenset((-1,))
    wait_seconds: float = 60.0


def by_code(reply: Reply, codes: Codes, now: float) -> Answer:
    """Success is what the body says, whatever the status."""
    body = json_of(reply)
    code = next((body[name] for name in codes.fields if name in body), None)
    if not isinstance(code, int) or isinstance(code, bool):
        if not reply.good:
            return by_status(reply, now)
        return Answer(False, True, f"HTTP {reply.status}", f"no {codes.fields[0]} in: {quoted(reply.text)}")
    message = quoted(next((str(body[name]) for name in codes.messages if body.get(name)), ""))
    said = f"{codes.fields[0]} {code}"
    if code == 0:
        return Answer(delivered=True, code=said, detail=message)
    limited = code in codes.limited or any(word in message.lower() for word in codes.limiting)
    if limited:
        after = retry_after_seconds(reply.headers, now)
        return Answer(False, True, said, message, codes.wait_seconds if after is None else after)
    return Answer(False, code in codes.busy or reply.status >= 500, said, message)


def json_of(reply: Reply) -> dict[str, Any]:
    """Its body as an object; empty where it is none."""
    try:
        value = json.loads(reply.text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds or a date; an hour at most. None: not said, or nonsense."""
    said = headers.get("Retry-After", "").strip()
    if not said:
        return None
    try:
        seconds = float(said) if said.replace(".", "", 1).isdigit() else _until(said) - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MOST_RETRY_AFTER_SECONDS)


def _until(date: str) -> float:
    moment: datetime = parsedate_to_datetime(date)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def quoted(text: str) -> str:
    """For a log and a page: one line, cut."""
    plain = _UNPRINTED.sub(" ", text[: MOST_QUOTED * 4]).strip()
    return plain if len(plain) <= MOST_QUOTED else plain[:MOST_QUOTED] + "…"
