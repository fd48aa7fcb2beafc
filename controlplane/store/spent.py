"""What tenants have spent of their budgets: brought up to date before anything changes that it depends on.

Under quota_head, held or advanced; rows of `spent` are locked after it, by tenant, and before any balance.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from controlplane.interpreters import NotUnderstood
from controlplane.known.records import Change, DocumentRecord
from controlplane.quota.changing import SpecCache
from controlplane.quota.declared import flavor_of
from controlplane.quota.paying import Told, paid
from controlplane.quota.quota import Amounts, Flavor, FlavorResource
from controlplane.store import ledger, quota_head
from controlplane.store.codecs import Connection
from controlplane.store.outcomes import DECIDER
from controlplane.store.settlement import changed
from schemas.manifests.cohort import FlavorSpec
from schemas.manifests.quota import Budget

_BUDGETS = (
    "select name, spec #> '{quota,budget}' as budget from document where kind = 'Tenant'"
    " and spec #> '{quota,budget}' is not null"
)
_FLAVORS = "select name, spec, resource_version from document where kind = 'Flavor'"
_CHARGED = (
    "select tenant, flavor, resource, sum(amount) as amount from balance"
    " where tenant = any($1) and flavor <> '' group by tenant, flavor, resource"
)
_specs = SpecCache()


@dataclass(frozen=True)
class Settled:
    """exhausted: tenants that may be charged nothing more. changes: to be appended by who asked."""

    exhausted: frozenset[str] = frozenset()
    changes: tuple[Change, ...] = ()


NOTHING_SETTLED = Settled()


async def settle(connection: Connection, tenants: Collection[str], now: float) -> Settled:
    """Before lines of these tenants are entered, under quota_head: what they had is paid for until `now`."""
    rows = await connection.fetch(f"{_BUDGETS} and name = any($1)", list(tenants))
    return await _settle_rows(connection, [dict(row) for row in rows], now)


async def settle_released(connection: Connection, tenants: Collection[str]) -> Settled:
    """As `settle`. Where none of them has a budget, quota_head is not asked for: what is released waits for
    nobody who changes quota."""
    if not await connection.fetchval(f"select exists ({_BUDGETS} and name = any($1))", list(tenants)):
        return NOTHING_SETTLED
    await quota_head.hold(connection)
    now = await connection.fetchval("select extract(epoch from clock_timestamp())::float8")
    return await settle(connection, tenants, now)


async def settle_all(connection: Connection, now: float) -> Settled:
    """Under quota_head, too."""
    rows = await connection.fetch(_BUDGETS)
    return await _settle_rows(connection, [dict(row) for row in rows], now)


async def _settle_rows(connection: Connection, rows: Sequence[Mapping[str, Any]], now: float) -> Settled:
    named = budgets_of((row["name"], row["budget"]) for row in rows)
    if not named:
        return NOTHING_SETTLED
    records = [DocumentRecord(**dict(row)) for row in await connection.fetch(_FLAVORS)]
    flavors = _specs.read("Flavor", FlavorSpec, records)
    return await settle_as(connection, named, named, flavors, now)


async def settle_as(
    connection: Connection,
    before: Mapping[str, Budget],
    after: Mapping[str, Budget],
    flavors: Mapping[str, FlavorSpec],
    now: float,
) -> Settled:
    """By tenant, budgets that were in force until now, with their flavors, and those that are from now on."""
    tenants = sorted({*before, *after})
    if not tenants:
        return NOTHING_SETTLED
    rows = await connection.fetch(
        f"{ledger.SPENT} where tenant = any($1) order by tenant for update", tenants
    )
    held = {row["tenant"]: ledger.spent_of(dict(row)) for row in rows}
    charged = await _charged(connection, list(before))
    found = paid(before, after, held, priced(flavors), charged, now)
    await ledger.put_spent(connection, found.spent)
    gone = [tenant for tenant in tenants if tenant not in after]
    if gone:
        await connection.execute("delete from spent where tenant = any($1)", gone)
    return Settled(found.exhausted, changes_of(found.told))


async def _charged(connection: Connection, tenants: Sequence[str]) -> dict[str, Amounts]:
    found: dict[str, dict[FlavorResource, int]] = {}
    for row in await connection.fetch(_CHARGED, tenants):
        found.setdefault(row["tenant"], {})[row["flavor"], row["resource"]] = int(row["amount"])
    return dict(found)


def budgets_of(found: Iterable[tuple[str, Any]]) -> dict[str, Budget]:
    """By tenant; without what another release has stored, and this one does not understand."""
    budgets: dict[str, Budget] = {}
    for name, budget in found:
        try:
            if budget is not None:
                budgets[name] = Budget.model_validate(budget)
        except ValidationError:
            continue
    return budgets


def priced(flavors: Mapping[str, FlavorSpec]) -> dict[str, Flavor]:
    found: dict[str, Flavor] = {}
    for name, spec in flavors.items():
        if spec.prices is None:
            continue
        try:
            found[name] = flavor_of(name, spec)
        except NotUnderstood:
            continue
    return found


def changes_of(told: Iterable[Told]) -> tuple[Change, ...]:
    return tuple(changed("Tenant", each.tenant, "", each.what, DECIDER, **each.detail) for each in told)
