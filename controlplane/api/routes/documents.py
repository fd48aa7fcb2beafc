"""Kinds that are kept as they stand, by name: each is listed, read, written and deleted alike."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from controlplane.access.tokens import Act, Principal
from controlplane.api.answers import (
    CONTINUE,
    WRITE_HEADERS,
    answer,
    documented,
    manifest_body,
    page_query,
    versioned,
)
from controlplane.api.bearer import require
from controlplane.api.bodies import read_manifest
from controlplane.api.conditions import write_of
from controlplane.api.ports import ApiDeps
from controlplane.api.problems import invalid, not_found
from controlplane.api.writing import check_alert_rule, check_cohort, check_flavor, check_tenant, check_unused
from controlplane.known.records import DocumentRecord
from controlplane.queries.alert_rules import ALERT_RULES
from controlplane.queries.cohorts import COHORTS
from controlplane.queries.documents import Listing
from controlplane.queries.flavors import FLAVORS
from controlplane.queries.interpreters import INTERPRETERS
from controlplane.queries.paging import Page, Query
from controlplane.queries.tenants import TENANTS
from schemas.manifests import DOCUMENTS, Document


async def _anything(*_: Any) -> None:
    """What the manifest's own checks take may be stored."""


def _whatever(*_: Any) -> None:
    """May be deleted."""


@dataclass(frozen=True)
class Offered:
    """One kind, as the API offers it.

    check, check_unused: before it is stored, and before it is deleted; a Problem where it cannot be.
    on_put, on_delete: what OpenAPI says of these.
    """

    listing: Listing[Any]
    check: Callable[[ApiDeps, Any], Awaitable[None]] = _anything
    check_unused: Callable[[ApiDeps, str], None] = _whatever
    on_put: str = "Make or change it."
    on_delete: str = ""

    @property
    def kind(self) -> str:
        return self.listing.kind

    @property
    def plural(self) -> str:
        return f"{self.kind.lower()}s"


OFFERED = (
    Offered(
        TENANTS,
        check_tenant,
        check_unused,
        "Make or change it. 409 where another tenant claims one of its namespaces in the same cluster, or its"
        " quota would be less than what is used. 422 where its quota contradicts itself or other documents.",
        "409 while it has workloads.",
    ),
    Offered(
        COHORTS,
        check_cohort,
        on_put="Make or change it. 422 where it would be its own ancestor, or contradicts itself or other"
        " documents. 409 where less would be left to a tenant than is used.",
        on_delete="409 while a Tenant or another Cohort names it.",
    ),
    Offered(
        FLAVORS,
        check_flavor,
        on_put="Make or change it. What was spent before is not counted anew when prices change.",
        on_delete="409 while a Tenant or Cohort names it, or anything is charged under it.",
    ),
    Offered(
        INTERPRETERS,
        on_put="Make or change it; workloads with objects of its kind are decided on again. 409 where another"
        " one declares the same kind.",
        on_delete="409 while workloads have objects of its kind.",
    ),
    Offered(
        ALERT_RULES,
        check_alert_rule,
        on_put="Make or change it. 422 where its expression is none, or asks for what such a thing has not.",
    ),
)


def routers(deps: ApiDeps) -> list[APIRouter]:
    return [_router(deps, each) for each in OFFERED]


def _router(deps: ApiDeps, offered: Offered) -> APIRouter:
    api = versioned(tags=[offered.plural])
    _add_reads(api, deps, offered)
    _add_writes(api, deps, offered)
    return api


def _add_reads(api: APIRouter, deps: ApiDeps, offered: Offered) -> None:
    reader = require(deps.access, Act.READ)
    listing = offered.listing

    @api.get(
        f"/{offered.plural}",
        dependencies=[Depends(reader)],
        responses=documented(Page[listing.row], f"{offered.kind}s"),
        openapi_extra=CONTINUE,
        description=f"Filter and sort by {', '.join(listing.table.fields)}.",
    )
    async def list_(query: Annotated[Query, Depends(page_query)]) -> Response:
        return answer(listing.page(deps.known, query))

    @api.get(
        f"/{offered.plural}/{{name}}",
        dependencies=[Depends(reader)],
        responses=documented(listing.row, f"One {offered.kind.lower()}"),
    )
    async def get(name: str) -> Response:
        record = deps.known.documents[offered.kind].records.get(name)
        if record is None:
            raise not_found(f"{offered.kind.lower()} {name!r}")
        return _row(deps, offered, record, 200)


def _add_writes(api: APIRouter, deps: ApiDeps, offered: Offered) -> None:
    writer = require(deps.access, Act.WRITE)
    shelf = deps.known.documents[offered.kind]
    body = manifest_body(f"A manifest with `apiVersion: muster.dev/v1` and `kind: {offered.kind}`.")

    @api.put(f"/{offered.plural}/{{name}}", openapi_extra=body, description=offered.on_put)
    async def put(name: str, request: Request, principal: Annotated[Principal, Depends(writer)]) -> Response:
        manifest = await _read(request, offered, name)
        await offered.check(deps, manifest)
        spec = manifest.spec.model_dump(by_alias=True, exclude_unset=True)
        is_new = name not in shelf.records
        record = await deps.intent.submit_document(offered.kind, name, spec, write_of(request, principal))
        shelf.put(record)
        return _row(deps, offered, record, 201 if is_new else 200)

    @api.delete(
        f"/{offered.plural}/{{name}}",
        openapi_extra={"parameters": WRITE_HEADERS},
        status_code=204,
        description=offered.on_delete,
    )
    async def delete(
        name: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        offered.check_unused(deps, name)
        await deps.intent.delete_document(offered.kind, name, write_of(request, principal))
        shelf.drop(name)
        return Response(status_code=204)


async def _read(request: Request, offered: Offered, name: str) -> Document:
    manifest = await read_manifest(request)
    if not isinstance(manifest, DOCUMENTS[offered.kind]):
        raise invalid("kind", f"{manifest.kind!r}: {offered.kind} is needed here")
    if manifest.metadata.name != name:
        raise invalid("metadata.name", f"{manifest.metadata.name!r}, but the address says {name!r}")
    return manifest


def _row(deps: ApiDeps, offered: Offered, record: DocumentRecord, status: int) -> Response:
    return answer(offered.listing.one(deps.known, record), status, record.resource_version)
