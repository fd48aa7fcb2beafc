"""What the centre does not confirm in time is sent by the agent itself, to receivers inside the cluster.

1. Every two seconds: which batches wait longer for the watermark than a rule allows? Of their alerts, what
   fires and was not told yet, or so long ago that it is due again, becomes one message to each receiver that
   wants it. What a receiver was told of and that has ended meanwhile becomes another, be the centre silent or
   not.
2. The messages are committed to the disk before any is sent.
3. Each receiver gets its own in order, retried with backoff until it answers 2xx, refuses, or time is up.
4. What was sent, or given up, goes off the list and into the log of alerts in one transaction: the centre's
   history has it on catching up. Killed in between, the agent sends once more, under the same key.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import structlog

from agents.alerts.fallback_file import FallbackFile, FallbackReceiver, Rule
from agents.alerts.webhook import webhook_body
from agents.alerts.writing import SpoolWriter
from agents.failpoints import reached
from agents.local_notices import LocalNotice, labels_key
from agents.ports import Clock
from agents.spool import SpoolFull, Unconfirmed
from agents.timing import Backoff
from schemas.wire.alerts import Alert

LOOK_SECONDS = 2.0
SETTLING_SECONDS = 20.0
"""After the start: the centre is told of what lay on the disk, and may confirm it first."""
MOST_IN_MESSAGE = 200
_log = structlog.get_logger()


@dataclass(frozen=True)
class Answer:
    """What a receiver said to one attempt. retry: worth another one."""

    delivered: bool
    retry: bool
    detail: str


Post = Callable[[FallbackReceiver, str, bytes], Awaitable[Answer]]
"""One attempt, bounded in time: (receiver, idempotency key, body). Does not raise."""


class Fallback:
    """Of one process: it works without the lease, without NATS, and without the cluster's API."""

    def __init__(
        self, file: FallbackFile, writer: SpoolWriter, clock: Clock, random: Random, post: Post
    ) -> None:
        self._rules = [Rule(each) for each in file.fallback]
        self._extra = file.labels
        self._writer = writer
        self._spool = writer.spool
        self._clock = clock
        self._random = random
        self._post = post
        self._lanes: dict[str, deque[LocalNotice]] = {}
        self._queued: set[str] = set()

    async def run(self, *, settling_seconds: float = SETTLING_SECONDS) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            # What was to be sent when the agent died has waited long enough.
            self._queue(group)
            shortest = min((rule.receiver.after_seconds for rule in self._rules), default=0.0)
            await self._clock.sleep(min(settling_seconds, shortest))
            while True:
                try:
                    if await self._writer.run(self._look):
                        self._queue(group)
                except SpoolFull as error:
                    _log.error("fallback_not_planned", detail=str(error))
                await self._clock.sleep(LOOK_SECONDS)

    def _look(self) -> int:
        waits = sorted({rule.receiver.after_seconds for rule in self._rules})
        return self._spool.plan_locally(waits, self._clock.now(), self._decide)

    def _decide(self, found: Unconfirmed) -> list[LocalNotice]:
        now = self._clock.now()
        rules = [rule for rule in self._rules if rule.receiver.after_seconds == found.waited]
        # By receiver and labels, what fires as it was last reported, if that has waited long enough.
        firing: dict[tuple[str, bytes], Alert] = {}
        for alert, received_at, waited in found.reports:
            key = labels_key(alert.labels)
            ended = 0 < alert.ends_at <= received_at
            for rule in rules:
                place = rule.receiver.receiver, key
                if ended:
                    # What ended before anybody was told is the centre's: it stays in the spool.
                    firing.pop(place, None)
                elif place in firing or (waited and self._is_news(rule, alert, key, now)):
                    firing[place] = alert
        notices: list[LocalNotice] = []
        for rule in self._rules:
            receiver = rule.receiver
            resolved = [
                alert
                for key, alert in found.ended.items()
                if receiver.send_resolved and (receiver.receiver, key) in self._spool.local.told
            ]
            told = [alert for (name, _), alert in firing.items() if name == receiver.receiver]
            notices += _notices(receiver.receiver, now, told, resolved)
        return notices

    def _is_news(self, rule: Rule, alert: Alert, key: bytes, now: float) -> bool:
        told = self._spool.local.told.get((rule.receiver.receiver, key))
        is_due = told is None or now - told.told_at >= rule.receiver.repeat_seconds
        return is_due and rule.wants(alert)

    def _queue(self, group: asyncio.TaskGroup) -> None:
        known = {rule.receiver.receiver: rule.receiver for rule in self._rules}
        for notice in self._spool.local.pending():
            if notice.key in self._queued:
                continue
            self._queued.add(notice.key)
            lane = self._lanes.get(notice.receiver)
            if lane is None:
                lane = self._lanes[notice.receiver] = deque()
                group.create_task(self._send_lane(notice.receiver, known.get(notice.receiver)))
            lane.append(notice)

    async def _send_lane(self, name: str, receiver: FallbackReceiver | None) -> None:
        lane = self._lanes[name]
        while lane:
            notice = lane.popleft()
            await self._send(notice, receiver)
            self._queued.discard(notice.key)
        del self._lanes[name]

    async def _send(self, notice: LocalNotice, receiver: FallbackReceiver | None) -> None:
        attempts, backoff = 0, Backoff(self._random, first_seconds=1.0)
        answer = Answer(False, False, "the file names no such receiver any more")
        while receiver is not None:
            attempts += 1
            answer = await self._post(receiver, notice.key, webhook_body(notice, self._extra))
            waited = self._clock.now() - notice.made_at
            if answer.delivered or not answer.retry or waited >= receiver.give_up_seconds:
                break
            await self._clock.sleep(backoff.failed())
        reached("agent.after_local_send")
        said = _log.warning if answer.delivered else _log.error
        said(
            "sent_locally" if answer.delivered else "not_sent_locally",
            receiver=notice.receiver,
            firing=len(notice.firing),
            resolved=len(notice.resolved),
            attempts=attempts,
            answer=answer.detail,
        )
        await self._record(notice, answer, attempts)

    async def _record(self, notice: LocalNotice, answer: Answer, attempts: int) -> None:
        """Again and again while the disk fails: what is not recorded would be sent again after a restart."""
        backoff = Backoff(self._random)
        while True:
            now = self._clock.now()
            record = notice.record(
                at=now, delivered=answer.delivered, attempts=attempts, detail=answer.detail
            )
            try:
                await self._writer.run(partial(self._spool.record_sent, record, received_at=now))
                return
            except SpoolFull as error:
                _log.error("fallback_not_recorded", detail=str(error))
                await self._clock.sleep(backoff.failed())


def _notices(
    receiver: str, now: float, firing: Sequence[Alert], resolved: Sequence[Alert]
) -> list[LocalNotice]:
    told = [(alert, False) for alert in firing] + [(alert, True) for alert in resolved]
    parts = [told[start : start + MOST_IN_MESSAGE] for start in range(0, len(told), MOST_IN_MESSAGE)]
    return [
        LocalNotice(
            receiver,
            now,
            [alert for alert, ended in part if not ended],
            [alert for alert, ended in part if ended],
        )
        for part in parts
    ]
