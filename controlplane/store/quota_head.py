"""The version of everything that bounds anybody's quota: one row, whose lock says who came first.

Whoever locks rows locks them in this order, so that nobody waits in a circle: lease; document, or
quota_request by id; quota_head; workload by uid; cluster by id; spent by tenant; outbox, decision, placement,
balance (under the lease only); change_head. After quota_head, documents and requests are locked no more.
"""

from typing import Any

from asyncpg import LockNotAvailableError

from controlplane.known.records import QuotaRequestRecord, RequestState
from controlplane.loops.ports import QuotaState
from controlplane.store.codecs import Connection

REQUEST = (
    "id, tenant, amounts, coalesce(extract(epoch from until), 0)::float8 as until, why, state, requested_by,"
    " extract(epoch from requested_at)::float8 as requested_at, decided_by,"
    " coalesce(extract(epoch from decided_at), 0)::float8 as decided_at, decision,"
    " taken_from_kind, taken_from_name, resource_version"
)
WAIT_MILLISECONDS = 400
GRANTED = f"select {REQUEST} from quota_request where state = '{RequestState.GRANTED}' order by id"


async def advance(connection: Connection) -> int:
    """The next version, for a write that changes quota. Nothing is charged from here until its commit.

    A change of kind Tenant, Cohort, Flavor or QuotaRequest goes into the same transaction: that is how the
    leader learns of the version. What is charged now is in `balance`, all of it, and stays as it is.
    """
    return await connection.fetchval("update quota_head set version = version + 1 returning version")


async def hold(connection: Connection) -> int:
    """The version as it stays until the transaction ends, for one that charges something."""
    return await connection.fetchval("select version from quota_head for share")


async def held_soon(connection: Connection) -> int | None:
    """As `hold`; None where somebody still changes quota after a while: then it is another one anyway.

    Who leads may not wait for many writers, one after the other: its own transactions are bounded.
    """
    at_once = await connection.fetchval("select version from quota_head for share skip locked")
    if at_once is not None:
        return at_once
    bound = await connection.fetchval("select current_setting('lock_timeout')")
    try:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = {WAIT_MILLISECONDS}")
            found = await hold(connection)
            await connection.execute(f"set local lock_timeout = '{bound}'")
            return found
    except LockNotAvailableError:
        return None


async def version(connection: Connection) -> int:
    return await connection.fetchval("select version from quota_head")


async def read(connection: Connection) -> QuotaState:
    """The version first: what is read after it is as new, or newer."""
    before = await version(connection)
    return QuotaState(before, [request_of(dict(row)) for row in await connection.fetch(GRANTED)])


def request_of(row: dict[str, Any]) -> QuotaRequestRecord:
    kind, name = row.pop("taken_from_kind"), row.pop("taken_from_name")
    state = RequestState(row.pop("state"))
    return QuotaRequestRecord(**row, state=state, taken_from=(kind, name) if kind is not None else None)
