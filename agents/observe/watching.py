"""One kind kept in the cache: a paged list, then a watch with bookmarks, and now and then all over again.

1. List raw, page by page; swap the rows in at once, when the last page is here.
2. Watch from the list's resource version; every event, and every bookmark, moves that version on.
3. The server closes, or the connection is lost: watch again from there. It says 410: list again.
4. After `resync_seconds`, list again, for a missed event must not stay missed; where there is very much, so
   seldom that no more than RELISTED_ROWS_PER_SECOND are read for it.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Generic, TypeVar

import msgspec
import structlog

from agents.observe.keyed import Rows
from agents.observe.shapes import RawList, WatchEvent
from agents.ports import Clock, Forbidden, Gone, Kube, KubeError, NotServed, Resource, Unreachable
from agents.timing import Backoff, within

K = TypeVar("K")
R = TypeVar("R")
Decode = Callable[[msgspec.Raw], tuple[K, R]]
REWATCH_SECONDS = 0.2
TRIED_ENOUGH = 3
RELISTED_ROWS_PER_SECOND = 10.0
_log = structlog.get_logger()
_decode_list = msgspec.json.Decoder(RawList)
_decode_event = msgspec.json.Decoder(WatchEvent)


class _VersionOnly(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Bookmark(msgspec.Struct):
    metadata: _VersionOnly


def _nothing() -> None:
    pass


_decode_bookmark = msgspec.json.Decoder(_Bookmark)


def _event(line: bytes) -> WatchEvent:
    try:
        return _decode_event.decode(line)
    except msgspec.MsgspecError as error:
        raise Unreachable(f"a line of the watch is not the API server's: {error}") from None


class Watching(Generic[K, R]):
    """Keeps `rows` like the cluster's; `synced` once the first list is in."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        random: Random,
        resource: Resource,
        rows: Rows[K, R],
        decode: Decode[K, R],
        *,
        label_selector: str = "",
        resync_seconds: float = 600.0,
        begin: Callable[[], None] = _nothing,
        tried: Callable[[], None] | None = None,
    ) -> None:
        """begin: called before each list. tried: of a kind that may be missing or closed to us, once that
        much is known.
        """
        self._kube = kube
        self._clock = clock
        self._random = random
        self._resource = resource
        self._rows = rows
        self._decode = decode
        self._selector = label_selector
        self._resync_seconds = resync_seconds
        self._begin = begin
        self._tried = tried
        self._version = ""
        self._list_again_at = 0.0
        self._last: msgspec.Raw | None = None
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; of a kind that may be missing, until it is."""
        backoff, forbidden = Backoff(self._random), False
        while True:
            try:
                if not self._version:
                    await self._list()
                    backoff.succeeded()
                await within(self._clock, self._follow(backoff), self._list_again_at - self._clock.now())
                self._version = ""
            except Gone:
                _log.info("watch_too_old", kind=self._resource.kind)
                self._version = ""
                await self._clock.sleep(REWATCH_SECONDS)
            except NotServed as error:
                self._version = ""
                self._rows.replace({})
                if self._tried is not None:
                    self._tried()
                    return
                await self._failed(error, backoff)
            except Forbidden as error:
                self._version = ""
                if self._tried is None:
                    await self._failed(error, backoff)
                    continue
                if not forbidden:
                    forbidden = True
                    _log.warning("kind_not_readable", kind=self._resource.kind, detail=str(error))
                self._tried()
                await self._clock.sleep(self._resync_seconds)
            except KubeError as error:
                await self._failed(error, backoff)

    async def _failed(self, error: KubeError, backoff: Backoff) -> None:
        """What may be missing is told of once, when it begins to fail."""
        if self._tried is None or not backoff.failures:
            _log.warning("watch_failed", kind=self._resource.kind, detail=str(error))
        pause = backoff.failed()
        if self._tried is not None and backoff.failures >= TRIED_ENOUGH:
            self._tried()
        await self._clock.sleep(pause)

    async def _list(self) -> None:
        self._begin()
        rows: dict[K, R] = {}
        version = ""
        async for body in self._kube.list(self._resource, label_selector=self._selector):
            page = _decode_list.decode(body)
            version = page.metadata.resource_version
            for item in page.items or ():
                decoded = self._decoded(item)
                if decoded is not None:
                    key, row = decoded
                    known = self._rows.rows.get(key)
                    # Most is as it was: two pictures of a large cluster at once are to share it.
                    rows[key] = known if known is not None and known == row else row
        self._rows.replace(rows)
        self._version, self._last = version, None
        length = max(self._resync_seconds, len(rows) / RELISTED_ROWS_PER_SECOND)
        self._list_again_at = self._clock.now() + length * (0.9 + 0.2 * self._random.random())
        self.synced.set()
        if self._tried is not None:
            self._tried()

    async def _follow(self, backoff: Backoff) -> None:
        """Watch, again and again. Raises Gone and KubeError."""
        while True:
            lines = self._kube.watch(self._resource, self._reached(), label_selector=self._selector)
            async for line in lines:
                self._take(_event(line))
                backoff.succeeded()
            await self._clock.sleep(REWATCH_SECONDS)

    def _reached(self) -> str:
        """The version of the newest event: read when it is asked for, not of every event."""
        last, self._last = self._last, None
        if last is not None:
            try:
                self._version = _decode_bookmark.decode(last).metadata.resource_version or self._version
            except msgspec.MsgspecError:
                _log.warning("version_malformed", kind=self._resource.kind)
        return self._version

    def _take(self, event: WatchEvent) -> None:
        self._last = event.object
        if event.type == "BOOKMARK":
            return
        decoded = self._decoded(event.object)
        if decoded is None:
            return
        if event.type == "DELETED":
            self._rows.drop(decoded[0])
        else:
            self._rows.put(*decoded)

    def _decoded(self, raw: msgspec.Raw) -> tuple[K, R] | None:
        try:
            return self._decode(raw)
        except msgspec.MsgspecError as error:
            # One odd object must not hide the others.
            _log.warning("object_malformed", kind=self._resource.kind, detail=str(error))
            return None
