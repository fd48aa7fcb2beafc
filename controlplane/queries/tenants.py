"""Tenants: whose namespaces are whose, and how many workloads each has."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord
from controlplane.queries.documents import Listing, document_manifest, part
from controlplane.queries.tables import Table


@dataclass(frozen=True)
class TenantRow:
    """cohort: "" for none."""

    name: str
    namespaces: tuple[str, ...]
    environments: tuple[str, ...]
    owners: tuple[str, ...]
    cohort: str
    workloads: int
    resource_version: int
    manifest: Mapping[str, Any]


def _rows(known: Known) -> Callable[[DocumentRecord], TenantRow]:
    counts = Counter(record.tenant for record in known.workloads.values() if not record.deleted)

    def row(record: DocumentRecord) -> TenantRow:
        spec = record.spec
        return TenantRow(
            name=record.name,
            namespaces=tuple(spec.get("namespaces", ())),
            environments=tuple(spec.get("environments", ())),
            owners=tuple(str(owner.get("name", "")) for owner in spec.get("owners", ())),
            cohort=part(spec, "quota").get("cohort") or "",
            workloads=counts[record.name],
            resource_version=record.resource_version,
            manifest=document_manifest("Tenant", record),
        )

    return row


TENANTS: Listing[TenantRow] = Listing(
    "Tenant",
    TenantRow,
    Table(
        fields={
            "name": lambda row: row.name,
            "namespace": lambda row: row.namespaces,
            "environment": lambda row: row.environments,
            "owner": lambda row: row.owners,
            "cohort": lambda row: row.cohort,
            "workloads": lambda row: row.workloads,
        },
        identity=lambda row: row.name,
    ),
    _rows,
)
