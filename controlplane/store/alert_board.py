"""The board as Postgres holds it: alerts as of a checkpoint, and the leader's state as of its last commit."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from controlplane.alerts.entry import SavedAlert, SavedBoard, SavedGroup
from controlplane.alerts.notice import Flush, Notice, Sent
from controlplane.alerts.silence import Acknowledgement, Silence
from controlplane.store import alert_history
from controlplane.store.alert_codec import pack, unpack
from controlplane.store.codecs import Connection, clean, transposed

SLICE = 500
ACKNOWLEDGED = "select fingerprint, starts_at, at, by, comment from acknowledgement"
T = TypeVar("T")


async def load(connection: Connection) -> SavedBoard:
    """In one snapshot; gives way to others between slices."""
    read = _Reader(connection)
    groups = await read("select body from alert_group", lambda row: unpack(SavedGroup, row["body"]))
    return SavedBoard(
        applied=await connection.fetchval("select applied from alert_head"),
        alerts=await read("select body from alert_saved", lambda row: unpack(SavedAlert, row["body"])),
        silences=await read("select body from silence", lambda row: unpack(Silence, row["body"])),
        acknowledgements=await read(ACKNOWLEDGED, lambda row: Acknowledgement(**row)),
        groups={group.group_key: group for group in groups},
        sent=await read("select body from alert_sent", lambda row: unpack(Sent, row["body"])),
        pending=await read(
            "select body from alert_notice order by at, key", lambda row: unpack(Notice, row["body"])
        ),
    )


async def put_flushes(connection: Connection, flushes: Sequence[Flush], groups: Sequence[SavedGroup]) -> None:
    """Under the lease. A notice that is there already stays as it is: the same was decided again."""
    gone = [clean(flush.group_key) for flush in flushes if flush.next_at is None]
    if gone:
        await connection.execute("delete from alert_group where group_key = any($1::text[])", gone)
        await connection.execute("delete from alert_sent where group_key = any($1::text[])", gone)
    await put_groups(connection, groups)
    await put_sent(connection, [sent for flush in flushes for sent in flush.cleared])
    notices = [_notice_row(notice) for flush in flushes for notice in flush.notices]
    if notices:
        await connection.execute(
            "insert into alert_notice (key, group_key, receiver, integration, why, at, body) select * from"
            " unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::bytea[])"
            " on conflict (key) do nothing",
            *transposed(notices, 7),
        )
    await alert_history.append(connection, [line for flush in flushes for line in flush.happened])


async def put_groups(connection: Connection, groups: Sequence[SavedGroup]) -> None:
    kept = {clean(group.group_key): pack(group) for group in groups}
    if kept:
        await connection.execute(
            "insert into alert_group (group_key, body) select * from unnest($1::text[], $2::bytea[])"
            " on conflict (group_key) do update set body = excluded.body",
            list(kept),
            list(kept.values()),
        )


def _notice_row(notice: Notice) -> tuple[Any, ...]:
    return (
        clean(notice.key),
        clean(notice.group_key),
        clean(notice.receiver),
        clean(notice.integration),
        notice.why.value,
        notice.at,
        pack(notice),
    )


async def put_sent(connection: Connection, sent: Sequence[Sent]) -> None:
    newest = {
        (clean(each.group_key), clean(each.receiver), clean(each.integration)): (each.at, pack(each))
        for each in sent
    }
    if not newest:
        return
    await connection.execute(
        "insert into alert_sent (group_key, receiver, integration, at, body)"
        " select * from unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::bytea[])"
        " on conflict (group_key, receiver, integration) do update"
        " set (at, body) = (excluded.at, excluded.body)",
        *transposed(((*key, *value) for key, value in newest.items()), 5),
    )


async def checkpoint(
    connection: Connection, applied: int, alerts: Sequence[SavedAlert], gone: Collection[str]
) -> None:
    """Under the lease. The log below is trimmed apart from this."""
    await connection.execute("delete from alert_saved where fingerprint = any($1::text[])", list(gone))
    rows = {saved.alert.fingerprint: saved for saved in alerts}
    await connection.execute(
        "insert into alert_saved (fingerprint, body) select * from unnest($1::text[], $2::bytea[])"
        " on conflict (fingerprint) do update set body = excluded.body",
        list(rows),
        [pack(saved) for saved in rows.values()],
    )
    await connection.execute(
        "insert into alert_identity (fingerprint, labels, seen_at)"
        " select * from unnest($1::text[], $2::jsonb[], $3::float8[]) on conflict (fingerprint) do update"
        " set seen_at = excluded.seen_at where alert_identity.seen_at < excluded.seen_at - 3600",
        list(rows),
        [dict(saved.alert.labels) for saved in rows.values()],
        [saved.alert.updated_at for saved in rows.values()],
    )
    await connection.execute("update alert_head set applied = greatest(applied, $1)", applied)


class _Reader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __call__(self, query: str, record_of: Callable[[dict[str, Any]], T]) -> tuple[T, ...]:
        cursor = await self._connection.cursor(query)
        records: list[T] = []
        while rows := await cursor.fetch(SLICE):
            records.extend(record_of(dict(row)) for row in rows)
            await asyncio.sleep(0)
        return tuple(records)
