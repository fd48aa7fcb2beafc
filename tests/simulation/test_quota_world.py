"""The seeded world where tenants have quotas that change: promise 2 at every commit and every step.

More by hand: `python -m tests.simulation --seeds 1000 --quota`.
"""

import pytest

from tests.simulation.running import run_seed

SEEDS = 12
CALM_SEEDS = 4

pytestmark = pytest.mark.promise(2)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nobody_is_charged_beyond_the_tree_and_all_that_runs_is_charged(seed: int) -> None:
    run_seed(seed, quota=True)


@pytest.mark.parametrize("seed", range(CALM_SEEDS))
def test_where_nothing_goes_wrong_either(seed: int) -> None:
    run_seed(seed, faults=False, quota=True)
