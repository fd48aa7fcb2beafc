"""The agent's own alerts: each trouble is said when it begins, and its end is said whoever died meanwhile."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agents.alerts.nodes import node_troubles
from agents.alerts.troubles import AT_ONCE, LASTS_SECONDS, ClusterAlerts
from agents.alerts.writing import SpoolWriter
from agents.observe.rows import NodeRow
from agents.spool import Spool
from schemas.wire.alerts import Alert

Said = tuple[str, str, float, float]
"""(alert name, node, starts_at, ended at or 0)"""


class NodeAlerts:
    """The agent's own alerts, of nodes alone."""

    def __init__(self, spool: Spool, clock: "SetClock") -> None:
        self._alerts = ClusterAlerts(SpoolWriter(spool, clock), clock)

    async def look(self, nodes: dict[str, NodeRow]) -> None:
        await self._alerts.look(node_troubles(nodes))


@dataclass
class SetClock:
    time: float = 10.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nothing here waits, not even {seconds} s")


def cluster(**conditions: tuple[str, ...]) -> dict[str, NodeRow]:
    row = NodeRow("", {}, "", {}, (), (), "")
    return {name: replace(row, name=name, conditions=true) for name, true in conditions.items()}


READY, DOWN = ("Ready",), ()
FULL_DISK = ("Ready", "DiskPressure")
A_DOWN, B_DOWN = ("NodeNotReady", "a"), ("NodeNotReady", "b")
A_FULL = ("NodeDiskPressure", "a")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def opened(path: Path, *, most_batches: int = 1000) -> Spool:
    """As an agent that starts opens it: under a new incarnation."""
    spool = Spool(path, most_batches=most_batches)
    spool.begin(spool.incarnation + 1, renumber_from=spool.incarnation + 1)
    return spool


def said(spool: Spool) -> list[Said]:
    return [
        (alert.labels["alertname"], alert.labels["node"], alert.starts_at, ended(alert, batch.received_at))
        for batch in spool.after((0, 0), 1000)
        for alert in batch.alerts
    ]


def ended(alert: Alert, received_at: float) -> float:
    """0 for what fires: that is said to last for a good while."""
    if alert.ends_at <= received_at:
        return alert.ends_at
    assert alert.ends_at == received_at + LASTS_SECONDS
    return 0.0


def firing(spool: Spool) -> set[tuple[str, str]]:
    return {(alert.labels["alertname"], alert.labels["node"]) for alert in spool.firing()}


@pytest.mark.promise(1)
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(cluster(a=READY), cluster(a=READY), [], id="nothing-hurts"),
        pytest.param(cluster(a=DOWN), cluster(a=READY), [(*A_DOWN, 10.0, 20.0)], id="recovered-meanwhile"),
        pytest.param(cluster(a=DOWN), cluster(), [(*A_DOWN, 10.0, 20.0)], id="vanished-meanwhile"),
        pytest.param(
            cluster(a=DOWN), cluster(a=DOWN), [(*A_DOWN, 10.0, 0.0)], id="still-down-since-it-began"
        ),
        pytest.param(cluster(a=READY), cluster(a=DOWN), [(*A_DOWN, 20.0, 0.0)], id="fell-meanwhile"),
        pytest.param(
            cluster(a=DOWN),
            cluster(a=FULL_DISK),
            [(*A_DOWN, 10.0, 20.0), (*A_FULL, 20.0, 0.0)],
            id="one-trouble-for-another",
        ),
        pytest.param(
            cluster(a=DOWN, b=READY),
            cluster(a=READY, b=DOWN),
            [(*A_DOWN, 10.0, 20.0), (*B_DOWN, 20.0, 0.0)],
            id="one-node-for-another",
        ),
    ],
)
async def test_what_an_agent_says_first_when_another_one_looked_before_it_on_this_disk(
    path: Path,
    clock: SetClock,
    before: dict[str, NodeRow],
    after: dict[str, NodeRow],
    expected: list[Said],
) -> None:
    spool = opened(path)
    await NodeAlerts(spool, clock).look(before)
    spool.trim((1, 1))
    spool.close()

    clock.time = 20.0
    spool = opened(path)
    await NodeAlerts(spool, clock).look(after)
    assert said(spool) == expected
    assert firing(spool) == {(name, node) for name, node, _, ends_at in expected if not ends_at}


async def test_within_a_term_each_trouble_is_said_once_when_it_begins_and_once_when_it_ends(
    path: Path, clock: SetClock
) -> None:
    spool = opened(path)
    alerts = NodeAlerts(spool, clock)
    for clock.time, node in ((1.0, DOWN), (2.0, DOWN), (3.0, READY), (4.0, READY), (5.0, DOWN)):
        await alerts.look(cluster(a=node))
    assert said(spool) == [(*A_DOWN, 1.0, 0.0), (*A_DOWN, 1.0, 3.0), (*A_DOWN, 5.0, 0.0)]


@pytest.mark.promise(1)
async def test_an_end_that_the_full_spool_does_not_take_is_said_after_a_restart(
    path: Path, clock: SetClock
) -> None:
    spool = opened(path, most_batches=1)
    alerts = NodeAlerts(spool, clock)
    await alerts.look(cluster(a=DOWN))
    await alerts.look(cluster(a=READY))
    assert firing(spool) == {A_DOWN}
    spool.close()

    clock.time = 20.0
    spool = opened(path)
    await NodeAlerts(spool, clock).look(cluster(a=READY))
    assert said(spool) == [(*A_DOWN, 10.0, 0.0), (*A_DOWN, 10.0, 20.0)]


@pytest.mark.promise(1)
async def test_a_batch_that_was_not_taken_leaves_its_part_for_the_next_look(
    path: Path, clock: SetClock
) -> None:
    names = [f"n{number:03}" for number in range(AT_ONCE + 1)]
    spool = opened(path, most_batches=1)
    alerts = NodeAlerts(spool, clock)
    await alerts.look(cluster(**dict.fromkeys(names, DOWN)))
    assert len(said(spool)) == len(firing(spool)) == AT_ONCE
    spool.trim((1, 1))
    await alerts.look(cluster(**dict.fromkeys(names, DOWN)))
    assert said(spool) == [("NodeNotReady", names[-1], 10.0, 0.0)]
