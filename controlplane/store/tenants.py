"""Tenants, as people wrote them."""

from collections.abc import Collection, Mapping
from typing import Any

from controlplane.intent import NotFound, Write
from controlplane.known.records import TenantRecord
from controlplane.store import answered, changes
from controlplane.store.codecs import Connection, plain
from controlplane.store.settlement import changed, check_condition, fingerprint

COLUMNS = "name, spec, resource_version"


async def submit(connection: Connection, name: str, spec: Mapping[str, Any], write: Write) -> TenantRecord:
    spec = plain(spec)
    return await answered.once(
        connection,
        write,
        fingerprint("submit tenant", name, spec),
        TenantRecord,
        lambda: _submit(connection, name, spec, write),
    )


async def _submit(connection: Connection, name: str, spec: Mapping[str, Any], write: Write) -> TenantRecord:
    current = await _find(connection, name)
    check_condition(name, write, current.resource_version if current else None)
    if current is not None and current.spec == spec:
        return current
    if current is None:
        statement = f"insert into tenant (name, spec) values ($1, $2) returning {COLUMNS}"
    else:
        statement = (
            "update tenant set spec = $2, resource_version = nextval('resource_version')"
            f" where name = $1 returning {COLUMNS}"
        )
    row = await connection.fetchrow(statement, name, spec)
    assert row is not None  # noqa: S101 - locked above, or inserted
    what = "Changed" if current else "Created"
    await changes.append(connection, [changed("Tenant", name, "", what, write.principal)])
    return TenantRecord(**dict(row))


async def delete(connection: Connection, name: str, write: Write) -> None:
    await answered.once(
        connection,
        write,
        fingerprint("delete tenant", name),
        type(None),
        lambda: _delete(connection, name, write),
    )


async def _delete(connection: Connection, name: str, write: Write) -> None:
    current = await _find(connection, name)
    if current is None:
        raise NotFound(f"there is no tenant {name!r}")
    check_condition(name, write, current.resource_version)
    await connection.execute("delete from tenant where name = $1", name)
    await changes.append(connection, [changed("Tenant", name, "", "Deleted", write.principal)])


async def _find(connection: Connection, name: str) -> TenantRecord | None:
    row = await connection.fetchrow(f"select {COLUMNS} from tenant where name = $1 for update", name)
    return TenantRecord(**dict(row)) if row else None


async def read(connection: Connection, names: Collection[str]) -> list[TenantRecord]:
    rows = await connection.fetch(f"select {COLUMNS} from tenant where name = any($1)", list(names))
    return [TenantRecord(**dict(row)) for row in rows]
