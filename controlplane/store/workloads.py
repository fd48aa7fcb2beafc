"""Workloads and every revision of them."""

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from controlplane.intent import NotFound, PreconditionFailed, Taken, WorkloadDraft, Write
from controlplane.known.records import RevisionRecord, WorkloadRecord
from controlplane.store import answered, changes
from controlplane.store.codecs import Connection, plain, transposed
from controlplane.store.settlement import Settlement, by_name, key_of

COLUMNS = (
    "uid, name, labels, annotations, tenant, revision, resource_version, spec, deleted,"
    " extract(epoch from created_at)::float8 as created_at,"
    " extract(epoch from updated_at)::float8 as updated_at, rescheduled, trace"
)
_REVISION = (
    "workload, revision, spec, extract(epoch from created_at)::float8 as created_at, created_by, cause"
)


@dataclass(frozen=True)
class Request:
    """A write to the workload `name`. rollback: the revision whose spec it needs, None for other writes."""

    name: str
    write: Write
    settle: Callable[[Settlement, RevisionRecord | None], WorkloadRecord]
    rollback: int | None = None


def submission(draft: WorkloadDraft, write: Write) -> Request:
    """Raises TypeError, UnicodeEncodeError or ValueError for what no database could hold."""
    draft = msgspec.convert(plain(draft), WorkloadDraft)
    check_text(name=draft.name, principal=write.principal, idempotency_key=write.idempotency_key or "")
    return Request(draft.name, write, lambda settlement, _: settlement.submit(draft, write))


def rollback(name: str, revision: int, write: Write) -> Request:
    return Request(
        name, write, lambda settlement, old: settlement.rollback(name, old, revision, write), revision
    )


def deletion(name: str, write: Write) -> Request:
    return Request(name, write, lambda settlement, _: settlement.delete(name, write))


def rescheduling(name: str, write: Write) -> Request:
    return Request(name, write, lambda settlement, _: settlement.reschedule(name, write))


def check_text(**texts: str) -> None:
    for name, text in texts.items():
        if "\x00" in text:
            raise ValueError(f"{name}: holds a NUL character")


async def settle(connection: Connection, requests: Sequence[Request]) -> list[WorkloadRecord | Exception]:
    """Write what comes of the requests, in their order. One that is refused leaves its neighbours alone."""
    settlement = await _read(connection, requests)
    results: list[WorkloadRecord | Exception] = []
    for request in requests:
        old = await _old_revision(connection, settlement, request)
        try:
            results.append(request.settle(settlement, old))
        except (NotFound, PreconditionFailed, Taken) as error:
            results.append(error)
    await _write(connection, settlement)
    return results


async def _read(connection: Connection, requests: Sequence[Request]) -> Settlement:
    # In the order in which decisions lock them, so that neither waits for the other in a circle.
    rows = await connection.fetch(
        f"select {COLUMNS} from workload where name = any($1) and not deleted order by uid for update",
        list({request.name for request in requests}),
    )
    given = await connection.fetchrow(
        "select extract(epoch from clock_timestamp())::float8 as now,"
        " array(select nextval('resource_version') from generate_series(1, $1)) as versions",
        len(requests),
    )
    assert given is not None  # noqa: S101 - a select without from has one row
    return Settlement(
        standing=by_name(record_of(dict(row)) for row in rows),
        answers=await answered.read(connection, (key_of(request.write) for request in requests)),
        now=given["now"],
        versions=iter(given["versions"]),
        new_uid=lambda: str(uuid.uuid4()),
    )


async def _old_revision(
    connection: Connection, settlement: Settlement, request: Request
) -> RevisionRecord | None:
    current = settlement.standing.get(request.name)
    if request.rollback is None or current is None:
        return None
    for revision in settlement.revisions:
        if (revision.workload, revision.revision) == (current.uid, request.rollback):
            return revision
    row = await connection.fetchrow(
        f"select {_REVISION} from revision where workload = $1 and revision = $2",
        current.uid,
        request.rollback,
    )
    return msgspec.convert(dict(row), RevisionRecord) if row else None


async def _write(connection: Connection, settlement: Settlement) -> None:
    if settlement.written:
        await _put_workloads(connection, settlement.written.values())
    if settlement.revisions:
        await _put_revisions(connection, settlement.revisions)
    await answered.put(connection, settlement.answered)
    await changes.append(connection, settlement.changes)


async def _put_workloads(connection: Connection, records: Iterable[WorkloadRecord]) -> None:
    rows = [
        (
            record.uid,
            record.name,
            record.labels,
            record.annotations,
            record.tenant,
            record.revision,
            record.resource_version,
            record.spec,
            record.deleted,
            record.created_at,
            record.updated_at,
            record.rescheduled,
            record.trace,
        )
        for record in sorted(records, key=lambda record: record.name)
    ]
    await connection.execute(
        "insert into workload (uid, name, labels, annotations, tenant, revision, resource_version, spec,"
        " deleted, created_at, updated_at, rescheduled, trace)"
        " select uid, name, labels, annotations, tenant, revision, resource_version,"
        " spec, deleted, to_timestamp(created_at), to_timestamp(updated_at), rescheduled, trace"
        " from unnest($1::text[], $2::text[],"
        " $3::jsonb[], $4::jsonb[], $5::text[], $6::bigint[], $7::bigint[], $8::jsonb[], $9::boolean[],"
        " $10::float8[], $11::float8[], $12::bigint[], $13::text[]) as new (uid, name, labels, annotations,"
        " tenant, revision, resource_version, spec, deleted, created_at, updated_at, rescheduled, trace)"
        " on conflict (uid) do update set (labels, annotations, tenant, revision, resource_version, spec,"
        " deleted, updated_at, rescheduled, trace) = (excluded.labels, excluded.annotations, excluded.tenant,"
        " excluded.revision, excluded.resource_version, excluded.spec, excluded.deleted,"
        " excluded.updated_at, excluded.rescheduled, excluded.trace)",
        *transposed(rows, 13),
    )


async def _put_revisions(connection: Connection, revisions: Iterable[RevisionRecord]) -> None:
    rows = [
        (
            revision.workload,
            revision.revision,
            revision.spec,
            revision.created_at,
            revision.created_by,
            revision.cause,
        )
        for revision in revisions
    ]
    await connection.execute(
        "insert into revision select workload, revision, spec, to_timestamp(at), created_by, cause"
        " from unnest($1::text[], $2::bigint[], $3::jsonb[], $4::float8[], $5::text[], $6::text[])"
        " as new (workload, revision, spec, at, created_by, cause)",
        *transposed(rows, 6),
    )


async def read(connection: Connection, uids: Collection[str]) -> list[WorkloadRecord]:
    rows = await connection.fetch(f"select {COLUMNS} from workload where uid = any($1)", list(uids))
    return [record_of(dict(row)) for row in rows]


async def read_revisions(connection: Connection, uid: str) -> list[RevisionRecord]:
    rows = await connection.fetch(
        f"select {_REVISION} from revision where workload = $1 order by revision", uid
    )
    return [msgspec.convert(dict(row), RevisionRecord) for row in rows]


def record_of(row: dict[str, Any]) -> WorkloadRecord:
    return WorkloadRecord(**row)
