"""What a doctor wants to know of Postgres and of what lies in it, read by a connection of its own.

Each statement is bounded. What may not be read (pg_stat_replication of others, say) is left out; what the
database cannot answer in time ends the look, and what was read until then is told.
"""

import time
from collections.abc import Sequence
from typing import Any

import asyncpg

from controlplane.doctor.postgres import FIGHT_SECONDS, Delivery, Late, LeaseFacts, PostgresFacts
from controlplane.known.replicas import Replica
from controlplane.store import migrations, replicas
from controlplane.store.codecs import Connection
from controlplane.store.hosts import connect
from controlplane.store.migrations import DatabaseNewer
from controlplane.store.namespaces import quoted, schema_of
from controlplane.store.pool import CONNECT_SECONDS, unavailable

STATEMENT_SECONDS = 2.0
PLACES = 50
LINES = 200
"""Of the ledger, the newest: where they are is what is looked at."""
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")

_LEASES = f"""
select lease.role, holder, lease.epoch,
    case when expires_at = '-infinity' then -1e9
        else extract(epoch from expires_at - clock_timestamp()) end::float8 as left,
    (select count(*) from epoch where epoch.role = lease.role
        and began_at > clock_timestamp() - interval '{FIGHT_SECONDS} s') as recent
from lease
"""
_WAITING = """
select count(*) as count,
    coalesce(extract(epoch from clock_timestamp() - min(decided_at)), 0)::float8 as oldest
from outbox left join decision using (workload) where published_sequence is null
"""
_UNACKNOWLEDGED = """
select cluster, count(*) as count,
    coalesce(extract(epoch from clock_timestamp() - min(decided_at)), 0)::float8 as oldest
from outbox left join decision using (workload)
where published_sequence is not null
    and (acknowledged_epoch, acknowledged_generation) is distinct from (epoch, generation)
group by cluster order by oldest desc limit 100
"""
_LETTERS = """
select cluster, count(*) as count, (array_agg(reason order by id desc))[1] as reason
from dead_letter where at > clock_timestamp() - interval '1 hour' group by cluster order by 2 desc limit 100
"""
_LEDGER = f"""
with places as (
    select distinct workload, cluster from (
        select workload, cluster from ledger order by id desc limit {LINES}) newest limit {PLACES}
), entered as (
    select workload, cluster, tenant, flavor, resource, cause = 'Drifted' as drift, sum(amount) as sum
    from ledger join places using (workload, cluster) group by 1, 2, 3, 4, 5, 6
), held as (select b.* from balance b join places using (workload, cluster))
select (select count(*) from places) as places, tenant, workload, cluster, resource,
    coalesce(amount, 0)::text as amount, coalesce(sum, 0)::text as sum
from (select 1) one
left join (entered full join held using (workload, cluster, tenant, flavor, resource, drift))
    on coalesce(amount, 0) <> coalesce(sum, 0) limit 5
"""
_DELIVERIES = """
select receiver, count(*) filter (where delivered) as delivered,
    count(*) filter (where not delivered) as failed,
    (array_agg(detail order by id desc))[1] as detail,
    not (array_agg(delivered order by id desc))[1] as failed_last
from alert_attempt where at > $1 group by receiver order by failed desc limit 100
"""
_NOTICES = "select count(*) as count, coalesce($1 - min(at), 0)::float8 as oldest from alert_notice"


class Refuses(Exception):
    """User, password or database are none that it knows."""


async def look(dsn: str, namespace: str, *, embedded: bool) -> PostgresFacts:
    """Raises StoreUnavailable where it does not answer, Refuses where it does not let us in."""
    began = time.monotonic()
    settings = {
        "application_name": "muster-doctor",
        "search_path": quoted(schema_of(namespace)),
        "statement_timeout": str(int(STATEMENT_SECONDS * 1000)),
        "lock_timeout": "1000",
        "default_transaction_read_only": "on",
    }
    with unavailable():
        try:
            connection = await connect(dsn, timeout=CONNECT_SECONDS, server_settings=settings)
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
            raise Refuses(str(error)) from error
        took = time.monotonic() - began
        try:
            found = await _server(connection, embedded, took)
            return await _contents(connection, found)
        finally:
            connection.terminate()


