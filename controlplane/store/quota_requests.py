"""Requests for quota: asked, decided by somebody else, given back, run out. Each step with its change row.

A step that moves quota locks quota_head after its request: nothing is charged from there until its commit.
"""

from collections.abc import Callable, Collection
from typing import Any

from controlplane.intent import NotFound, QuotaAmounts, QuotaDraft, QuotaGrant, Write
from controlplane.known.records import Lease, QuotaRequestRecord, RequestState
from controlplane.store import answered, changes, quota_asking, quota_head, quota_rules
from controlplane.store.codecs import Connection, clean
from controlplane.store.leases import hold
from controlplane.store.outcomes import DECIDER
from controlplane.store.quota_asking import Moment, Step, operation

_SELECT = f"select {quota_head.REQUEST} from quota_request"
_DUE = (
    f"state in ('{RequestState.PENDING}', '{RequestState.GRANTED}') and until <= (select clock_timestamp())"
)


async def ask(connection: Connection, draft: QuotaDraft, write: Write) -> QuotaRequestRecord:
    """Raises Unfit naming the field, Taken where too many wait."""

    async def act() -> QuotaRequestRecord:
        # Whether there is such a flavor or tenant is true of now; a lock of either would say no more.
        await quota_rules.check_asked(connection, draft)
        moment = await _moment(connection)
        pending = await connection.fetchval(
            "select count(*) from quota_request where tenant = $1 and state = $2",
            draft.tenant,
            RequestState.PENDING.value,
        )
        id_ = await connection.fetchval("select nextval(pg_get_serial_sequence('quota_request', 'id'))")
        step = quota_asking.asked(id_, draft, pending, write, moment)
        await _insert(connection, step.record)
        await changes.append(connection, [step.change])
        return step.record

    content = quota_asking.draft_content(draft)
    return await answered.once(connection, write, content, QuotaRequestRecord, act)


async def withdraw(connection: Connection, id_: int, write: Write) -> QuotaRequestRecord:
    return await _once(
        connection,
        id_,
        write,
        operation("withdraw", id_),
        lambda record, moment: quota_asking.withdrawn(record, write, moment),
    )


async def refuse(connection: Connection, id_: int, why: str, write: Write) -> QuotaRequestRecord:
    return await _once(
        connection,
        id_,
        write,
        operation("refuse", id_, why),
        lambda record, moment: quota_asking.refused(record, why, write, moment),
    )


async def approve(connection: Connection, id_: int, grant: QuotaGrant, write: Write) -> QuotaRequestRecord:
    """Raises Unfit also where the quota does not allow it, by what is charged now."""
    return await _once(
        connection,
        id_,
        write,
        operation("approve", id_, grant),
        lambda record, moment: quota_asking.granted(record, grant, write, moment),
        moves=True,
    )


async def give_back(
    connection: Connection, id_: int, amounts: QuotaAmounts | None, write: Write
) -> QuotaRequestRecord:
    return await _once(
        connection,
        id_,
        write,
        operation("give back", id_, amounts),
        lambda record, moment: quota_asking.given_back(record, amounts, write, moment),
        moves=True,
    )


async def expire(connection: Connection, lease: Lease, limit: int) -> int:
    """Up to `limit` that have run out by the clock of the database, the first first. Raises LeaseLost."""
    due = [
        row["id"]
        for row in await connection.fetch(
            f"select id from quota_request where {_DUE} order by until, id limit $1", limit
        )
    ]
    if not due:
        return 0
    await hold(connection, lease)
    rows = await connection.fetch(f"{_SELECT} where id = any($1) and {_DUE} order by id for update", due)
    records = sorted(
        (quota_head.request_of(dict(row)) for row in rows), key=lambda each: (each.until, each.id)
    )
    beyond: dict[int, QuotaAmounts] = {}
    if any(record.state is RequestState.GRANTED for record in records):
        await quota_head.advance(connection)
        beyond = await quota_rules.beyond_stored(connection, records, (await _moment(connection)).now)
    steps = [
        quota_asking.expired(record, DECIDER, await _moment(connection), beyond=beyond.get(record.id))
        for record in records
    ]
    for step in steps:
        await _update(connection, step.record)
    await changes.append(connection, [step.change for step in steps])
    return len(steps)


