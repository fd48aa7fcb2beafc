"""A stream of orders that has lost some: wiped, set back, or short of its last seconds.

1. Before a pass of dispatch, once a second: how does the stream stand? It was made anew, or ends below what
   was published in it: orders are gone from it, also such as were carried out long ago.
2. All that was published is looked up, so many a second, and published again where it is gone: an agent that
   begins anew holds to what it finds there.
3. Every consumer is made anew once its agent is heard: it went with the stream, or stands above it. An agent
   that comes with a new incarnation is given one anyway.
4. Every half minute: whose consumer is gone, though the stream stands? To delete one may be carried out long
   after it was asked for, behind the one that was made meanwhile, and an agent that began anew then waits
   for orders that it has recorded and needs again. Made anew as in 3.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from controlplane.known.known import Known
from controlplane.known.records import OutboxRecord, Standing
from controlplane.loops.ports import Bus, BusUnavailable, Clock

log = structlog.get_logger()

AT_ONCE = 1_000
LOOK_SECONDS = 1.0
"""Passes of dispatch may follow each other at once, and a look is a request."""
CONSUMERS_SECONDS = 30.0


class LostOrders:
    """For one epoch. look_up: of an order, reads what the stream holds; has it published where it is gone."""

    def __init__(
        self, bus: Bus, known: Known, clock: Clock, look_up: Callable[[OutboxRecord], Awaitable[None]]
    ) -> None:
        self._bus = bus
        self._known = known
        self._clock = clock
        self._look_up = look_up
        self._created = self._looked_at = 0.0
        # Agents arrive first, and are given theirs.
        self._consumers_looked_at = clock.now()
        self._highest = max(
            (order.published_sequence or 0 for each in known.orders.values() for order in each.values()),
            default=0,
        )
        self._doubted: deque[tuple[str, str]] = deque()
        self._consumerless: dict[str, float] = {}

    def published(self, sequence: int) -> None:
        """An order lies there, or was found to."""
        self._highest = max(self._highest, sequence)

    async def run_pass(self) -> None:
        """Look at the stream; go on with what is doubted. BusUnavailable where there is something to do."""
        now = self._clock.now()
        if 0 <= now - self._looked_at < LOOK_SECONDS:
            return
        try:
            found = await self._bus.orders_state()
        except BusUnavailable:
            # Whoever has something to publish will say so.
            return
        self._looked_at = now
        if found.last_sequence < self._highest or self._created not in (0.0, found.created):
            log.error("orders_lost", published=self._highest, stored=found.last_sequence)
            self._doubt_all()
            self._highest = found.last_sequence
        self._created = found.created
        await self._look_for_consumers(now)
        await self._renew_consumers()
        await self._look_up_doubted()

    def _doubt_all(self) -> None:
        self._doubted = deque(
            (cluster, workload) for cluster, orders in self._known.orders_in.items() for workload in orders
        )
        self._consumerless = dict.fromkeys(self._known.clusters, self._clock.now())

    async def _look_for_consumers(self, now: float) -> None:
        if 0 <= now - self._consumers_looked_at < CONSUMERS_SECONDS:
            return
        self._consumers_looked_at = now
        try:
            held = await self._bus.order_consumers()
        except BusUnavailable as error:
            log.warning("consumers_not_listed", detail=str(error))
            return
        for cluster, record in self._known.clusters.items():
            heard = self._known.heard.get(cluster)
            # Who only says hello has yet to be given one.
            arrived = record.standing is Standing.JOINED and heard is not None and heard.beat.incarnation > 0
            if arrived and cluster not in held and cluster not in self._consumerless:
                log.warning("consumer_lost", cluster=record.name)
                self._consumerless[cluster] = now

    async def _renew_consumers(self) -> None:
        back = [
            cluster
            for cluster, since in self._consumerless.items()
            if (heard := self._known.heard.get(cluster)) is not None and heard.at >= since
        ]
        for cluster in back:
            await self._bus.renew_consumer(cluster)
            del self._consumerless[cluster]

    async def _look_up_doubted(self) -> None:
        doubted = [self._doubted.popleft() for _ in range(min(AT_ONCE, len(self._doubted)))]
        records = [record for key in doubted if (record := self._known.order(*key)) is not None]
        try:
            await asyncio.gather(
                *(self._look_up(record) for record in records if record.published_sequence is not None)
            )
        except BusUnavailable:
            self._doubted.extendleft(reversed(doubted))
            raise
