"""Every replica's board: what the log says, applied in the order of its ids.

1. Load the saved board, then apply the log from there on.
2. What this process appended itself is handed over after its commit, and applied at once when it comes next.
3. What others appended is read from Postgres, on NOTIFY and on a period.
4. Ids have no gaps: where one shows, the log was trimmed below us, and all is loaded anew; so too where the
   log ends before what was applied, which is a database restored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, nullcontext
from heapq import heappop, heappush
from itertools import count
from typing import TypeVar

import structlog

from controlplane.alerts.board import Board
from controlplane.alerts.entry import Arrived, Entry
from controlplane.loops.alert_metrics import AlertMetrics
from controlplane.loops.alert_ports import AlertStore
from controlplane.loops.ports import StoreUnavailable
from controlplane.loops.running import LoopMetrics
from controlplane.troubles import Trouble

log = structlog.get_logger()

READ_AT_ONCE = 200
SLICE_SECONDS = 0.004
GATHER_SECONDS = 0.01
PERIOD_SECONDS = 1.0
LOOK_SECONDS = 10.0
NAME = "board_following"
APPLIED_WITHIN_SECONDS = 10.0

T = TypeVar("T")


class BoardFollower:
    """new_board: an empty one for the configuration of now; its argument: whether it leads.

    on_applied: called with each entry that was applied, in order. on_loaded: with a board before it is ours.
    """

    def __init__(
        self,
        store: AlertStore,
        new_board: Callable[[bool], Board],
        metrics: AlertMetrics,
        loops: LoopMetrics | None = None,
    ) -> None:
        self._loops = loops
        self._failing = Trouble("board_not_followed", "board_followed_again")
        self._followed_at: float | None = None
        self._store = store
        self._new_board = new_board
        self._metrics = metrics
        self._board = new_board(False)
        self._stale = True
        self._handed: dict[int, Entry] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._appending = 0
        self._behind = asyncio.Event()
        self._numbers = count()
        self._reading = asyncio.Lock()
        self.applied = 0
        self.loaded = False
        self.lag_entries = 0
        self.on_loaded: list[Callable[[Board], None]] = []
        self.on_applied: list[Callable[[Entry], None]] = []

    @property
    def board(self) -> Board:
        """What is known now; another object once it was loaded anew."""
        return self._board

    async def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        """Their ids, once they are committed and applied here. Raises StoreUnavailable: nothing is known.

        Committed and not applied within APPLIED_WITHIN_SECONDS: returns all the same.
        """
        if not entries:
            return []
        self._appending += 1
        try:
            ids = await self._store.append_entries(entries)
        finally:
            self._appending -= 1
        self._handed.update(zip(ids, entries, strict=True))
        self._apply_handed()
        if self.applied < ids[-1]:
            self._behind.set()
            await self._until_applied(ids[-1])
        return ids

    async def run(self) -> None:
        """Until cancelled. Postgres away is waited for."""
        with ExitStack() as watched:
            if self._loops is not None:
                watched.enter_context(
                    self._loops.watched(NAME, self.behind_seconds, lambda: self.lag_entries)
                )
            await self._run()

    def behind_seconds(self) -> float:
        """Since the log was to be read, and could not be; 0 while it is."""
        if self._followed_at is None:
            return 0.0
        return max(0.0, asyncio.get_running_loop().time() - self._followed_at - LOOK_SECONDS)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        while True:
            if self._stale:
                await self._insist(self._load_if_stale)
            # Before the read: a gap that shows while it is under way is read for again at once.
            self._behind.clear()
            if not await self._insist(self._read):
                await self._until_others_appended()
            if loop.time() - looked_at >= LOOK_SECONDS:
                looked_at = loop.time()
                await self._insist(self.look)

    async def _until_others_appended(self) -> None:
        """Or for as long as a period. While we append ourselves, the news is ours, and handed over; what
        others appended in between shows as a gap below ours."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PERIOD_SECONDS
        while (left := until - loop.time()) > 0 and not self._behind.is_set():
            await self._news(left)
            await asyncio.sleep(GATHER_SECONDS)
            if not self._appending:
                return

    async def _news(self, timeout_seconds: float) -> None:
        waiting = {
            asyncio.ensure_future(self._store.wait_for_entry(timeout_seconds)),
            asyncio.ensure_future(self._behind.wait()),
        }
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    def follow_only(self) -> None:
        """Another may lead from now on: a board that led keeps what only a leader needs."""
        self._stale = True

    async def load(self, *, leads: bool = False) -> None:
        """Take what is saved and the log behind it, aside; then it is the board. Raises StoreUnavailable."""
        async with self._reading:
            await self._load(leads)

    async def _load_if_stale(self) -> None:
        """Not where this process has begun to lead meanwhile."""
        async with self._reading:
            if self._stale:
                await self._load(leads=False)

    async def _load(self, leads: bool) -> None:
        saved = await self._store.load_board()
        board, applied = self._new_board(leads), saved.applied
        board.load(saved)
        while entries := await self._store.read_entries(applied, READ_AT_ONCE):
            await self._each(entries, lambda number, entry: self._take(board, number, entry))
            applied = entries[-1][0]
        for told in self.on_loaded:
            told(board)
        self._board, self.applied, self.loaded, self._stale = board, applied, True, False
        self._forget_handed()
        self._apply_handed()
        self._advance()
        log.info("board_loaded", applied=applied, alerts=len(saved.alerts), pending=len(saved.pending))

    async def look(self) -> None:
        """How far the log is ahead of us; where it ends before us, load anew. Raises StoreUnavailable."""
        first, last = await self._store.entry_horizon()
        if last < self.applied or first > self.applied + 1:
            log.warning("board_loaded_anew", applied=self.applied, first=first, last=last)
            await self.load()
        self.lag_entries = max(0, last - self.applied)
        self._metrics.lag.set(self.lag_entries)

    async def _read(self) -> int:
        async with self._reading:
            entries = await self._store.read_entries(self.applied, READ_AT_ONCE)
            if not entries or entries[0][0] <= self.applied + 1:
                await self._each(entries, self._apply)
                self._forget_handed()
                return len(entries)
        log.warning("log_trimmed_below", applied=self.applied, first=entries[0][0])
        await self.load()
        return 1

    async def _each(self, entries: Sequence[tuple[int, Entry]], act: Callable[[int, Entry], None]) -> None:
        """In slices, so that nothing else waits long."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, entry in entries:
            act(number, entry)
            if loop.time() - began > SLICE_SECONDS:
                await asyncio.sleep(0)
                began = loop.time()

    def _apply(self, number: int, entry: Entry) -> None:
        if number <= self.applied:
            return
        self._take(self._board, number, entry)
        self.applied = number
        for told in self.on_applied:
            told(entry)
        self._advance()

    def _take(self, board: Board, number: int, entry: Entry) -> None:
        try:
            board.apply(entry, number)
        except Exception:
            # One that cannot be applied must not keep the others out, here and in every replica.
            log.exception("entry_not_applied", entry=number, kind=type(entry).__name__)
        self._metrics.entries.labels(type(entry).__name__).inc()
        if isinstance(entry, Arrived):
            self._metrics.applied_alerts.inc(len(entry.alerts))

    def _apply_handed(self) -> None:
        while (entry := self._handed.pop(self.applied + 1, None)) is not None:
            self._apply(self.applied + 1, entry)

    def _forget_handed(self) -> None:
        for number in [number for number in self._handed if number <= self.applied]:
            del self._handed[number]

    def _advance(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.applied:
            _, _, future = heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    async def _until_applied(self, number: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (number, next(self._numbers), future))
        await asyncio.wait((future,), timeout=APPLIED_WITHIN_SECONDS)

    async def _insist(self, act: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                with self._loops.passing(NAME) if self._loops is not None else nullcontext():
                    done = await act()
            except StoreUnavailable as error:
                self._failing.met(detail=str(error))
                await asyncio.sleep(PERIOD_SECONDS)
            else:
                self._failing.over()
                self._followed_at = asyncio.get_running_loop().time()
                return done
