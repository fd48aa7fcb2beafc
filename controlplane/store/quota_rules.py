"""Whether what is declared, granted and charged allows a request for quota: asked inside its transaction."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.intent import QuotaDraft, Unfit
from controlplane.known.records import QuotaRequestRecord, RequestState
from controlplane.quota.declared import cohort_quota, granted, tenant_quota
from controlplane.quota.overused import not_there, overused
from controlplane.quota.quota import Amounts, CohortQuota, FlavorResource, TenantQuota
from controlplane.quota.tree import Tree
from controlplane.store import documents, quota_head
from controlplane.store.codecs import Connection, transposed
from controlplane.store.quota_asking import flat
from schemas.manifests.cohort import CohortSpec
from schemas.manifests.quota import QuotaSpec

_DOCUMENTS = "select kind, name, spec from document where kind in ('Tenant', 'Cohort', 'Flavor')"
_CHARGED = (
    "select tenant, flavor, resource, sum(amount) as amount from balance where (flavor, resource) in"
    " (select * from unnest($1::text[], $2::text[])) group by tenant, flavor, resource"
)
MOST_NAMED = 20


@dataclass(frozen=True)
class Declared:
    """What bounds quota: documents that do, grants in force, and what is charged, by tenant.

    quotas: of tenants that have one. flavors: names.
    """

    tenants: frozenset[str]
    quotas: Mapping[str, QuotaSpec]
    cohorts: Mapping[str, CohortSpec]
    flavors: frozenset[str]
    grants: tuple[QuotaRequestRecord, ...]
    charged: Mapping[str, Amounts]

    @classmethod
    def of(
        cls,
        found: Mapping[str, Iterable[tuple[str, Any]]],
        grants: Iterable[QuotaRequestRecord] = (),
        charged: Mapping[str, Amounts] | None = None,
    ) -> "Declared":
        """found: by kind, name and spec of each document."""
        quotas = {name: spec["quota"] for name, spec in found.get("Tenant", ()) if spec.get("quota")}
        return cls(
            frozenset(name for name, _ in found.get("Tenant", ())),
            {name: QuotaSpec.model_validate(spec) for name, spec in quotas.items()},
            {name: CohortSpec.model_validate(spec) for name, spec in found.get("Cohort", ())},
            frozenset(name for name, _ in found.get("Flavor", ())),
            tuple(grants),
            charged or {},
        )

    def at(
        self, now: float, grants: Iterable[QuotaRequestRecord]
    ) -> tuple[dict[str, TenantQuota], dict[str, CohortQuota]]:
        return granted(
            {name: tenant_quota(name, spec, now) for name, spec in self.quotas.items()},
            {name: cohort_quota(name, spec, now) for name, spec in self.cohorts.items()},
            grants,
            now,
        )


def check_draft(draft: QuotaDraft, declared: Declared) -> None:
    """Raises Unfit where there is no such tenant or flavor, or the tenant is not bounded."""
    if draft.tenant not in declared.tenants:
        raise Unfit(("tenant", f"there is no tenant {draft.tenant!r}"))
    if draft.tenant not in declared.quotas:
        raise Unfit(("tenant", f"tenant {draft.tenant!r} has no quota: it is not bounded, and needs none"))
    known = declared.flavors | {each.name for each in declared.quotas[draft.tenant].flavors}
    missing = [flavor for flavor in draft.amounts if flavor not in known]
    if missing:
        raise Unfit(*((f"amounts.{flavor}", f"there is no flavor {flavor!r}") for flavor in missing))


def check_moved(declared: Declared, after: QuotaRequestRecord, now: float) -> None:
    """Of a request as it would be from now on, granted or given back. Raises Unfit, naming who is in the way.

    Refused is what takes more than there is, and what leaves somebody with less than is used already.
    """
    others = [each for each in declared.grants if each.id != after.id]
    kept = [*others, after] if after.state is RequestState.GRANTED else others
    before_tenants, before_cohorts = declared.at(now, declared.grants)
    if after.state is RequestState.GRANTED:
        if after.tenant not in declared.quotas:
            raise Unfit(("tenant", f"tenant {after.tenant!r} has no quota any more: it is not bounded"))
        if after.taken_from is not None:
            others_tenants, others_cohorts = declared.at(now, others)
            _check_donor(after, others_tenants, others_cohorts)
    after_tenants, after_cohorts = declared.at(now, kept)
    before = Tree.of(before_tenants.values(), before_cohorts.values())
    found = overused(before, Tree.of(after_tenants.values(), after_cohorts.values()), declared.charged)
    if found:
        field = "taken_from" if after.state is RequestState.GRANTED and after.taken_from else "amounts"
        raise Unfit(*((field, str(each)) for each in found[:MOST_NAMED]))


def _check_donor(
    grant: QuotaRequestRecord, tenants: Mapping[str, TenantQuota], cohorts: Mapping[str, CohortQuota]
) -> None:
    kind, name = grant.taken_from or ("", "")
    donor = tenants.get(name) if kind == "Tenant" else cohorts.get(name)
    found = not_there(donor, kind, name, flat(grant.amounts))
    if found:
        raise Unfit(*(("taken_from", each) for each in found))


async def check_asked(connection: Connection, draft: QuotaDraft) -> None:
    """As check_draft, of what is stored."""
    found = {
        "Tenant": await documents.read(connection, "Tenant", [draft.tenant]),
        "Flavor": await documents.read(connection, "Flavor", draft.amounts),
    }
    rows = {kind: [(each.name, each.spec) for each in records] for kind, records in found.items()}
    check_draft(draft, Declared.of(rows))


async def check_stored(connection: Connection, after: QuotaRequestRecord, now: float) -> None:
    """As check_moved, of what is stored, under the lock of quota_head: `after` is not written yet."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for row in await connection.fetch(_DOCUMENTS):
        found.setdefault(row["kind"], []).append((row["name"], row["spec"]))
    grants = [quota_head.request_of(dict(row)) for row in await connection.fetch(quota_head.GRANTED)]
    touched = [after, *(each for each in grants if each.id == after.id)]
    keys = {key for each in touched for key in flat(each.amounts)}
    charged: dict[str, dict[FlavorResource, int]] = {}
    for row in await connection.fetch(_CHARGED, *transposed(sorted(keys), 2)):
        charged.setdefault(row["tenant"], {})[row["flavor"], row["resource"]] = int(row["amount"])
    check_moved(Declared.of(found, grants, charged), after, now)
