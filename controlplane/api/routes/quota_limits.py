"""Limits of tenants in the member clusters: what is set, and what would be refused."""

from fastapi import APIRouter, Depends, Response

from controlplane.access.tokens import Act
from controlplane.api.answers import answer, documented, versioned
from controlplane.api.bearer import require
from controlplane.api.ports import ApiDeps
from controlplane.api.problems import not_found
from controlplane.api.stepping import stepped
from controlplane.queries.quota_limits import TenantLimits, TenantLimitsRow


def router(deps: ApiDeps) -> APIRouter:
    api = versioned(tags=["quota"], dependencies=[Depends(require(deps.access, Act.READ))])

    @api.get(
        "/quota/tenants/{name}/limits",
        responses=documented(TenantLimitsRow, "By cluster and namespace: what is set, what would be refused"),
    )
    async def limits(name: str) -> Response:
        """ResourceQuota objects of one tenant in the member clusters: as they are ordered, or, where they are
        not enforced, as they would be."""
        looking = TenantLimits(deps.known, name)
        await stepped(looking.steps())
        found = looking.row()
        if found is None:
            raise not_found(f"tenant {name!r}")
        return answer(found)

    return api
