"""When heartbeats were heard of last, or first expected."""

from collections.abc import Mapping

from controlplane.store.codecs import Connection, clean


async def read(connection: Connection) -> dict[str, float]:
    rows = await connection.fetch("select name, heard_at from alert_heartbeat")
    return {row["name"]: row["heard_at"] for row in rows}


async def write(connection: Connection, heard: Mapping[str, float]) -> None:
    """Under the lease."""
    kept = {clean(name): at for name, at in heard.items()}
    await connection.execute("delete from alert_heartbeat where name <> all($1::text[])", list(kept))
    await connection.execute(
        "insert into alert_heartbeat select * from unnest($1::text[], $2::float8[])"
        " on conflict (name) do update set heard_at = excluded.heard_at",
        list(kept),
        list(kept.values()),
    )
