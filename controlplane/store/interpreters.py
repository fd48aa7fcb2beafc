"""Interpreters, as people wrote them. Workloads with such objects are decided on again, or keep them."""

from collections.abc import Collection, Mapping
from typing import Any

from asyncpg import UniqueViolationError

from controlplane.intent import NotFound, Taken, Write
from controlplane.known.records import Change, InterpreterRecord
from controlplane.store import answered, changes
from controlplane.store.codecs import Connection, plain
from controlplane.store.settlement import changed, check_condition, fingerprint

COLUMNS = "name, spec, resource_version"
NAMED_AT_MOST = 5

# `target` is GROUP/KIND; a version stands between the two in a manifest.
_USES = """
    not deleted and exists (
        select from jsonb_array_elements(spec -> 'manifests') as object
        where split_part(object ->> 'apiVersion', '/', 1) || '/' || (object ->> 'kind') = $1)
"""


def taken_by(target: str, name: str) -> Taken:
    return Taken(f"{target} is declared by interpreter {name!r} already: change that one, or delete it first")


def in_use(name: str, workloads: Collection[str]) -> Taken:
    names = sorted(workloads)
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return Taken(f"interpreter {name!r} is used by workloads: {', '.join(names[:NAMED_AT_MOST])}{more}")


def target_of(spec: Mapping[str, Any]) -> str:
    return f"{spec['group']}/{spec['kind']}"


async def submit(
    connection: Connection, name: str, spec: Mapping[str, Any], write: Write
) -> InterpreterRecord:
    spec = plain(spec)
    return await answered.once(
        connection,
        write,
        fingerprint("submit interpreter", name, spec),
        InterpreterRecord,
        lambda: _submit(connection, name, spec, write),
    )


async def _submit(
    connection: Connection, name: str, spec: Mapping[str, Any], write: Write
) -> InterpreterRecord:
    current = await _find(connection, name)
    check_condition(name, write, current.resource_version if current else None)
    if current is not None and current.spec == spec:
        return current
    target = target_of(spec)
    if current is not None and target_of(current.spec) != target:
        await _check_unused(connection, current)
    if current is None:
        statement = f"insert into interpreter (name, spec, target) values ($1, $2, $3) returning {COLUMNS}"
    else:
        statement = (
            "update interpreter set spec = $2, target = $3, resource_version = nextval('resource_version')"
            f" where name = $1 returning {COLUMNS}"
        )
    other = await connection.fetchval(
        "select name from interpreter where target = $1 and name <> $2", target, name
    )
    if other is not None:
        raise taken_by(target, other)
    try:
        row = await connection.fetchrow(statement, name, spec, target)
    except UniqueViolationError as error:
        raise Taken(f"{target} is being declared by another interpreter: try again") from error
    assert row is not None  # noqa: S101 - locked above, or inserted
    written = [changed("Interpreter", name, "", "Changed" if current else "Created", write.principal)]
    await changes.append(connection, [*await _touch_users(connection, target, write), *written])
    return InterpreterRecord(**dict(row))


async def _touch_users(connection: Connection, target: str, write: Write) -> list[Change]:
    """In the order in which decisions lock them, so that neither waits for the other in a circle."""
    rows = await connection.fetch(
        f"select uid from workload where {_USES} order by uid for update",
        target,
    )
    touched = await connection.fetch(
        "update workload set resource_version = nextval('resource_version')"
        " where uid = any($1) returning uid, name, revision",
        [row["uid"] for row in rows],
    )
    return [
        changed(
            "Workload", row["name"], row["uid"], "Reinterpreted", write.principal, revision=row["revision"]
        )
        for row in touched
    ]


async def delete(connection: Connection, name: str, write: Write) -> None:
    await answered.once(
        connection,
        write,
        fingerprint("delete interpreter", name),
        type(None),
        lambda: _delete(connection, name, write),
    )


async def _delete(connection: Connection, name: str, write: Write) -> None:
    current = await _find(connection, name)
    if current is None:
        raise NotFound(f"there is no interpreter {name!r}")
    check_condition(name, write, current.resource_version)
    await _check_unused(connection, current)
    await connection.execute("delete from interpreter where name = $1", name)
    await changes.append(connection, [changed("Interpreter", name, "", "Deleted", write.principal)])


async def _check_unused(connection: Connection, record: InterpreterRecord) -> None:
    rows = await connection.fetch(f"select name from workload where {_USES}", target_of(record.spec))
    if rows:
        raise in_use(record.name, [row["name"] for row in rows])


async def _find(connection: Connection, name: str) -> InterpreterRecord | None:
    row = await connection.fetchrow(f"select {COLUMNS} from interpreter where name = $1 for update", name)
    return InterpreterRecord(**dict(row)) if row else None


async def read(connection: Connection, names: Collection[str] | None = None) -> list[InterpreterRecord]:
    """All of them without `names`."""
    rows = await connection.fetch(
        f"select {COLUMNS} from interpreter where $1::text[] is null or name = any($1) order by name",
        None if names is None else list(names),
    )
    return [InterpreterRecord(**dict(row)) for row in rows]
