"""Bodies, bounded before they are read, and what they say as plain values or manifests."""

import asyncio
from typing import Any, cast

from fastapi import Request

from controlplane.api.problems import FieldError, Problem, invalid
from controlplane.documents import Unreadable, check_nesting, read_json
from schemas.manifests import Manifest, ManifestError, load_manifests, parse_manifest
from schemas.reasons import Reason

MAX_BODY_BYTES = 1024 * 1024
_OFF_LOOP_ABOVE_BYTES = 16 * 1024
_SOURCE = "body"


async def read_body(request: Request, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The body. 413 as soon as it is known to be over the limit: from its length, or on the way in."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise _too_large(limit_bytes)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        parts.append(part)
    body = b"".join(parts)
    if not body.strip():
        raise _malformed("the body is empty; an object is expected")
    return body


async def read_manifest(request: Request) -> Manifest:
    """One manifest, in JSON where Content-Type says so, else in YAML."""
    body = await read_body(request)
    load = _manifest_of_json if _is_json(request) else _manifest_of_yaml
    try:
        # YAML takes seconds for a megabyte, which no lease and no other reader shall wait for.
        if len(body) > _OFF_LOOP_ABOVE_BYTES:
            return await asyncio.to_thread(load, body)
        return load(body)
    except Unreadable as error:
        raise _malformed(str(error)) from error
    except ManifestError as error:
        raise _refused(error) from error


async def read_object(request: Request, fields: set[str], *, more: bool = False) -> dict[str, Any]:
    """One JSON object. A field that nobody reads is refused: it is a mistake that nobody would see.

    more: it is passed over instead, since programs of a later release may say more.
    """
    body = await read_body(request)
    try:
        value = read_json(body)
    except Unreadable as error:
        raise _malformed(str(error)) from error
    if not isinstance(value, dict):
        raise invalid("", f"a JSON object is expected, this is {type(value).__name__}")
    given = cast(dict[str, Any], value)
    unknown = sorted(set(given) - fields)
    if unknown and not more:
        errors = [FieldError(name, f"unknown field; known: {', '.join(sorted(fields))}") for name in unknown]
        raise Problem(422, Reason.INVALID, f"{unknown[0]}: {errors[0].message}", errors)
    return given


def text_field(body: dict[str, Any], field: str, max_characters: int) -> str:
    """A string of the body; 422 naming the field where it is none."""
    value = body.get(field)
    if not isinstance(value, str) or not value.strip():
        raise invalid(field, "missing; a string with text is needed")
    if len(value) > max_characters:
        raise invalid(field, f"{len(value)} characters; at most {max_characters}")
    return value


def number_field(body: dict[str, Any], field: str, low: int, high: int, default: int | None = None) -> int:
    """A whole number of the body within bounds; 422 naming the field where it is none."""
    value = body.get(field, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise invalid(field, f"a whole number from {low} to {high} is needed")
    return value


def _is_json(request: Request) -> bool:
    return "json" in request.headers.get("content-type", "").lower()


def _manifest_of_json(body: bytes) -> Manifest:
    return parse_manifest(read_json(body), _SOURCE)


def _manifest_of_yaml(body: bytes) -> Manifest:
    check_nesting(body)
    manifests = load_manifests(body, _SOURCE)
    if len(manifests) != 1:
        raise Unreadable(f"{len(manifests)} manifests in one body; send them one at a time")
    return manifests[0]


def _refused(error: ManifestError) -> Problem:
    errors = [FieldError(problem.path, problem.message) for problem in error.problems]
    unreadable = not any(problem.path for problem in error.problems)
    first = errors[0]
    detail = f"{first.field}: {first.message}" if first.field else first.message
    if unreadable:
        return Problem(400, Reason.MALFORMED, detail, errors)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(422, Reason.INVALID, detail + more, errors)


def _malformed(message: str) -> Problem:
    return Problem(400, Reason.MALFORMED, message, [FieldError("", message)])


def _too_large(limit_bytes: int) -> Problem:
    detail = f"the body is larger than {limit_bytes:,} bytes"
    return Problem(413, Reason.BODY_TOO_LARGE, detail, [FieldError("", f"at most {limit_bytes:,} bytes")])
