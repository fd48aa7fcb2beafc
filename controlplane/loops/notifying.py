"""Notices out: to each integration of each receiver in a lane of its own, so that a slow one delays no other.

1. A notice that was committed enters its lane. A lane sends at most SENDING_AT_ONCE at a time.
2. Before each attempt the lease is looked at, by the clock of this process too: who slept must not send.
3. What fails for a while is tried again after a pause that doubles, or that the receiver named, until the
   notice's deadline; at least once, however late it is.
4. A lane with a limit keeps to it. What would have to wait is folded into one digest, which is committed
   before it is sent, and each notice in it is recorded with what became of the digest.
5. Every attempt is recorded; the last one with what follows from it, in one transaction.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from controlplane.alerts.board import Board
from controlplane.alerts.configuration import Limits
from controlplane.alerts.limiting import MINUTE_SECONDS, Pace
from controlplane.alerts.notice import Answer, Attempt, Flush, Happened, Notice
from controlplane.failpoints import reached
from controlplane.known.records import Lease
from controlplane.loops.alert_metrics import AlertMetrics
from controlplane.loops.alert_ports import AlertStore, Attempted, Channels
from controlplane.loops.lanes import UNRECORDED_AT_ONCE, Lane, Trial, digested, folded, pause_seconds
from controlplane.loops.notice_spans import NoticeSpans
from controlplane.loops.ports import Clock, LeaseLost, StoreUnavailable

log = structlog.get_logger()

RECORDED_AT_ONCE = 500
RETRY_SECONDS = 0.5
ENDING_SECONDS = 2.0
LATE_SECONDS = 30.0
"""A notice of this epoch that waited so long beyond its deadline has failed: the next look decides anew."""


@dataclass(frozen=True)
class Leading:
    """lease: of this epoch; holds: whether it is still ours, as far as this process can tell by itself."""

    lease: Lease
    holds: Callable[[], bool]


class Notifying:
    """For one epoch. limits_of: of a lane, as configured now. draw: 0 to 1, at random."""

    def __init__(
        self,
        store: AlertStore,
        channels: Channels,
        board: Board,
        clock: Clock,
        leading: Leading,
        metrics: AlertMetrics,
        *,
        limits_of: Callable[[str, str], Limits],
        draw: Callable[[], float],
        settled: Callable[[], None],
        spans: NoticeSpans | None = None,
    ) -> None:
        self._store = store
        self._channels = channels
        self._board = board
        self._clock = clock
        self._leading = leading
        self._metrics = metrics
        self._limits_of = limits_of
        self._draw = draw
        self._settled = settled
        self._spans = spans or NoticeSpans()
        self._began_at = clock.now()
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._paces: dict[str, Pace] = {}
        self._tried: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._ending = False
        self._attempts: deque[tuple[Trial, Attempt, asyncio.Future[None]]] = deque()
        self.deciding = asyncio.Lock()
        """Held while what follows from an answer is recorded, and by whoever commits flushes: each knows what
        the other wrote, and the database never has a group as it was before."""
        self.unsure = False
        """A commit of flushes may have taken effect, and the board does not know: how groups stand is left as
        the database has it. What was sent is recorded still."""
        self._to_record = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def depth(self) -> int:
        """Messages that wait in their lanes, those that are being sent left out."""
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def behind_seconds(self) -> float:
        """Since the oldest of them was decided on."""
        oldest = [lane.waiting[0].message.at for lane in self._lanes.values() if lane.waiting]
        return max(0.0, self._clock.now() - min(oldest)) if oldest else 0.0

    async def recall(self, pending: Sequence[Notice]) -> None:
        """What was sent lately counts: a limit is one of the robot, not of this process."""
        since = self._clock.now() - MINUTE_SECONDS
        for tried in await self._store.recent_messages(since, [notice.key for notice in pending]):
            self._tried.add(tried.key)
            if tried.at >= since:
                self._pace(tried.receiver, tried.integration).take(tried.at)

    def _pace(self, receiver: str, integration: str) -> Pace:
        limits = self._limits_of(receiver, integration)
        pace = self._paces.setdefault(limits.robot or f"{receiver}/{integration}", Pace(0))
        pace.per_minute, pace.per_second = limits.per_minute, limits.per_second
        return pace

    def put_again(self, digests: Sequence[Notice], notices: Sequence[Notice]) -> None:
        """What the last leader left: first its digests, with what they stand for; then the others.

        What it may have sent goes alone, as it did: within a digest it would have another key.
        """
        by_key = {notice.key: notice for notice in notices}
        for digest in digests:
            theirs = [by_key.pop(key) for key in digest.folded if key in by_key]
            self._metrics.waiting.inc(len(theirs))
            lane = self._lane(digest)
            lane.waiting.append(Trial(theirs, digest, committed=True))
            self._fill(lane)
        left = Counter[tuple[str, str]]()
        for notice in sorted(by_key.values(), key=_in_line):
            way = notice.receiver, notice.integration
            left[way] += 1
            if left[way] <= UNRECORDED_AT_ONCE:
                self._tried.add(notice.key)
        self.put(list(by_key.values()))

    def put(self, notices: Sequence[Notice]) -> None:
        """Committed ones. Each group has at most one under way in a lane: that bounds what waits here."""
        touched: dict[tuple[str, str], Lane] = {}
        for notice in sorted(notices, key=_in_line):
            self._metrics.waiting.inc()
            lane = self._lane(notice)
            lane.waiting.append(Trial((notice,), notice, tried=notice.key in self._tried))
            touched[notice.receiver, notice.integration] = lane
        for lane in touched.values():
            self._fill(lane)

    def _lane(self, notice: Notice) -> Lane:
        key = notice.receiver, notice.integration
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(*key)
            # There before one fails: what first appears with 1 has not increased.
            self._metrics.failures.labels(*key)
        return lane

    async def run(self) -> None:
        """Until cancelled. Raises LeaseLost, StoreUnavailable; then nothing more is sent."""
        recording = asyncio.ensure_future(self._record_forever())
        try:
            await asyncio.wait({recording, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            for ended in (recording, self._failed):
                if ended.done():
                    ended.result()
        finally:
            self._ending = True
            if self._sending and self._leading.holds() and not recording.done():
                # Not cut off in the middle: what was sent and is not recorded would be sent once more.
                await asyncio.wait(self._sending, timeout=ENDING_SECONDS)
            recording.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(recording, *self._tasks, return_exceptions=True)
            self._failed.cancel()
            self._metrics.waiting.set(0)

    def _fill(self, lane: Lane) -> None:
        while lane.waiting and lane.has_room and not lane.paced and not self._ending:
            now = self._clock.now()
            pace = self._pace(lane.receiver, lane.integration)
            late = self._is_late(lane.waiting[0].message, now)
            wait = 0.0 if late else pace.wait_seconds(now)
            if wait > 0:
                lane.paced = True
                self._launch(self._fill_later(lane, wait))
                return
            trial = lane.waiting.popleft()
            if not late:
                if pace.last_of_minute and trial.fresh:
                    trial = folded(trial, lane.waiting, now)
                pace.take(now)
            lane.sending += 1
            lane.under_way += 1
            self._sending.add(task := self._launch(self._try(lane, trial)))
            task.add_done_callback(self._sending.discard)

    async def _fill_later(self, lane: Lane, wait: float) -> None:
        await self._clock.sleep(wait)
        lane.paced = False
        self._fill(lane)

    def _launch(self, running: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(running)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _try(self, lane: Lane, trial: Trial) -> None:
        trial.number += 1
        try:
            try:
                if trial.message.folded and not trial.committed:
                    await self._commit_digest(trial)
                attempt = await self._attempt(trial.message, trial.number)
            finally:
                lane.sending -= 1
            self._fill(lane)
            pause = pause_seconds(trial.number, attempt.answer, self._draw())
            last = (
                attempt.answer.delivered
                or not attempt.answer.retry
                or self._clock.now() + pause > trial.message.deadline
            )
            await self._record(trial, replace(attempt, last=last))
        finally:
            lane.under_way -= 1
        if last:
            self._metrics.waiting.dec(len(trial.notices))
            self._settled()
        else:
            self._launch(self._try_later(lane, trial, pause))
        self._fill(lane)

    async def _commit_digest(self, trial: Trial) -> None:
        digest = trial.message
        flush = Flush(digest.group_key, digest.at, digest.at, (digest,))
        await self._store.commit_flushes(self._leading.lease, [flush], [])
        trial.committed = True

    async def _try_later(self, lane: Lane, trial: Trial, pause: float) -> None:
        await self._clock.sleep(pause)
        lane.waiting.appendleft(trial)
        self._fill(lane)

    def _is_late(self, notice: Notice, now: float) -> bool:
        return notice.at >= self._began_at and now > notice.deadline + LATE_SECONDS

    async def _attempt(self, notice: Notice, number: int) -> Attempt:
        if not self._leading.holds():
            raise LeaseLost("alerting: the lease ran out before a message was sent")
        began = self._clock.now()
        if self._is_late(notice, began):
            detail = "the receiver was too slow: the deadline had passed before an attempt could be made"
            return Attempt(notice.key, number, began, 0.0, Answer(delivered=False, detail=detail), last=True)
        with (
            self._metrics.seconds.labels(notice.integration).time(),
            self._spans.attempt(notice, number) as span,
        ):
            answer = await self._channels.send(notice)
            self._spans.answered(span, notice, answer)
        reached("centre.after_send")
        outcome = "delivered" if answer.delivered else "retry" if answer.retry else "refused"
        self._metrics.attempts.labels(notice.receiver, notice.integration, outcome).inc()
        if not answer.delivered:
            log.warning(
                "notice_not_delivered",
                receiver=notice.receiver,
                integration=notice.integration,
                group=notice.group_key,
                attempt=number,
                code=answer.code,
                detail=answer.detail,
            )
        took = max(0.0, self._clock.now() - began)
        return Attempt(notice.key, number, began, took, answer, last=False)

    async def _record(self, trial: Trial, attempt: Attempt) -> None:
        """Returns once it is committed."""
        message = trial.message
        if attempt.last and not attempt.answer.delivered:
            self._metrics.failures.labels(message.receiver, message.integration).inc()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._attempts.append((trial, attempt, future))
        self._to_record.set()
        await future

    def _all_attempted(self, trial: Trial, attempt: Attempt) -> Iterator[Attempted]:
        for notice in trial.notices:
            yield self._attempted(notice, trial.message, attempt)
        if trial.message.folded:
            yield Attempted(attempt)

    def _attempted(self, notice: Notice, message: Notice, attempt: Attempt) -> Attempted:
        folded_in: tuple[Happened, ...] = ()
        if notice.key != message.key:
            detail = f"in digest {message.key[:16]}: {attempt.answer.detail}".rstrip(": ")
            attempt = replace(attempt, key=notice.key, answer=replace(attempt.answer, detail=detail))
            folded_in = digested(notice, attempt, detail)
        if not attempt.last:
            return Attempted(attempt)
        said = ": ".join(part for part in (attempt.answer.code, attempt.answer.detail) if part)
        follows = self._board.settled(notice, attempt.answer.delivered, attempt.at, said)
        group = None if self.unsure else follows.group
        return Attempted(attempt, follows.sent, (*folded_in, *follows.happened), group)

    async def _record_forever(self) -> None:
        while True:
            await self._to_record.wait()
            self._to_record.clear()
            while self._attempts:
                count = min(RECORDED_AT_ONCE, len(self._attempts))
                together = [self._attempts.popleft() for _ in range(count)]
                async with self.deciding:
                    attempts = [
                        each for trial, said, _ in together for each in self._all_attempted(trial, said)
                    ]
                    for begin in range(0, len(attempts), RECORDED_AT_ONCE):
                        await self._record_together(attempts[begin : begin + RECORDED_AT_ONCE])
                for _, _, future in together:
                    if not future.done():
                        future.set_result(None)

    async def _record_together(self, attempts: Sequence[Attempted]) -> None:
        """Again, while the lease is ours: what was sent and not recorded would be sent once more."""
        while True:
            try:
                return await self._store.record_attempts(self._leading.lease, attempts)
            except StoreUnavailable as error:
                if not self._leading.holds():
                    raise
                log.warning("attempts_not_recorded", attempts=len(attempts), detail=str(error))
                await self._clock.sleep(RETRY_SECONDS)


def _in_line(notice: Notice) -> tuple[float, str]:
    return notice.at, notice.key
