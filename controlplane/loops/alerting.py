"""Who hears, decided and sent by one process, in its epoch of the role `alerting`.

1. Load the board that was saved, and the log behind it; notices that were pending are sent again, with the
   keys that they had.
2. What is due is looked at; the flushes commit with timers, notices and history, some at a time.
3. Only then are the notices sent, each in the lane of its integration; nobody here waits for them.
4. Every minute the alerts that changed are saved, and what is older than that may be trimmed.
A commit whose outcome is unknown ends the epoch: only loading everything anew tells what is true.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from controlplane.alerts.board import Board
from controlplane.alerts.configuration import Configuration, Limits
from controlplane.alerts.entry import Entry
from controlplane.alerts.notice import Flush
from controlplane.failpoints import reached
from controlplane.known.records import Lease
from controlplane.loops.alert_metrics import AlertMetrics
from controlplane.loops.alert_ports import AlertStore, Channels, DeadMansSwitch
from controlplane.loops.board_following import BoardFollower
from controlplane.loops.heartbeats import Heartbeats
from controlplane.loops.notice_spans import NoticeSpans
from controlplane.loops.notifying import Leading, Notifying
from controlplane.loops.ports import Clock, StoreUnavailable
from controlplane.loops.running import LoopMetrics, Wake

log = structlog.get_logger()

FLUSHES_AT_ONCE = 250
PERIOD_SECONDS = 1.0
SHORTEST_LOOK_SECONDS = 0.02
CHECKPOINT_SECONDS = 60.0
SAVED_AT_ONCE = 500
MOST_SLICES = 1_000
TRIM_SECONDS = 300.0
BEHIND_ENTRIES = 1_000


@dataclass(frozen=True)
class AlertingPorts:
    """configuration: of now; a reload changes it. draw: 0 to 1, at random.

    beside: what else runs for the epoch, over the log that it may append to.
    """

    store: AlertStore
    channels: Channels
    switch: DeadMansSwitch
    clock: Clock
    metrics: AlertMetrics
    configuration: Callable[[], Configuration]
    draw: Callable[[], float]
    beside: Callable[[Lease], Sequence[Coroutine[Any, Any, None]]] = lambda _: ()
    loops: LoopMetrics | None = None


class Alerting:
    """For one epoch."""

    def __init__(self, ports: AlertingPorts, follower: BoardFollower, leading: Leading) -> None:
        self._ports = ports
        self._follower = follower
        self._leading = leading
        self._wake = Wake()

    async def run(self) -> None:
        """Until cancelled. Raises LeaseLost, StoreUnavailable: another epoch loads everything anew."""
        ports, follower = self._ports, self._follower
        await follower.load(leads=True)
        board = follower.board
        spans = NoticeSpans()
        notifying = Notifying(
            ports.store,
            ports.channels,
            board,
            ports.clock,
            self._leading,
            ports.metrics,
            limits_of=self._limits_of,
            draw=ports.draw,
            settled=self._wake.up,
            spans=spans,
        )
        heartbeats = Heartbeats(follower, ports.configuration, ports.clock, ports.store, self._leading.lease)
        told = (self._came, heartbeats.heard, spans.came)
        follower.on_applied.extend(told)
        pending = board.pending
        await notifying.recall(pending)
        log.info("alerting", epoch=self._leading.lease.epoch, alerts=len(board.alerts), pending=len(pending))
        ports.metrics.leads.set(1)
        try:
            with self._watched(board, notifying):
                async with asyncio.TaskGroup() as group:
                    group.create_task(notifying.run())
                    notifying.put_again(board.digests, pending)
                    group.create_task(self._flush_forever(board, notifying))
                    group.create_task(self._checkpoint_forever(board))
                    group.create_task(self._trim_forever())
                    group.create_task(heartbeats.run())
                    group.create_task(self._call_switch())
                    for running in ports.beside(self._leading.lease):
                        group.create_task(running)
        except* Exception as failures:
            raise failures.exceptions[0] from failures
        finally:
            ports.metrics.leads.set(0)
            for each in told:
                follower.on_applied.remove(each)
            follower.follow_only()

    @contextmanager
    def _watched(self, board: Board, notifying: Notifying) -> Generator[None]:
        """By whoever looks at the metrics of loops."""
        loops, clock = self._ports.loops, self._ports.clock
        if loops is None:
            yield
            return

        def behind_seconds() -> float:
            due = board.next_due()
            return max(0.0, clock.now() - due) if due else 0.0

        with (
            loops.watched("alerting", behind_seconds),
            loops.watched("notifying", notifying.behind_seconds, lambda: notifying.depth),
        ):
            yield

    def _came(self, _: Entry) -> None:
        self._wake.up()

    def _limits_of(self, receiver: str, integration: str) -> Limits:
        found = self._ports.configuration().receivers.get(receiver)
        integrations = found.integrations if found is not None else ()
        return next((each.limits for each in integrations if each.name == integration), Limits())

    async def _flush_forever(self, board: Board, notifying: Notifying) -> None:
        clock = self._ports.clock
        while True:
            if self._follower.board is not board:
                raise StoreUnavailable("the board was loaded anew: the log, or the database, is another")
            async with notifying.deciding:
                flushes = board.due(clock.now(), FLUSHES_AT_ONCE)
                if flushes:
                    await self._commit(board, notifying, flushes)
            if flushes:
                continue
            due = board.next_due()
            wait = PERIOD_SECONDS if due is None else min(PERIOD_SECONDS, max(0.0, due - clock.now()))
            await self._wake.wait(max(wait, SHORTEST_LOOK_SECONDS))

    async def _commit(self, board: Board, notifying: Notifying, flushes: Sequence[Flush]) -> None:
        metrics = self._ports.metrics
        try:
            with metrics.flush_seconds.time():
                await self._ports.store.commit_flushes(self._leading.lease, flushes, board.groups_of(flushes))
        except BaseException:
            notifying.unsure = True
            raise
        board.committed(flushes)
        reached("centre.after_flush_commit")
        notices = [notice for flush in flushes for notice in flush.notices]
        metrics.flushes.inc(len(flushes))
        for notice in notices:
            metrics.notices.labels(notice.receiver, notice.why.value).inc()
        notifying.put(notices)

    async def _checkpoint_forever(self, board: Board) -> None:
        while True:
            await self._ports.clock.sleep(CHECKPOINT_SECONDS)
            await self._checkpoint(board)

    async def _checkpoint(self, board: Board) -> None:
        """What had changed when it began; however much changes meanwhile, that comes to an end."""
        lease, store = self._leading.lease, self._ports.store
        applied, (to_save, to_forget) = self._follower.applied, board.unsaved
        while True:
            alerts, gone = board.changed_since_checkpoint(SAVED_AT_ONCE)
            to_save, to_forget = to_save - len(alerts), to_forget - len(gone)
            whole = (to_save <= 0 or not alerts) and (to_forget <= 0 or not gone)
            await store.checkpoint(lease, applied if whole else 0, alerts, gone)
            if whole:
                self._ports.metrics.checkpoint.set(applied)
                return

    async def _trim_forever(self) -> None:
        ports = self._ports
        while True:
            await ports.clock.sleep(TRIM_SECONDS)
            bounds = ports.configuration().beyond.history
            try:
                for _ in range(MOST_SLICES):
                    if not await ports.store.trim(self._leading.lease, ports.clock.now(), bounds):
                        break
            except StoreUnavailable as error:
                log.warning("history_not_trimmed", detail=str(error))

    async def _call_switch(self) -> None:
        """While all is well: the log is followed closely, and Postgres answers."""
        ports = self._ports
        while True:
            switch = ports.configuration().beyond.dead_mans_switch
            await ports.clock.sleep(switch.every_seconds if switch is not None else CHECKPOINT_SECONDS)
            switch = ports.configuration().beyond.dead_mans_switch
            if switch is None or not self._leading.holds():
                continue
            try:
                await self._follower.look()
                behind = f"{self._follower.lag_entries} entries behind"
            except StoreUnavailable as error:
                behind = str(error)
            else:
                if self._follower.lag_entries <= BEHIND_ENTRIES:
                    behind = ""
            if behind:
                ports.metrics.switch.labels("behind").inc()
                log.warning("dead_mans_switch_not_called", detail=behind)
                continue
            answer = await ports.switch.call(switch.url)
            ports.metrics.switch.labels("called" if answer.delivered else "failed").inc()
            if not answer.delivered:
                log.warning("dead_mans_switch_not_reached", code=answer.code, detail=answer.detail)
