"""Whether what is declared, granted and charged allows a request for quota: asked inside its transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.intent import QuotaAmounts, QuotaDraft, Unfit
from controlplane.known.records import DocumentRecord, QuotaRequestRecord, RequestState
from controlplane.quota.changing import BOUNDING, SpecCache, adopted, declared_of
from controlplane.quota.declared import cohort_quota, granted, tenant_quota
from controlplane.quota.overused import not_there, overused
from controlplane.quota.problems import Declared
from controlplane.quota.quota import Amounts, CohortQuota, FlavorResource, Limits, TenantQuota
from controlplane.quota.tree import Tree
from controlplane.store import quota_head
from controlplane.store.codecs import Connection
from controlplane.store.quota_asking import flat
from schemas.quantities import quantity_text

_DOCUMENTS = "select kind, name, spec, resource_version from document where kind = any($1)"
_CHARGED = (
    "select tenant, flavor, resource, sum(amount) as amount from balance where resource = any($1)"
    " group by tenant, flavor, resource"
)
MOST_NAMED = 20
_specs = SpecCache()


@dataclass(frozen=True)
class Bounds:
    """What bounds quota: documents, grants in force, and what is charged, by tenant.

    tenants: names of all, also of those without a quota.
    """

    tenants: frozenset[str]
    declared: Declared
    grants: tuple[QuotaRequestRecord, ...] = ()
    charged: Mapping[str, Amounts] | None = None

    @classmethod
    def of(
        cls,
        documents: Mapping[str, Iterable[DocumentRecord]],
        grants: Iterable[QuotaRequestRecord] = (),
        charged: Mapping[str, Amounts] | None = None,
        specs: SpecCache | None = None,
    ) -> "Bounds":
        """documents: by kind. specs: of other looks at the same documents."""
        names = frozenset(each.name for each in documents.get("Tenant", ()))
        return cls(names, declared_of(documents, specs or SpecCache()), tuple(grants), charged)

    def at(
        self, now: float, grants: Iterable[QuotaRequestRecord]
    ) -> tuple[dict[str, TenantQuota], dict[str, CohortQuota]]:
        return granted(
            {name: tenant_quota(name, spec, now) for name, spec in self.declared.tenants.items()},
            {name: cohort_quota(name, spec, now) for name, spec in self.declared.cohorts.items()},
            grants,
            now,
        )


def check_draft(draft: QuotaDraft, bounds: Bounds) -> None:
    """Raises Unfit where there is no such tenant or flavor, or the tenant is not bounded."""
    if draft.tenant not in bounds.tenants:
        raise Unfit(("tenant", f"there is no tenant {draft.tenant!r}"))
    if draft.tenant not in bounds.declared.tenants:
        raise Unfit(("tenant", f"tenant {draft.tenant!r} has no quota: it is not bounded, and needs none"))
    missing = [flavor for flavor in draft.amounts if flavor not in bounds.declared.flavors]
    if missing:
        has = ", ".join(each.name for each in bounds.declared.tenants[draft.tenant].flavors)
        said = f"tenant {draft.tenant!r} has {has}" if has else "and the tenant has none"
        raise Unfit(*((f"amounts.{flavor}", f"there is no flavor {flavor!r}: {said}") for flavor in missing))


def check_moved(bounds: Bounds, after: QuotaRequestRecord, now: float) -> None:
    """Of a request as it would be from now on, granted or given back. Raises Unfit, naming who is in the way.

    Refused is what takes more than there is, and what leaves somebody with less than is used already.
    """
    is_grant = after.state is RequestState.GRANTED
    others = [each for each in bounds.grants if each.id != after.id]
    if is_grant and after.tenant not in bounds.declared.tenants:
        raise Unfit(("tenant", f"tenant {after.tenant!r} has no quota any more: it is not bounded"))
    if is_grant and after.taken_from is not None:
        _check_donor(after, *bounds.at(now, others))
    before_tenants, before_cohorts = bounds.at(now, bounds.grants)
    tenants, cohorts = bounds.at(now, [*others, after] if is_grant else others)
    found = overused(
        Tree.of(before_tenants.values(), before_cohorts.values()),
        Tree.of(tenants.values(), cohorts.values()),
        {name: adopted(tenants.get(name), each) for name, each in (bounds.charged or {}).items()},
    )
    if found:
        field = "taken_from" if is_grant and after.taken_from else "amounts"
        raise Unfit(*((field, str(each)) for each in found[:MOST_NAMED]))


def beyond_nominal(
    bounds: Bounds, ended: Sequence[QuotaRequestRecord], now: float
) -> dict[int, QuotaAmounts]:
    """Of grants that end together, by id: what their tenants use above what is theirs then, if anything."""
    gone = {each.id for each in ended}
    tenants, _ = bounds.at(now, [each for each in bounds.grants if each.id not in gone])
    found: dict[int, QuotaAmounts] = {}
    for record in ended:
        quota = tenants.get(record.tenant)
        used = adopted(quota, (bounds.charged or {}).get(record.tenant, {}))
        if quota is None or record.state is not RequestState.GRANTED:
            continue
        over: dict[str, dict[str, str]] = {}
        for flavor, resource in flat(record.amounts):
            key = flavor, resource
            more = used.get(key, 0) - quota.limits.get(key, Limits()).nominal
            if more > 0:
                over.setdefault(flavor, {})[resource] = quantity_text(resource, more)
        found[record.id] = over
    return found


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
    rows = await connection.fetch(
        f"{_DOCUMENTS} and (kind = 'Tenant' and name = $2 or kind = 'Flavor' and name = any($3))",
        list(BOUNDING),
        draft.tenant,
        list(draft.amounts),
    )
    check_draft(draft, Bounds.of(_by_kind(rows)))


async def check_stored(connection: Connection, after: QuotaRequestRecord, now: float) -> None:
    """As check_moved, of what is stored, under the lock of quota_head: `after` is not written yet."""
    check_moved(await _stored(connection, [after]), after, now)


async def beyond_stored(
    connection: Connection, ended: Sequence[QuotaRequestRecord], now: float
) -> dict[int, QuotaAmounts]:
    """As beyond_nominal, of what is stored: none of them has ended yet."""
    return beyond_nominal(await _stored(connection, ended), ended, now)


async def _stored(connection: Connection, about: Sequence[QuotaRequestRecord]) -> Bounds:
    """charged: of the resources that these are about, now and as they are stored."""
    documents = _by_kind(await connection.fetch(_DOCUMENTS, list(BOUNDING)))
    grants = [quota_head.request_of(dict(row)) for row in await connection.fetch(quota_head.GRANTED)]
    ids = {each.id for each in about}
    touched = [*about, *(each for each in grants if each.id in ids)]
    resources = {resource for each in touched for _, resource in flat(each.amounts)}
    charged: dict[str, dict[FlavorResource, int]] = {}
    for row in await connection.fetch(_CHARGED, sorted(resources)):
        charged.setdefault(row["tenant"], {})[row["flavor"], row["resource"]] = int(row["amount"])
    return Bounds.of(documents, grants, charged, _specs)


def _by_kind(rows: Iterable[Any]) -> dict[str, list[DocumentRecord]]:
    found: dict[str, list[DocumentRecord]] = {}
    for row in rows:
        fields = dict(row)
        found.setdefault(str(fields.pop("kind")), []).append(DocumentRecord(**fields))
    return found
