"""Alerts of a cluster that is cut off: nobody is told that they ended, until its agent says so."""

from collections.abc import Sequence

import pytest

from controlplane.alerts.alert import Alert
from controlplane.alerts.entry import Arrived, Entry
from controlplane.alerts.fingerprint import fingerprint
from controlplane.alerts.merging import merged
from controlplane.known.known import Heard, Known
from controlplane.known.records import ClusterRecord, Standing
from controlplane.loops.holding import HOLDS_SECONDS, PASS_SECONDS, Holding
from schemas.wire.beats import Beat

CUT_OFF_AT = 1_000.0


class SetClock:
    def __init__(self) -> None:
        self.time = CUT_OFF_AT

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class World:
    """One cluster, heard of last at CUT_OFF_AT; what is appended is merged as the board does."""

    def __init__(self, *, standing: Standing = Standing.JOINED) -> None:
        self.clock = SetClock()
        self.known = Known(loaded=True)
        record = ClusterRecord("id-eu", "eu", {}, (), "", "", b"", standing, "", 1, 1, 0.0)
        self.known.clusters = {"id-eu": record}
        self.beat()
        self.alerts: dict[str, Alert] = {}
        self.appended: list[Arrived] = []
        self.holding = Holding(self.known, lambda: self.alerts, self.append, self.clock)

    def beat(self) -> None:
        beat = Beat(incarnation=1, sequence=1, clock=self.clock.time, agent_version="1")
        self.known.heard["id-eu"] = Heard(self.clock.time, 1, beat)

    def put(self, name: str, *, source: str = "id-eu", ends_in: float = 240.0) -> Alert:
        now, identity = self.clock.time, {"alertname": name, "cluster": "eu"}
        alert = Alert(fingerprint(identity), identity, {}, now - 60, now + ends_in, now, source=source)
        self.alerts[alert.fingerprint] = alert
        return alert

    async def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        for entry in entries:
            assert isinstance(entry, Arrived)
            self.appended.append(entry)
            for alert in entry.alerts:
                self.alerts[alert.fingerprint] = merged(self.alerts[alert.fingerprint], alert, entry.at)
        return list(range(len(entries)))

    async def run_for(self, seconds: float) -> None:
        until = self.clock.time + seconds
        while self.clock.time < until:
            await self.holding.run_pass()
            self.clock.time += PASS_SECONDS


async def test_what_fires_goes_on_for_as_long_as_its_cluster_is_silent() -> None:
    world = World()
    alert = world.put("Down")
    await world.run_for(3 * 3600)
    assert not world.alerts[alert.fingerprint].resolved(world.clock.time)
    assert len(world.appended) <= 3 * 3600 / (HOLDS_SECONDS - 2 * 60)


async def test_an_end_that_the_agent_saw_meanwhile_holds_when_it_is_back() -> None:
    world = World()
    alert = world.put("Down")
    await world.run_for(3600)
    ended_at = CUT_OFF_AT + 600
    held = world.alerts[alert.fingerprint]
    said = Alert(alert.fingerprint, alert.identity, {}, alert.starts_at, ended_at, ended_at, source="id-eu")
    assert merged(held, said, world.clock.time).ends_at == ended_at


@pytest.mark.parametrize(
    "why",
    ["its cluster speaks", "its cluster is removed", "the centre took it itself", "it had ended before"],
)
async def test_what_is_not_held(why: str) -> None:
    world = World(standing=Standing.REMOVED if why == "its cluster is removed" else Standing.JOINED)
    source = "" if why == "the centre took it itself" else "id-eu"
    world.put("Down", source=source, ends_in=-1.0 if why == "it had ended before" else 240.0)
    for _ in range(40):
        if why == "its cluster speaks":
            world.beat()
        await world.run_for(PASS_SECONDS)
    assert world.appended == []
