"""Flavors: which nodes are of them, what they cost, who has quota of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord
from controlplane.queries.documents import Listing, document_manifest, part
from controlplane.queries.tables import Table


@dataclass(frozen=True)
class FlavorRow:
    """features: `cpu.cpuid AMXTILE`. prices: for an hour, as they were written. tenants: with quota of it."""

    name: str
    node_labels: Mapping[str, str]
    features: tuple[str, ...]
    currency: str
    prices: Mapping[str, str]
    tenants: tuple[str, ...]
    resource_version: int
    manifest: Mapping[str, Any]


def _rows(known: Known) -> Callable[[DocumentRecord], FlavorRow]:
    tenants: dict[str, list[str]] = {}
    for name, each in sorted(known.tenants.items()):
        for flavor in part(each.spec, "quota").get("flavors", ()):
            tenants.setdefault(flavor["name"], []).append(name)

    def row(record: DocumentRecord) -> FlavorRow:
        spec, prices = record.spec, part(record.spec, "prices")
        return FlavorRow(
            name=record.name,
            node_labels=spec.get("nodeLabels", {}),
            features=tuple(
                f"{match['feature']} {name}"
                for match in spec.get("features", ())
                for name in match.get("matchExpressions", {})
            ),
            currency=prices.get("currency", ""),
            prices={name: str(price) for name, price in prices.get("perHour", {}).items()},
            tenants=tuple(tenants.get(record.name, ())),
            resource_version=record.resource_version,
            manifest=document_manifest("Flavor", record),
        )

    return row


FLAVORS: Listing[FlavorRow] = Listing(
    "Flavor",
    FlavorRow,
    Table(
        fields={
            "name": lambda row: row.name,
            "currency": lambda row: row.currency,
            "tenant": lambda row: row.tenants,
        },
        identity=lambda row: row.name,
    ),
    _rows,
)
