"""Under which condition a write is made: If-Match, If-None-Match, Idempotency-Key."""

import re

from fastapi import Request

from controlplane import tracing
from controlplane.access.tokens import Principal
from controlplane.api.problems import invalid
from controlplane.intent import Write

_ETAG = re.compile(r'"(\d{1,18})"|(\d{1,18})')
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def write_of(request: Request, principal: Principal, default_if_match: int | None = None) -> Write:
    """The write that these headers ask for; 400 names the header that is wrong.

    default_if_match: where the write is made of what was read, and the request says nothing.
    """
    if_match = _if_match(request)
    key = _idempotency_key(request)
    return Write(principal.name, default_if_match if if_match is None else if_match, key, tracing.current())


def _if_match(request: Request) -> int | None:
    none_match, match = request.headers.get("if-none-match"), request.headers.get("if-match")
    if none_match is not None:
        if none_match.strip() != "*" or match is not None:
            raise invalid("If-None-Match", "only * (must not exist yet), and not beside If-Match", 400)
        return 0
    if match is None:
        return None
    found = _ETAG.fullmatch(match.strip())
    if found is None:
        raise invalid("If-Match", f'{match[:80]!r} is no ETag of ours; they look like "17"', 400)
    return int(found[1] or found[2])


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise invalid("Idempotency-Key", "1 to 200 printable ASCII characters without spaces", 400)
    return key
