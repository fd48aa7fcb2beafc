"""What became of alerts and notices: lines of history, every attempt to deliver; bounded by age and size."""

from collections.abc import Collection, Sequence
from typing import Any

from controlplane.alerts.configuration import History
from controlplane.alerts.history import AttemptLine, HistoryLine, HistoryQuery
from controlplane.alerts.notice import Answer, Attempt, Happened, What
from controlplane.loops.alert_ports import Tried
from controlplane.store.codecs import Connection, clean, transposed

LINE_BYTES = 200
"""What a line takes in the table and its indexes, beside its texts."""
ATTEMPT_BYTES = 512
"""About what an attempt takes: there may be as much of them as of the history."""
AT_ONCE = 5_000
EXPIRED_KEPT_SECONDS = 5 * 24 * 3600.0
"""Silences stay readable so long after their end, as in Alertmanager."""
LOG_KEPT_SECONDS = 600.0
"""Entries of the log below the checkpoint stay so long: for replicas that are late."""
PAGE = 1_000


async def append(connection: Connection, lines: Sequence[Happened]) -> None:
    if not lines:
        return
    rows: list[tuple[Any, ...]] = []
    for line in lines:
        receiver, detail = clean(line.receiver), clean(line.detail)
        size = LINE_BYTES + len(receiver.encode()) + len(detail.encode())
        rows.append((line.fingerprint, line.starts_at, line.at, line.what.value, receiver, detail, size))
    for start in range(0, len(rows), AT_ONCE):
        await connection.copy_records_to_table(
            "alert_history",
            records=rows[start : start + AT_ONCE],
            columns=("fingerprint", "starts_at", "at", "what", "receiver", "detail", "bytes"),
        )
    await connection.execute("update alert_history_size set bytes = bytes + $1", sum(row[-1] for row in rows))


_PUT_ATTEMPTS = """
with inserted as (
    insert into alert_attempt (key, number, at, took_seconds, delivered, retry, code, detail, last,
        group_key, receiver, integration, why)
    select new.key, new.number, new.at, new.took_seconds, new.delivered, new.retry, new.code, new.detail,
        new.last, coalesce(n.group_key, ''), coalesce(n.receiver, ''), coalesce(n.integration, ''),
        coalesce(n.why, '')
    from unnest($1::text[], $2::int[], $3::float8[], $4::float8[], $5::bool[], $6::bool[], $7::text[],
            $8::text[], $9::bool[]) with ordinality
        as new (key, number, at, took_seconds, delivered, retry, code, detail, last, place)
    left join alert_notice n on n.key = new.key
    order by new.place
    on conflict (key, number, at) do nothing
    returning key, number, at
)
select key, number, at from inserted
"""


async def put_attempts(connection: Connection, attempts: Sequence[Attempt]) -> set[tuple[str, int, float]]:
    """Under the lease. The notice says what it is about; after the last attempt it is pending no more.

    (key, number, at) of those that were not recorded before: an answer of Postgres may have been lost.
    """
    rows = [
        (
            clean(attempt.key),
            attempt.number,
            attempt.at,
            attempt.took_seconds,
            attempt.answer.delivered,
            attempt.answer.retry,
            clean(attempt.answer.code),
            clean(attempt.answer.detail),
            attempt.last,
        )
        for attempt in attempts
    ]
    inserted = await connection.fetch(_PUT_ATTEMPTS, *transposed(rows, 9))
    over = [clean(attempt.key) for attempt in attempts if attempt.last]
    await connection.execute("delete from alert_notice where key = any($1::text[])", over)
    return {(row["key"], row["number"], row["at"]) for row in inserted}


DIGESTED = "in digest "
"""So begins the detail of an attempt that stands for a part of a message."""


async def recent_messages(connection: Connection, since: float, keys: Collection[str]) -> list[Tried]:
    rows = await connection.fetch(
        "select receiver, integration, at, key from alert_attempt"
        " where (at >= $1 or key = any($2::text[])) and not starts_with(detail, $3) order by at",
        since,
        [clean(key) for key in keys],
        DIGESTED,
    )
    return [Tried(row["receiver"], row["integration"], row["at"], row["key"]) for row in rows]


