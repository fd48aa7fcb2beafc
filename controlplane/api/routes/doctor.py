"""What is wrong, as the process that answers sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends, Response

from controlplane.access.tokens import Act
from controlplane.api.answers import answer, documented, versioned
from controlplane.api.bearer import require
from controlplane.api.ports import ApiDeps, Doctor
from controlplane.doctor.checks import worst


@dataclass(frozen=True)
class Examination:
    """level: the worst of its checks: ok, warn or fail. checks: check, about, level, finding, message, means,
    do. version: of the centre."""

    version: str
    level: str
    checks: tuple[Mapping[str, Any], ...]


def router(deps: ApiDeps, doctor: Doctor) -> APIRouter:
    api = versioned(tags=["health"])

    @api.get(
        "/doctor",
        dependencies=[Depends(require(deps.access, Act.READ))],
        responses=documented(Examination, "Every check, with what helps where one is not ok"),
    )
    async def examine() -> Response:
        """Looks at Postgres, NATS, keys, disk, leases, streams and clusters, each within a bound."""
        checks = tuple(check.as_data() for check in await doctor.examine())
        waiting = [{"what": each.what, "message": each.message} for each in deps.not_ready()]
        examined = Examination(version("muster"), worst(each["level"] for each in checks), checks)
        return answer({**vars(examined), "waiting_for": waiting})

    return api