async def end_of_tenant(connection: Connection, tenant: str, by: str) -> list[Step]:
    """What it asked for and was granted ends with it: another tenant of its name starts with nothing.

    Before quota_head is locked; a grant that ends moves quota. The changes are to be appended.
    """
    rows = await connection.fetch(
        f"{_SELECT} where tenant = $1 and state = any($2) order by id for update",
        tenant,
        [state.value for state in quota_asking.OPEN],
    )
    steps = [
        quota_asking.expired(
            quota_head.request_of(dict(row)), by, await _moment(connection), quota_asking.NO_TENANT
        )
        for row in rows
    ]
    for step in steps:
        await _update(connection, step.record)
    return steps


async def read(connection: Connection, id_: int) -> QuotaRequestRecord:
    """Raises NotFound."""
    return _record(id_, await connection.fetchrow(f"{_SELECT} where id = $1", id_))


async def page(
    connection: Connection, tenant: str, states: Collection[RequestState], before: int, limit: int
) -> list[QuotaRequestRecord]:
    """The newest first."""
    rows = await connection.fetch(
        f"{_SELECT} where ($1 = '' or tenant = $1) and (cardinality($2::text[]) = 0 or state = any($2))"
        " and ($3::bigint = 0 or id < $3) order by id desc limit $4",
        tenant,
        [state.value for state in states],
        before,
        limit,
    )
    return [quota_head.request_of(dict(row)) for row in rows]


async def _once(
    connection: Connection,
    id_: int,
    write: Write,
    content: bytes,
    become: Callable[[QuotaRequestRecord, Moment], Step],
    *,
    moves: bool = False,
) -> QuotaRequestRecord:
    """moves: it changes what bounds quota."""

    async def act() -> QuotaRequestRecord:
        record = _record(id_, await connection.fetchrow(f"{_SELECT} where id = $1 for update", id_))
        moment = await _moment(connection)
        step = become(record, moment)
        if moves:
            await quota_head.advance(connection)
            await quota_rules.check_stored(connection, step.record, moment.now)
        await _update(connection, step.record)
        await changes.append(connection, [step.change])
        return step.record

    return await answered.once(connection, write, content, QuotaRequestRecord, act)


def _record(id_: int, row: Any) -> QuotaRequestRecord:
    if row is None:
        raise NotFound(f"there is no request {id_} for quota")
    return quota_head.request_of(dict(row))


async def _moment(connection: Connection) -> Moment:
    row = await connection.fetchrow(
        "select extract(epoch from clock_timestamp())::float8 as now, nextval('resource_version') as version"
    )
    assert row is not None  # noqa: S101 - a select without from
    return Moment(row["now"], row["version"])


async def _insert(connection: Connection, record: QuotaRequestRecord) -> None:
    await connection.execute(
        "insert into quota_request (id, tenant, amounts, until, why, state, requested_by, requested_at,"
        " resource_version) overriding system value"
        " values ($1, $2, $3, to_timestamp(nullif($4::float8, 0)), $5, $6, $7, to_timestamp($8::float8), $9)",
        record.id,
        record.tenant,
        record.amounts,
        record.until,
        clean(record.why),
        record.state.value,
        record.requested_by,
        record.requested_at,
        record.resource_version,
    )


async def _update(connection: Connection, record: QuotaRequestRecord) -> None:
    kind, name = record.taken_from or (None, None)
    await connection.execute(
        "update quota_request set amounts = $2, until = to_timestamp(nullif($3::float8, 0)), state = $4,"
        " decided_by = $5, decided_at = to_timestamp(nullif($6::float8, 0)), decision = $7,"
        " taken_from_kind = $8, taken_from_name = $9, resource_version = $10 where id = $1",
        record.id,
        record.amounts,
        record.until,
        record.state.value,
        record.decided_by,
        record.decided_at,
        clean(record.decision),
        kind,
        name,
        record.resource_version,
    )
