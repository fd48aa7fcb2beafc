"""Answers: rows as JSON, with their ETag, and what a list takes for parameters."""

from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi import Query as Parameter

from controlplane.api.problems import etag
from controlplane.queries.paging import DEFAULT_LIMIT, MAX_LIMIT, Query

Kind = TypeVar("Kind")

FILTER = (
    "Terms joined by commas, all of which must hold: `key=value`, `key!=value`, `key in (a,b)`,"
    " `key notin (a,b)`, `key`, `!key`, `key>5`. A key is a field of the rows, else a label of theirs."
)
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details. `errors` name the fields, parameters or headers.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "reason": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What is wrong, and in which field",
        "content": {"application/problem+json": {"schema": _PROBLEM}},
    }
}
PREFIX = "/api/v1"


def versioned(below: str = "", **given: Any) -> APIRouter:
    """Of paths under /api/v1, whose routes are whole: FastAPI makes those of a router that is included with
    a prefix a second time, a tenth of a second while the first request waits."""
    return APIRouter(prefix=PREFIX + below, responses=PROBLEMS, **given)


def answer(value: object, status: int = 200, resource_version: int | None = None, **headers: str) -> Response:
    """`value` as JSON. resource_version: becomes the ETag that If-Match takes."""
    if resource_version is not None:
        headers["ETag"] = etag(resource_version)
    headers.setdefault("Cache-Control", "no-store")
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def page_query(
    request: Request,
    filter: Annotated[str, Parameter(description=FILTER)] = "",
    sort: Annotated[str, Parameter(description="Fields, the largest first behind a `-`: `name,-nodes`")] = "",
    limit: Annotated[int, Parameter(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> Query:
    """The parameters of every list. `continue`: `next` of the page before."""
    return Query(filter, sort, limit, request.query_params.get("continue", ""))


CONTINUE = {
    "parameters": [
        {
            "name": "continue",
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": "`next` of the page before, with the same filter and sort. Rows that come and go"
            " between two pages move no other.",
        }
    ]
}
WRITE_HEADERS: list[dict[str, Any]] = [
    {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": "The ETag that was read; 412 when somebody wrote since.",
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": "The same key with the same content is the same write, however often it is sent.",
    },
]


def manifest_body(description: str) -> dict[str, Any]:
    """OpenAPI of a write that takes a manifest."""
    schema = {"type": "object", "description": description}
    content = {"application/yaml": {"schema": schema}, "application/json": {"schema": schema}}
    return {"parameters": WRITE_HEADERS, "requestBody": {"required": True, "content": content}}


def object_body(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """OpenAPI of a write that takes a JSON object."""
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return {
        "parameters": WRITE_HEADERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
    }


def documented(kind: Any, description: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """What an operation answers with, for OpenAPI."""
    return {status: {"model": kind, "description": description}}
