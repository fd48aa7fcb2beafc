"""Whose a namespace of a cluster is: the one tenant that claims it there."""

from pydantic import ValidationError

from controlplane.known.known import Known
from controlplane.known.records import ClusterRecord, DocumentRecord
from controlplane.known.views import Views
from controlplane.placement.claims import matches
from controlplane.placement.compiled import tenant_rule
from controlplane.placement.filters import tenant_may
from controlplane.placement.rules import ClusterView, TenantRule
from schemas.manifests import TenantSpec

MOST_REMEMBERED = 100_000


class Claiming:
    """Answers from what this process knows. Every tenant is read once for each of its versions."""

    def __init__(self, known: Known, views: Views | None = None) -> None:
        self._known = known
        self._views = views or Views(known)
        self._specs: dict[str, tuple[DocumentRecord, tuple[TenantSpec, TenantRule] | None]] = {}
        self._claimed: dict[str, tuple[str, ...]] = {}
        self._exactly: dict[str, list[str]] = {}
        self._patterns: list[tuple[str, str]] = []
        self._seen_at = -1

    def tenant_of(self, namespace: str, cluster: ClusterRecord | None) -> str:
        """The one tenant that claims it there; "" for none, and where it is not one.

        cluster: None where it is not known: then whoever claims it anywhere.
        """
        claiming = self._claiming(namespace)
        if len(claiming) > 1 and cluster is not None:
            view = self._views.one(cluster, 0.0)
            claiming = tuple(name for name in claiming if self._may(name, view))
        return claiming[0] if len(claiming) == 1 else ""

    def may(self, tenant: str, cluster: ClusterRecord | None) -> bool:
        """Whether a tenant may use the cluster, if there is such a tenant."""
        if self.spec(tenant) is None:
            return False
        return cluster is None or self._may(tenant, self._views.one(cluster, 0.0))

    def spec(self, tenant: str) -> TenantSpec | None:
        read = self._read(tenant)
        return None if read is None else read[0]

    def _may(self, tenant: str, view: ClusterView) -> bool:
        read = self._read(tenant)
        return read is not None and tenant_may(read[1], view)

    def _read(self, tenant: str) -> tuple[TenantSpec, TenantRule] | None:
        record = self._known.tenants.get(tenant)
        if record is None:
            return None
        held = self._specs.get(tenant)
        if held is None or held[0] is not record:
            held = self._specs[tenant] = record, _understood(record)
        return held[1]

    def _claiming(self, namespace: str) -> tuple[str, ...]:
        if self._seen_at != self._known.documents["Tenant"].version:
            self._index()
        found = self._claimed.get(namespace)
        if found is None:
            if len(self._claimed) >= MOST_REMEMBERED:
                self._claimed.clear()
            names = [*self._exactly.get(namespace, ())]
            names += [name for pattern, name in self._patterns if matches(pattern, namespace)]
            found = self._claimed[namespace] = tuple(dict.fromkeys(names))
        return found

    def _index(self) -> None:
        self._seen_at = self._known.documents["Tenant"].version
        self._claimed, self._exactly, self._patterns = {}, {}, []
        for name, record in self._known.tenants.items():
            for pattern in record.spec["namespaces"]:
                if "*" in pattern:
                    self._patterns.append((pattern, name))
                else:
                    self._exactly.setdefault(pattern, []).append(name)


def _understood(record: DocumentRecord) -> tuple[TenantSpec, TenantRule] | None:
    """None for what another release has stored: it stops nobody from looking at the others."""
    try:
        spec = TenantSpec.model_validate(record.spec)
    except ValidationError:
        return None
    return spec, tenant_rule(record.name, spec)