async def _server(connection: Connection, embedded: bool, took_seconds: float) -> dict[str, Any]:
    before = time.time()
    row = await connection.fetchrow(
        "select current_setting('server_version') as version,"
        " current_setting('server_version_num')::int as number, pg_is_in_recovery() as read_only,"
        " extract(epoch from clock_timestamp())::float8 as now,"
        " current_setting('max_connections')::int as most,"
        " (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,"
        " coalesce((select extract(epoch from max(clock_timestamp() - xact_start)) from pg_stat_activity"
        " where pid <> pg_backend_pid() and backend_type = 'client backend'), 0)::float8 as long"
    )
    assert row is not None  # noqa: S101 - it names no table
    values = await connection.fetch(
        "select name, reset_val as setting from pg_settings where name = any($1)", list(DURABILITY)
    )
    standbys = await _optional(
        connection,
        "select coalesce(nullif(application_name, ''), 'standby') as name,"
        " coalesce(sync_state, 'unknown') as state,"
        " coalesce(extract(epoch from replay_lag), 0)::float8 as lag from pg_stat_replication order by 1",
    )
    return {
        "version": row["version"],
        "version_number": row["number"],
        "embedded": embedded,
        "read_only": row["read_only"],
        "settings": {value["name"]: value["setting"] for value in values},
        "skew_seconds": row["now"] - (before + time.time()) / 2,
        "took_seconds": took_seconds,
        "connections": row["connections"],
        "connections_most": row["most"],
        "long_seconds": row["long"],
        "standbys": tuple((each["name"], each["state"], each["lag"]) for each in standbys),
        "missing": None,
    }


async def _contents(connection: Connection, found: dict[str, Any]) -> PostgresFacts:
    if await connection.fetchval("select to_regclass('migration')") is None:
        return PostgresFacts(**found)
    every = migrations.known()
    rows = await connection.fetch("select * from migration")
    applied = {row["number"]: dict(row).get("needs", 0) for row in rows}
    found["missing"] = tuple(each.name for each in every if each.number not in applied)
    found["newest"] = max(applied, default=0)
    try:
        migrations.check_runs_on(applied)
    except DatabaseNewer as error:
        return PostgresFacts(**found, newer=str(error))
    return PostgresFacts(**found, **await _service(connection), **await _alerts(connection))


async def _service(connection: Connection) -> dict[str, Any]:
    waiting = await _optional(connection, _WAITING)
    ledger = await _optional(connection, _LEDGER)
    seeds = await _optional(
        connection,
        "select id, account_seed from cluster where standing = 'Joined' order by joined_at limit 1",
    )
    orders = await _optional(
        connection,
        "select cluster, workload, verb, epoch, generation, body, signature from outbox"
        " order by epoch desc, generation desc limit 1",
    )
    return {
        "leases": {
            row["role"]: LeaseFacts(row["holder"], row["epoch"], row["left"], row["recent"])
            for row in await _optional(connection, _LEASES)
        },
        "replicas": tuple(Replica(**dict(row)) for row in await _optional(connection, replicas.READ)),
        "unpublished": _late(waiting),
        "unacknowledged": {
            row["cluster"]: Late(row["count"], row["oldest"])
            for row in await _optional(connection, _UNACKNOWLEDGED)
        },
        "dead_letters": {
            row["cluster"]: (row["count"], row["reason"]) for row in await _optional(connection, _LETTERS)
        },
        "places": ledger[0]["places"] if ledger else 0,
        "unequal": tuple(
            f"{row['resource']} of {row['tenant']} in {row['cluster'] or 'no cluster'}:"
            f" entered {row['sum']}, held {row['amount']}"
            for row in ledger
            if row["tenant"] is not None
        ),
        "clusters": {
            row["id"]: row["name"]
            for row in await _optional(connection, "select id, name from cluster where standing = 'Joined'")
        },
        "sealed_seed": (seeds[0]["id"], seeds[0]["account_seed"]) if seeds else None,
        "signed_order": tuple(orders[0].values()) if orders else None,
    }


async def _alerts(connection: Connection) -> dict[str, Any]:
    now = time.time()
    notices = await _optional(connection, _NOTICES, now)
    return {
        "deliveries": {
            row["receiver"]: Delivery(row["delivered"], row["failed"], row["detail"], row["failed_last"])
            for row in await _optional(connection, _DELIVERIES, now - 3600)
        },
        "notices": _late(notices),
    }


async def _optional(connection: Connection, query: str, *arguments: object) -> "Sequence[asyncpg.Record]":
    """Nothing where it takes too long, may not be read, or its table is of a migration to come."""
    try:
        return await connection.fetch(query, *arguments)
    except (asyncpg.QueryCanceledError, asyncpg.SyntaxOrAccessError, asyncpg.LockNotAvailableError):
        return []


def _late(rows: "Sequence[asyncpg.Record]") -> Late:
    return Late(rows[0]["count"], rows[0]["oldest"]) if rows else Late(0, 0.0)
