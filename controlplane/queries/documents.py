"""Documents that are kept by kind and name, as rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord
from controlplane.queries.paging import Page, Query
from controlplane.queries.tables import Table
from schemas.manifests import API_VERSION

Row = TypeVar("Row")


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """How documents of one kind are answered.

    rows: over what is known, how a record becomes a row; what all rows share is worked out once.
    """

    kind: str
    row: type[Row]
    table: Table[Row]
    rows: Callable[[Known], Callable[[DocumentRecord], Row]]

    def page(self, known: Known, query: Query) -> Page[Row]:
        return self.table.page(map(self.rows(known), known.documents[self.kind].records.values()), query)

    def one(self, known: Known, record: DocumentRecord) -> Row:
        return self.rows(known)(record)


@dataclass(frozen=True)
class DocumentRow:
    """Of a kind that has no columns of its own."""

    name: str
    resource_version: int
    manifest: Mapping[str, Any]


def plain_listing(kind: str) -> Listing[DocumentRow]:
    def row(record: DocumentRecord) -> DocumentRow:
        return DocumentRow(record.name, record.resource_version, document_manifest(kind, record))

    table: Table[DocumentRow] = Table({"name": lambda row: row.name}, identity=lambda row: row.name)
    return Listing(kind, DocumentRow, table, lambda _: row)


def document_manifest(kind: str, record: DocumentRecord) -> dict[str, Any]:
    """What could be applied again."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": record.name},
        "spec": record.spec,
    }


def part(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A field of a spec that may be left out, or null."""
    found: Any = spec.get(name)
    return found or {}
