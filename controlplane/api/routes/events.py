"""Every change, as server-sent events: in order, each once, resumed where a reader left off."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi import Query as Parameter
from starlette.types import Receive, Scope, Send

from controlplane.access.tokens import Act
from controlplane.api.answers import answer, documented, versioned
from controlplane.api.bearer import require
from controlplane.api.feed import ChangeFeed, Reader, TooManyReaders
from controlplane.api.ports import ApiDeps
from controlplane.api.problems import Problem, invalid
from controlplane.known.records import Change
from controlplane.queries.paging import MAX_LIMIT, Page
from controlplane.queries.rows import ChangeRow
from schemas.reasons import Reason

KEEP_ALIVE_SECONDS = 15.0
_RETRY_MS = 2000


def router(deps: ApiDeps) -> APIRouter:
    api = versioned(tags=["changes"])
    reader = require(deps.access, Act.READ)
    feed = ChangeFeed(deps.changes)

    @api.get("/changes", dependencies=[Depends(reader)], responses=documented(Page[ChangeRow], "Changes"))
    async def changes(
        after: Annotated[int, Parameter(ge=0, description="Changes with a larger id")] = 0,
        last: Annotated[int, Parameter(ge=0, le=MAX_LIMIT, description="About so many of the newest")] = 0,
        limit: Annotated[int, Parameter(ge=1, le=MAX_LIMIT)] = 100,
    ) -> Response:
        """In the order of commits. `next`, where not empty, goes into `after`."""
        if last:
            after = max(after, deps.known.change_cursor - last)
        rows = tuple(_row(change) for change in await deps.changes.changes(after, limit))
        return answer(Page(rows, str(rows[-1].id) if len(rows) == limit else ""))

    @api.get(
        "/events",
        dependencies=[Depends(reader)],
        responses={200: {"description": "Events", "content": {"text/event-stream": {}}}},
    )
    async def events(
        request: Request,
        after: Annotated[int | None, Parameter(ge=0, description="As Last-Event-ID")] = None,
    ) -> Response:
        """Server-sent events: `id` is the change's, `event` its kind, `data` the change in JSON.

        Begins behind `Last-Event-ID` (or `after`), else with what comes from now on. A reader who is too
        slow is cut off, and resumes with the last id it has.
        """
        begin = _last_event_id(request)
        begin = after if begin is None else begin
        now_at = deps.known.change_cursor
        try:
            held = feed.open(now_at)
        except TooManyReaders as error:
            raise Problem(503, Reason.OVER_BOUND, str(error), headers={"Retry-After": "5"}) from error
        return EventStream(feed, held, now_at if begin is None else begin)

    return api


class EventStream(Response):
    """Sends until the reader leaves, or is dropped: then the connection ends, however full its pipe is."""

    media_type = "text/event-stream"

    def __init__(self, feed: ChangeFeed, reader: Reader, after: int) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._feed, self._reader, self._after = feed, reader, after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        ends: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._send_events(start, send)),
            asyncio.create_task(self._reader.dropped.wait()),
            asyncio.create_task(_gone(receive)),
        ]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if ends[0] in done:
                ends[0].result()
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            await self._feed.close(self._reader)

    async def _send_events(self, start: dict[str, Any], send: Send) -> None:
        await send(start)
        await _send_text(send, f"retry: {_RETRY_MS}\n\n")
        async with aclosing(self._events()) as events:
            async for text in events:
                await _send_text(send, text)

    async def _events(self) -> AsyncGenerator[str, None]:
        async with aclosing(self._feed.follow(self._reader, self._after)) as changes:
            coming = asyncio.ensure_future(anext(changes))
            try:
                while True:
                    done, _ = await asyncio.wait([coming], timeout=KEEP_ALIVE_SECONDS)
                    if not done:
                        yield ": still here\n\n"
                        continue
                    try:
                        change = coming.result()
                    except StopAsyncIteration:
                        return
                    yield _event(change)
                    coming = asyncio.ensure_future(anext(changes))
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_text(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


def _event(change: Change) -> str:
    data = msgspec.json.encode(_row(change)).decode()
    return f"id: {change.id}\nevent: {change.kind}\ndata: {data}\n\n"


def _row(change: Change) -> ChangeRow:
    return ChangeRow(**vars(change))


def _last_event_id(request: Request) -> int | None:
    text = request.headers.get("last-event-id", "").strip()
    if not text:
        return None
    if not text.isdigit() or len(text) > 18:
        raise invalid("Last-Event-ID", f"{text[:40]!r} is no id of ours; they are whole numbers", 400)
    return int(text)
