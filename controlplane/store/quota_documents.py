"""A write of what bounds quota: it stands only if nothing contradicts it that is declared or charged."""

from collections.abc import Iterable, Mapping, Sequence

from controlplane.intent import Taken, Unfit
from controlplane.known.records import Change, DocumentRecord, QuotaRequestRecord
from controlplane.quota.changing import BOUNDING, SpecCache, declared_of, problems_of_change
from controlplane.quota.problems import Declared, QuotaProblem
from controlplane.quota.quota import Amounts, FlavorResource
from controlplane.quota.taking import takes_nothing
from controlplane.store import quota_head, spent
from controlplane.store.codecs import Connection
from schemas.manifests.quota import Budget

MOST_NAMED = 20
_DOCUMENTS = (
    "select kind, name, spec, resource_version from document where kind = any($1) order by kind, name"
)
_CHARGED = (
    "select tenant, flavor, resource, sum(amount) as amount from balance group by tenant, flavor, resource"
)
_specs = SpecCache()
Record = DocumentRecord | None


async def check_and_settle(
    connection: Connection,
    kind: str,
    before: Record,
    after: Record,
    ended: Sequence[QuotaRequestRecord] = (),
) -> Sequence[Change]:
    """After the document is written, under quota_head, where it `moves`. Raises Unfit, Taken: nothing is.

    ended: grants that end with it: what others borrow of them they still use.
    What was spent until now is spent at the prices, and under the budgets, that were in force.
    """
    stored: dict[str, list[DocumentRecord]] = {}
    for row in await connection.fetch(_DOCUMENTS, list(BOUNDING)):
        fields = dict(row)
        stored.setdefault(fields.pop("kind"), []).append(DocumentRecord(**fields))
    old = declared_of(as_it_was(stored, kind, after, before), _specs)
    new = declared_of(stored, _specs)
    stored_grants = [quota_head.request_of(dict(row)) for row in await connection.fetch(quota_head.GRANTED)]
    grants = sorted([*stored_grants, *ended], key=lambda each: each.id)
    now = await connection.fetchval("select extract(epoch from clock_timestamp())::float8")
    record = after or before
    assert record is not None  # noqa: S101 - one of them is there
    charged = await _charged(connection) if await _may_take(connection, old, new, grants, now) else None
    refuse(problems_of_change(old, new, charged, grants, now), kind, record.name)
    was, becomes = changed_budgets(old, new)
    return (await spent.settle_as(connection, was, becomes, old.flavors, now)).changes


def moves(kind: str, before: Record, after: Record) -> bool:
    """Whether it changes what quota is: of a Tenant, most is something else."""
    if kind != "Tenant":
        return True
    return _quota(before) != _quota(after)


def _quota(record: Record) -> object:
    return record.spec.get("quota") if record is not None else None


def as_it_was(
    stored: Mapping[str, Iterable[DocumentRecord]], kind: str, after: Record, before: Record
) -> dict[str, list[DocumentRecord]]:
    """As it was."""
    found = {name: list(records) for name, records in stored.items()}
    if after is not None:
        found[kind] = [each for each in found.get(kind, ()) if each.name != after.name]
    if before is not None:
        found.setdefault(kind, []).append(before)
    return found


def refuse(found: Sequence[QuotaProblem], kind: str, name: str) -> None:
    """Raises Unfit, or Taken where only what is used is in the way. kind, name: of what is written."""
    if not found:
        return
    if all(each.is_of_use for each in found):
        raise Taken("; ".join(map(str, found[:MOST_NAMED])))
    raise Unfit(
        *(
            (each.path, each.message) if (each.kind, each.name) == (kind, name) else ("", str(each))
            for each in found[:MOST_NAMED]
        )
    )


async def _may_take(
    connection: Connection, old: Declared, new: Declared, grants: Sequence[QuotaRequestRecord], now: float
) -> bool:
    """Whether somebody may be left with less. Most take nothing: who leads waits less long for them."""
    uncharged = takes_nothing(old, new, now, grants)
    return uncharged is None or await connection.fetchval(
        "select exists (select from balance where tenant = any($1))", list(uncharged)
    )


async def _charged(connection: Connection) -> dict[str, Amounts]:
    found: dict[str, dict[FlavorResource, int]] = {}
    for row in await connection.fetch(_CHARGED):
        found.setdefault(row["tenant"], {})[row["flavor"], row["resource"]] = int(row["amount"])
    return dict(found)


def changed_budgets(old: Declared, new: Declared) -> tuple[dict[str, Budget], dict[str, Budget]]:
    """Before and after it, by tenant: where the budget changes, or what it is counted in may."""
    was = {name: each.budget for name, each in old.tenants.items() if each.budget is not None}
    becomes = {name: each.budget for name, each in new.tenants.items() if each.budget is not None}
    if old.flavors != new.flavors:
        return was, becomes
    touched = {name for name in {*was, *becomes} if was.get(name) != becomes.get(name)}
    return (
        {name: each for name, each in was.items() if name in touched},
        {name: each for name, each in becomes.items() if name in touched},
    )
