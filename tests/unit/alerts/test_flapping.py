"""Flap damping: held when it changed too often, until it was quiet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.configuration import FlapDamping
from controlplane.alerts.flapping import held_until, with_transition

RULE = FlapDamping(transitions=3, window_seconds=600, quiet_seconds=120)


@pytest.mark.parametrize(
    ("transitions", "now", "until"),
    [
        pytest.param([], 0, None, id="nothing ever changed"),
        pytest.param([0, 10, 20], 25, None, id="as often as allowed"),
        pytest.param([0, 10, 20, 30], 35, 150, id="once more: held"),
        pytest.param([0, 10, 20, 30], 149, 150, id="held until it was quiet"),
        pytest.param([0, 10, 20, 30], 150, None, id="quiet long enough"),
        pytest.param([0, 200, 400, 600], 605, None, id="as often, in a longer time"),
        pytest.param([0, 10, 20, 30, 140, 250, 360, 470, 580, 690], 700, 810, id="held while it goes on"),
        pytest.param([0, 10, 20, 30, 200], 205, 320, id="quiet meanwhile, but the window remembers"),
    ],
)
def test_when_it_is_held(transitions: list[float], now: float, until: float | None) -> None:
    assert held_until(transitions, now, RULE) == until


def test_off_unless_asked_for() -> None:
    assert held_until([float(n) for n in range(50)], 50, FlapDamping()) is None


@given(st.lists(st.floats(0, 500), max_size=80))
def test_what_is_kept_is_bounded_and_says_the_same(gaps: list[float]) -> None:
    kept: tuple[float, ...] = ()
    everything: list[float] = []
    at = 0.0
    for gap in gaps:
        at += gap
        kept = with_transition(kept, at, RULE)
        everything.append(at)
        assert len(kept) <= 64
        if len(everything) <= 64:
            assert held_until(kept, at + 1, RULE) == held_until(everything, at + 1, RULE)
