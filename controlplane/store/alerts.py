"""How far each cluster's log is committed; what it brought enters ours in the same transaction."""

from collections.abc import Iterable, Sequence

from controlplane.known.records import Lease
from controlplane.loops.ports import AlertLink
from controlplane.store import alert_log
from controlplane.store.codecs import Connection
from controlplane.store.leases import hold
from schemas.wire.alerts import follows
from schemas.wire.reports import Stamp

START: Stamp = (0, 0)


def following(cursor: Stamp, links: Iterable[AlertLink]) -> tuple[list[AlertLink], Stamp]:
    """What of `links` comes next without a gap, and the cursor behind it. Pure.

    What lies at or below the cursor, or beyond a gap, is left out.
    """
    taken: list[AlertLink] = []
    for link in sorted(links, key=lambda link: link.stamp):
        if link.stamp <= cursor:
            continue
        if not follows(cursor, link.stamp):
            break
        taken.append(link)
        cursor = link.stamp
    return taken, cursor


async def commit(connection: Connection, lease: Lease, cluster: str, links: Sequence[AlertLink]) -> Stamp:
    """Raises LeaseLost."""
    await hold(connection, lease)
    row = await connection.fetchrow(
        "select incarnation, sequence from alert_cursor where cluster = $1 for update", cluster
    )
    before = (row["incarnation"], row["sequence"]) if row else START
    taken, cursor = following(before, links)
    if not taken:
        return before
    await connection.execute(
        "insert into alert_cursor values ($1, $2, $3) on conflict (cluster) do update"
        " set (incarnation, sequence) = (excluded.incarnation, excluded.sequence)",
        cluster,
        *cursor,
    )
    entries = [entry for link in taken for entry in link.entries]
    await alert_log.append(connection, [alert_log.appending(entries)])
    return cursor


async def watermarks(connection: Connection) -> dict[str, Stamp]:
    rows = await connection.fetch("select cluster, incarnation, sequence from alert_cursor")
    return {row["cluster"]: (row["incarnation"], row["sequence"]) for row in rows}
