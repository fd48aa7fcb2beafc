"""Whether what files say of quota goes with itself and with what is there: before any of it is sent."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.cli.files import document
from controlplane.client import Client, ClientError
from controlplane.known.records import DocumentRecord, QuotaRequestRecord, RequestState
from controlplane.migration.onto import onto
from controlplane.quota.changing import BOUNDING, SpecCache, declared_of, problems_of_change
from controlplane.quota.problems import Declared
from controlplane.quota.quota import FlavorResource
from schemas.manifests import Manifest, Tenant


def check_together(client: Client, manifests: Sequence[Manifest]) -> None:
    """ClientError with all that would be refused of what belongs together. The service checks it again."""
    given = {(each.kind, each.metadata.name): each for each in manifests if each.kind in BOUNDING}
    if all(isinstance(each, Tenant) and each.spec.quota is None for each in given.values()):
        return
    stored: dict[tuple[str, str], Mapping[str, Any]] = {
        (kind, row["name"]): row["manifest"] for kind in BOUNDING for row in client.pages(f"/{kind.lower()}s")
    }
    written = {key: onto(document(each), stored.get(key)) for key, each in given.items()}
    before, after = _declared(stored), _declared({**stored, **written})
    found = problems_of_change(before, after, _used(client), _grants(client), time.time())
    if found:
        raise ClientError("\n".join(map(str, found)), "nothing was sent")


def _declared(manifests: Mapping[tuple[str, str], Mapping[str, Any]]) -> Declared:
    records: dict[str, list[DocumentRecord]] = {kind: [] for kind in BOUNDING}
    for (kind, name), each in manifests.items():
        records[kind].append(DocumentRecord(name, each.get("spec", {}), 0))
    return declared_of(records, SpecCache())


def _used(client: Client) -> dict[str, dict[FlavorResource, int]]:
    """By tenant."""
    return {
        row["name"]: {(each["flavor"], each["resource"]): each["used"] for each in row["quotas"]}
        for row in client.pages("/quota", filter="kind=Tenant")
    }


def _grants(client: Client) -> list[QuotaRequestRecord]:
    found: list[QuotaRequestRecord] = []
    for row in client.pages("/quota/requests", state=RequestState.GRANTED.value):
        kind, _, name = str(row["taken_from"]).partition("/")
        fields: dict[str, Any] = dict(row)
        fields["state"] = RequestState.GRANTED
        fields["taken_from"] = (kind.capitalize(), name) if name else None
        found.append(QuotaRequestRecord(**fields))
    return found
