"""NATS is killed and started again: what an agent holds back is sent at once, not when its pause is over."""

import asyncio
import time
from pathlib import Path
from random import Random

import pytest

from agents.alert_sending import AlertSending
from agents.beating import Beating
from agents.clock import SystemClock
from agents.publishing import Publisher
from agents.spool import Spool
from controlplane.bus import NatsBus
from controlplane.embedded import EmbeddedNats
from controlplane.identity import keys
from controlplane.identity.server_configuration import Trust
from schemas.wire.alerts import Alert
from schemas.wire.beats import BeatReply
from schemas.wire.codec import encode
from schemas.wire.orders import Version
from schemas.wire.reports import Namespaces, Stamp
from schemas.wire.subjects import Subjects
from tests.circle import eventually
from tests.installation import SMALL_BOUNDS, NatsInstallation

pytestmark = pytest.mark.timeout(90)

LONG_SECONDS = 8.0


class Hurried(SystemClock):
    """While `hurries`, short pauses are over soon, and long ones are not over before the test is."""

    def __init__(self) -> None:
        self.hurries = False
        self.in_long = 0

    async def sleep(self, seconds: float) -> None:
        if not self.hurries:
            return await super().sleep(seconds)
        if seconds < LONG_SECONDS:
            return await super().sleep(0.01)
        self.in_long += 1
        try:
            await super().sleep(3600.0)
        finally:
            self.in_long -= 1


class Told:
    """What a beat says here: nothing."""

    held = orders_repeated = spool_depth = 0
    holding = False

    def stamp(self) -> Stamp:
        return 1, 1

    def digests(self, count: int) -> dict[str, tuple[Stamp, str]]:
        return {}

    def versions(self) -> dict[str, Version]:
        return {}


async def settled(_: BeatReply) -> bool:
    return True


async def heard(_: BeatReply) -> None:
    """Says nothing that anybody waits for."""


@pytest.mark.promise(1)
async def test_an_agent_is_woken_when_nats_is_back(tmp_path: Path) -> None:
    own, subjects = keys.generate(), Subjects()
    async with EmbeddedNats(tmp_path / "nats", Trust.of(own, (subjects,), int(time.time()))) as nats:
        centre = NatsBus([nats.url], own, subjects, time.time, SMALL_BOUNDS)
        spool = Spool(tmp_path / "spool.sqlite")
        try:
            await centre.open()
            installation = NatsInstallation(nats.url, own, subjects, centre)
            await _is_woken(nats, installation, spool)
        finally:
            await centre.close()
            spool.close()


async def _is_woken(nats: EmbeddedNats, installation: NatsInstallation, spool: Spool) -> None:
    subjects, joined = installation.subjects, await installation.join()
    cluster, bus, clock, random = joined.id, installation.agent_bus(joined), Hurried(), Random(1)
    beats, reports, alerts = list[float](), list[str](), list[str]()

    async def answer(_: str, body: bytes) -> bytes:
        beats.append(clock.now())
        return encode(
            BeatReply(epoch=1, incarnation=1, alerts_committed=(0, 0), resend=[], clock=clock.now())
        )

    async def read_reports() -> None:
        async for batch in installation.bus.follow_reports(usage=False):
            reports.extend(message.subject for message in batch.messages)

    async def read_alerts() -> None:
        async for batch in installation.bus.follow_alerts():
            alerts.extend(message.subject for message in batch.messages)

    await installation.bus.serve_beats(answer)
    spool.begin(1, renumber_from=1)
    sending = AlertSending(bus, clock, random, spool, subjects.alert(cluster))
    publisher = Publisher(bus, clock, random, subjects, cluster)
    # The next beat after one that failed is an hour later.
    beating = Beating(
        *(bus, SystemClock(), random, Told(), (), "1"),
        period=3600.0,
        settle=settled,
        heard=heard,
    )
    running = [
        asyncio.create_task(each)
        for each in (sending.run(), publisher.run(), beating.run(), read_reports(), read_alerts())
    ]
    try:
        sending.begin()
        publisher.begin(1)
        await eventually("it has beaten, and beaten again", lambda: len(beats) == 2)
        nats.kill()
        clock.hurries = True
        spool.append([Alert(labels={"alertname": "Down"})], received_at=clock.now())
        publisher.offer("namespaces", Namespaces(incarnation=0, sequence=0))
        beating.recorded("w1", Version(1, 1))
        await eventually("both wait for long", lambda: clock.in_long == 2)
        clock.hurries = False
        await nats.start()
        await eventually("the alert is there", lambda: alerts, bound_seconds=20)
        await eventually("the report is there", lambda: reports, bound_seconds=20)
        await eventually("it beats", lambda: len(beats) > 2, bound_seconds=20)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await bus.close()
