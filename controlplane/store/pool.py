"""Connections with bounds on everything: what exceeds them is StoreUnavailable."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import asyncpg

from controlplane.loops.ports import StoreUnavailable
from controlplane.store import hosts
from controlplane.store.codecs import Connection, set_codecs
from controlplane.store.namespaces import search_path

BOUND_SECONDS = 2.0
"""Of a lock, a statement, an idle transaction and an unanswered packet."""
CONNECT_SECONDS = 2.0
TRANSACTION_SECONDS = 4.0
ATTEMPTS = 3

_MILLISECONDS = str(int(BOUND_SECONDS * 1000))
SESSION = {
    "application_name": "muster",
    "lock_timeout": _MILLISECONDS,
    "statement_timeout": _MILLISECONDS,
    "idle_in_transaction_session_timeout": _MILLISECONDS,
    "tcp_user_timeout": _MILLISECONDS,
    # JIT of a query that takes a millisecond takes a hundred.
    "jit": "off",
}

_MET = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
"""Two writers met. The second reads what the first committed, and decides again."""

_BROKEN = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidTransactionStateError,
    OSError,
    TimeoutError,
)
"""After these the state of a connection is unknown, and asking for it could wait for ever."""

_UNAVAILABLE = (
    *_MET,
    *_BROKEN,
    asyncpg.InsufficientResourcesError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InvalidAuthorizationSpecificationError,
)
T = TypeVar("T")


@contextmanager
def unavailable() -> Generator[None]:
    """What Postgres or the way to it says when it cannot, as StoreUnavailable."""
    try:
        yield
    except _UNAVAILABLE as error:
        if isinstance(error, ValueError):
            # asyncpg's InterfaceError for a value that fits no column: the caller's fault, not the server's.
            raise
        raise StoreUnavailable(f"Postgres: {str(error) or type(error).__name__}") from error


class Pool:
    """Up to `size` connections to `dsn`, all of them to the schema of one namespace."""

    def __init__(self, dsn: str, *, size: int = 10, namespace: str = "") -> None:
        self._dsn = dsn
        self._size = size
        self._path = {"search_path": search_path(namespace)} if namespace else {}
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Raises StoreUnavailable when no connection can be made."""
        with unavailable():
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=0,
                max_size=self._size,
                init=set_codecs,
                reset=_keep,
                connect=hosts.connect,
                timeout=CONNECT_SECONDS,
                server_settings=SESSION | self._path,
            )
        async with self.connection():
            pass

    async def close(self) -> None:
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            async with asyncio.timeout(TRANSACTION_SECONDS):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection of its own, outside the pool, for listening."""
        with unavailable():
            return await hosts.connect(self._dsn, timeout=CONNECT_SECONDS, server_settings=self._path)

    @asynccontextmanager
    async def connection(self, seconds: float = TRANSACTION_SECONDS) -> AsyncGenerator[Connection]:
        """For single statements, each a transaction. Raises StoreUnavailable."""
        if self._pool is None:
            raise StoreUnavailable("Postgres: the store is not open")
        with unavailable():
            connection = await self._pool.acquire(timeout=CONNECT_SECONDS)
            try:
                async with asyncio.timeout(seconds):
                    yield connection
            except (*_BROKEN, asyncio.CancelledError):
                connection.terminate()
                raise
            finally:
                await self._pool.release(connection, timeout=CONNECT_SECONDS)

    @asynccontextmanager
    async def transaction(
        self, seconds: float = TRANSACTION_SECONDS, *, snapshot: bool = False
    ) -> AsyncGenerator[Connection]:
        """Committed when the block ends, rolled back when it raises. snapshot: read only, one view of all."""
        async with self.connection(seconds) as connection:
            isolation = "repeatable_read" if snapshot else "read_committed"
            transaction = connection.transaction(isolation=isolation, readonly=snapshot)
            await transaction.start()
            try:
                if snapshot:
                    await _allow(connection, seconds)
                yield connection
            except (*_BROKEN, asyncio.CancelledError):
                raise
            except BaseException:
                await transaction.rollback()
                raise
            else:
                await transaction.commit()

    async def retried(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """`work` in a transaction, again where another writer was there first. Raises StoreUnavailable."""
        attempt = 1
        while True:
            try:
                async with self.transaction() as connection:
                    return await work(connection)
            except StoreUnavailable as error:
                if attempt == ATTEMPTS or not isinstance(error.__cause__, _MET):
                    raise
            attempt += 1


async def _allow(connection: Connection, seconds: float) -> None:
    """A long read of much, with a loop between its parts that does other things too."""
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
        await connection.execute(f"set local {setting} = {int(seconds * 1000)}")


async def _keep(connection: Connection) -> None:
    """Nothing to reset: no setting, lock or cursor of ours outlives its transaction."""
