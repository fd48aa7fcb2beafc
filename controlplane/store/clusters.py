"""Clusters: what the operator says of them, and how the centre stands to them."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from controlplane.fleet.headroom import Make
from controlplane.intent import NotFound, Taken, Write
from controlplane.known.records import ClusterRecord, Lease, Request, Standing
from controlplane.store import answered, changes, outbox
from controlplane.store.codecs import Connection, clean, taints_of
from controlplane.store.leases import hold
from controlplane.store.outcomes import DECIDER
from controlplane.store.settlement import changed, check_condition, fingerprint
from schemas.wire.orders import Version
from schemas.wire.reports import Taint

COLUMNS = (
    "id, name, labels, taints, cluster_uid, agent_key, sealing_key, standing, standing_reason,"
    " incarnation, requested, floor_epoch, floor_generation, resource_version, headroom,"
    " extract(epoch from joined_at)::float8 as joined_at"
)


async def change(
    connection: Connection,
    name: str,
    labels: Mapping[str, str],
    taints: tuple[Taint, ...],
    write: Write,
    headroom: tuple[Make, ...] | None = None,
) -> ClusterRecord:
    async def act() -> ClusterRecord:
        current = await _existing(connection, name, write)
        wanted = current.headroom if headroom is None else headroom
        if (current.labels, current.taints, current.headroom) == (labels, taints, wanted):
            return current
        record = await _update(
            connection, current.id, "labels = $2, taints = $3, headroom = $4", labels, taints, wanted
        )
        await changes.append(connection, [cluster_changed(record, "Changed", write.principal)])
        return record

    content = fingerprint("change cluster", name, labels, taints, *([] if headroom is None else [headroom]))
    return await answered.once(connection, write, content, ClusterRecord, act)


async def remove(connection: Connection, name: str, write: Write) -> ClusterRecord:
    """Its name is free, and its orders and promises are gone: an operator says that the cluster is lost."""

    async def act() -> ClusterRecord:
        current = await _existing(connection, name, write)
        record = await _update(connection, current.id, "standing = $2", Standing.REMOVED.value)
        await outbox.remove_cluster(connection, record.id)
        await changes.append(connection, [cluster_changed(record, "Removed", write.principal)])
        return record

    return await answered.once(connection, write, fingerprint("remove cluster", name), ClusterRecord, act)


async def request(connection: Connection, name: str, asked: Request, write: Write) -> ClusterRecord:
    """Raises NotFound and PreconditionFailed."""

    async def act() -> ClusterRecord:
        current = await _existing(connection, name, write)
        check_requested(current, asked)
        record = await _update(connection, current.id, "requested = $2", asked.value)
        what = f"{asked.value}Requested"
        await changes.append(connection, [cluster_changed(record, what, write.principal)])
        return record

    content = fingerprint("request", name, asked.value)
    return await answered.once(connection, write, content, ClusterRecord, act)


def check_requested(current: ClusterRecord, asked: Request) -> None:
    """Raises Taken: a request that is not done is not replaced, or it would be lost without a word."""
    if current.requested not in (Request.NONE, asked):
        raise Taken(f"{current.requested.value.lower()} of {current.name} is asked for and not done yet")


async def record_request_done(
    connection: Connection, lease: Lease, cluster: str, asked: Request, floor: Version | None
) -> None:
    """Raises LeaseLost."""
    await hold(connection, lease)
    row = await connection.fetchrow(
        "update cluster set requested = '', floor_epoch = coalesce($3, floor_epoch),"
        " floor_generation = coalesce($4, floor_generation),"
        " resource_version = nextval('resource_version')"
        f" where id = $1 and requested = $2 returning {COLUMNS}",
        cluster,
        asked.value,
        floor.epoch if floor else None,
        floor.generation if floor else None,
    )
    if row is not None:
        record = record_of(dict(row))
        await changes.append(connection, [cluster_changed(record, f"{asked.value}Done", DECIDER)])


async def record_standing(
    connection: Connection, lease: Lease, cluster: str, standing: Standing, reason: str
) -> None:
    """Nothing where it stands so already; a removed cluster stays removed. Raises LeaseLost."""
    await hold(connection, lease)
    row = await connection.fetchrow(f"select {COLUMNS} from cluster where id = $1 for update", cluster)
    if row is None or row["standing"] == Standing.REMOVED:
        return
    if (row["standing"], row["standing_reason"]) == (standing, clean(reason)):
        return
    record = await _update(
        connection, cluster, "standing = $2, standing_reason = $3", standing.value, clean(reason)
    )
    await changes.append(connection, [cluster_changed(record, standing.value, DECIDER)])


async def record_incarnation(connection: Connection, lease: Lease, cluster: str, incarnation: int) -> None:
    """It only grows. No write of a person's: the resource version stays. Raises LeaseLost."""
    await hold(connection, lease)
    await connection.execute(
        "update cluster set incarnation = greatest(incarnation, $2) where id = $1", cluster, incarnation
    )


def cluster_changed(record: ClusterRecord, what: str, by: str) -> Any:
    detail = {"reason": record.standing_reason} if record.standing_reason else {}
    return changed("Cluster", record.name, record.id, what, by, **detail)


async def _existing(connection: Connection, name: str, write: Write) -> ClusterRecord:
    row = await connection.fetchrow(
        f"select {COLUMNS} from cluster where name = $1 and standing <> $2 for update",
        name,
        Standing.REMOVED.value,
    )
    if row is None:
        raise NotFound(f"there is no cluster {name!r}")
    check_condition(name, write, row["resource_version"])
    return record_of(dict(row))


async def _update(connection: Connection, cluster: str, assignments: str, *values: Any) -> ClusterRecord:
    row = await connection.fetchrow(
        f"update cluster set {assignments}, resource_version = nextval('resource_version')"
        f" where id = $1 returning {COLUMNS}",
        cluster,
        *values,
    )
    assert row is not None  # noqa: S101 - locked by the caller
    return record_of(dict(row))


async def read(connection: Connection, ids: Collection[str]) -> list[ClusterRecord]:
    rows = await connection.fetch(f"select {COLUMNS} from cluster where id = any($1)", list(ids))
    return [record_of(dict(row)) for row in rows]


async def account_seed(connection: Connection, cluster: str) -> bytes:
    """Sealed, as it was given. Raises NotFound."""
    seed = await connection.fetchval("select account_seed from cluster where id = $1", cluster)
    if seed is None:
        raise NotFound(f"there is no cluster {cluster!r}")
    return seed


def record_of(row: dict[str, Any]) -> ClusterRecord:
    row["taints"] = taints_of(row["taints"])
    row["headroom"] = msgspec.convert(row["headroom"], tuple[Make, ...])
    row["standing"] = Standing(row["standing"])
    row["requested"] = Request(row["requested"])
    epoch, generation = row.pop("floor_epoch"), row.pop("floor_generation")
    return ClusterRecord(**row, floor=None if epoch is None else Version(epoch, generation))
