"""Changes to many readers: one poll of the database for all, a bounded buffer for each."""

import asyncio
from collections.abc import AsyncGenerator

import structlog

from controlplane.api.ports import ChangeReader
from controlplane.known.records import Change
from controlplane.loops.ports import StoreUnavailable

BUFFER_CHANGES = 1000
PAGE_CHANGES = 500
MAX_READERS = 256
POLL_SECONDS = 5.0
RETRY_SECONDS = 1.0
_log = structlog.get_logger("api.feed")


class TooManyReaders(Exception):
    """As many as may be are reading."""


class Reader:
    """One reader's buffer. When it is full the reader is dropped: it comes back with the last id it has."""

    def __init__(self) -> None:
        self.buffer: asyncio.Queue[Change] = asyncio.Queue(BUFFER_CHANGES)
        self.dropped = asyncio.Event()

    def offer(self, change: Change) -> None:
        if self.dropped.is_set():
            return
        try:
            self.buffer.put_nowait(change)
        except asyncio.QueueFull:
            self.dropped.set()


class ChangeFeed:
    """Polls while somebody reads, and only then."""

    def __init__(self, changes: ChangeReader) -> None:
        self._changes = changes
        self._readers: set[Reader] = set()
        self._pump: asyncio.Task[None] | None = None
        self._cursor = 0

    @property
    def readers(self) -> int:
        return len(self._readers)

    def open(self, now_at: int) -> Reader:
        """A reader of what comes after `now_at`, or after what the others have been given if that is later.

        Raises TooManyReaders.
        """
        if len(self._readers) >= MAX_READERS:
            raise TooManyReaders(f"{MAX_READERS} readers already follow the changes")
        reader = Reader()
        self._readers.add(reader)
        if self._pump is None or self._pump.done():
            self._cursor = now_at
            self._pump = asyncio.create_task(self._run(), name="api.feed")
        return reader

    async def close(self, reader: Reader) -> None:
        self._readers.discard(reader)
        if not self._readers and self._pump is not None:
            self._pump.cancel()
            self._pump = None

    async def follow(self, reader: Reader, after: int) -> AsyncGenerator[Change, None]:
        """What is stored after `after`, then what comes, each once and in order; ends when dropped."""
        last = after
        while not reader.dropped.is_set():
            page = await self._changes.changes(last, PAGE_CHANGES)
            for change in page:
                last = change.id
                yield change
            if len(page) < PAGE_CHANGES:
                break
        while not reader.dropped.is_set():
            change = await reader.buffer.get()
            if change.id > last:
                last = change.id
                yield change

    async def _run(self) -> None:
        try:
            await self._poll()
        finally:
            # Whatever ended the pump, nobody shall wait on it.
            for reader in self._readers:
                reader.dropped.set()

    async def _poll(self) -> None:
        while True:
            try:
                page = await self._changes.changes(self._cursor, PAGE_CHANGES)
                for change in page:
                    self._cursor = change.id
                    for reader in self._readers:
                        reader.offer(change)
                if not page:
                    await self._changes.wait_for_change(POLL_SECONDS)
            except StoreUnavailable as error:
                _log.warning("changes cannot be read; trying again", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
