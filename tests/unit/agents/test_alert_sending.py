"""Spooled alerts on their way, where the centre speaks while they are being sent."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from agents.alert_sending import AlertSending
from agents.clock import SystemClock
from agents.spool import Spool
from schemas.wire.alerts import Alert, AlertBatch
from schemas.wire.codec import decode
from schemas.wire.subjects import Subjects
from tests.simulation.memory_bus import AgentBus, MemoryNats

BOUND_SECONDS = 10.0


class ListenedBus(AgentBus):
    """Says what is being sent, before it is confirmed."""

    def __init__(self, nats: MemoryNats, on_publish: Callable[[list[int]], None]) -> None:
        super().__init__(nats, "C1")
        self._on_publish = on_publish

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self._on_publish([decode(AlertBatch, body).sequence for _, body in messages])
        await super().publish(messages)


async def test_what_the_centre_asks_for_while_something_is_sent_is_sent_next(tmp_path: Path) -> None:
    clock = SystemClock()
    nats = MemoryNats(Subjects("muster"), clock.now)
    spool = Spool(tmp_path / "spool.sqlite")
    spool.begin(1, renumber_from=1)
    sent: list[list[int]] = []
    enough = asyncio.Event()

    def spooled(count: int) -> None:
        for _ in range(count):
            spool.append([Alert(labels={"alertname": "Down"})], received_at=clock.now())

    def on_publish(sequences: list[int]) -> None:
        sent.append(sequences)
        if len(sent) == 1:
            spooled(3)
        if len(sent) == 2:
            sending.committed((1, 1), (1, 1))
        if len(sent) == 3:
            enough.set()

    sending = AlertSending(ListenedBus(nats, on_publish), clock, Random(1), spool, "muster.alert.C1")
    spooled(3)
    sending.begin()
    running = asyncio.create_task(sending.run())
    async with asyncio.timeout(BOUND_SECONDS):
        await enough.wait()
    running.cancel()
    spool.close()
    assert sent == [[1, 2, 3], [4, 5, 6], [2, 3, 4, 5, 6]]
