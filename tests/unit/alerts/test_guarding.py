"""The guard for silences that would swallow too much."""

import pytest

from controlplane.alerts.configuration import SilenceGuard
from controlplane.alerts.guarding import objection


@pytest.mark.parametrize(
    ("share", "meant", "total", "taken"),
    [
        pytest.param(1.0, 100, 100, True, id="no guard stated"),
        pytest.param(0.5, 50, 100, True, id="the share itself"),
        pytest.param(0.5, 51, 100, False, id="more than the share"),
        pytest.param(0.5, 9, 9, True, id="too few fire to speak of a share"),
        pytest.param(0.0, 1, 10, False, id="nothing that fires may be silenced"),
        pytest.param(0.0, 0, 10, True, id="a silence for what does not fire yet"),
    ],
)
def test_what_is_taken(share: float, meant: int, total: int, taken: bool) -> None:
    said = objection(SilenceGuard(max_share=share, from_alerts=10), meant, total)
    assert (said is None) is taken
    assert said is None or f"{meant} of {total}" in said
