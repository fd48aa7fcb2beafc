"""The clocks of agent and centre, where somebody sets the machine's."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.clock import SteadyClock as AgentClock
from controlplane.clock import SteadyClock as CentreClock

CLOCKS = [AgentClock, CentreClock]
START = 1_800_000_000.0


@dataclass
class Machine:
    wall: float = START
    monotonic: float = 1000.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def clock(self, kind: type[AgentClock] | type[CentreClock]) -> AgentClock | CentreClock:
        return kind(lambda: self.wall, lambda: self.monotonic)


@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize(
    ("set_by", "then", "passed"),
    [
        pytest.param(0.0, 60.0, 60.0, id="nobody sets it"),
        pytest.param(600.0, 60.0, 660.0, id="set forward: at once"),
        pytest.param(-600.0, 60.0, 30.0, id="set back: half the pace"),
        pytest.param(-600.0, 1200.0, 600.0, id="set back: until it is reached"),
        pytest.param(-600.0, 3600.0, 3000.0, id="set back: and then as ever"),
    ],
)
def test_what_passes_when_the_machine_is_set(
    kind: type[AgentClock] | type[CentreClock], set_by: float, then: float, passed: float
) -> None:
    machine = Machine()
    clock = machine.clock(kind)
    before = clock.now()
    machine.wall += set_by
    clock.now()
    machine.passes(then)
    assert clock.now() - before == pytest.approx(passed)


@pytest.mark.parametrize("kind", CLOCKS)
@given(steps=st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(0, 1e3)), max_size=20))
def test_it_never_goes_back_nor_stands_still(
    kind: type[AgentClock] | type[CentreClock], steps: list[tuple[float, float]]
) -> None:
    machine = Machine()
    clock = machine.clock(kind)
    for set_by, then in steps:
        before = clock.now()
        machine.wall += set_by
        machine.passes(then)
        assert clock.now() >= before + then / 2 - 1e-3
        assert clock.now() >= machine.wall
