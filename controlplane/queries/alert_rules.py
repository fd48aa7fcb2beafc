"""Alert rules: what they look at, and what they ask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord
from controlplane.queries.documents import Listing, document_manifest
from controlplane.queries.tables import Table


@dataclass(frozen=True)
class AlertRuleRow:
    name: str
    over: str
    expr: str
    for_: str
    severity: str
    resource_version: int
    manifest: Mapping[str, Any]


def _rows(_: Known) -> Callable[[DocumentRecord], AlertRuleRow]:
    def row(record: DocumentRecord) -> AlertRuleRow:
        spec = record.spec
        return AlertRuleRow(
            name=record.name,
            over=spec["over"],
            expr=spec["expr"],
            for_=spec.get("for", "0s"),
            severity=spec.get("labels", {}).get("severity", ""),
            resource_version=record.resource_version,
            manifest=document_manifest("AlertRule", record),
        )

    return row


ALERT_RULES: Listing[AlertRuleRow] = Listing(
    "AlertRule",
    AlertRuleRow,
    Table(
        fields={
            "name": lambda row: row.name,
            "over": lambda row: row.over,
            "severity": lambda row: row.severity,
        },
        identity=lambda row: row.name,
    ),
    _rows,
)
