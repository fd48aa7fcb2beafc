"""Interpreters: what Muster shall understand of a kind."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from controlplane.access.tokens import Act, Principal
from controlplane.api.answers import (
    CONTINUE,
    WRITE_HEADERS,
    answer,
    documented,
    manifest_body,
    page_query,
)
from controlplane.api.bearer import require
from controlplane.api.bodies import read_manifest
from controlplane.api.conditions import write_of
from controlplane.api.ports import ApiDeps
from controlplane.api.problems import invalid, not_found
from controlplane.known.records import InterpreterRecord
from controlplane.queries.interpreters import InterpreterRow, interpreter_row, list_interpreters
from controlplane.queries.paging import Page, Query
from schemas.manifests import Interpreter


def router(deps: ApiDeps) -> APIRouter:
    api = APIRouter(tags=["interpreters"])
    reader, writer = require(deps.access, Act.READ), require(deps.access, Act.WRITE)

    @api.get(
        "/interpreters",
        dependencies=[Depends(reader)],
        responses=documented(Page[InterpreterRow], "Interpreters"),
        openapi_extra=CONTINUE,
    )
    async def list_(query: Annotated[Query, Depends(page_query)]) -> Response:
        """Filter and sort by name, group, kind, divisible, workloads."""
        return answer(list_interpreters(deps.known, query))

    @api.get(
        "/interpreters/{name}",
        dependencies=[Depends(reader)],
        responses=documented(InterpreterRow, "One interpreter"),
    )
    async def get(name: str) -> Response:
        record = deps.known.interpreters.records.get(name)
        if record is None:
            raise not_found(f"interpreter {name!r}")
        return _row(deps, record, 200)

    description = "A manifest with `apiVersion: muster.dev/v1` and `kind: Interpreter`."

    @api.put("/interpreters/{name}", openapi_extra=manifest_body(description))
    async def put(name: str, request: Request, principal: Annotated[Principal, Depends(writer)]) -> Response:
        """Make or change it; workloads with objects of its kind are decided on again. 409 where another
        one declares the same kind."""
        manifest = await read_manifest(request)
        if not isinstance(manifest, Interpreter):
            raise invalid("kind", f"{manifest.kind!r}: Interpreter is needed here")
        if manifest.metadata.name != name:
            raise invalid("metadata.name", f"{manifest.metadata.name!r}, but the address says {name!r}")
        spec = manifest.spec.model_dump(by_alias=True, exclude_unset=True)
        is_new = name not in deps.known.interpreters.records
        record = await deps.intent.submit_interpreter(name, spec, write_of(request, principal))
        deps.known.interpreters.put(record)
        return _row(deps, record, 201 if is_new else 200)

    @api.delete("/interpreters/{name}", openapi_extra={"parameters": WRITE_HEADERS}, status_code=204)
    async def delete(
        name: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        """409 while workloads have objects of its kind."""
        await deps.intent.delete_interpreter(name, write_of(request, principal))
        deps.known.interpreters.drop(name)
        return Response(status_code=204)

    return api


def _row(deps: ApiDeps, record: InterpreterRecord, status: int) -> Response:
    return answer(interpreter_row(deps.known, record), status, record.resource_version)
