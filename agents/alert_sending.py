"""Spooled alerts on their way: in order, and again until the centre's watermark has passed them."""

import asyncio
from collections.abc import Sequence
from random import Random

import msgspec
import structlog

from agents import tracing
from agents.ports import Bus, BusAway, BusUnavailable, Clock, PublishRefused
from agents.spool import Spool, Spooled
from agents.timing import Retrying
from agents.troubles import Trouble
from schemas.wire.codec import encode
from schemas.wire.reports import Report, Stamp

AT_ONCE = 64
LOOK_SECONDS = 0.5
SILENT_BEATS = 6
HELD_FROM_SECONDS = 5.0
_log = structlog.get_logger()


class _Encoded(Report, frozen=True, kw_only=True):
    """`AlertBatch`, of what is JSON already."""

    received_at: float
    held_seconds: float
    alerts: msgspec.Raw
    sent_locally: msgspec.Raw


class AlertSending:
    """Sends after `begin`. What was sent and is not under the watermark after a while is sent again."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        random: Random,
        spool: Spool,
        subject: str,
        *,
        silent_seconds: float = 60.0,
    ) -> None:
        self._silent_seconds = silent_seconds
        self._bus = bus
        self._clock = clock
        self._random = random
        self._spool = spool
        self._subject = subject
        self._sent: Stamp = (0, 0)
        self._watermark: Stamp = (0, 0)
        self._moved_at = 0.0
        self._may = asyncio.Event()

    def begin(self) -> None:
        """The incarnation is settled; everything in the spool is sent from its beginning."""
        self._sent = (0, 0)
        self._moved_at = self._clock.now()
        self._may.set()

    def committed(self, watermark: Stamp, resend_from: Stamp | None) -> None:
        """What the centre said in reply to a beat."""
        now = self._clock.now()
        if watermark > self._watermark:
            self._watermark, self._moved_at = watermark, now
        self._spool.trim(watermark)
        if resend_from is not None:
            self._sent = min(self._sent, resend_from)
        elif self._sent > self._watermark and now - self._moved_at > self._silent_seconds:
            # Confirmed by a stream that has lost it since: nobody can miss the end of a log but its writer.
            _log.warning("alerts_sent_again", after=self._watermark, waiting=self._spool.depth)
            self._sent, self._moved_at = (0, 0), now

    async def run(self) -> None:
        """Until cancelled."""
        await self._may.wait()
        retrying = Retrying(self._bus.returns, self._clock, self._random)
        trouble = Trouble("alerts_not_published", "alerts_published_again", self._clock.now)
        while True:
            sent, batches = self._sent, self._next()
            if not batches:
                await self._clock.sleep(LOOK_SECONDS)
                continue
            try:
                await self._publish(batches)
            except (BusUnavailable, PublishRefused) as error:
                if not isinstance(error, BusAway):
                    trouble.met(waiting=self._spool.depth, detail=str(error))
                await retrying.failed()
                continue
            retrying.succeeded()
            trouble.over()
            self._spool.sent_until = max(each.received_at for each in batches)
            # Unless the centre has asked meanwhile to begin again further back.
            if self._sent == sent:
                self._sent = batches[-1].stamp

    async def _publish(self, batches: Sequence[Spooled]) -> None:
        messages = [(self._subject, self._encoded(each)) for each in batches]
        if not tracing.is_on():
            await self._bus.publish(messages)
            return
        spans = [
            tracing.span("send alerts", parent=each.trace or None, kind="producer", sequence=each.stamp[1])
            for each in batches
        ]
        try:
            await self._bus.publish(messages, [span.traceparent for span in spans])
        except (BusUnavailable, PublishRefused) as error:
            for span in spans:
                span.failed(type(error).__name__)
            raise
        finally:
            for span in spans:
                span.end()

    def _next(self) -> list[Spooled]:
        """A newer incarnation waits until all of the older is committed: the centre takes its first batch for
        the next link, so what of the older got lost on the way would never be missed."""
        oldest = self._spool.oldest()
        batches = self._spool.after(self._sent, AT_ONCE)
        return [each for each in batches if oldest is not None and each.stamp[0] == oldest[0]]

    def _encoded(self, batch: Spooled) -> bytes:
        held = self._clock.now() - batch.received_at
        return encode(
            _Encoded(
                incarnation=batch.stamp[0],
                sequence=batch.stamp[1],
                received_at=batch.received_at,
                held_seconds=held if held >= HELD_FROM_SECONDS else 0.0,
                alerts=msgspec.Raw(batch.body),
                sent_locally=msgspec.Raw(batch.sent or b"[]"),
            )
        )
