"""Cohorts: where each stands in the tree, and who is directly under it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord
from controlplane.queries.documents import Listing, document_manifest, part
from controlplane.queries.tables import Table


@dataclass(frozen=True)
class CohortRow:
    """parent: "" for a root. flavors: of which it has quota of its own."""

    name: str
    parent: str
    cohorts: tuple[str, ...]
    tenants: tuple[str, ...]
    flavors: tuple[str, ...]
    resource_version: int
    manifest: Mapping[str, Any]


def _rows(known: Known) -> Callable[[DocumentRecord], CohortRow]:
    cohorts: dict[str, list[str]] = {}
    tenants: dict[str, list[str]] = {}
    for name, each in sorted(known.documents["Cohort"].records.items()):
        cohorts.setdefault(each.spec.get("parent") or "", []).append(name)
    for name, each in sorted(known.tenants.items()):
        tenants.setdefault(part(each.spec, "quota").get("cohort") or "", []).append(name)

    def row(record: DocumentRecord) -> CohortRow:
        return CohortRow(
            name=record.name,
            parent=record.spec.get("parent") or "",
            cohorts=tuple(cohorts.get(record.name, ())),
            tenants=tuple(tenants.get(record.name, ())),
            flavors=tuple(each["name"] for each in record.spec.get("flavors", ())),
            resource_version=record.resource_version,
            manifest=document_manifest("Cohort", record),
        )

    return row


COHORTS: Listing[CohortRow] = Listing(
    "Cohort",
    CohortRow,
    Table(
        fields={
            "name": lambda row: row.name,
            "parent": lambda row: row.parent,
            "tenant": lambda row: row.tenants,
            "flavor": lambda row: row.flavors,
        },
        identity=lambda row: row.name,
    ),
    _rows,
)
