"""The ledger as it is read: lines by page, balances place by place, and whether the two agree."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from controlplane.known.records import (
    BalanceRecord,
    Cause,
    LedgerDifference,
    LedgerEntry,
    LedgerLine,
    LedgerQuery,
)
from controlplane.store.codecs import Connection, transposed, version_of
from controlplane.store.ledger import BALANCE, KEY, Key, balance_at, balance_of, key_of

AT_MOST = 1_000
"""Entries in one page, and differences told."""
CLOCK_SECONDS = 3600.0
"""By how much the server's clock may have been set back between two entries."""
Place = tuple[str, str]
"""(workload, cluster)"""

_FILTERS = ("tenant", "workload", "cluster", "flavor", "resource")
_COLUMNS = (
    "id, extract(epoch from at)::float8 as at, tenant, workload, cluster, flavor, resource, amount, cause,"
    " epoch, generation"
)
_DIFFERENCES = f"""
with entered as (
    select workload, cluster, tenant, flavor, resource, cause = '{Cause.DRIFTED}' as drift, sum(amount) as sum
    from ledger group by 1, 2, 3, 4, 5, 6
)
select {KEY}, coalesce(amount, 0) as amount, coalesce(sum, 0) as entered
from entered full join balance using ({KEY})
where coalesce(amount, 0) <> coalesce(sum, 0)
order by {KEY} limit $1
"""


def fits(entry: LedgerEntry, query: LedgerQuery) -> bool:
    """Whether the query asks for it; its page apart."""
    return (
        all(getattr(query, name) in (None, getattr(entry.line, name)) for name in _FILTERS)
        and (query.since is None or entry.at >= query.since)
        and (query.until is None or entry.at < query.until)
        and (
            query.after is None or (entry.id < query.after if query.newest_first else entry.id > query.after)
        )
    )


async def entries(connection: Connection, query: LedgerQuery) -> list[LedgerEntry]:
    """At most `AT_MOST`, however many are asked for."""
    conditions: list[str] = []
    values: list[object] = []

    def where(condition: str, value: object) -> None:
        values.append(value)
        conditions.append(condition.format(f"${len(values)}"))

    for name in _FILTERS:
        if (value := getattr(query, name)) is not None:
            where(f"{name} = {{}}", value)
    if query.since is not None:
        where("at >= to_timestamp({})", query.since)
        where("id >= {}", await _first_since(connection, query.since - CLOCK_SECONDS))
    if query.until is not None:
        where("at < to_timestamp({})", query.until)
        where("id < {}", await _first_since(connection, query.until + CLOCK_SECONDS))
    if query.after is not None:
        where("id < {}" if query.newest_first else "id > {}", query.after)
    conditions.append("true")
    rows = await connection.fetch(
        f"select {_COLUMNS} from ledger where {' and '.join(conditions)}"
        f" order by id {'desc' if query.newest_first else ''} limit {max(0, min(query.limit, AT_MOST))}",
        *values,
    )
    return [_entry_of(dict(row)) for row in rows]


async def _first_since(connection: Connection, at: float) -> int:
    """Searched by halves, times growing with ids: an index on times would cost each line that is entered."""
    low, high = 0, await connection.fetchval("select coalesce(max(id), 0) + 1 from ledger")
    while low < high:
        middle = (low + high) // 2
        row = await connection.fetchrow(
            "select id, at >= to_timestamp($2) as since from ledger where id >= $1 order by id limit 1",
            middle,
            at,
        )
        if row is None or row["since"]:
            high = middle
        else:
            low = row["id"] + 1
    return low


async def balances_after(connection: Connection, after: Place, places: int) -> list[BalanceRecord]:
    """Of the next so many places in their order, each whole."""
    rows = await connection.fetch(
        f"{BALANCE} where (workload, cluster) in ("
        "  select distinct workload, cluster from balance where (workload, cluster) > ($1, $2)"
        f"  order by workload, cluster limit $3) order by {KEY}",
        *after,
        places,
    )
    return [balance_of(dict(row)) for row in rows]


async def balances_of(connection: Connection, places: Collection[Place]) -> list[BalanceRecord]:
    rows = await connection.fetch(
        f"{BALANCE} join unnest($1::text[], $2::text[]) as asked (workload, cluster)"
        " using (workload, cluster)",
        *transposed(places, 2),
    )
    return [balance_of(dict(row)) for row in rows]


async def differences(connection: Connection) -> list[LedgerDifference]:
    """At most `AT_MOST`. Reads the whole ledger."""
    found: list[LedgerDifference] = []
    for row in await connection.fetch(_DIFFERENCES, AT_MOST):
        fields = dict(row)
        entered = int(fields.pop("entered"))
        found.append(LedgerDifference(balance_of(fields), entered))
    return found


def unequal(lines: Iterable[LedgerLine], balances: Mapping[Key, int]) -> list[LedgerDifference]:
    """Balances that are not the sums of their lines."""
    entered: Counter[Key] = Counter()
    for line in lines:
        entered[key_of(line)] += line.amount
    return [
        LedgerDifference(balance_at(key, balances.get(key, 0)), entered[key])
        for key in sorted({*entered, *balances})
        if entered[key] != balances.get(key, 0)
    ]


def _entry_of(row: dict[str, Any]) -> LedgerEntry:
    version = version_of(row.pop("epoch"), row.pop("generation"))
    id_, at, cause = row.pop("id"), row.pop("at"), Cause(row.pop("cause"))
    return LedgerEntry(id_, at, LedgerLine(**row, cause=cause, version=version))
