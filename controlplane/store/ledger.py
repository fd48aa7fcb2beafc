"""Every unit that is charged, line by line, and the balances that follow from them.

Lines are appended, never changed. A balance is the sum of the lines of its key, in the same transaction; one
that comes to 0 is no row. Only whoever holds the lease writes here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from controlplane.known.records import BalanceRecord, Cause, LedgerLine, SpentRecord
from controlplane.loops.ports import LeaseLost
from controlplane.store.codecs import Connection, clean, transposed

Key = tuple[str, str, str, str, str, bool]
"""(workload, cluster, tenant, flavor, resource, drift)"""
KEY = "workload, cluster, tenant, flavor, resource, drift"
BALANCE = f"select {KEY}, amount from balance"
SPENT = (
    "select tenant, currency, extract(epoch from since)::float8 as since,"
    " extract(epoch from until)::float8 as until, amount from spent"
)
MOST = 2**63 - 1
"""Of one line."""
log = structlog.get_logger()


class Overdrawn(LeaseLost):
    """More is to be released than is charged: who leads remembers what the ledger does not say."""


def key_of(line: LedgerLine) -> Key:
    return (
        line.workload,
        line.cluster,
        clean(line.tenant),
        clean(line.flavor),
        clean(line.resource),
        line.cause is Cause.DRIFTED,
    )


def kept(line: LedgerLine) -> LedgerLine:
    """As it comes back."""
    return replace(line, tenant=clean(line.tenant), flavor=clean(line.flavor), resource=clean(line.resource))


def check(lines: Iterable[LedgerLine]) -> None:
    """Raises ValueError for an amount that no line holds."""
    for line in lines:
        if not -MOST <= line.amount <= MOST:
            raise ValueError(f"{line.resource} of {line.tenant}: {line.amount} is beyond {MOST}")


def check_undecided(lines: Iterable[LedgerLine]) -> None:
    """Raises ValueError for a charge: it needs a decision, which stands on the quota that it was made on.

    What moves from flavor to flavor of its place is none.
    """
    more: Counter[tuple[str, str, str, str]] = Counter()
    for line in lines:
        if line.cause is Cause.MOVED or (line.amount > 0 and line.cause is not Cause.DRIFTED):
            more[line.tenant, line.workload, line.cluster, line.resource] += line.amount
    for (tenant, _, _, resource), amount in more.items():
        if amount > 0:
            raise ValueError(f"{amount} more {resource} of {tenant}: charged by a decision only")


def settled(balances: Mapping[Key, int], lines: Sequence[LedgerLine]) -> dict[Key, int]:
    """What the balances of these lines come to, where they change. Raises Overdrawn: none is below 0."""
    moved: Counter[Key] = Counter()
    for line in lines:
        moved[key_of(line)] += line.amount
    after = {key: balances.get(key, 0) + amount for key, amount in moved.items() if amount}
    for key, amount in after.items():
        if amount < 0:
            workload, cluster, tenant, flavor, resource, drift = key
            what = f"{'drift' if drift else 'charge'} of {resource} in flavor {flavor!r} of tenant {tenant!r}"
            raise Overdrawn(
                f"workload {workload!r} in cluster {cluster!r}: {what} is {balances.get(key, 0)},"
                f" and {-moved[key]} is to be released"
            )
    return after


async def enter(connection: Connection, lines: Sequence[LedgerLine]) -> None:
    """Under the lease. Raises Overdrawn, ValueError."""
    if not lines:
        return
    check(lines)
    try:
        after = settled(await _balances_of(connection, lines), lines)
    except Overdrawn as error:
        log.error("ledger_overdrawn", detail=str(error))
        raise
    await _append(connection, lines)
    await _put_balances(connection, after)


async def _balances_of(connection: Connection, lines: Sequence[LedgerLine]) -> dict[Key, int]:
    rows = await connection.fetch(
        f"{BALANCE} where workload = any($1) and cluster = any($2)",
        list({line.workload for line in lines}),
        list({line.cluster for line in lines}),
    )
    return {_key_of_row(dict(row)): int(row["amount"]) for row in rows}


async def _append(connection: Connection, lines: Sequence[LedgerLine]) -> None:
    # As one value: an array each is looked through element by element before it is sent.
    await connection.execute(
        "insert into ledger (tenant, workload, cluster, flavor, resource, amount, cause, epoch, generation)"
        " select tenant, workload, cluster, flavor, resource, amount, cause, (version->>0)::bigint,"
        " (version->>1)::bigint from jsonb_to_recordset($1) as new (tenant text, workload text, cluster text,"
        " flavor text, resource text, amount bigint, cause text, version jsonb)",
        lines,
    )


async def _put_balances(connection: Connection, after: Mapping[Key, int]) -> None:
    gone = [key for key, amount in after.items() if not amount]
    if gone:
        await connection.execute(
            f"delete from balance using jsonb_array_elements($1) as row where ({KEY}) = (row->>0, row->>1,"
            " row->>2, row->>3, row->>4, (row->>5)::boolean)",
            gone,
        )
    # Amounts as text: their sum may be more than what numbers in JSON hold.
    kept = [(*key, str(amount)) for key, amount in after.items() if amount]
    if kept:
        await connection.execute(
            f"insert into balance ({KEY}, amount) select row->>0, row->>1, row->>2, row->>3, row->>4,"
            " (row->>5)::boolean, (row->>6)::numeric from jsonb_array_elements($1) as row"
            f" on conflict ({KEY}) do update set amount = excluded.amount",
            kept,
        )


async def put_spent(connection: Connection, spent: Sequence[SpentRecord]) -> None:
    """Under the lease. Instead of what was known of these tenants."""
    newest = {each.tenant: (each.currency, each.since, each.until, each.amount) for each in spent}
    if not newest:
        return
    await connection.execute(
        "insert into spent (tenant, currency, since, until, amount)"
        " select tenant, currency, to_timestamp(since), to_timestamp(until), amount"
        " from unnest($1::text[], $2::text[], $3::float8[], $4::float8[], $5::numeric[])"
        " as new (tenant, currency, since, until, amount) on conflict (tenant) do update set"
        " (currency, since, until, amount)"
        " = (excluded.currency, excluded.since, excluded.until, excluded.amount)",
        *transposed(((tenant, *row) for tenant, row in newest.items()), 5),
    )


def _key_of_row(row: Mapping[str, Any]) -> Key:
    return row["workload"], row["cluster"], row["tenant"], row["flavor"], row["resource"], row["drift"]


def balance_at(key: Key, amount: int) -> BalanceRecord:
    workload, cluster, tenant, flavor, resource, drift = key
    return BalanceRecord(tenant, workload, cluster, flavor, resource, drift, amount)


def balance_of(row: dict[str, Any]) -> BalanceRecord:
    amount = int(row.pop("amount"))
    return BalanceRecord(**row, amount=amount)


def spent_of(row: dict[str, Any]) -> SpentRecord:
    amount = int(row.pop("amount"))
    return SpentRecord(**row, amount=amount)
