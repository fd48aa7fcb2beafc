"""Warning events of the cluster, as they come: listed in bounds, then watched.

1. List the first pages only: what happened before counts where it is recent, and there may be very many.
2. Watch from there. Ordinary events, several for each pod that comes or goes, are not asked for.
3. RBAC does not let us, or there is no such kind: say it once, and try again after a while.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from random import Random

import msgspec
import structlog

from agents.alerts.events import Warned
from agents.observe.shapes import RawList, WatchEvent
from agents.ports import Clock, Forbidden, Gone, Kube, KubeError, NotServed, Resource
from agents.timing import Backoff

EVENTS = Resource("", "v1", "events", "Event", True)
WARNINGS = "type=Warning"
MOST_PAGES = 4
REWATCH_SECONDS = 1.0
_MESSAGE_LONGEST = 500
_log = structlog.get_logger()


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""


class _Involved(msgspec.Struct):
    kind: str = ""
    namespace: str = ""
    name: str = ""


class _Series(msgspec.Struct, rename="camel"):
    count: int = 0
    last_observed_time: datetime | None = None


class _Source(msgspec.Struct):
    component: str = ""


class _TypeOnly(msgspec.Struct):
    type: str = ""


class EventShape(msgspec.Struct, rename="camel"):
    """`count` of the old way of recording, `series.count` of the new one."""

    metadata: _Metadata
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int | None = None
    series: _Series | None = None
    involved_object: _Involved = msgspec.field(default_factory=_Involved)
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    reporting_component: str = ""
    source: _Source | None = None


_decode_list = msgspec.json.Decoder(RawList)
_decode_line = msgspec.json.Decoder(WatchEvent)
_decode_type = msgspec.json.Decoder(_TypeOnly)
_decode_event = msgspec.json.Decoder(EventShape)


class _Bookmark(msgspec.Struct):
    metadata: "_Version"


class _Version(msgspec.Struct, rename="camel"):
    resource_version: str = ""


_decode_version = msgspec.json.Decoder(_Bookmark)


def warned(raw: bytes | msgspec.Raw, now: float) -> Warned | None:
    """A warning event, None for another. Raises msgspec.MsgspecError."""
    if _decode_type.decode(raw).type != "Warning":
        return None
    event = _decode_event.decode(raw)
    series, involved = event.series or _Series(), event.involved_object
    last = series.last_observed_time or event.last_timestamp or event.event_time
    first = event.first_timestamp or event.event_time
    at = last.timestamp() if last is not None else now
    return Warned(
        uid=event.metadata.uid or f"{event.metadata.namespace}/{event.metadata.name}",
        namespace=involved.namespace,
        kind=involved.kind,
        name=involved.name,
        reason=event.reason,
        message=event.message[:_MESSAGE_LONGEST],
        component=event.reporting_component or (event.source.component if event.source else ""),
        count=max(1, event.count or 0, series.count),
        first_at=first.timestamp() if first is not None else at,
        at=at,
    )


class Events:
    """Tells `saw` of every warning event, once and again as its count grows. `listed`: the first list is in,
    or is not to be had."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        random: Random,
        saw: Callable[[Warned, float], None],
        *,
        resync_seconds: float,
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._random = random
        self._saw = saw
        self._resync_seconds = resync_seconds
        self._version = ""
        self.listed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        backoff, quiet = Backoff(self._random), False
        while True:
            try:
                await self._list()
                backoff.succeeded()
                quiet = False
                await self._follow()
            except Gone:
                await self._clock.sleep(REWATCH_SECONDS)
            except (Forbidden, NotServed) as error:
                if not quiet:
                    quiet = True
                    _log.warning("events_not_readable", detail=str(error))
                self.listed.set()
                await self._clock.sleep(self._resync_seconds)
            except KubeError as error:
                if not backoff.failures:
                    _log.warning("events_not_watched", detail=str(error))
                await self._clock.sleep(backoff.failed())

    async def _list(self) -> None:
        pages = 0
        bodies = self._kube.list(EVENTS, field_selector=WARNINGS)
        async for body in bodies:
            page = _decode_list.decode(body)
            self._version = page.metadata.resource_version
            for number, item in enumerate(page.items or ()):
                if number % 100 == 99:
                    await asyncio.sleep(0)
                self._take(item)
            pages += 1
            if pages >= MOST_PAGES:
                _log.info("events_listed_in_part", pages=pages)
                break
        self.listed.set()

    async def _follow(self) -> None:
        while True:
            async for line in self._kube.watch(EVENTS, self._version, field_selector=WARNINGS):
                event = _decode_line.decode(line)
                self._version = (
                    _decode_version.decode(event.object).metadata.resource_version or self._version
                )
                if event.type in ("ADDED", "MODIFIED"):
                    self._take(event.object)
            await self._clock.sleep(REWATCH_SECONDS)

    def _take(self, raw: msgspec.Raw) -> None:
        now = self._clock.now()
        try:
            found = warned(raw, now)
        except (msgspec.MsgspecError, ValueError) as error:
            _log.warning("event_malformed", detail=str(error))
            return
        if found is not None:
            self._saw(found, now)
