"""HTTP: REST and OpenAPI, server-sent events, health and metrics. Everything comes in through `ApiDeps`."""

from controlplane.api.ports import ApiDeps, ChangeReader, Joined, JoinRequest, NotReady, Registrar, Sealer
from controlplane.api.server import create_api, create_health

__all__ = [
    "ApiDeps",
    "ChangeReader",
    "JoinRequest",
    "Joined",
    "NotReady",
    "Registrar",
    "Sealer",
    "create_api",
    "create_health",
]
