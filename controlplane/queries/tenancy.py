"""Whether what is written keeps to its tenant. Pure checks over what is known; placement checks again."""

from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.interpreters import Interpretation
from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord
from controlplane.known.views import Views
from controlplane.placement.claims import Claim, Clash, clashes, outside
from controlplane.placement.compiled import tenant_rule
from schemas.manifests import TenantSpec
from schemas.wire.orders import ObjectRef


@dataclass(frozen=True)
class Trespass:
    """What of a workload its tenant may not have. missing: there is no such tenant."""

    tenant: str
    missing: bool = False
    patterns: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    cluster_scoped: tuple[ObjectRef, ...] = ()


def trespass(known: Known, tenant: str, interpretation: Interpretation) -> Trespass | None:
    """None when the workload keeps to its tenant, or has none."""
    if not tenant:
        return None
    record = known.tenants.get(tenant)
    if record is None:
        return Trespass(tenant, missing=True)
    patterns = TenantSpec.model_validate(record.spec).namespaces
    strangers = tuple(outside(interpretation.namespaces, patterns))
    if strangers or interpretation.cluster_scoped:
        return Trespass(tenant, False, tuple(patterns), strangers, interpretation.cluster_scoped)
    return None


def tenant_clashes(known: Known, name: str, spec: TenantSpec, now: float) -> list[Clash]:
    """Namespaces that another tenant claims in a cluster where both may go."""
    others = [_claim(record) for record in known.tenants.values() if record.name != name]
    return clashes(Claim(tenant_rule(name, spec), tuple(spec.namespaces)), others, Views(known).all(now))


def workloads_of(known: Known, tenant: str) -> Sequence[str]:
    """Names of the living workloads of a tenant, sorted."""
    return sorted(
        record.name for record in known.workloads.values() if record.tenant == tenant and not record.deleted
    )


def _claim(record: DocumentRecord) -> Claim:
    spec = TenantSpec.model_validate(record.spec)
    return Claim(tenant_rule(record.name, spec), tuple(spec.namespaces))
