"""Interpreters: what is declared of kinds, who uses it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.known.interpreters import target, users
from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord
from controlplane.queries.documents import Listing, document_manifest
from controlplane.queries.tables import Table


@dataclass(frozen=True)
class InterpreterRow:
    """components: their names, or the paths where they stand. workloads: with an object of the kind."""

    name: str
    group: str
    kind: str
    components: tuple[str, ...]
    divisible: bool
    workloads: int
    resource_version: int
    manifest: Mapping[str, Any]


def _rows(known: Known) -> Callable[[DocumentRecord], InterpreterRow]:
    def row(record: DocumentRecord) -> InterpreterRow:
        spec = record.spec
        return InterpreterRow(
            name=record.name,
            group=spec["group"],
            kind=spec["kind"],
            components=tuple(each.get("name") or each.get("at") or "pods" for each in spec["components"]),
            divisible=spec.get("divisible", False),
            workloads=len(users(known.workloads.values(), target(record))),
            resource_version=record.resource_version,
            manifest=document_manifest("Interpreter", record),
        )

    return row


INTERPRETERS: Listing[InterpreterRow] = Listing(
    "Interpreter",
    InterpreterRow,
    Table(
        fields={
            "name": lambda row: row.name,
            "group": lambda row: row.group,
            "kind": lambda row: row.kind,
            "divisible": lambda row: row.divisible,
            "workloads": lambda row: row.workloads,
        },
        identity=lambda row: row.name,
    ),
    _rows,
)
