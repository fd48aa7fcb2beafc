"""Quota: the tree, one tenant's explained, and the ledger."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Query as Parameter

from controlplane.access.tokens import Act
from controlplane.api.answers import CONTINUE, answer, documented, page_query, versioned
from controlplane.api.bearer import require
from controlplane.api.ports import ApiDeps
from controlplane.api.problems import not_found
from controlplane.api.stepping import stepped
from controlplane.known.records import LedgerQuery, RequestState
from controlplane.queries.ledger import cluster_id, ledger_row, workload_uid
from controlplane.queries.paging import MAX_LIMIT, BadQuery, Page, Query
from controlplane.queries.quota import QuotaListing
from controlplane.queries.quota_explained import ExplainingQuota
from controlplane.queries.quota_rows import LedgerRow, QuotaRow, TenantQuotaExplained

_MOST_ID = 2**63 - 1
_MOST_REQUESTS = 100


def router(deps: ApiDeps) -> APIRouter:
    api = versioned(tags=["quota"], dependencies=[Depends(require(deps.access, Act.READ))])
    _add_tree(api, deps)
    _add_ledger(api, deps)
    return api


def _add_tree(api: APIRouter, deps: ApiDeps) -> None:
    @api.get(
        "/quota",
        responses=documented(Page[QuotaRow], "Cohorts and tenants, in the order of their tree"),
        openapi_extra=CONTINUE,
    )
    async def tree(query: Annotated[Query, Depends(page_query)]) -> Response:
        """Filter and sort by kind (Cohort, Tenant), name, parent, root, below (cohorts above it), depth,
        bounded, waiting, share, flavor, resource, borrows, lends, drifts. A tenant without a quota is listed
        while something of it is used."""
        listing = QuotaListing(deps.known, query, deps.clock.now())
        await stepped(listing.steps())
        return answer(listing.page())

    @api.get(
        "/quota/tenants/{name}",
        responses=documented(TenantQuotaExplained, "What it waits for, what it is charged, what would help"),
    )
    async def explain(name: str) -> Response:
        if name not in deps.known.tenants:
            raise not_found(f"tenant {name[:64]!r}")
        pending = await deps.intent.quota_requests(name, (RequestState.PENDING,), 0, _MOST_REQUESTS)
        explaining = ExplainingQuota(deps.known, name, deps.clock.now(), pending)
        await stepped(explaining.steps())
        return answer(explaining.explained())


def _add_ledger(api: APIRouter, deps: ApiDeps) -> None:
    ledger = deps.ledger
    if ledger is None:
        return

    @api.get(
        "/ledger",
        responses=documented(Page[LedgerRow], "Entries, the newest first, each with the balance it left"),
        openapi_extra=CONTINUE,
    )
    async def lines(
        request: Request,
        tenant: str | None = None,
        workload: Annotated[str | None, Parameter(description="Name or uid; empty: of no workload")] = None,
        cluster: Annotated[str | None, Parameter(description="Name or id")] = None,
        flavor: Annotated[str | None, Parameter(description="Empty: what no quota covers")] = None,
        resource: str | None = None,
        since: Annotated[float | None, Parameter(ge=0, description="Unix seconds")] = None,
        until: Annotated[float | None, Parameter(ge=0, description="Unix seconds, not included")] = None,
        limit: Annotated[int, Parameter(ge=1, le=MAX_LIMIT)] = 100,
        oldest_first: Annotated[bool, Parameter(alias="oldestFirst")] = False,
    ) -> Response:
        """Every unit that was charged, released or seen to drift: when, of what, why, by which order."""
        known = deps.known
        query = LedgerQuery(
            tenant=tenant,
            workload=workload_uid(known, workload) if workload else workload,
            cluster=cluster_id(known, cluster) if cluster else cluster,
            flavor=flavor,
            resource=resource,
            since=since,
            until=until,
            after=_after(request),
            limit=limit,
            newest_first=not oldest_first,
        )
        entries = await ledger.ledger_lines(query)
        balances = await ledger.ledger_balances([each.id for each in entries])
        rows = tuple(ledger_row(known, each, balances.get(each.id, 0)) for each in entries)
        return answer(Page(rows, str(rows[-1].id) if len(rows) == limit else ""))


def _after(request: Request) -> int | None:
    text = request.query_params.get("continue", "")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or int(text[:20]) > _MOST_ID:
        raise BadQuery("continue", "not a cursor of this query: take `next` of its last page, unchanged")
    return int(text)
