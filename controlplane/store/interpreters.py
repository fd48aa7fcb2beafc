"""What else changes with an interpreter: workloads with such objects are decided on again, or keep it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from controlplane.intent import Taken, Write
from controlplane.known.records import Change, DocumentRecord
from controlplane.store.codecs import Connection
from controlplane.store.settlement import changed

NAMED_AT_MOST = 5

# `target` is GROUP/KIND; a version stands between the two in a manifest.
_USES = """
    not deleted and exists (
        select from jsonb_array_elements(spec -> 'manifests') as object
        where split_part(object ->> 'apiVersion', '/', 1) || '/' || (object ->> 'kind') = $1)
"""


def in_use(name: str, workloads: Collection[str]) -> Taken:
    names = sorted(workloads)
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return Taken(f"interpreter {name!r} is used by workloads: {', '.join(names[:NAMED_AT_MOST])}{more}")


def target_of(spec: Mapping[str, Any]) -> str:
    return f"{spec['group']}/{spec['kind']}"


def leaves_its_target(before: DocumentRecord | None, after: DocumentRecord | None) -> bool:
    """Whether the kind that it declared is declared no more."""
    return before is not None and (after is None or target_of(before.spec) != target_of(after.spec))


async def follow(
    connection: Connection, before: DocumentRecord | None, after: DocumentRecord | None, write: Write
) -> Sequence[Change]:
    """The workloads that are to be decided on again. Taken while a kind that is declared no more is used."""
    if before is not None and leaves_its_target(before, after):
        rows = await connection.fetch(f"select name from workload where {_USES}", target_of(before.spec))
        if rows:
            raise in_use(before.name, [row["name"] for row in rows])
    return [] if after is None else await _touch_users(connection, target_of(after.spec), write)


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
