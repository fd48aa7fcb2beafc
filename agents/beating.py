"""The beat: how the agent stands, and what the centre answers to it.

What is recorded between two beats is told by brief ones, many orders at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from random import Random
from typing import Protocol

import structlog

from agents.ports import Bus, BusAway, BusUnavailable, Clock
from agents.timing import Pauses, signalled
from agents.troubles import Trouble
from schemas.wire.beats import Beat, BeatReply
from schemas.wire.codec import Malformed, decode, encode
from schemas.wire.orders import Version
from schemas.wire.reports import Stamp

TIMEOUT_SECONDS = 5.0
DIGESTS_A_BEAT = 64
SKEW_SECONDS = 30.0
FIRST_RETRY_SECONDS = 1.0
GATHER_SECONDS = 0.1
RECORDED_A_BEAT = 2_000
_log = structlog.get_logger()


class Told(Protocol):
    """What a beat tells."""

    def stamp(self) -> Stamp: ...

    def digests(self, count: int) -> dict[str, tuple[Stamp, str]]: ...

    def versions(self) -> dict[str, Version]: ...

    @property
    def held(self) -> int: ...

    @property
    def orders_repeated(self) -> int: ...

    @property
    def spool_depth(self) -> int: ...

    @property
    def holding(self) -> bool: ...


class Beating:
    """Beats every `period` seconds, with jitter. `settle` gets the answers until it takes one, `heard` all
    that come later.

    Answers of a deposed leader (a lower epoch than one that was heard) are left aside.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        random: Random,
        told: Told,
        capabilities: Iterable[str],
        agent_version: str,
        *,
        period: float,
        settle: Callable[[BeatReply], Awaitable[bool]],
        heard: Callable[[BeatReply], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._random = random
        self._told = told
        self._capabilities = list(capabilities)
        self._agent_version = agent_version
        self._period = period
        self._settle = settle
        self._heard = heard
        self._epoch = 0
        self._settled = False
        self._want_versions = False
        self._highest: Version | None = None
        self._recorded: dict[str, Version] = {}
        self._something = asyncio.Event()
        self._pauses = Pauses(bus.returns, clock, random)
        self._unanswered = Trouble("beats_unanswered", "beats_answered_again", clock.now)

    def recorded(self, workload: str, version: Version) -> None:
        """An order of this version is recorded; the centre hears of it within a moment."""
        self._recorded[workload] = version
        self._something.set()

    async def run(self) -> None:
        """Until cancelled."""
        pause = FIRST_RETRY_SECONDS
        while True:
            reply = await self._beat(brief=False)
            if reply is None:
                # Nothing is settled and nothing sent, or NATS was back before the centre is: ask more often,
                # but never in a rush.
                pause = min(self._period, pause * 1.5)
                if await self._pauses.pause(self._jittered(pause)):
                    pause = FIRST_RETRY_SECONDS
                continue
            if not self._settled:
                self._settled = await self._settle(reply)
                if not self._settled:
                    await self._clock.sleep(FIRST_RETRY_SECONDS)
                # The next beat names the incarnation, and with it the centre makes the consumer.
                continue
            await self._heard(reply)
            pause = self._period
            await self._pause(self._jittered(pause))

    def _jittered(self, seconds: float) -> float:
        return seconds * (0.8 + 0.4 * self._random.random())

    async def _pause(self, seconds: float) -> None:
        """Until the next beat; what is recorded meanwhile is told in brief."""
        until = self._clock.now() + seconds
        while self._settled and (left := until - self._clock.now()) > GATHER_SECONDS:
            if not self._recorded and not await signalled(self._clock, self._something, left):
                return
            await self._clock.sleep(GATHER_SECONDS)
            reply = await self._beat(brief=True)
            if reply is None:
                break
            await self._heard(reply)
        await self._pauses.pause(max(0.0, until - self._clock.now()))

    async def _beat(self, *, brief: bool) -> BeatReply | None:
        told = dict(islice(self._recorded.items(), RECORDED_A_BEAT))
        beat = self._compose_brief(told) if brief else self._compose(told)
        try:
            body = await self._bus.beat(encode(beat), timeout_seconds=TIMEOUT_SECONDS)
            reply = decode(BeatReply, body)
        except BusUnavailable as error:
            if not isinstance(error, BusAway):
                self._unanswered.met(detail=str(error))
            return None
        except Malformed as error:
            _log.warning("beat_reply_malformed", detail=str(error))
            return None
        if reply.epoch < self._epoch:
            _log.warning("beat_answered_by_deposed", epoch=reply.epoch, newest=self._epoch)
            return None
        self._epoch = reply.epoch
        self._unanswered.over()
        for workload, version in told.items():
            if self._recorded.get(workload) == version:
                del self._recorded[workload]
        if not brief:
            self._want_versions = "versions" in reply.resend
        if reply.clock and abs(reply.clock - self._clock.now()) > SKEW_SECONDS:
            _log.warning("clock_differs", seconds=round(reply.clock - self._clock.now(), 1))
        return reply

    def _compose_brief(self, recorded: dict[str, Version]) -> Beat:
        self._highest = max(
            (version for version in (self._highest, *recorded.values()) if version), default=None
        )
        incarnation, sequence = self._told.stamp()
        return Beat(
            incarnation=incarnation,
            sequence=sequence,
            clock=self._clock.now(),
            agent_version=self._agent_version,
            capabilities=self._capabilities,
            highest=self._highest,
            held=self._told.held,
            recorded=recorded,
            brief=True,
            orders_repeated=self._told.orders_repeated,
            spool_depth=self._told.spool_depth,
            holding=self._told.holding,
        )

    def _compose(self, recorded: dict[str, Version]) -> Beat:
        incarnation, sequence = self._told.stamp() if self._settled else (0, 0)
        versions = self._told.versions()
        self._highest = max(versions.values(), default=None)
        return Beat(
            incarnation=incarnation,
            sequence=sequence,
            clock=self._clock.now(),
            agent_version=self._agent_version,
            capabilities=self._capabilities,
            highest=self._highest,
            held=len(versions),
            recorded=recorded if self._settled else {},
            versions=versions if self._want_versions else None,
            digests=self._told.digests(DIGESTS_A_BEAT) if self._settled else {},
            orders_repeated=self._told.orders_repeated,
            spool_depth=self._told.spool_depth,
            holding=self._told.holding,
        )
