"""Tenants: whose namespaces are whose, and where they may run."""

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
from controlplane.api.remembering import remember_tenant
from controlplane.api.writing import check_tenant, check_unused
from controlplane.known.records import TenantRecord
from controlplane.queries.paging import Page, Query
from controlplane.queries.rows import TenantRow
from controlplane.queries.tenancy import workloads_of
from controlplane.queries.workloads import list_tenants, tenant_row
from schemas.manifests import Tenant


def router(deps: ApiDeps) -> APIRouter:
    api = APIRouter(tags=["tenants"])
    reader, writer = require(deps.access, Act.READ), require(deps.access, Act.WRITE)

    @api.get(
        "/tenants",
        dependencies=[Depends(reader)],
        responses=documented(Page[TenantRow], "Tenants"),
        openapi_extra=CONTINUE,
    )
    async def list_(query: Annotated[Query, Depends(page_query)]) -> Response:
        """Filter and sort by name, namespace, environment, owner, workloads."""
        return answer(list_tenants(deps.known, query))

    @api.get(
        "/tenants/{name}",
        dependencies=[Depends(reader)],
        responses=documented(TenantRow, "One tenant"),
    )
    async def get(name: str) -> Response:
        record = deps.known.tenants.get(name)
        if record is None:
            raise not_found(f"tenant {name!r}")
        return _row(deps, record, 200)

    description = "A manifest with `apiVersion: muster.dev/v1` and `kind: Tenant`."

    @api.put("/tenants/{name}", openapi_extra=manifest_body(description))
    async def put(name: str, request: Request, principal: Annotated[Principal, Depends(writer)]) -> Response:
        """Make or change it. 409 where another tenant claims one of its namespaces in the same cluster."""
        manifest = await read_manifest(request)
        if not isinstance(manifest, Tenant):
            raise invalid("kind", f"{manifest.kind!r}: Tenant is needed here")
        if manifest.metadata.name != name:
            raise invalid("metadata.name", f"{manifest.metadata.name!r}, but the address says {name!r}")
        check_tenant(deps, manifest)
        spec = manifest.spec.model_dump(by_alias=True, exclude_unset=True)
        is_new = name not in deps.known.tenants
        record = await deps.intent.submit_tenant(name, spec, write_of(request, principal))
        remember_tenant(deps.known, record)
        return _row(deps, record, 201 if is_new else 200)

    @api.delete("/tenants/{name}", openapi_extra={"parameters": WRITE_HEADERS}, status_code=204)
    async def delete(
        name: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        """409 while it has workloads."""
        check_unused(deps, name)
        await deps.intent.delete_tenant(name, write_of(request, principal))
        deps.known.tenants.pop(name, None)
        return Response(status_code=204)

    return api


def _row(deps: ApiDeps, record: TenantRecord, status: int) -> Response:
    counts = {record.name: len(workloads_of(deps.known, record.name))}
    return answer(tenant_row(record, counts), status, record.resource_version)
