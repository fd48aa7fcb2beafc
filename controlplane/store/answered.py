"""Idempotency keys: who asked what, and what was answered."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from controlplane.intent import Write
from controlplane.store.codecs import Connection, transposed
from controlplane.store.settlement import KEPT_SECONDS, Answer, Key, key_of

T = TypeVar("T")


async def read(connection: Connection, keys: Iterable[Key | None]) -> dict[Key, Answer]:
    asked = sorted({key for key in keys if key is not None})
    if not asked:
        return {}
    rows = await connection.fetch(
        "select principal, key, content, result from answered"
        " join unnest($1::text[], $2::text[]) as asked (principal, key) using (principal, key)"
        " where at > clock_timestamp() - make_interval(secs => $3)",
        *transposed(asked, 2),
        KEPT_SECONDS,
    )
    return {(row["principal"], row["key"]): Answer(row["content"], row["result"]) for row in rows}


async def put(connection: Connection, answers: Mapping[Key, Answer]) -> None:
    """A key whose time is over is given anew; one that somebody else has just used raises UniqueViolation."""
    if not answers:
        return
    rows = [(*key, answer.content, answer.result) for key, answer in sorted(answers.items(), key=_by_key)]
    columns = transposed(rows, 4)
    await connection.execute(
        "delete from answered old using unnest($1::text[], $2::text[]) as new (principal, key)"
        " where (old.principal, old.key) = (new.principal, new.key)"
        " and old.at <= clock_timestamp() - make_interval(secs => $3)",
        columns[0],
        columns[1],
        KEPT_SECONDS,
    )
    await connection.execute(
        "insert into answered (principal, key, content, result)"
        " select * from unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[])",
        *columns,
    )


async def once(
    connection: Connection,
    write: Write,
    content: bytes,
    kind: type[T],
    act: Callable[[], Awaitable[T]],
) -> T:
    """`act`, or the first result where this key was answered before. Raises Taken."""
    key = key_of(write)
    if key is None:
        return await act()
    answer = (await read(connection, [key])).get(key)
    if answer is not None:
        return answer.again(key[1], content, kind)
    result = await act()
    await put(connection, {key: Answer.of(content, result)})
    return result


async def expire(connection: Connection) -> None:
    await connection.execute(
        "delete from answered where at <= clock_timestamp() - make_interval(secs => $1)", KEPT_SECONDS
    )


def _by_key(item: tuple[Key, Answer]) -> Key:
    return item[0]
