"""From what people write to what is decided on."""

from collections.abc import Mapping

from controlplane.interpreters import Interpretation
from controlplane.placement.rules import PlacementRequest, TenantRule
from schemas.manifests import TenantSpec, WorkloadSpec


def tenant_rule(name: str, spec: TenantSpec) -> TenantRule:
    raise NotImplementedError


def placement_request(
    uid: str,
    spec: WorkloadSpec,
    interpretation: Interpretation,
    *,
    tenant: TenantRule | None = None,
    current: Mapping[str, int] | None = None,
) -> PlacementRequest:
    raise NotImplementedError
