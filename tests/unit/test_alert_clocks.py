"""Alerts where clocks are off, the cluster's or ours: what fires arrives firing, what ended has ended."""

import pytest

from controlplane.alerts.entry import Arrived
from controlplane.loops.alert import with_wait
from controlplane.loops.alert_reading import AlertReader
from schemas.wire.alerts import Alert, AlertBatch

NOW = 1_800_000_000.0
OFF = 600.0
VALID = 240.0


def read(alert: Alert, *, agent: float, held: float = 0.0, stored: float = 0.0) -> tuple[float, float]:
    """(starts_at, ends_at) beside our NOW. agent, stored: what the agent's and NATS's clocks are ahead."""
    batch = AlertBatch(
        incarnation=1, sequence=1, received_at=NOW + agent - held, held_seconds=held, alerts=[alert]
    )
    found = AlertReader().read(with_wait(batch, NOW + stored, NOW), "C1", "east", 300.0, NOW)
    assert found.refused == ()
    [entry] = found.entries
    assert isinstance(entry, Arrived)
    [taken] = entry.alerts
    assert entry.at == pytest.approx(NOW, abs=10)
    return taken.starts_at - NOW, taken.ends_at - NOW


@pytest.mark.promise(4)
@pytest.mark.parametrize("held", [pytest.param(0.0, id="at once"), pytest.param(3600.0, id="an hour held")])
@pytest.mark.parametrize(
    ("agent", "prometheus", "stored"),
    [
        pytest.param(0.0, 0.0, 0.0, id="all agree"),
        pytest.param(-OFF, -OFF, 0.0, id="the cluster is behind"),
        pytest.param(OFF, OFF, 0.0, id="the cluster is ahead"),
        pytest.param(-OFF, -OFF, -OFF, id="we are ahead of all others"),
        pytest.param(OFF, OFF, OFF, id="we are behind all others"),
    ],
)
def test_what_fires_arrives_firing_and_for_as_long(
    agent: float, prometheus: float, stored: float, held: float
) -> None:
    received = NOW + prometheus - held
    fires = Alert(labels={"alertname": "Down"}, starts_at=received - 5, ends_at=received + VALID)
    starts_at, ends_at = read(fires, agent=agent, held=held, stored=stored)
    assert starts_at <= 0
    assert ends_at == pytest.approx(VALID, abs=10)


@pytest.mark.promise(4)
@pytest.mark.parametrize("agent", [-OFF, OFF])
def test_one_without_an_end_fires_for_the_resolve_timeout_whatever_the_agent_believes(agent: float) -> None:
    _, ends_at = read(Alert(labels={"alertname": "NodeNotReady"}, starts_at=NOW + agent), agent=agent)
    assert ends_at == pytest.approx(300.0, abs=10)


@pytest.mark.promise(4)
@pytest.mark.parametrize("agent", [-OFF, OFF])
def test_a_prometheus_whose_clock_is_right_is_believed_at_least_for_as_long_as_it_says(agent: float) -> None:
    fires = Alert(labels={"alertname": "Down"}, starts_at=NOW - 5, ends_at=NOW + VALID)
    _, ends_at = read(fires, agent=agent)
    assert ends_at >= VALID - 10


@pytest.mark.promise(4)
@pytest.mark.parametrize("off", [-OFF, 0.0])
def test_what_has_ended_has_ended(off: float) -> None:
    ended = Alert(labels={"alertname": "Down"}, starts_at=NOW + off - 60, ends_at=NOW + off - 1)
    _, ends_at = read(ended, agent=off)
    assert ends_at <= 0