async def trim(connection: Connection, now: float, bounds: History) -> bool:
    """A part of what is too old or too much; whether there is more. The oldest lines give way."""
    before = now - bounds.days * 24 * 3600.0
    more = [await trim_table(connection, *each) for each in _forgotten(now, before, bounds.max_bytes)]
    removed: int = await connection.fetchval(
        "with over as (select bytes - $3 as bytes from alert_history_size),"
        " oldest as (select id, at, sum(bytes) over (order by id) - bytes as lighter"
        "  from (select id, at, bytes from alert_history order by id limit $2) as first),"
        " gone as (delete from alert_history where id in (select id from oldest, over"
        "  where oldest.at < $1 or oldest.lighter < over.bytes) returning bytes),"
        " less as (update alert_history_size set bytes = bytes"
        "  - (select coalesce(sum(bytes), 0) from gone) returning bytes)"
        " select count(*) from gone",
        before,
        AT_ONCE,
        bounds.max_bytes,
    )
    return removed == AT_ONCE or any(more)


def _forgotten(now: float, before: float, max_bytes: int) -> tuple[tuple[str, str, float], ...]:
    """Table, what may go from it, and the time, or the number, that stands in it as $1."""
    expired = now - EXPIRED_KEPT_SECONDS
    unsaved = "not exists (select from alert_saved s where s.fingerprint = t.fingerprint)"
    untold = "not exists (select from alert_history h where h.fingerprint = t.fingerprint)"
    return (
        ("alert_attempt", "at < $1", before),
        (
            "alert_attempt",
            "id <= (select max(id) from alert_attempt) - $1::bigint",
            max_bytes // ATTEMPT_BYTES,
        ),
        ("silence", "ends_at < $1", expired),
        ("acknowledgement", f"at < $1 and {unsaved}", expired),
        ("alert_identity", f"seen_at < $1 and {unsaved} and {untold}", before),
        (
            "alert_log",
            "id <= (select applied from alert_head) and at < $1",
            now - LOG_KEPT_SECONDS,
        ),
    )


async def trim_table(connection: Connection, table: str, where: str, at: float) -> bool:
    """Up to AT_ONCE rows, so that no statement takes long; whether there may be more."""
    done = await connection.execute(
        f"delete from {table} where ctid = any(array("
        f"select ctid from {table} t where {where} limit {AT_ONCE}))",
        at,
    )
    return done == f"DELETE {AT_ONCE}"


async def read(connection: Connection, query: HistoryQuery) -> list[HistoryLine]:
    """The newest first."""
    wanted: dict[str, Any] = {
        "h.fingerprint = ": query.fingerprint,
        "h.receiver = ": query.receiver,
        "h.what = ": query.what,
        "h.at >= ": query.since,
        "h.at < ": query.until,
        "h.id < ": query.before,
    }
    asked = [(f"{text}${{}}", value) for text, value in wanted.items() if value]
    # Labels are saved with the next checkpoint: of what has just come, whoever asks knows them.
    matching = "(i.labels @> ${} or h.fingerprint = any(${}::text[]))"
    values: list[Any] = [clean(value) if isinstance(value, str) else value for _, value in asked]
    texts = [text.format(number) for number, (text, _) in enumerate(asked, 1)]
    if query.matching:
        texts.append(matching.format(len(values) + 1, len(values) + 2))
        values += [dict(query.matching), [clean(each) for each in query.fresh]]
    where = " and ".join(texts) or "true"
    rows = await connection.fetch(
        "select h.id, h.fingerprint, h.starts_at, h.at, h.what, h.receiver, h.detail, i.labels"
        " from alert_history h left join alert_identity i on i.fingerprint = h.fingerprint"
        f" where {where} order by h.id desc limit ${len(values) + 1}",
        *values,
        min(query.limit, PAGE),
    )
    return [
        HistoryLine(
            row["id"],
            Happened(
                row["fingerprint"],
                row["starts_at"],
                row["at"],
                What(row["what"]),
                row["receiver"],
                row["detail"],
            ),
            row["labels"] or {},
        )
        for row in rows
    ]


async def read_attempts(
    connection: Connection, receiver: str, key: str, before: int, limit: int
) -> list[AttemptLine]:
    rows = await connection.fetch(
        "select id, key, group_key, receiver, integration, why, number, at, took_seconds, delivered, retry,"
        " code, detail, last from alert_attempt"
        " where ($1 = '' or receiver = $1) and ($2 = '' or key = $2) and ($3 = 0 or id < $3)"
        " order by id desc limit $4",
        clean(receiver),
        clean(key),
        before,
        min(limit, PAGE),
    )
    return [
        AttemptLine(
            row["id"],
            Attempt(
                row["key"],
                row["number"],
                row["at"],
                row["took_seconds"],
                Answer(row["delivered"], row["retry"], row["code"], row["detail"]),
                row["last"],
            ),
            row["group_key"],
            row["receiver"],
            row["integration"],
            row["why"],
        )
        for row in rows
    ]
