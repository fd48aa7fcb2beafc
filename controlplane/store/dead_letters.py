"""What did not validate, with its reason: kept for people, bounded for each cluster."""

from collections.abc import Sequence

from controlplane.loops.ports import DeadLetter
from controlplane.store.codecs import Connection, clean, transposed

KEPT = 1_000
KEPT_BODY_BYTES = 64 * 1024


def shortened(letter: DeadLetter) -> DeadLetter:
    """As it is kept: its body is cut, because a thousand whole ones would be half a gigabyte."""
    return DeadLetter(
        clean(letter.cluster), clean(letter.subject), clean(letter.reason), letter.body[:KEPT_BODY_BYTES]
    )


async def bury(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    rows = [
        (letter.cluster, letter.subject, letter.reason, letter.body) for letter in map(shortened, letters)
    ]
    await connection.execute(
        "insert into dead_letter (cluster, subject, reason, body)"
        " select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[])",
        *transposed(rows, 4),
    )
    await connection.execute(
        "delete from dead_letter d using (select c, (select id from dead_letter where cluster = c"
        " order by id desc offset $2 limit 1) as last from unnest($1::text[]) as c) as full_up"
        " where d.cluster = full_up.c and d.id <= full_up.last",
        sorted({row[0] for row in rows}),
        KEPT,
    )


async def read(connection: Connection, cluster: str, limit: int) -> list[DeadLetter]:
    """The newest first."""
    rows = await connection.fetch(
        "select cluster, subject, reason, body from dead_letter where cluster = $1 order by id desc limit $2",
        cluster,
        limit,
    )
    return [DeadLetter(row["cluster"], row["subject"], row["reason"], row["body"]) for row in rows]
