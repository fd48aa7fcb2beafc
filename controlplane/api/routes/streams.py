"""The streams: is anything missing on the way between a cluster and the centre."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from controlplane.access.tokens import Act
from controlplane.api.answers import CONTINUE, answer, documented, page_query, versioned
from controlplane.api.bearer import require
from controlplane.api.ports import ApiDeps
from controlplane.queries.paging import Page, Query
from controlplane.queries.rows import StreamRow
from controlplane.queries.streams import list_streams


def router(deps: ApiDeps) -> APIRouter:
    api = versioned(tags=["clusters"])

    @api.get(
        "/streams",
        dependencies=[Depends(require(deps.access, Act.READ))],
        responses=documented(Page[StreamRow], "Streams"),
        openapi_extra=CONTINUE,
    )
    async def list_(query: Annotated[Query, Depends(page_query)]) -> Response:
        """Filter and sort by cluster, reports_behind, spool_depth."""
        return answer(list_streams(deps.known, query))

    return api
