"""What people wrote of kinds that are kept as they stand, by kind and name: Tenants, Interpreters, ...

A kind needs nothing here, unless a write of it moves something else: then it has `Rules`.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from asyncpg import UniqueViolationError

from controlplane.intent import NotFound, Taken, Write
from controlplane.known.records import Change, DocumentRecord
from controlplane.store import (
    answered,
    changes,
    interpreters,
    quota_asking,
    quota_documents,
    quota_head,
    quota_requests,
)
from controlplane.store.codecs import Connection, plain
from controlplane.store.quota_asking import Step
from controlplane.store.settlement import changed, check_condition, fingerprint

COLUMNS = "name, spec, resource_version"
Record = DocumentRecord | None


@dataclass(frozen=True)
class Rules:
    """claim: of a spec, what only one document of the kind may have, if there is such a thing.

    follow: (connection, before, after, write) -> what else changes with it, None for what is not there. The
    document is written already.
    Raises Taken or Unfit, and nothing is written.
    """

    follow: Callable[[Connection, Record, Record, Write], Awaitable[Sequence[Change]]]
    claim: Callable[[Mapping[str, Any]], str] | None = None


async def bound_quota(
    kind: str, connection: Connection, before: Record, after: Record, write: Write
) -> Sequence[Change]:
    """Of what bounds anybody's quota: from here until the commit nobody is charged anything."""
    ended: list[Step] = []
    if kind == "Tenant" and before is not None and after is None:
        ended = await quota_requests.end_of_tenant(connection, before.name, write.principal)
    followed = [step.change for step in ended]
    if ended or quota_documents.moves(kind, before, after):
        await quota_head.advance(connection)
        grants = quota_asking.grants_of(ended)
        followed += await quota_documents.check_and_settle(connection, kind, before, after, grants)
    return followed


BOUNDING = ("Tenant", "Cohort", "Flavor")
RULES: Mapping[str, Rules] = {
    "Interpreter": Rules(interpreters.follow, interpreters.target_of),
    **{kind: Rules(partial(bound_quota, kind)) for kind in BOUNDING},
}


def claim_of(kind: str, spec: Mapping[str, Any]) -> str | None:
    rules = RULES.get(kind)
    return rules.claim(spec) if rules is not None and rules.claim is not None else None


def taken_by(kind: str, claim: str, name: str) -> Taken:
    return Taken(
        f"{claim} is declared by {kind.lower()} {name!r} already: change that one, or delete it first"
    )


def missing(kind: str, name: str) -> NotFound:
    return NotFound(f"there is no {kind.lower()} {name!r}")


def submission(kind: str, name: str, spec: Mapping[str, Any]) -> bytes:
    """What an idempotency key is compared by."""
    return fingerprint(f"submit {kind.lower()}", name, spec)


def deletion(kind: str, name: str) -> bytes:
    return fingerprint(f"delete {kind.lower()}", name)


async def submit(
    connection: Connection, kind: str, name: str, spec: Mapping[str, Any], write: Write
) -> DocumentRecord:
    spec = plain(spec)
    return await answered.once(
        connection,
        write,
        submission(kind, name, spec),
        DocumentRecord,
        lambda: _submit(connection, kind, name, spec, write),
    )


async def _submit(
    connection: Connection, kind: str, name: str, spec: Mapping[str, Any], write: Write
) -> DocumentRecord:
    current = await _find(connection, kind, name)
    check_condition(name, write, current.resource_version if current else None)
    if current is not None and current.spec == spec:
        return current
    claim = claim_of(kind, spec)
    await _check_claim(connection, kind, name, claim)
    if current is None:
        statement = (
            f"insert into document (kind, name, spec, claim) values ($1, $2, $3, $4) returning {COLUMNS}"
        )
    else:
        statement = (
            "update document set spec = $3, claim = $4, resource_version = nextval('resource_version')"
            f" where kind = $1 and name = $2 returning {COLUMNS}"
        )
    try:
        row = await connection.fetchrow(statement, kind, name, spec, claim)
    except UniqueViolationError as error:
        if error.constraint_name != "document_kind_claim_key":
            raise
        raise Taken(f"{claim} is being declared by another {kind.lower()}: try again") from error
    assert row is not None  # noqa: S101 - locked above, or inserted
    record = DocumentRecord(**dict(row))
    followed = await _follow(connection, kind, current, record, write)
    written = changed(kind, name, "", "Changed" if current else "Created", write.principal)
    await changes.append(connection, [*followed, written])
    return record


async def _check_claim(connection: Connection, kind: str, name: str, claim: str | None) -> None:
    other = await connection.fetchval(
        "select name from document where kind = $1 and claim = $2 and name <> $3", kind, claim, name
    )
    if claim is not None and other is not None:
        raise taken_by(kind, claim, other)


async def _follow(
    connection: Connection, kind: str, before: Record, after: Record, write: Write
) -> Sequence[Change]:
    return await RULES[kind].follow(connection, before, after, write) if kind in RULES else ()


async def delete(connection: Connection, kind: str, name: str, write: Write) -> None:
    await answered.once(
        connection,
        write,
        deletion(kind, name),
        type(None),
        lambda: _delete(connection, kind, name, write),
    )


async def _delete(connection: Connection, kind: str, name: str, write: Write) -> None:
    current = await _find(connection, kind, name)
    if current is None:
        raise missing(kind, name)
    check_condition(name, write, current.resource_version)
    await connection.execute("delete from document where kind = $1 and name = $2", kind, name)
    followed = await _follow(connection, kind, current, None, write)
    await changes.append(connection, [*followed, changed(kind, name, "", "Deleted", write.principal)])


async def _find(connection: Connection, kind: str, name: str) -> DocumentRecord | None:
    row = await connection.fetchrow(
        f"select {COLUMNS} from document where kind = $1 and name = $2 for update", kind, name
    )
    return DocumentRecord(**dict(row)) if row else None


async def read(connection: Connection, kind: str, names: Collection[str]) -> list[DocumentRecord]:
    rows = await connection.fetch(
        f"select {COLUMNS} from document where kind = $1 and name = any($2) order by name", kind, list(names)
    )
    return [DocumentRecord(**dict(row)) for row in rows]


async def read_all(connection: Connection) -> dict[str, tuple[DocumentRecord, ...]]:
    """By kind, those of each by name."""
    found: dict[str, list[DocumentRecord]] = {}
    for row in await connection.fetch(f"select kind, {COLUMNS} from document order by kind, name"):
        fields = dict(row)
        found.setdefault(fields.pop("kind"), []).append(DocumentRecord(**fields))
    return {kind: tuple(records) for kind, records in found.items()}
